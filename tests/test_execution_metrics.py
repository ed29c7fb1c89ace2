"""Metrics of executions, made from their ends: each counts once, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from support.collector import Fault
from support.programs import wait_for
from support.sending import PATIENCE_SECONDS, sending
from support.user_program import Program

from otel_codomon import names
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.journal import records, segments
from otel_codomon.journal.execution_metrics.counting import ExecutionMetrics
from otel_codomon.journal.execution_metrics.state import INSTANCE_FILE, SUMS_FILE
from otel_codomon.journal.metric_choice import MetricChoice
from otel_codomon.journal.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from support.collector import Collector, ReceivedPoint

DURATION = names.EXECUTION_DURATION.name

SERVICE = """
import os, signal, sys
from otel_codomon import configure, execution
configure(service_name="svc")
@execution
def job(): return {"status": "success"}
for _ in range(10): job()
"""


def latest(collector: Collector, metric: str = DURATION) -> list[ReceivedPoint]:
    """The latest point of each series of *metric*."""
    found = {}
    for point in collector.points(metric):
        key = (json.dumps(point.resource, sort_keys=True), json.dumps(point.attributes))
        found[key] = point
    return list(found.values())


def counted(collector: Collector) -> Counter[str]:
    """How many executions are counted, by outcome."""
    found: Counter[str] = Counter()
    for point in latest(collector):
        found[point.attributes[names.EXECUTION_OUTCOME]] += point.count
    return found


def deliver(folder: Path | str, collector: Collector, **environ: str) -> None:
    with sending(str(folder), {**collector.environment(), **environ}) as sender:
        assert sender.flush(PATIENCE_SECONDS)


def write_ends(
    folder: Path | str,
    count: int = 1,
    *,
    attributes: Mapping[str, object] | None = None,
    resource: Mapping[str, object] | None = None,
    seconds: float = 1.0,
    is_sampled: bool = True,
) -> None:
    """Append ends as a short command does."""
    writer = Writer(str(folder))
    now = time.time_ns()
    for _ in range(count):
        written = records.write_ended(
            writer,
            trace_id=os.urandom(16).hex(),
            span_id=os.urandom(8).hex(),
            name="job",
            started_unix_ns=now - round(seconds * 1e9),
            ended_unix_ns=now,
            attributes={
                names.EXECUTION_ID: "ab",
                names.EXECUTION_NAME: "job",
                names.EXECUTION_KIND: "command",
                names.EXECUTION_OUTCOME: "success",
                **(attributes or {}),
            },
            resource=resource or {"service.name": "svc"},
            is_sampled=is_sampled,
        )
        assert written
    writer.forget()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize(
    "end", ["", "os.kill(os.getpid(), signal.SIGTERM); signal.pause()", "os._exit(3)"]
)
def test_however_a_service_ends_its_executions_count_once(
    tmp_path: Path, collector: Collector, protocol: str, end: str
) -> None:
    program = Program(tmp_path, collector.environment(protocol))

    program.run(SERVICE + end)
    deliver(program.journal, collector)

    assert counted(collector) == {"success": 10}
    (point,) = latest(collector)
    assert point.resource["service.name"] == "svc"
    assert point.attributes[names.EXECUTION_NAME] == "job"
    assert point.temporality == 2  # cumulative
    assert point.started_unix_ns <= point.unix_ns


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("pool", ["ppe", "pool"])
def test_every_task_of_a_pool_counts_once(
    tmp_path: Path, collector: Collector, method: str, pool: str
) -> None:
    program = Program(tmp_path, collector.environment())

    done = program.run(
        """
import multiprocessing as mp, sys
from concurrent.futures import ProcessPoolExecutor
from otel_codomon import configure, execution
def setup(): configure(service_name="pool")
@execution(kind="task")
def job(n): return {"status": "success"}
if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    if sys.argv[2] == "ppe":
        with ProcessPoolExecutor(2, mp_context=ctx, initializer=setup) as ex:
            list(ex.map(job, range(8)))
    else:
        with ctx.Pool(2, initializer=setup) as p:
            p.map(job, range(8), chunksize=1); p.close(); p.join()
