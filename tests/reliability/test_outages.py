"""Collectors that are away, slow or mad: nothing is lost, and nobody waits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from support.chaos import ENOUGH, Chaos
from support.collector import Collector, Fault
from support.user_program import PATIENCE_SECONDS, Program

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("seconds", "seed"),
    [(6, 11), *(pytest.param(60, seed, marks=pytest.mark.soak) for seed in (21, 22, 23))],
)
def test_chaos_loses_nothing(
    tmp_path: Path, collector: Collector, seconds: float, seed: int
) -> None:
    chaos = Chaos(Program(tmp_path, collector.environment()), collector, seed, seconds)

    verdict = chaos.run()

    print(verdict)  # shown with a failure, and by `make soak`
    assert verdict.acknowledged >= ENOUGH
    assert (verdict.lost, verdict.unfinished_lost) == (frozenset(), frozenset())
    assert (verdict.doubled, verdict.corrupt) == (frozenset(), 0)
    assert verdict.counted == verdict.arrived  # each once, whoever was killed
    if seconds >= 60:
        assert verdict.copied_share <= 0.05


OUTAGE = """
import sys, time
from otel_codomon import configure, execution
from opentelemetry import metrics
made = configure()
gauge = metrics.get_meter("app").create_observable_gauge(
    "clock", [lambda _: [metrics.Observation(time.time_ns())]]
)
spans, seconds = int(sys.argv[1]), float(sys.argv[2])
begin = time.monotonic()
for index in range(spans):
    with execution("job", attributes={"number": str(index)}):
        pass
    if index % (spans // 20) == 0:
        made.meter_provider.force_flush()  # a collection, as every so often
    print("e", index, flush=True)
    time.sleep(max(0.0, begin + (index + 1) / spans * seconds - time.monotonic()))
print("done", flush=True)
sys.stdin.readline()
print(made.force_flush(120), flush=True)
"""


@pytest.mark.parametrize(
    ("spans", "seconds"), [(1000, 3.0), pytest.param(5000, 20.0, marks=pytest.mark.soak)]
)
def test_an_outage_of_three_quarters_of_the_time_loses_no_span_and_no_gauge_point(
    tmp_path: Path, collector: Collector, spans: int, seconds: float
) -> None:
    every_hour = {"OTEL_METRIC_EXPORT_INTERVAL": "3600000"}  # one collection after the other
    program = Program(tmp_path, {**collector.environment(), **every_hour})
    collector.down()
    with program.start(OUTAGE, str(spans), str(seconds)) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for line in child.stdout:
            if line == b"e %d\n" % (spans * 3 // 4):
                collector.up()
            if line == b"done\n":
                break
        child.stdin.write(b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"True\n"
        child.wait()

    numbers = Counter(span.attributes["number"] for span in collector.spans())
    points = collector.points("clock")
    assert set(numbers) == {str(index) for index in range(spans)}
    assert len(points) >= 20
    # Each has the time of its collection, not of its delivery: that is before the next one's.
    collected = sorted((int(point.value), point.unix_ns) for point in points)
    assert all(max(one) < min(other) for one, other in pairwise(collected))


FAST = """
import sys
from opentelemetry import trace
from otel_codomon import configure, execution
made = configure()
tracer = trace.get_tracer("app")
for index in range(int(sys.argv[1])):
    if index % 5:
        tracer.start_span("other").end()
    else:
        with execution("job"):
            pass
"""


@pytest.mark.parametrize("spans", [10_000, pytest.param(50_000, marks=pytest.mark.soak)])
def test_spans_as_fast_as_possible_all_arrive(
    tmp_path: Path, collector: Collector, spans: int
) -> None:
    program = Program(tmp_path, collector.environment())

    done = program.run(FAST, str(spans))
    rest = program.run("from otel_codomon.journal.operation import send_journal; send_journal()")

    assert (done.returncode, done.stderr) == (0, "")
    assert (rest.returncode, rest.stderr) == (0, "")
    assert Counter(span.name for span in collector.spans()) == {
        "job": spans // 5,
        "other": spans - spans // 5,
    }


EXIT = """
import sys
from otel_codomon import configure, execution
made = configure()
for _ in range(int(sys.argv[1])):
    with execution("job"):
        pass
"""
# A silent collector answers long after the patience with a program has ended.
_FOR_EVER_SECONDS = 36_000.0


@pytest.mark.parametrize("spans", [1, 5000])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("collector_is", ["away", "silent"])
def test_a_program_ends_whatever_the_collector_does(
    tmp_path: Path, collector: Collector, spans: int, protocol: str, collector_is: str
) -> None:
    if collector_is == "away":
        collector.down()
    else:
        collector.answer_always(Fault(delay_seconds=_FOR_EVER_SECONDS, keep=False))
    environ = {
        **collector.environment(protocol),
        "OTEL_EXPORTER_OTLP_TIMEOUT": f"{_FOR_EVER_SECONDS:.0f}",
        "OTEL_PYTHON_CODOMON_EXIT_TIMEOUT": "",  # as where nobody says
    }
    program = Program(tmp_path, environ)

    done = program.run("import logging; logging.disable()\n" + EXIT, str(spans))

    assert (done.returncode, done.stderr) == (0, "")
    assert len(program.executions()) == spans
    collector.down()  # lets go of who is silent


def test_a_program_that_is_told_to_waits_not_at_all(tmp_path: Path, collector: Collector) -> None:
    collector.answer_always(Fault(delay_seconds=_FOR_EVER_SECONDS, keep=False))
    environ = {**collector.environment(), "OTEL_PYTHON_CODOMON_EXIT_TIMEOUT": "0"}
    program = Program(tmp_path, environ)

    done = program.run(EXIT, "10")

    assert done.returncode == 0
    assert len(program.executions()) == 10
    collector.down()


COMMAND = """
import sys
from otel_codomon.journal import records as light
folder = light.folders.journal_folder()
writer = light.open_writer()
facts = dict(
    trace_id="ab" * 16, span_id="cd" * 8, name="true", started_unix_ns=10**18,
    attributes={"codomon.execution.id": "1", "codomon.execution.name": "true",
                "codomon.execution.kind": "command", "codomon.execution.outcome": "success"},
    resource=light.resource(),
)
light.write_started(writer, **facts)
light.write_ended(writer, **facts, ended_unix_ns=10**18 + 1)
writer.forget()
if light.is_delivery_wanted() and not light.sender_is_running(folder):
    light.spawn_sender(folder)
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_command_of_milliseconds_leaves_a_sender_that_outlives_it(
    tmp_path: Path, collector: Collector, protocol: str
) -> None:
    program = Program(tmp_path, collector.environment(protocol))
    evil = tmp_path / "otel_codomon"
    evil.mkdir()
    (evil / "__init__.py").write_text("raise SystemExit('the observed code was imported')")
    script = tmp_path / "elsewhere" / "program.py"
    script.parent.mkdir()
    script.write_text(COMMAND)

    subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**program.environment(), "PYTHONPATH": os.getcwd()},  # noqa: PTH109 - a plain string
        check=True,
        timeout=PATIENCE_SECONDS,
    )

    (span,) = collector.wait_for_spans(1)
    assert span.name == "true"
    assert collector.wait_for(points=1)
