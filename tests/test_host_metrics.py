"""Metrics of the host and of this process, on private providers and real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest
from opentelemetry.metrics import CallbackOptions
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, InMemoryMetricReader, Sum
from opentelemetry.semconv._incubating.metrics import process_metrics, system_metrics
from support.forked import die_of_a_hang

from otel_codomon import names
from otel_codomon.host import metrics as host_metrics
from otel_codomon.host.metric_table import HOST_ROWS, OWN_ROWS, ROWS, Row
from otel_codomon.host.reader import read_host, read_own
from otel_codomon.host.sample import CpuTimes, DiskTotals, HostSample, OwnSample
from otel_codomon.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
DEADLINE_SECONDS = 60  # a guard against hanging, never a measure


class Told:
    """A private provider and what its last collection told."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def collect(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Metric -> values of its attributes -> value."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: {
                tuple(str(value) for value in (point.attributes or {}).values()): point.value
                for point in metric.data.data_points
            }
            for metric in (data.resource_metrics[0].scope_metrics[0].metrics if data else ())
            if isinstance(metric.data, (Gauge, Sum))
        }


@contextmanager
def reported(*hosts: HostSample, elected: bool = True) -> Iterator[Told]:
    """What is reported of *hosts*, one after the other, or of this one."""
    told, metrics = Told(), host_metrics.HostMetrics()
    if hosts:
        scripted = iter(hosts)  # things happen on them that no test can wait for
        metrics = host_metrics.HostMetrics(lambda: next(scripted))
    metrics.register(told.provider.get_meter("test"))
    metrics.begin(lambda: elected)
    yield told
    metrics.end()
    told.provider.shutdown()


def burn(seconds: float) -> None:
    """Use that much CPU time of this thread, which takes at least as long."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


# --- the names -------------------------------------------------------------------


class Conventions:
    """Stands for a meter, so that the conventions' own functions say what they would make."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[str, str]] = {}

    def __getattr__(self, maker: str) -> Callable[..., None]:
        kind = maker.removeprefix("create_").removeprefix("observable_")

        def make(*, name: str, unit: str, description: str, **_callbacks: object) -> None:
            del description
            self.made[name] = (kind, unit)

        return make


def conventions() -> dict[str, tuple[str, str]]:
    meter = Conventions()
    for module in (system_metrics, process_metrics):
        for name, create in vars(module).items():
            if name.startswith("create_"):
                needs_callbacks = "callbacks" in create.__annotations__
                create(meter, callbacks=[]) if needs_callbacks else create(meter)
    return meter.made


KINDS = {
    names.Instrument.OBSERVABLE_COUNTER: "counter",
    names.Instrument.OBSERVABLE_GAUGE: "gauge",
    names.Instrument.OBSERVABLE_UP_DOWN_COUNTER: "up_down_counter",
}


# In the conventions of 1.44, which the installed package may be older than.
YOUNG = {
    "process.memory.utilization": ("gauge", "1"),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.metric.name)
def test_a_metric_has_the_name_unit_and_instrument_of_the_conventions(row: Row) -> None:
    known = {**YOUNG, **conventions()}

    assert known[row.metric.name] == (KINDS[row.metric.instrument], row.metric.unit)


def test_each_metric_of_the_conventions_in_the_table_of_names_is_reported() -> None:
    named = {name for name in names.METRICS if name.startswith(("system.", "process."))}

    assert sorted(named) == sorted(row.metric.name for row in ROWS)


# --- what is told ----------------------------------------------------------------


