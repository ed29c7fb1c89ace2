from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from contextlib import ExitStack
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, strategies as st
from psutil._common import _wn  # type: ignore[attr-defined] # not in the types
from support.forked import die_of_a_hang

from otel_codomon._platform import cgroups
from otel_codomon.host import reader
from otel_codomon.host.rates import host_rates, own_rates
from otel_codomon.host.reader import read_host
from otel_codomon.host.sample import (
    CPU_FIELDS,
    CpuTimes,
    DiskTotals,
    HostSample,
    InterfaceTotals,
    OwnSample,
    is_partition,
)
from otel_codomon.host.vmstat import Vmstat, parse_vmstat

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
MIB = 1024 * 1024


def seconds_in_modes(cpu: CpuTimes) -> list[float]:
    """Seconds in each mode; idle with and without waiting for a disk is one.

    The kernel decides at each look anew which of the two a core is that it
    finds idle (proc(5)): each may fall, their sum does not.
    """
    told = {name: getattr(cpu, name) for name in CPU_FIELDS}
    return [told.pop("idle_seconds") + told.pop("iowait_seconds"), *told.values()]


def in_proc_stat() -> list[float]:
    """The kernel's own line of all cores, with idle and waiting for a disk as one, seconds."""
    with Path("/proc/stat").open() as file:
        ticks = [int(word) / os.sysconf("SC_CLK_TCK") for word in file.readline().split()[1:]]
    user, nice, system, idle, iowait, irq, softirq, steal = ticks[:8]
    return [idle + iowait, user, nice, system, irq + softirq, steal]


@linux_only
def test_what_is_reported_of_the_host_lies_between_what_the_kernel_says_before_and_after() -> None:
    before, ours, after = in_proc_stat(), read_host(), in_proc_stat()

    assert ours.cpu is not None
    assert ours.memory is not None
    for least, value, most in zip(before, seconds_in_modes(ours.cpu), after, strict=True):
        assert least - 0.1 <= value <= most + 0.1  # the kernel's clocks differ by a tick a core
    assert (ours.platform, ours.logical_cores) == ("linux", len(ours.cores))
    assert ours.uptime_seconds == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=60)
    total = re.search(r"^MemTotal: +([0-9]+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    assert total is not None
    assert ours.memory.total_bytes == int(total[1]) * 1024
    assert ours.vmstat is not None
    assert None not in astuple(ours.vmstat)


@linux_only
def test_only_whole_disks_are_reported_and_each_file_system_once() -> None:
    host = read_host()

    blocks = {path.name for path in Path("/sys/block").iterdir()}
    assert {disk.name for disk in host.disks} <= blocks
    devices = [one.device for one in host.file_systems]
    assert len(devices) == len(set(devices))
    assert "/" in {one.mountpoint for one in host.file_systems}


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        *(("sda", False), ("sda1", True), ("sdb1", False)),
        *(("nvme0n1", False), ("nvme0n1p1", True), ("mmcblk0p2", True)),
        *(("dm-1", False), ("dm-10", False), ("loop0", False)),
    ],
)
def test_a_partition_is_told_from_a_disk_by_its_name(name: str, *, is_one: bool) -> None:
    disks = {"sda", "nvme0n1", "dm-1", "dm-10", "loop0", "mmcblk0"}

    assert is_partition(name, disks) is is_one


def told_by(program: str) -> Any:  # noqa: ANN401 - what JSON holds
    """What a process of its own prints: in this one the threads of other tests come and go."""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


@linux_only
def test_memory_held_by_this_process_is_seen_in_it_and_let_go_again() -> None:
    before, during, after = told_by(
        "import json\n"
        "from otel_codomon.host.reader import read_own\n"
        "read_own()\n"
        "before = read_own()\n"
        f"block = b'x' * {64 * MIB}\n"
        "during = read_own()\n"
        "del block\n"
        "after = read_own()\n"
        "print(json.dumps([before.memory_bytes, during.memory_bytes, after.memory_bytes]))\n"
    )

    assert 60 * MIB <= during - before <= 70 * MIB
    assert after < during - 60 * MIB


ONE_SAMPLE = """
import json, os, threading, time
from dataclasses import asdict
from otel_codomon.host.reader import read_own

def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True

def words_of(path):
    with open(path) as file:
        return file.read().rpartition(")")[2].split()

threading.Thread(target=threading.Event().wait, daemon=True).start()
read_own()  # imports what it needs
before = time.process_time()
own = asdict(read_own())
after = time.process_time()
stat = words_of("/proc/self/stat")
started = int(stat[19]) / os.sysconf("SC_CLK_TCK")
age = time.clock_gettime(time.CLOCK_BOOTTIME) - started
print(json.dumps([
    own, os.getpid(), sum(map(is_open, range(4096))), before, after, age, int(stat[20]),
    len(os.sched_getaffinity(0)),
]), flush=True)
os._exit(0)
"""


