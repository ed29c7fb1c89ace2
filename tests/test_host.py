from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from hypothesis import given, strategies as st

from otel_codomon._platform import cgroups
from otel_codomon.host.psutil_reader import PsutilReader
from otel_codomon.host.rates import host_rates, own_rates
from otel_codomon.host.reader import ProcReader, host_reader, read_host
from otel_codomon.host.sample import (
    CPU_FIELDS,
    CpuTimes,
    DiskTotals,
    HostSample,
    InterfaceTotals,
    OwnSample,
)

if TYPE_CHECKING:
    from pathlib import Path

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
MIB = 1024 * 1024


def seconds_in_modes(cpu: CpuTimes) -> list[float]:
    """Seconds in each mode; idle with and without waiting for a disk is one.

    The kernel decides at each look anew which of the two a core is that it
    finds idle (proc(5)): each may fall, their sum does not.
    """
    told = {name: getattr(cpu, name) for name in CPU_FIELDS}
    return [told.pop("idle_seconds") + told.pop("iowait_seconds"), *told.values()]


@linux_only
def test_what_proc_says_lies_between_what_psutil_says_before_and_after() -> None:
    theirs = PsutilReader()
    before, ours, after = theirs.read_host(), read_host(), theirs.read_host()

    assert ours.source == "proc"
    assert (ours.logical_cores, ours.physical_cores) == (
        psutil.cpu_count(),
        psutil.cpu_count(logical=False),
    )
    assert ours.cpu is not None
    assert before.cpu is not None
    assert after.cpu is not None
    seconds = map(seconds_in_modes, (before.cpu, ours.cpu, after.cpu))
    for least, value, most in zip(*seconds, strict=True):
        # psutil rounds to two digits; the two clocks of the kernel differ by a tick a core.
        assert least - 0.1 <= value <= most + 0.1
    assert before.memory is not None
    assert ours.memory is not None
    assert ours.memory.total_bytes == before.memory.total_bytes
    disks = {disk.name: disk for disk in after.disks}
    for disk in ours.disks:
        assert disk.write_bytes <= disks[disk.name].write_bytes
    assert {one.name for one in ours.interfaces} <= {
        one.name for sample in (before, after) for one in sample.interfaces
    }


def told_by(program: str) -> Any:  # noqa: ANN401 - what JSON holds
    """What a process of its own prints: in this one the threads of other tests come and go."""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


@linux_only
def test_memory_held_by_this_process_is_seen_in_it_and_let_go_again() -> None:
    before, during, after = told_by(
        "import json\n"
        "from otel_codomon.host.reader import ProcReader\n"
        "reader = ProcReader()\n"
        "reader.read_own()\n"
        "before = reader.read_own()\n"
        f"block = b'x' * {64 * MIB}\n"
        "during = reader.read_own()\n"
        "del block\n"
        "after = reader.read_own()\n"
        "print(json.dumps([before.memory_bytes, during.memory_bytes, after.memory_bytes]))\n"
    )

    assert 60 * MIB <= during - before <= 70 * MIB
    assert after < during - 60 * MIB


SEEN_TWICE = """
import json, os, threading
from dataclasses import asdict
from otel_codomon.host.reader import ProcReader
from otel_codomon.host.psutil_reader import PsutilReader

def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True

threading.Thread(target=threading.Event().wait, daemon=True).start()
ours, theirs = ProcReader(), PsutilReader()
ours.read_own()  # opens what it keeps open
seen = [asdict(reader.read_own()) for reader in (theirs, ours, theirs)]
print(json.dumps([os.getpid(), sum(map(is_open, range(4096))), seen]), flush=True)
os._exit(0)
"""


@linux_only
def test_this_process_is_the_one_that_psutil_sees() -> None:
    pid, descriptors, (before, ours, after) = told_by(SEEN_TWICE)

    assert (ours["pid"], ours["threads"], before["threads"]) == (pid, 2, 2)
    assert ours["file_descriptors"] == descriptors
    assert ours["virtual_bytes"] == pytest.approx(before["virtual_bytes"], rel=0.2)
    assert ours["available_cores"] == before["available_cores"]
    # psutil knows the time of the boot to a second, and counts CPU time in ticks of 10 ms.
    for field, inexact in (("uptime_seconds", 1.0), ("cpu_user_seconds", 0.03)):
        assert before[field] - inexact <= ours[field] <= after[field] + inexact
    assert (before["write_bytes"] or 0) <= (ours["write_bytes"] or 0) <= (after["write_bytes"] or 0)


FORKED = """
import json, os, time
from otel_codomon.host.reader import ProcReader

reader = ProcReader()
reader.read_own()
parent, forked = reader.read_own(), time.monotonic()
answer, told = os.pipe()
child = os.fork()
if child == 0:
    own = reader.read_own()
    os.write(told, json.dumps([own.pid, own.threads, own.uptime_seconds]).encode())
    os._exit(0)
of_child, elapsed = json.loads(os.read(answer, 1000)), time.monotonic() - forked
os.waitpid(child, 0)
again = reader.read_own()
of_parent = [[one.pid, one.threads] for one in (parent, again)]
print(json.dumps([child, of_child, elapsed, os.getpid(), of_parent]))
"""


@linux_only
def test_after_a_fork_the_child_sees_itself_and_the_parent_itself() -> None:
    child, of_child, elapsed, parent, of_parent = told_by(FORKED)

    assert of_child[:2] == [child, 1]
    assert of_child[2] <= elapsed + 0.02, "more than a tick older than it is"
    assert of_parent == [[parent, 1]] * 2


AVAILABLE_CORES = (
    "import sys; from otel_codomon.host.reader import ProcReader\n"
    "sys.stdin.read(); print(ProcReader().read_own().available_cores)"
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


def test_where_there_is_no_proc_all_is_missing_and_nothing_raises(tmp_path: Path) -> None:
    reader = ProcReader(str(tmp_path))

    host, own = reader.read_host(), reader.read_own()
    reader.close()

    assert (host.cpu, host.cores, host.memory, host.paging, host.disks, host.interfaces) == (
        *(None, (), None, None),
        *((), ()),
    )
    assert (own.memory_bytes, own.threads, own.file_descriptors, own.read_bytes) == (None,) * 4


def test_a_reader_gives_its_descriptors_back() -> None:
    before, after = told_by(
        "import json, psutil\n"
        "from otel_codomon.host.reader import read_host\n"
        "held = getattr(psutil.Process(), 'num_fds', int)\n"
        "print(json.dumps([held(), read_host() and held()]))\n"
    )

    assert after == before


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14"])
def test_other_systems_are_told_by_psutil_and_say_so(platform: str) -> None:
    reader = host_reader(platform)

    assert (reader.read_host().source, reader.read_own().source) == ("psutil", "psutil")


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

    sample = PsutilReader().read_host()

    assert sample == HostSample(source="psutil", taken_ns=sample.taken_ns)


def _cpu(*seconds: float, core: int | None = None) -> CpuTimes:
    return CpuTimes(core=core, **dict(zip(CPU_FIELDS, seconds, strict=True)))


def _host(
    seconds: float, cpu: CpuTimes, *, read_bytes: int = 0, busy: float = 0.0, sent: int = 0
) -> HostSample:
    disk = DiskTotals(
        name="sda", read_bytes=read_bytes, write_bytes=0, reads=0, writes=0, busy_seconds=busy
    )
    return HostSample(
        source="proc",
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
            source="proc",
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
