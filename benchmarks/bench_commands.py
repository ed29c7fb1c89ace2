"""The commands over a journal of 100,000 executions, and what watching costs.

Two journals: one as `otel-codomon run` leaves it (ends as JSON), one as a
program with providers does (spans as OTLP requests). The bars: first output
0.5 s after that of a bare Python, everything in 5 s, 200 MiB; `monitor-stats`
2 % of a core with 50 running executions. And what a person waits for each day:
`list` of a journal of 1 MiB 0.2 s after a bare Python, `report` on two days of a
small service in 1 s.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import IO, TYPE_CHECKING, Any, cast

from benchmarks.measure import Row, in_turn, print_table
from otel_codomon import names
from otel_codomon.journal import records, segments
from otel_codomon.journal.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

EXECUTIONS = 100_000
RUNNING = 50
WATCHED_SECONDS = 10
MIB = 1024 * 1024
_chance = Random(7)  # noqa: S311 - the same journal each time
NAMES = ("nightly build", "grade", "shop.parse:run_snippet", "notebook", "render")


def attributes_of(number: int) -> dict[str, Any]:
    """What is known of an execution of a command that was sampled a few times."""
    seconds = _chance.lognormvariate(0.3, 1)
    instants = [seconds * (i + 1) / 4 for i in range(4)]
    return {
        names.EXECUTION_ID: f"{number:032x}",
        names.EXECUTION_NAME: NAMES[number % len(NAMES)],
        names.EXECUTION_KIND: "command",
        names.EXECUTION_LANGUAGE: "python",
        names.EXECUTION_OUTCOME: "success" if number % 20 else "error",
        names.SANDBOX_TYPE: "process",
        names.PROCESS_PID: number,
        names.PROCESS_EXECUTABLE_NAME: "python",
        names.PROCESS_EXIT_CODE: 0 if number % 20 else 1,
        names.USAGE_SOURCE: "process_tree",
        names.USAGE_CPU_TIME: seconds * _chance.random(),
        names.USAGE_MEMORY_PEAK: int(_chance.lognormvariate(17.5, 0.5)),
        names.USAGE_PROCESSES: 3,
        names.USAGE_SAMPLES: 4,
        names.USAGE_CURVE_TIME: instants,
        names.USAGE_CURVE_CPU: [_chance.random() for _ in instants],
        names.USAGE_CURVE_MEMORY: [_chance.randrange(100 * MIB) for _ in instants],
        names.LIMIT_MEMORY: 512 * MIB,
        names.EXECUTION_TIMEOUT: 30.0,
    }


def as_json(number: int, _span_id: bytes, started: int, ended: int) -> bytes:
    """The end of an execution as `otel-codomon run` writes it."""
    attributes = attributes_of(number)
    payload = {
        "trace_id": f"{number:032x}",
        "parent_span_id": None,
        "name": attributes[names.EXECUTION_NAME],
        "kind": records.KIND_CLIENT,
        "started": started,
        "ended": ended,
        "attributes": attributes,
        "status": records.STATUS_OK,
        "message": "",
        "events": [],
        "resource": "00" * 8,
    }
    return json.dumps(payload).encode()


def as_request(number: int, span_id: bytes, started: int, ended: int) -> bytes:
    """The same as an OTLP export request."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "bench"
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = names.SCOPE
    span = scope_spans.spans.add(
        trace_id=number.to_bytes(16, "big"),
        span_id=span_id,
        start_time_unix_nano=started,
        end_time_unix_nano=ended,
    )
    for key, value in attributes_of(number).items():
        _set(span.attributes.add(key=key).value, value)
    span.name = NAMES[number % len(NAMES)]
    return request.SerializeToString()


_FIELDS = {str: "string_value", int: "int_value", float: "double_value"}


def _set(target: Any, value: Any) -> None:  # noqa: ANN401 - an AnyValue
    if isinstance(value, list):
        for item in value:
            _set(target.array_value.values.add(), item)
    else:
        setattr(target, _FIELDS[type(value)], value)


def write_journal(folder: str, *, signal: int, count: int = EXECUTIONS) -> None:
    """Executions of the last 47 hours, evenly spread."""
    make = as_json if signal == segments.ENDED else as_request
    writer = Writer(folder)
    now = time.time_ns()
    for number in range(count):
        started = now - int((count - number) / count * 47 * 3600e9)
        ended, span_id = started + 10**9, (number + 1).to_bytes(8, "big")
        payload = make(number, span_id, started, ended)
        writer.append(signal, payload, key=span_id, time_unix_ns=ended)
    writer.forget()