@linux_only
def test_everything_is_told_from_the_second_collection_on() -> None:
    with reported() as told:
        used_before = time.process_time()
        first = told.collect()
        begin = time.monotonic()
        burn(0.3)
        lasted = time.monotonic() - begin
        second = told.collect()
        used = time.process_time() - used_before
        cores = read_own().available_cores

    of_two_readings = {names.SYSTEM_CPU_UTILIZATION.name, names.PROCESS_CPU_UTILIZATION.name}
    cannot_be_told_here = {
        names.PROCESS_HANDLES.name,
        *(
            set()
            if psutil.swap_memory().total
            else {
                names.SYSTEM_PAGING_USAGE.name,
                names.SYSTEM_PAGING_UTILIZATION.name,
            }
        ),
    }
    assert set(second) == {row.metric.name for row in ROWS} - cannot_be_told_here
    assert set(first) == set(second) - of_two_readings
    shares = second[names.SYSTEM_CPU_UTILIZATION.name]
    assert sum(shares.values()) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in shares.values())
    assert cores is not None
    share = sum(second[names.PROCESS_CPU_UTILIZATION.name].values())
    assert 0 < share <= used / lasted / cores + 0.05


@linux_only
def test_points_carry_the_attributes_of_their_rows_and_no_others() -> None:
    with reported() as told:
        told.collect()
        data = told.reader.get_metrics_data()

    assert data is not None
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            assert set(point.attributes or {}) == set(names.METRICS[metric.name].attributes)


@linux_only
def test_what_is_told_is_what_psutil_and_proc_say() -> None:
    with reported() as told:
        before = told.collect()
        memory, process = psutil.virtual_memory(), psutil.Process()
        disks, interfaces = (
            psutil.disk_io_counters(perdisk=True),
            psutil.net_io_counters(pernic=True),
        )
        resident = process.memory_info().rss
        cpu = process.cpu_times()
        after = told.collect()

    assert before["system.memory.limit"] == {(): memory.total}
    assert sum(before["system.memory.usage"].values()) == memory.total
    for metric, theirs in (("usage", resident), ("utilization", resident / memory.total)):
        told_twice = [one[f"process.memory.{metric}"][()] for one in (before, after)]
        assert min(told_twice) * 0.95 <= theirs <= max(told_twice) * 1.05
    for (device, way), value in before["system.disk.io"].items():
        theirs = getattr(disks[device], f"{way}_bytes")
        assert value <= theirs <= after["system.disk.io"][device, way]
    # A container that ends meanwhile takes its interface along.
    stayed = before["system.network.io"].keys() & after["system.network.io"].keys()
    for interface, way in stayed:
        field = {"receive": "bytes_recv", "transmit": "bytes_sent"}[way]
        theirs = getattr(interfaces[interface], field)
        told_twice = [one["system.network.io"][interface, way] for one in (before, after)]
        assert told_twice[0] <= theirs <= told_twice[1]
    # psutil counts in ticks, of 10 ms here.
    for mode, theirs in (("user", cpu.user), ("system", cpu.system)):
        assert before["process.cpu.time"][mode,] - 0.03 <= theirs
        assert theirs <= after["process.cpu.time"][mode,] + 0.03


def test_a_collection_takes_one_sample_for_all_metrics() -> None:
    samples: Counter[str] = Counter()

    def of_host() -> HostSample:
        samples["host"] += 1
        return read_host()

    def of_own() -> OwnSample:
        samples["own"] += 1
        return read_own()

    told, metrics = Told(), host_metrics.HostMetrics(of_host, of_own)
    metrics.register(told.provider.get_meter("test"))
    metrics.begin(lambda: True)
    for _ in range(3):
        told.collect()
    metrics.end()
    told.provider.shutdown()

    assert samples == {"host": 3, "own": 3}


def test_who_is_not_elected_tells_only_of_itself() -> None:
    with reported(elected=False) as told:
        metrics = told.collect()

    assert metrics
    assert not {row.metric.name for row in HOST_ROWS} & set(metrics)
    assert set(metrics) <= {row.metric.name for row in OWN_ROWS}