""",
        method,
        pool,
    )
    assert done.returncode == 0, done.stderr
    deliver(program.journal, collector)

    assert counted(collector) == {"success": 8}


def test_one_whose_process_was_killed_counts_as_host_died(
    tmp_path: Path, collector: Collector
) -> None:
    program = Program(tmp_path, collector.environment())

    program.run(SERVICE + "with execution('unfinished'): os.kill(os.getpid(), signal.SIGKILL)")
    deliver(program.journal, collector)
    deliver(program.journal, collector)

    assert counted(collector) == {"success": 10, "host_died": 1}


def test_processes_of_a_service_are_one_series(tmp_path: Path, collector: Collector) -> None:
    program = Program(tmp_path, collector.environment())

    for _ in range(3):
        program.run(SERVICE)
    deliver(program.journal, collector)

    (point,) = latest(collector)
    assert point.count == 30
    of_host = {key for key in point.resource if key.startswith("host.")}
    assert point.resource.keys() - of_host == {"service.name", "service.instance.id"}
    assert len({one.started_unix_ns for one in collector.points(DURATION)}) == 1
    written = json.loads((tmp_path / "journal" / INSTANCE_FILE).read_text())
    assert point.resource["service.instance.id"] == written["id"]


def test_a_series_that_is_new_is_seen_to_rise_from_zero(
    tmp_path: Path, collector: Collector
) -> None:
    write_ends(tmp_path, 3)

    deliver(tmp_path, collector)

    before, after = collector.points(DURATION)
    assert (before.count, after.count) == (0, 3)
    assert before.unix_ns < after.unix_ns
    assert before.started_unix_ns <= before.unix_ns


def test_after_a_pause_the_sums_are_seen_where_they_stood(
    tmp_path: Path, collector: Collector
) -> None:
    write_ends(tmp_path, 3)
    deliver(tmp_path, collector)
    sums = json.loads((tmp_path / SUMS_FILE).read_text())
    hour_ns = 3600 * 10**9
    sums["exported_unix_ns"] -= hour_ns
    sums["services"][0]["started"] -= 2 * hour_ns
    (tmp_path / SUMS_FILE).write_text(json.dumps(sums))
    collector.clear()
    write_ends(tmp_path)

    deliver(tmp_path, collector)

    points = collector.points(DURATION)
    assert [point.count for point in points] == [3] * 5 + [4]
    times = [point.unix_ns for point in points]
    assert times == sorted(times)
    assert 299e9 < times[-1] - times[0] < 301e9


def test_what_an_end_holds_is_in_the_metrics(tmp_path: Path, collector: Collector) -> None:
    usage = {
        names.USAGE_CPU_TIME: 0.5,
        names.USAGE_MEMORY_PEAK: 3 * 2**20,
        names.USAGE_DISK_READ: 10,
        names.USAGE_DISK_WRITE: 20,
    }
    write_ends(
        tmp_path,
        2,
        attributes={**usage, names.EXECUTION_OUTCOME: "error", names.ERROR_TYPE: "ValueError"},
    )

    deliver(tmp_path, collector)

    by_metric = {row: latest(collector, row) for row in {p.metric for p in collector.points()}}
    (duration,) = by_metric[DURATION]
    assert (duration.count, duration.value) == (2, 2.0)
    assert duration.attributes["error.type"] == "ValueError"
    assert duration.boundaries == list(names.EXECUTION_DURATION.boundaries)
    assert duration.exemplars
    (cpu,) = by_metric[names.EXECUTION_CPU_TIME.name]
    assert (cpu.count, cpu.value) == (2, 1.0)
    (memory,) = by_metric[names.EXECUTION_MEMORY_PEAK.name]
    assert (memory.count, memory.value) == (2, 6 * 2**20)
    moved = {p.attributes["disk.io.direction"]: p for p in by_metric[names.EXECUTION_DISK_IO.name]}
    assert {way: point.value for way, point in moved.items()} == {"read": 20, "write": 40}
    assert all(point.monotonic for point in moved.values())


@pytest.mark.parametrize("preference", ["delta", "lowmemory"])
def test_growth_is_exported_where_it_is_preferred(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch, preference: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preference)
    for _ in range(3):
        write_ends(tmp_path, 2)
        deliver(tmp_path, collector)

    points = collector.points(DURATION)

    assert [(point.count, point.temporality) for point in points] == [(2, 1)] * 3
    ends = [point.unix_ns for point in points]
    assert all(end <= point.started_unix_ns for end, point in zip(ends, points[1:], strict=False))


@pytest.mark.parametrize("preference", ["cumulative", "delta"])
def test_what_was_taken_is_not_exported_again_when_the_rest_is_refused(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch, preference: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preference)
    for service in ("first", "second"):
        write_ends(tmp_path, 2, resource={"service.name": service})
    collector.answer(
        Fault(signal="metrics"), *[Fault(signal="metrics", status=503, retry_after="0")] * 4
    )

    deliver(tmp_path, collector)

    taken: Counter[str] = Counter()
    for point in collector.points(DURATION):
        if preference == "delta":
            taken[point.resource["service.name"]] += point.count
        else:
            taken[point.resource["service.name"]] = point.count
    assert taken == {"first": 2, "second": 2}


def test_ends_that_are_added_between_two_requests_of_an_export_are_not_lost(
    tmp_path: Path,
) -> None:
    for service in ("first", "second"):
        write_ends(tmp_path, 2, resource={"service.name": service})
    kept = VerifiedDescriptor(os.open(tmp_path, os.O_RDONLY))
    metrics = ExecutionMetrics(kept, {}, MetricChoice(), set())
    assert metrics.next_request(is_urgent=True)
    metrics.request_done()
    write_ends(tmp_path, resource={"service.name": "first"})
    metrics.count()  # as before records are evicted

    latest_counts = {}
    while (told := metrics.next_request(is_urgent=True)) is not None:
        request = ExportMetricsServiceRequest.FromString(told)
        (group,) = request.resource_metrics
        resource = {one.key: one.value.string_value for one in group.resource.attributes}
        (found,) = [one for one in group.scope_metrics[0].metrics if one.name == DURATION]
        latest_counts[resource["service.name"]] = found.histogram.data_points[-1].count
        metrics.request_done()
        if set(latest_counts) == {"first", "second"}:
            break
    kept.close()

    assert latest_counts == {"first": 3, "second": 2}


def test_after_sums_were_lost_no_value_of_before_is_claimed(
    tmp_path: Path, collector: Collector
) -> None:
    write_ends(tmp_path, 3)
    (segment,) = tmp_path.glob("*.seg")
    made_unix_ns = int(segment.name[2:21])  # an hour ago: its service is as old
    hour_ago = segment.name.replace(str(made_unix_ns), str(made_unix_ns - 3600 * 10**9))
    segment.rename(tmp_path / hour_ago)

    deliver(tmp_path, collector)  # without sums, as after they were lost

    times = [point.unix_ns for point in collector.points(DURATION)]
    assert len(times) == 2  # that there was nothing just before, and now
    assert times[-1] - times[0] < 60e9


@pytest.mark.parametrize("exporter", ["none", "console"])
def test_executions_count_where_their_spans_are_not_delivered(
    tmp_path: Path, collector: Collector, exporter: str
) -> None:
    program = Program(tmp_path, {**collector.environment(), "OTEL_TRACES_EXPORTER": exporter})

    program.run(SERVICE)
    deliver(program.journal, collector)

    assert counted(collector) == {"success": 10}


def test_exponential_histograms_are_made_where_they_are_asked_for(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "base2_exponential_bucket_histogram",
    )
    write_ends(tmp_path, 2, seconds=3.0)

    deliver(tmp_path, collector)

    (point,) = latest(collector)
    assert (point.kind, point.count, point.value) == ("exponential_histogram", 2, 6.0)


def test_unsampled_executions_count_and_are_no_exemplars(
    tmp_path: Path, collector: Collector
) -> None:
    write_ends(tmp_path, 5, is_sampled=False)

    deliver(tmp_path, collector)

    assert counted(collector) == {"success": 5}
    assert not any(point.exemplars for point in collector.points(DURATION))
    assert not collector.spans()


def test_a_service_that_samples_nothing_counts_everything(
    tmp_path: Path, collector: Collector
) -> None:
    environ = {**collector.environment(), "OTEL_TRACES_SAMPLER": "always_off"}
    program = Program(tmp_path, environ)

    program.run(SERVICE)
    deliver(program.journal, collector)

    assert counted(collector) == {"success": 10}
    assert not collector.spans()


@pytest.mark.parametrize("exporters", ["none", "console"])
def test_nothing_is_reported_by_two_paths(
    tmp_path: Path, collector: Collector, exporters: str
) -> None:
    program = Program(tmp_path, {**collector.environment(), "OTEL_METRICS_EXPORTER": exporters})

    done = program.run(SERVICE)
    deliver(program.journal, collector)

    assert (DURATION in done.stdout) == (exporters == "console")
    assert not collector.points(DURATION)
    assert len(collector.spans()) == 10


def test_no_metrics_of_a_command_are_made_where_none_are_wanted(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    write_ends(tmp_path, 3)
    monkeypatch.delenv("OTEL_METRICS_EXPORTER")

    deliver(tmp_path, collector)

    assert not collector.points(DURATION)
    assert len(collector.spans()) == 3


def test_sums_that_are_rejected_are_no_dead_letters(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answer_always(Fault(signal="metrics", status=400))
    for _ in range(3):
        write_ends(tmp_path, 2)
        deliver(tmp_path, collector)
    collector.heal()
    write_ends(tmp_path, 2)

    deliver(tmp_path, collector)

    assert counted(collector) == {"success": 8}
    assert not list(tmp_path.glob("x-*.seg"))
    assert "the metrics of executions were rejected" in caplog.text


def test_ends_recorded_without_an_endpoint_count_when_there_is_one(
    tmp_path: Path, collector: Collector
) -> None:
    program = Program(tmp_path)
    program.run(SERVICE)

    deliver(program.journal, collector)

    assert counted(collector) == {"success": 10}


def test_a_collector_that_was_away_gets_the_sums_as_they_are_then(
    tmp_path: Path, collector: Collector
) -> None:
    collector.answer_always(Fault(status=503))
    write_ends(tmp_path, 2)
    with sending(str(tmp_path), collector.environment()) as sender:
        sender.flush(0.0)
        collector.wait_for(attempts=3)
        write_ends(tmp_path, 3)
        collector.heal()
        assert sender.flush(PATIENCE_SECONDS)

    assert counted(collector) == {"success": 5}


def test_names_beyond_bounds_are_counted_under_one(tmp_path: Path, collector: Collector) -> None:
    writer_attributes = [{names.EXECUTION_NAME: f"name {number}"} for number in range(2500)]
    for attributes in writer_attributes:
        write_ends(tmp_path, attributes=attributes)

    deliver(tmp_path, collector)

    points = latest(collector)
    by_name = Counter({p.attributes[names.EXECUTION_NAME]: p.count for p in points})
    assert by_name.total() == 2500
    assert by_name["_OTHER"] == 1500
    assert len(points) == 1001


def test_classes_of_errors_beyond_bounds_are_counted_under_one(
    tmp_path: Path, collector: Collector
) -> None:
    for number in range(150):
        write_ends(tmp_path, attributes={"error.type": f"Error{number}"})

    deliver(tmp_path, collector)

    by_type = Counter({p.attributes["error.type"]: p.count for p in latest(collector)})
    assert (by_type.total(), by_type["_OTHER"], len(by_type)) == (150, 50, 101)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("when", ["at import", "in the initializer"])
def test_somebody_else_s_provider_is_flushed_when_a_child_ends(
    tmp_path: Path, collector: Collector, method: str, when: str
) -> None:
    program = Program(tmp_path, collector.environment())
    script = f"""