@linux_only
def test_this_process_is_the_one_that_the_kernel_sees() -> None:
    own, pid, descriptors, before, after, age, virtual_bytes, cores = told_by(ONE_SAMPLE)

    assert (own["pid"], own["threads"], own["file_descriptors"]) == (pid, 2, descriptors)
    assert own["virtual_bytes"] == pytest.approx(virtual_bytes, rel=0.2)
    assert own["available_cores"] <= cores
    assert before <= own["cpu_user_seconds"] + own["cpu_system_seconds"] <= after
    # psutil knows the time of the boot to a second.
    assert own["uptime_seconds"] == pytest.approx(age, abs=1.1)
    assert None not in {value for name, value in own.items() if name != "handles"}


FORKED = """
import json, os, time
from otel_codomon.host.reader import read_own

read_own()
parent, forked = read_own(), time.monotonic()
answer, told = os.pipe()
child = os.fork()
if child == 0:
    own = read_own()
    os.write(told, json.dumps([own.pid, own.threads, own.uptime_seconds]).encode())
    os._exit(0)
of_child, elapsed = json.loads(os.read(answer, 1000)), time.monotonic() - forked
os.waitpid(child, 0)
again = read_own()
of_parent = [[one.pid, one.threads] for one in (parent, again)]
print(json.dumps([child, of_child, elapsed, os.getpid(), of_parent]))
"""


@linux_only
def test_after_a_fork_the_child_sees_itself_and_the_parent_itself() -> None:
    child, of_child, elapsed, parent, of_parent = told_by(FORKED)

    assert of_child[:2] == [child, 1]
    assert of_child[2] <= elapsed + 1.1, "psutil knows the time of the boot to a second"
    assert of_parent == [[parent, 1]] * 2


AVAILABLE_CORES = (
    "import sys; from otel_codomon.host.reader import read_own\n"
    "sys.stdin.read(); print(read_own().available_cores)"
)


@linux_only
def test_a_quota_of_the_cgroup_is_what_a_process_may_use() -> None:
    with ExitStack() as at_the_end:
        cgroup = cgroups.create()
        if cgroup is not None:
            at_the_end.callback(cgroup.remove)
        if cgroup is None or not cgroup.limit(cores=0.5):
            pytest.skip("no cgroup with a CPU controller can be made here: run as root, on Linux")

        with subprocess.Popen(
            [sys.executable, "-c", AVAILABLE_CORES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            cgroup.join(child.pid)
            printed, _ = child.communicate()

    assert float(printed) == 0.5


@linux_only
def test_where_there_is_no_proc_all_is_missing_and_nothing_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))

    host = read_host()

    assert (host.cpu, host.cores, host.memory, host.vmstat, host.swap) == (None, (), *[None] * 3)
    assert (host.interfaces, host.file_systems) == ((), ())  # disks are in /sys too


def test_a_sample_keeps_no_descriptor() -> None:
    before, after = told_by(
        "import json, psutil\n"
        "from otel_codomon.host.reader import read_host, read_own\n"
        "held = getattr(psutil.Process(), 'num_fds', int)\n"
        "print(json.dumps([held(), read_host() and read_own() and held()]))\n"
    )

    assert after == before


@linux_only
def test_a_fork_while_psutil_is_at_work_in_another_thread_does_not_hang_the_child() -> None:
    with _wn.lock, warnings.catch_warnings():  # psutil's, of counters that wrap
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        pid = os.fork()
        if pid == 0:
            # Another thread held the lock: here it stays locked.
            thread = threading.Thread(target=lambda: os._exit(bool(not read_host().cpu)))
            die_of_a_hang()
            thread.start()
            thread.join()
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0


def test_a_system_on_which_psutil_knows_nothing_has_an_empty_sample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise NotImplementedError

    # No system at hand refuses everything; the real reader must bear one that does.
    for name in (
        *("cpu_times", "cpu_count", "virtual_memory", "swap_memory", "boot_time"),
        *("disk_io_counters", "net_io_counters", "disk_partitions"),
    ):
        monkeypatch.setattr(psutil, name, refuse)

    reader._physical_cores.cache_clear()
    sample = read_host()
    reader._physical_cores.cache_clear()

    assert replace(sample, uptime_seconds=None, vmstat=None) == HostSample(
        platform=sys.platform, taken_ns=sample.taken_ns
    )


VMSTAT = b"""\
nr_free_pages 5
nr_slab_reclaimable 2
nr_slab_unreclaimable 3
pgpgin 8
pswpin 3
pswpout 4
pgfault 1000
pgmajfault 10
oom_kill 6
"""


def test_minor_faults_are_those_that_are_not_major_and_slabs_are_bytes() -> None:
    assert parse_vmstat(VMSTAT, page_bytes=4096) == Vmstat(
        major_faults=10,
        minor_faults=990,
        swapped_in_pages=3,
        swapped_out_pages=4,
        slab_reclaimable_bytes=8192,
        slab_unreclaimable_bytes=12288,
        oom_kills=6,
    )
    assert parse_vmstat(b"", page_bytes=4096) is None