def run_once(*arguments: str) -> tuple[float, float, float]:
    """Seconds to the first byte, seconds to the end, and peak memory in MiB of a command."""
    begin = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE) as command:
        output = cast("IO[bytes]", command.stdout)
        output.read(1)
        first = time.perf_counter() - begin
        while output.read(1 << 20):
            pass
        _, _, usage = os.wait4(command.pid, 0)
        command.returncode = 0
    return first, time.perf_counter() - begin, usage.ru_maxrss / 1024


def over_the_journal(folder: str, kind: str) -> Iterator[Row]:
    """Rows for each command that reads everything."""
    commands = {
        "report": ("report", "--since", "2d"),
        "monitor-stats --since": ("monitor-stats", "--since", "2d", "--duration", "0.1"),
        "list": ("list",),
        "list --all": ("list", "--all", "--format", "jsonl"),
    }
    for name, arguments in commands.items():
        command = ("-m", "otel_codomon", *arguments, "--journal", folder)
        rounds = [run_once(*command) for _ in range(3)]
        bare = min(run_once("-c", "print(1)")[0] for _ in range(5))
        first, whole, memory = (min(column) for column in zip(*rounds, strict=True))
        what = f"{name}, {kind}"
        yield Row(f"{what}: first output after bare", first - bare, 0.5, "s", 1, "the bar")
        yield Row(f"{what}: everything", whole, 5, "s", 1, "the bar")
        yield Row(f"{what}: peak memory", memory, 200, "MiB", 1, "the bar")


_TWO_DAYS = """
import sys
sys.path.insert(0, "tests")
from support.history import write_history
from support.two_days import two_days
write_history(sys.argv[1], two_days()).forget()
"""


def each_day(folder: Path) -> Iterator[Row]:
    """How long `list` and `report` take over a journal of a usual size."""
    small, days = str(folder / "small"), str(folder / "days")
    write_journal(small, signal=segments.ENDED, count=1)
    each = _size(small)
    shutil.rmtree(small)
    write_journal(small, signal=segments.ENDED, count=MIB * 5 // 4 // each)
    size = _size(small) / MIB
    subprocess.run([sys.executable, "-c", _TWO_DAYS, days], check=True)
    own = ("-m", "otel_codomon")
    listed, bare = in_turn(
        lambda: run_once(*own, "list", "--journal", small), lambda: run_once("-c", "pass")
    )
    yield Row(f"list, {size:.1f} MiB: after bare", listed - bare, 0.2, "s", 1, "the bar")
    yield Row(f"list, {size:.1f} MiB", listed, bare, "s", None, "python -c pass")
    reported, bare = in_turn(
        lambda: run_once(*own, "report", "--since", "2d", "--journal", days),
        lambda: run_once("-c", "pass"),
    )
    yield Row("report, two days", reported, 1, "s", 1, "the bar")
    yield Row("report, two days", reported, bare, "s", None, "python -c pass")


def _size(folder: str) -> int:
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


_RUNNER = """
import os, signal, subprocess, sys
sys.path.insert(0, "tests")
from support.history import Past, write_history
from otel_codomon import names
script = ["sh", "-c", "sleep 600 & sleep 600 & wait"]
children = [subprocess.Popen(script, start_new_session=True) for _ in range(int(sys.argv[2]))]
past = [
    Past(name=f"name {i % 5}", seconds=None, attributes={names.PROCESS_PID: child.pid})
    for i, child in enumerate(children)
]
writer = write_history(sys.argv[1], past)
print("ready", flush=True)
sys.stdin.read()
for child in children:
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
"""


def watching(folder: str) -> Iterator[Row]:
    """What `monitor-stats` costs beside 50 executions of three processes each."""
    runner = [sys.executable, "-c", _RUNNER, folder, str(RUNNING)]
    with subprocess.Popen(runner, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        cast("IO[bytes]", child.stdout).readline()
        command = ("-m", "otel_codomon", "monitor-stats", "--journal", folder, "--duration")
        start = _cpu_seconds(*command, "1")
        share = (_cpu_seconds(*command, str(WATCHED_SECONDS)) - start) / (WATCHED_SECONDS - 1)
        what = f"monitor-stats, {RUNNING} running: share of a core"
        yield Row(what, share * 100, 2, "%", 1, "the bar")
        child.communicate()


def _cpu_seconds(*arguments: str) -> float:
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        _, _, usage = os.wait4(child.pid, 0)
        child.returncode = 0
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        print_table("each day", each_day(Path(folder)))
        for kind, signal in (("ends as JSON", segments.ENDED), ("spans as OTLP", segments.TRACES)):
            journal = str(Path(folder) / str(signal))
            write_journal(journal, signal=signal)
            print_table(f"{EXECUTIONS:,} executions, {kind}", over_the_journal(journal, kind))
        print_table("watching", watching(str(Path(folder) / "running")))


if __name__ == "__main__":
    main()
