"""What the journal costs against the stock SDK: per execution, to drain, at exit, in memory.

Each row measures both in the same run, against the same collector where there
is one: the real OTLP peer of the tests, in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks.measure import Row, in_turn, print_table
from otel_codomon import configure, execution
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.executions.providers import providers
from otel_codomon.journal.delivery.endpoints import endpoints
from otel_codomon.journal.delivery.sender import Sender
from otel_codomon.journal.execution_metrics.counting import ExecutionMetrics
from otel_codomon.journal.folder import open_folder
from otel_codomon.journal.metric_choice import MetricChoice
from otel_codomon.journal.processor import JournalSpanProcessor
from otel_codomon.journal.writer import Writer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.collector import Collector

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 200
SPANS = 20_000
ATTRIBUTES: dict[str, str | int | float] = {"a": "one", "b": "two", "c": 3, "d": 4.5, "e": True}


def stock_execution(endpoint: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """A span with five attributes and a histogram record, exported in batches, all included."""
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
    provider = TracerProvider(shutdown_on_exit=False)
    processor = BatchSpanProcessor(exporter, max_queue_size=10 * CALLS)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("stock")
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    histogram = meters.get_meter("stock").create_histogram("duration", "s")

    def run() -> None:
        for _ in range(CALLS):
            begin = time.perf_counter()
            with tracer.start_as_current_span("job", attributes=ATTRIBUTES):
                histogram.record(time.perf_counter() - begin, {"name": "job"})
        provider.force_flush()

    return run, provider.shutdown


def bare_execution() -> Callable[[], None]:
    """The same, with nothing that exports it."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("bare")
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    histogram = meters.get_meter("bare").create_histogram("duration", "s")

    def run() -> None:
        for _ in range(CALLS):
            begin = time.perf_counter()
            with tracer.start_as_current_span("job", attributes=ATTRIBUTES):
                histogram.record(time.perf_counter() - begin, {"name": "job"})

    return run


def journal_execution(folder: str) -> Callable[[], None]:
    """A decorated no-op whose start and end are on disk when it returns, as `configure` has it."""
    configure(journal=folder)

    @execution("job")
    def job() -> None:
        return

    def run() -> None:
        for _ in range(CALLS):
            job()

    return run


def cost_rows(endpoint: str, folder: str) -> list[Row]:
    """What a call costs, in a process that has no children; and then with one."""
    stock, shutdown = stock_execution(endpoint)
    journal = journal_execution(folder)
    ours, theirs = in_turn(journal, stock, rounds=25)
    ours_cpu, theirs_cpu = cpu_seconds(journal), cpu_seconds(stock)
    shutdown()
    ours_alone, bare = in_turn(journal, bare_execution(), rounds=25)
    with subprocess.Popen(["sleep", "600"]) as child:
        beside_child, bare_too = in_turn(journal, bare_execution(), rounds=25)
        child.kill()
    scale = 1e6 / CALLS
    note = "SDK span, histogram record, batch export"
    return [
        Row("an execution, start and end on disk", ours * scale, theirs * scale, "us", 1.4, note),
        Row("the same, CPU time", ours_cpu * scale, theirs_cpu * scale, "us", 1.4, note),
        Row(
            "the same, nothing exported",
            ours_alone * scale,
            bare * scale,
            "us",
            2.2,
            "SDK span and histogram record",
        ),
        Row(
            "the same, in a process that has a child",
            beside_child * scale,
            bare_too * scale,
            "us",
            None,
            "SDK span and histogram record",
        ),
    ]