@given(st.integers(0, len(VMSTAT)), st.binary(max_size=30))
def test_vmstat_cut_off_or_spelled_otherwise_has_fewer_figures(at: int, rest: bytes) -> None:
    parse_vmstat(VMSTAT[:at] + rest, page_bytes=4096)


def _cpu(*seconds: float, core: int | None = None) -> CpuTimes:
    return CpuTimes(core=core, **dict(zip(CPU_FIELDS, seconds, strict=True)))


def _host(
    seconds: float, cpu: CpuTimes, *, read_bytes: int = 0, busy: float = 0.0, sent: int = 0
) -> HostSample:
    disk = DiskTotals(
        name="sda", read_bytes=read_bytes, write_bytes=0, reads=0, writes=0, busy_seconds=busy
    )
    return HostSample(
        platform="linux",
        taken_ns=int(seconds * 1e9),
        cpu=cpu,
        cores=(replace(cpu, core=3),),
        disks=(disk,),
        interfaces=(
            InterfaceTotals(
                name="eth0",
                receive_bytes=0,
                transmit_bytes=sent,
                receive_packets=0,
                transmit_packets=0,
                receive_errors=0,
                transmit_errors=0,
                receive_dropped=0,
                transmit_dropped=0,
            ),
        ),
    )


def test_rates_are_growth_by_time() -> None:
    earlier = _host(10, _cpu(1, 0, 1, 10, 0, 0, 0), read_bytes=100, busy=1.0, sent=0)
    later = _host(12, _cpu(2, 0, 1.5, 10.5, 0, 0, 0), read_bytes=300, busy=2.0, sent=50)

    rates = host_rates(earlier, later)

    assert rates is not None
    assert rates.interval_seconds == 2
    assert rates.cpu is not None
    assert (rates.cpu.user, rates.cpu.system, rates.cpu.idle) == (0.5, 0.25, 0.25)
    assert rates.cpu.busy == 0.75
    assert [shares.core for shares in rates.cores] == [3]
    assert (rates.disks[0].read_bytes_per_second, rates.disks[0].busy) == (100, 0.5)
    assert rates.interfaces[0].transmit_bytes_per_second == 25


def test_no_time_between_two_samples_has_no_rates() -> None:
    sample = _host(10, _cpu(1, 0, 1, 10, 0, 0, 0))

    assert host_rates(sample, sample) is None


def test_a_core_without_a_tick_between_two_samples_stays_and_its_use_is_not_known() -> None:
    still, busy = _cpu(1, 0, 0, 1, 0, 0, 0), _cpu(2, 0, 0, 1, 0, 0, 0)
    cores = (replace(still, core=0), replace(still, core=1))
    earlier = replace(_host(10, still), cores=cores)
    later = replace(_host(10.001, busy), cores=(cores[0], replace(busy, core=1)))

    rates = host_rates(earlier, later)

    assert rates is not None
    assert [(core.core, core.busy) for core in rates.cores] == [(0, None), (1, 1.0)]


def test_a_core_that_was_switched_off_moves_the_others_and_so_none_has_a_rate() -> None:
    cpu = _cpu(1, 0, 0, 1, 0, 0, 0)
    earlier = replace(_host(10, cpu), cores=tuple(replace(cpu, core=n) for n in range(3)))
    later = replace(_host(12, cpu), cores=tuple(replace(cpu, core=n) for n in range(2)))

    rates = host_rates(earlier, later)

    assert rates is not None
    assert rates.cores == ()


modes = st.lists(st.floats(0, 1e9), min_size=7, max_size=7)


@given(modes, modes)
def test_shares_are_between_none_and_all_whatever_the_counters_do(
    earlier: list[float], later: list[float]
) -> None:
    rates = host_rates(_host(1, _cpu(*earlier)), _host(2, _cpu(*later)))

    assert rates is not None
    if rates.cpu is None:
        assert all(b <= a for a, b in zip(earlier, later, strict=True))
    else:
        shares = [getattr(rates.cpu, field.removesuffix("_seconds")) for field in CPU_FIELDS]
        assert all(0 <= share <= 1 for share in shares)
        assert sum(shares) == pytest.approx(1)
        assert rates.cpu.busy is not None
        assert -1e-9 <= rates.cpu.busy <= 1 + 1e-9


@given(modes, modes)
def test_times_that_the_kernel_takes_back_are_kept(
    earlier: list[float], later: list[float]
) -> None:
    kept = _cpu(*later).at_least(_cpu(*earlier))

    assert kept.modes() == tuple(map(max, earlier, later))


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 256))
def test_a_process_uses_between_nothing_and_all_it_may(
    earlier: float, later: float, cores: int
) -> None:
    def own(taken_ns: int, seconds: float) -> OwnSample:
        return OwnSample(
            taken_ns=taken_ns,
            pid=1,
            cpu_user_seconds=seconds,
            cpu_system_seconds=None,
            available_cores=cores,
        )

    rates = own_rates(own(0, earlier), own(10**9, later))

    assert rates is not None
    assert rates.user is not None
    assert 0 <= rates.user <= 1
    assert rates.system is None
    assert own_rates(own(0, earlier), replace(own(10**9, later), pid=2)) is None
