"""One pipeline delivers: everything arrives once, whoever's exporters are there."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.user_program import Program

from otel_codomon.journal.execution_record import Outcome

if TYPE_CHECKING:
    from support.collector import Collector

pytestmark = pytest.mark.long

JOBS = """
from otel_codomon import execution
from opentelemetry import trace
tracer = trace.get_tracer("app")

@execution
def job():
    with tracer.start_as_current_span("within"):
        pass

for _ in range(5):
    job()
"""

THEIRS = """
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider()
{spans}
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([{readers}]))
from otel_codomon import configure
configure({arguments})
"""
THEIR_SPANS = "provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))"
THEIR_METRICS = "PeriodicExportingMetricReader(OTLPMetricExporter())"

EXPECTED = Counter({"job": 5, "within": 5})


def arrived(collector: Collector) -> Counter[str]:
    return Counter(span.name for span in collector.spans())


def durations(collector: Collector) -> list[int]:
    """How many executions each point of the histogram counts, one list item a point."""
    return [point.count for point in collector.points("codomon.execution.duration")]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_without_providers_the_journal_delivers(
    tmp_path: Path, collector: Collector, protocol: str
) -> None:
    program = Program(tmp_path, collector.environment(protocol))

    done = program.run(f"from otel_codomon import configure; configure()\n{JOBS}")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert arrived(collector) == EXPECTED
    assert durations(collector) == [0, 5]  # a series that is new is seen to rise
    assert [r.outcome for r in program.executions()] == [Outcome.SUCCESS] * 5


def test_where_there_are_exporters_they_deliver_and_the_journal_keeps_history(
    tmp_path: Path, collector: Collector
) -> None:
    program = Program(tmp_path, collector.environment())
    theirs = THEIRS.format(spans=THEIR_SPANS, readers=THEIR_METRICS, arguments="")

    done = program.run(theirs + JOBS)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert arrived(collector) == EXPECTED
    assert durations(collector) == [5]
    assert len(program.executions()) == 5


def test_who_takes_the_exporters_out_has_the_journal_deliver(
    tmp_path: Path, collector: Collector
) -> None:
    program = Program(tmp_path, collector.environment())
    theirs = THEIRS.format(spans="", readers="", arguments="deliver=True")

    done = program.run(theirs + JOBS)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert arrived(collector) == EXPECTED
    assert durations(collector) == [5]


@pytest.mark.parametrize("deliver", ["", "true"])
def test_under_the_instrument_command_everything_arrives_once(
    tmp_path: Path, collector: Collector, deliver: str
) -> None:
    pytest.importorskip("opentelemetry.distro", reason="pip install opentelemetry-distro")
    exporter = "none" if deliver else "otlp"
    environ = {
        **collector.environment(),
        "OTEL_PYTHON_CODOMON_DELIVER": deliver,
        "OTEL_TRACES_EXPORTER": exporter,
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "none",
    }
    if deliver:  # who takes theirs out names where the journal delivers to
        environ["OTEL_TRACES_EXPORTER"] = "none"
    command = (str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable)
    program = Program(tmp_path, environ, command)

    done = program.run(JOBS)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    if not deliver:
        assert arrived(collector) == EXPECTED
    assert durations(collector) == [5]
    assert len(program.executions()) == 5


def test_with_logfire_everything_arrives_once(tmp_path: Path, collector: Collector) -> None:
    pytest.importorskip("logfire", reason="pip install logfire")
    program = Program(tmp_path, collector.environment())

    done = program.run(
        "import logfire; logfire.configure(send_to_logfire=False, console=False)\n"
        "from otel_codomon import configure; configure()\n" + JOBS
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert arrived(collector) == EXPECTED
    assert len(program.executions()) == 5


def test_uninstrumenting_leaves_nothing_behind(tmp_path: Path) -> None:
    program = Program(tmp_path)

    done = program.run(
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from otel_codomon.instrumentation import CodomonInstrumentor\n"
        "provider = TracerProvider(); trace.set_tracer_provider(provider)\n"
        "CodomonInstrumentor().instrument(); CodomonInstrumentor().instrument()\n"
        "print(len(provider._active_span_processor._span_processors))\n"
        "CodomonInstrumentor().uninstrument()\n"
        "print(len(provider._active_span_processor._span_processors))\n"
    )

    assert (done.returncode, done.stdout) == (0, "1\n0\n")


def test_without_a_collector_the_journal_is_the_history(tmp_path: Path) -> None:
    program = Program(tmp_path)

    done = program.run(f"from otel_codomon import configure; configure()\n{JOBS}")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(program.executions()) == 5


def test_what_was_kept_before_there_was_a_collector_is_delivered_to_the_first(
    tmp_path: Path, collector: Collector
) -> None:
    source = f"from otel_codomon import configure; configure()\n{JOBS}"
    Program(tmp_path).run(source)

    Program(tmp_path, collector.environment()).run(source)

    assert arrived(collector) == EXPECTED + EXPECTED


def test_a_journal_that_is_off_is_the_plain_pipeline(tmp_path: Path, collector: Collector) -> None:
    environ = {**collector.environment(), "OTEL_PYTHON_CODOMON_JOURNAL": "off"}
    program = Program(tmp_path, environ)

    done = program.run(f"from otel_codomon import configure; configure()\n{JOBS}")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert arrived(collector) == EXPECTED
    assert list(tmp_path.iterdir()) == [tmp_path / "program.py"]


@pytest.mark.parametrize("trouble", ["file", "link", "no home"])
def test_a_system_with_no_place_for_a_journal_gets_one_warning_and_the_plain_pipeline(
    tmp_path: Path, collector: Collector, trouble: str
) -> None:
    environ = dict(collector.environment())
    place = tmp_path / "journal"
    if trouble == "file":
        place.write_text("in the way")
    elif trouble == "link":
        (tmp_path / "target").mkdir()
        place.symlink_to(tmp_path / "target")
    else:
        environ["OTEL_PYTHON_CODOMON_JOURNAL"] = ""
        environ["XDG_STATE_HOME"] = ""
        environ["HOME"] = "/proc/nowhere"
    program = Program(tmp_path, environ)

    done = program.run(f"from otel_codomon import configure; configure()\n{JOBS}")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("cannot keep a journal in") == 1
    assert len(done.stderr.splitlines()) == 1
    assert arrived(collector) == EXPECTED


def test_the_journal_tells_about_itself(tmp_path: Path, collector: Collector) -> None:
    program = Program(tmp_path, collector.environment())

    program.run(
        "from otel_codomon import configure; made = configure()\n"
        + JOBS
        + "made.force_flush(120)\n"
    )

    fates = {
        point.attributes["codomon.journal.fate"]: point.value
        for point in collector.points("codomon.journal.records")
    }
    assert fates["written"] >= 10
    assert fates["delivered"] >= 5
    assert {"rejected", "evicted", "quarantined", "unwritten"} <= set(fates)
    assert collector.points("codomon.journal.backlog")


def test_a_user_without_a_home_is_warned_once_and_has_the_plain_pipeline(
    tmp_path: Path, running_collector: Collector
) -> None:
    running_collector.reset()
    homeless = {"HOME": "nowhere", "XDG_STATE_HOME": "", "OTEL_PYTHON_CODOMON_JOURNAL": ""}
    program = Program(tmp_path, {**running_collector.environment(), **homeless})
    source = (
        "import os; os.chdir(os.path.dirname(__file__))\n"
        "from otel_codomon import configure\nconfigure(host_metrics=True)\n" + JOBS
    )

    done = program.run(source)

    assert done.returncode == 0
    assert done.stderr.count("this user has no home directory") == 1
    assert Counter(span.name for span in running_collector.spans()) == EXPECTED
    assert {path.name for path in tmp_path.iterdir()} == {"program.py"}