def print_cost(endpoint: str, folder: str) -> None:
    """Print the rows of `cost_rows`, measured in a process of its own: the collector is a child."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_journal", endpoint, folder], env=clean, check=True
    )


def cpu_seconds(function: Callable[[], None], *, rounds: int = 10) -> float:
    """CPU time of one call, all threads: what is left of a figure on a busy machine."""
    begin = time.process_time()
    for _ in range(rounds):
        function()
    return (time.process_time() - begin) / rounds


def drain_rows(collector: Collector, folder: str) -> list[Row]:
    """The same spans, already there, sent by our sender and by the stock exporter."""
    writer = Writer(folder)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(JournalSpanProcessor(writer))
    tracer = provider.get_tracer("drain")
    for _ in range(SPANS):
        tracer.start_span("job", attributes=ATTRIBUTES).end()
    provider.shutdown()
    sender = Sender(folder, endpoints(collector.environment()), writer=writer)
    begin = time.perf_counter()
    sender.flush(60)
    ours = time.perf_counter() - begin
    sender.finish(1)
    writer.forget()

    stock = TracerProvider(shutdown_on_exit=False)
    kept = BatchSpanProcessor(
        OTLPSpanExporter(endpoint=f"{collector.http_endpoint}/v1/traces"),
        max_queue_size=SPANS,
        max_export_batch_size=512,
        schedule_delay_millis=3_600_000,
    )
    stock.add_span_processor(kept)
    tracer = stock.get_tracer("drain")
    begin = time.perf_counter()
    for _ in range(SPANS):
        tracer.start_span("job", attributes=ATTRIBUTES).end()
    stock.force_flush(60_000)
    theirs = time.perf_counter() - begin - span_seconds()
    stock.shutdown()
    per_span = 1e6 / SPANS
    note = "stock exporter over HTTP"
    return [Row("to drain one span", ours * per_span, theirs * per_span, "us", 1.0, note)]


def sum_rows(folder: str) -> list[Row]:
    """Adding up the ends of executions, as the sender does, and keeping the sums."""
    writer = Writer(folder)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(JournalSpanProcessor(writer, metrics_by="ends"))
    with providers(provider, MeterProvider(shutdown_on_exit=False)):
        for _ in range(SPANS):
            with execution("job"):
                pass
    provider.shutdown()
    kept = VerifiedDescriptor(open_folder(folder))
    metrics = ExecutionMetrics(kept, {}, MetricChoice(), set())
    begin = time.perf_counter()
    metrics.count()
    seconds = time.perf_counter() - begin
    kept.close()
    writer.forget()
    meter = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False).get_meter("stock")
    record = meter.create_histogram("duration", "s").record
    begin = time.perf_counter()
    for _ in range(SPANS):
        record(0.001, {"name": "job"})
    peer = time.perf_counter() - begin
    scale = 1e6 / SPANS
    note = "one histogram record of the SDK"
    return [Row("to add up one execution", seconds * scale, peer * scale, "us", None, note)]


def span_seconds() -> float:
    """What making the spans takes, without any exporter."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("bare")
    begin = time.perf_counter()
    for _ in range(SPANS):
        tracer.start_span("job", attributes=ATTRIBUTES).end()
    return time.perf_counter() - begin


EXIT = """
import logging, sys, time; logging.disable()
from otel_codomon import configure, execution
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.executions.providers import providers
configure()
for _ in range({spans}):
    with execution("job"):
        pass
sys.stdout.write(str(time.monotonic())); sys.stdout.flush()
"""


def exit_seconds(collector: Collector, journal: str, spans: int) -> float:
    """From a program's last line to its end, with a collector that is away."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environ = {**clean, **collector.environment(), "OTEL_PYTHON_CODOMON_JOURNAL": journal}
    done = subprocess.run(
        [sys.executable, "-c", EXIT.format(spans=spans)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return time.monotonic() - float(done.stdout)


def exit_rows(collector: Collector, folders: Callable[[], str]) -> list[Row]:
    collector.down()
    rows = [
        Row(
            f"exit with a dead collector, {spans} executions queued",
            exit_seconds(collector, folders(), spans),
            exit_seconds(collector, "off", spans),
            "s",
            0.1,
            "stock pipeline",
        )
        for spans in (1, 2000)
    ]
    collector.up()
    return rows


MEMORY = """
import threading
from otel_codomon import configure, execution
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.executions.providers import providers
made = configure()
with execution("job"):
    pass
assert made.journal.sender.flush(60)
threads = [t.name for t in threading.enumerate() if t.name in ("codomon-sender", "codomon-journal")]
# Not ru_maxrss, which begins with the peak of the process that started this one.
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) / 2**10, len(threads))
"""


def peak(collector: Collector, folder: str) -> tuple[float, int]:
    """Most memory of a process that ships *folder*, MiB, and the threads of ours in it."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environ = {**clean, **collector.environment(), "OTEL_PYTHON_CODOMON_JOURNAL": folder}
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], env=environ, capture_output=True, text=True, check=True
    )
    mebibytes, threads = done.stdout.split()
    return float(mebibytes), int(threads)


def memory_rows(collector: Collector, full: str, empty: str) -> list[Row]:
    """What a full backlog adds, against the same program with none."""
    bare, _ = peak(collector, empty)
    loaded, threads = peak(collector, full)
    return [
        Row("memory that a backlog of 40 MiB adds", loaded - bare, 20.0, "MiB", 1.0, "the bar"),
        Row("threads of ours", threads, 2.0, "", 1.0, "the bar"),
    ]


def write_backlog(folder: str) -> None:
    """Forty mebibytes that nobody has taken."""
    writer = Writer(folder)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(JournalSpanProcessor(writer))
    tracer = provider.get_tracer("backlog")
    for _ in range(100):
        for _ in range(100):
            tracer.start_span("job", attributes={"text": "x" * 4000, **ATTRIBUTES}).end()
        provider.force_flush()
    provider.shutdown()
    writer.forget()


def main() -> None:
    """Print the tables; with an address and a folder, what a call costs there."""
    if len(sys.argv) > 1:
        print_table("cost", cost_rows(*sys.argv[1:]))
        return
    with tempfile.TemporaryDirectory() as temporary, Collector() as collector:
        numbers = count()

        def folder() -> str:
            return str(Path(temporary) / f"journal-{next(numbers)}")

        print_cost(collector.http_endpoint, folder())
        print_table("drain", drain_rows(collector, folder()))
        print_table("sums", sum_rows(folder()))
        print_table("end", exit_rows(collector, folder))
        backlog = folder()
        write_backlog(backlog)
        print_table("memory", memory_rows(collector, backlog, folder()))


if __name__ == "__main__":
    main()