import multiprocessing as mp, os, sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from otel_codomon import configure, execution
def setup():
    # No instance: points of children under one would displace one another.
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(), 3600_000)
    metrics.set_meter_provider(MeterProvider([reader]))
    configure()
@execution
def job(): pass
def work(): {"setup()" if when != "at import" else "pass"}; job(); job()
if {when == "at import"}: setup()
if __name__ == "__main__":
    children = [mp.get_context("{method}").Process(target=work) for _ in range(2)]
    for child in children: child.start()
    for child in children: child.join()
    os._exit(0)
"""

    done = program.run(script)

    assert (done.returncode, done.stderr) == (0, "")
    points = [p for p in collector.points(DURATION) if p.attributes[names.EXECUTION_NAME] == "job"]
    assert Counter({p.started_unix_ns: p.count for p in points}).total() == 4


def test_changes_are_exported_while_a_service_runs_and_not_too_often(
    tmp_path: Path, collector: Collector
) -> None:
    environ = {**collector.environment(), "OTEL_METRIC_EXPORT_INTERVAL": "3600000"}
    program = Program(tmp_path, environ)
    source = """
import time
from otel_codomon import configure, execution
configure(service_name="svc")
while True:
    with execution("job"): time.sleep(0.01)
"""

    with program.start(source):
        exports = wait_for(lambda: _exports(collector, at_least=4), what="four exports")

    counts = [count for _, count in exports]
    times = [unix_ns for unix_ns, _ in exports]
    assert counts == sorted(counts)
    # By the time of the points: answers may come late, the exports may not come early.
    assert all(after - before >= 1.9e9 for before, after in pairwise(times))


def test_sums_that_do_not_change_are_exported_at_the_interval(
    tmp_path: Path, collector: Collector
) -> None:
    environ = {**collector.environment(), "OTEL_METRIC_EXPORT_INTERVAL": "100"}
    program = Program(tmp_path, environ)

    with program.start(SERVICE + "signal.pause()"):
        exports = wait_for(lambda: _exports(collector, at_least=3), what="three exports")

    assert [count for _, count in exports][1:] == [10] * (len(exports) - 1)


def _exports(collector: Collector, *, at_least: int) -> list[tuple[int, int]]:
    """Time and count of each point that is no zero; empty until there are so many."""
    points = [(p.unix_ns, p.count) for p in collector.points(DURATION) if p.count]
    return points if len(points) >= at_least else []


def test_services_of_one_name_are_one_and_a_resource_that_changes_is_another(
    tmp_path: Path, collector: Collector
) -> None:
    for version in ("1", "1", "2"):
        resource = {"service.name": "svc", "service.version": version, "process.pid": os.getpid()}
        write_ends(tmp_path, 2, resource={**resource, "service.instance.id": os.urandom(4).hex()})

    deliver(tmp_path, collector)

    counts = {point.resource["service.version"]: point.count for point in latest(collector)}
    assert counts == {"1": 4, "2": 2}
    assert not any("process.pid" in point.resource for point in collector.points(DURATION))


def test_services_beyond_bounds_are_counted_under_one(tmp_path: Path, collector: Collector) -> None:
    for number in range(150):
        write_ends(tmp_path, resource={"service.name": f"service {number}"})

    deliver(tmp_path, collector)

    counts = Counter({p.resource["service.name"]: p.count for p in latest(collector)})
    assert (counts.total(), counts["_OTHER"], len(counts)) == (150, 50, 101)


# --- the file of the sums ---


def spoilt(sums: str, how: str) -> str | None:
    """The file as *how* leaves it; None for none."""
    told = json.loads(sums)
    if how == "torn":
        return sums[: len(sums) // 2]
    if how == "gone":
        return None
    if how == "nonsense":
        return json.dumps({**told, "counted": 7, "services": "many"})
    if how == "of another journal":
        return json.dumps({**told, "instance": "00" * 16})
    if how == "of other buckets":
        told["services"][0]["series"][0][2][0] = [1]
        return json.dumps(told)
    assert how == "from the future"
    told["services"][0]["started"] += 10**18
    told["exported_unix_ns"] += 10**18
    return json.dumps(told)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        # Begin again with what was not delivered.
        ("torn", 4),
        ("gone", 4),
        ("nonsense", 4),
        ("of another journal", 4),
        ("of other buckets", 4),
        # What it says is right, but for its times.
        ("from the future", 7),
    ],
)
def test_a_file_of_sums_that_is_not_as_we_left_it(
    tmp_path: Path, collector: Collector, how: str, expected: int
) -> None:
    write_ends(tmp_path, 3)
    deliver(tmp_path, collector)
    path = tmp_path / SUMS_FILE
    text = spoilt(path.read_text(), how)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    write_ends(tmp_path, 4)
    collector.clear()

    deliver(tmp_path, collector)

    (point,) = latest(collector)
    assert point.count == expected
    assert point.started_unix_ns <= point.unix_ns <= time.time_ns()


def test_sums_restored_from_a_backup_lose_nothing(tmp_path: Path, collector: Collector) -> None:
    write_ends(tmp_path, 3)
    deliver(tmp_path, collector)
    backup = (tmp_path / SUMS_FILE).read_bytes()
    write_ends(tmp_path, 4)
    deliver(tmp_path, collector)
    (tmp_path / SUMS_FILE).write_bytes(backup)
    write_ends(tmp_path, 5)

    deliver(tmp_path, collector)

    assert counted(collector) == {"success": 12}


def test_a_journal_that_was_copied_is_another_instance(
    tmp_path: Path, collector: Collector
) -> None:
    write_ends(tmp_path / "one", 3)
    deliver(tmp_path / "one", collector)
    copy = tmp_path / "two"
    copy.mkdir(mode=0o700)
    for path in (tmp_path / "one").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
        (copy / path.name).chmod(0o600)
    write_ends(copy, 1)
    (first,) = latest(collector)
    collector.clear()

    deliver(copy, collector)

    (second,) = latest(collector)
    assert second.count == 1
    assert second.resource["service.instance.id"] != first.resource["service.instance.id"]


def test_sums_of_a_later_version_are_left_alone(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    write_ends(tmp_path, 3)
    deliver(tmp_path, collector)
    path = tmp_path / SUMS_FILE
    later = json.dumps({**json.loads(path.read_text()), "version": 2})
    path.write_text(later)
    collector.clear()
    write_ends(tmp_path, 2)

    deliver(tmp_path, collector)

    assert len(collector.spans()) == 2
    assert not collector.points(DURATION)
    assert path.read_text() == later
    assert "newer version" in caplog.text


def test_an_end_whose_start_was_evicted_counts(tmp_path: Path, collector: Collector) -> None:
    write_ends(tmp_path)
    assert not any(
        record.signal == segments.STARTED
        for path in tmp_path.glob("t-*.seg")
        for record in segments.decode(path.read_bytes())
        if isinstance(record, segments.Record)
    )

    deliver(tmp_path, collector)

    assert counted(collector) == {"success": 1}


def test_a_sender_that_is_killed_at_any_moment_counts_nothing_twice(
    tmp_path: Path, collector: Collector
) -> None:
    program = Program(tmp_path, collector.environment())
    source = """
import os, sys
from otel_codomon.journal.__main__ import main
print("ready", flush=True)
main(sys.argv[1])
"""
    for count in range(1, 11):
        write_ends(program.journal, count)
        collector.clear()
        with program.start(source, program.journal) as sender:
            assert sender.stdout is not None
            sender.stdout.readline()
            time.sleep(count * 0.07)  # at any moment: what is killed meanwhile differs
            sender.send_signal(signal.SIGKILL)
            sender.wait()
    collector.clear()
    write_ends(program.journal)
    deliver(program.journal, collector)

    assert counted(collector) == {"success": 56}