def test_devices_that_come_and_go_do_not_make_ever_more_series() -> None:
    def disk(name: str) -> DiskTotals:
        return DiskTotals(name=name, read_bytes=1, write_bytes=1, reads=1, writes=1)

    days = 3 * host_metrics.MAX_DEVICES
    hosts = [
        HostSample(platform="linux", taken_ns=day, disks=(disk("sda"), disk(f"sd{day}")))
        for day in range(days)
    ]
    seen: set[tuple[str, ...]] = set()

    with reported(*hosts) as told:
        for _ in hosts:
            seen.update(told.collect()["system.disk.io"])

    assert len({device for device, _way in seen}) == host_metrics.MAX_DEVICES
    assert "sda" in {device for device, _way in seen}


def _cpu_at(milliseconds: int, *, user: float, iowait: float = 0.0) -> HostSample:
    cpu = CpuTimes(user_seconds=user, iowait_seconds=iowait, idle_seconds=10.0)
    return HostSample(platform="linux", taken_ns=milliseconds * 1_000_000, cpu=cpu)


def test_shares_are_of_an_interval_that_is_long_enough() -> None:
    looks = [
        _cpu_at(0, user=1.0),
        _cpu_at(100, user=1.1),  # too soon to say anything
        _cpu_at(300, user=1.3, iowait=0.1),
        _cpu_at(301, user=1.4, iowait=0.1),  # too soon: the same once more
    ]
    name = names.SYSTEM_CPU_UTILIZATION.name

    with reported(*looks) as told:
        shares = [told.collect().get(name) for _ in looks]

    assert shares[:2] == [None, None]
    assert shares[2] is not None
    assert shares[2]["user",] == pytest.approx(0.75)
    assert shares[3] == shares[2]


def test_a_counter_does_not_fall_when_the_kernel_takes_time_back() -> None:
    looks = [_cpu_at(0, user=1.0, iowait=5.0), _cpu_at(1, user=2.0, iowait=4.0)]

    with reported(*looks) as told:
        times = [told.collect()[names.SYSTEM_CPU_TIME.name] for _ in looks]

    assert [(time["user",], time["iowait",]) for time in times] == [(1.0, 5.0), (2.0, 5.0)]


def test_a_reader_that_fails_is_off_from_then_on_and_hurts_nobody() -> None:
    with reported(HostSample(platform="linux", taken_ns=0, uptime_seconds=7)) as told:
        assert told.collect()["system.uptime"] == {(): 7}
        assert told.collect() == {}  # the script has no more
        assert told.collect() == {}


# --- one process of a host, and forks ----------------------------------------------

REPORTER = """
import json, sys
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from otel_codomon.host import metrics as host
from otel_codomon.settings import read_settings

reader = InMemoryMetricReader()
provider = MeterProvider([reader])
host.report_host(provider, read_settings({"host_metrics": True, "journal": sys.argv[1]}))
print("ready", flush=True)
for _ in sys.stdin:
    data = reader.get_metrics_data()
    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    print(json.dumps([metric.name for metric in metrics]), flush=True)
"""


class Reporter:
    """A process of its own that reports, and says at each `collect` what it told."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", REPORTER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def collect(self) -> set[str]:
        assert self.process.stdin is not None
        self.process.stdin.write("collect\n")
        self.process.stdin.flush()
        return set(json.loads(self._line()))

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=DEADLINE_SECONDS)


@pytest.fixture
def reporters(tmp_path: Path) -> Iterator[tuple[Reporter, Reporter]]:
    both = Reporter(tmp_path), Reporter(tmp_path)
    yield both
    for reporter in both:
        reporter.kill()


def test_one_process_tells_of_the_host_and_another_takes_over_when_it_dies(
    reporters: tuple[Reporter, Reporter],
) -> None:
    first, second = reporters

    of_first, of_second = first.collect(), second.collect()
    first.kill()
    of_heir = second.collect()

    assert "system.memory.usage" in of_first
    assert "system.memory.usage" not in of_second
    assert "process.memory.usage" in of_first & of_second
    assert "system.memory.usage" in of_heir


@pytest.fixture
def switched_on(tmp_path: Path) -> Iterator[Told]:
    told = Told()
    host_metrics.report_host(
        told.provider, read_settings({"host_metrics": True, "journal": str(tmp_path)})
    )
    yield told
    host_metrics.report_host_no_more()
    told.provider.shutdown()


@linux_only
def test_right_after_a_fork_the_child_tells_of_itself_and_not_of_the_host(
    switched_on: Told,
) -> None:
    switched_on.collect()
    answer, told = os.pipe()

    pid = os.fork()
    if pid == 0:
        metrics = switched_on.collect()
        os.write(told, json.dumps([sorted(metrics), metrics["process.uptime"][()]]).encode())
        os._exit(0)
    os.close(told)
    with os.fdopen(answer) as answered:
        of_child, child_uptime = json.load(answered)
    os.waitpid(pid, 0)
    of_parent = switched_on.collect()

    assert "system.memory.usage" not in of_child
    assert "process.memory.usage" in of_child
    assert child_uptime < of_parent["process.uptime"][()]
    assert "system.memory.usage" in of_parent


@linux_only
def test_a_fork_in_the_middle_of_a_look_does_not_hang_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, looking, go_on = os.getpid(), threading.Event(), threading.Event()

    class SlowMetrics(host_metrics.HostMetrics):
        def __init__(self) -> None:
            super().__init__(own=self.read_own_slowly)

        def read_own_slowly(self) -> OwnSample:
            if os.getpid() == parent:
                looking.set()
                go_on.wait(DEADLINE_SECONDS)
            return read_own()

    told = Told()
    monkeypatch.setattr(host_metrics, "HostMetrics", SlowMetrics)
    host_metrics.report_host(
        told.provider, read_settings({"host_metrics": True, "journal": str(tmp_path)})
    )
    running = host_metrics._switch._running
    assert running is not None
    thread = threading.Thread(target=told.collect)
    thread.start()
    assert looking.wait(DEADLINE_SECONDS)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads is the point
        pid = os.fork()
    if pid == 0:
        die_of_a_hang(DEADLINE_SECONDS)
        # Not through the SDK, whose own lock the thread held too.
        points = running._hand_out("process.uptime", CallbackOptions())
        os._exit(len(list(points)))
    go_on.set()
    _, status = os.waitpid(pid, 0)
    thread.join()
    host_metrics.report_host_no_more()
    told.provider.shutdown()

    assert os.waitstatus_to_exitcode(status) == 1


def test_switched_off_it_lets_another_process_tell_of_the_host(
    switched_on: Told, tmp_path: Path
) -> None:
    other = Reporter(tmp_path)
    switched_on.collect()

    before = other.collect()
    host_metrics.report_host_no_more()
    after = other.collect()
    other.kill()

    assert "system.memory.usage" not in before
    assert "system.memory.usage" in after


def test_asked_twice_everything_is_told_once(switched_on: Told, tmp_path: Path) -> None:
    other = Told()

    host_metrics.report_host(
        other.provider, read_settings({"host_metrics": True, "journal": str(tmp_path)})
    )

    assert other.collect() == {}
    assert switched_on.collect()
    other.provider.shutdown()


def test_switched_off_it_tells_nothing_and_can_be_switched_on_again(
    switched_on: Told, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    switched_on.collect()
    host_metrics.report_host_no_more()
    nothing = switched_on.collect()
    host_metrics.report_host(
        switched_on.provider, read_settings({"host_metrics": True, "journal": str(tmp_path)})
    )
    again = switched_on.collect()

    assert nothing == {}
    assert "process.memory.usage" in again
    assert caplog.records == []


def test_it_is_off_by_default() -> None:
    told = Told()

    host_metrics.report_host(told.provider, read_settings({}, {}))

    assert told.collect() == {}
    told.provider.shutdown()


def test_a_folder_that_cannot_be_used_leaves_only_the_host_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    told = Told()

    host_metrics.report_host(
        told.provider, read_settings({"host_metrics": True, "journal": str(tmp_path / "file")})
    )
    metrics = told.collect()
    host_metrics.report_host_no_more()
    told.provider.shutdown()

    assert "process.memory.usage" in metrics
    assert "system.memory.usage" not in metrics
