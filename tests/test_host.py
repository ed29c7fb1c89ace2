from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import given, strategies as st

from otel_codomon.sources import cgroups
from otel_codomon.sources.host import ProcReader, host_reader, read_host
from otel_codomon.sources.host_psutil import PsutilReader
from otel_codomon.values.host import host_rates, own_rates
from otel_codomon.values.host_sample import (
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
    for least, value, most in zip(
        before.cpu.modes(), ours.cpu.modes(), after.cpu.modes(), strict=True
    ):
        # psutil rounds to two digits; the two clocks of the kernel differ by a tick a core.
        assert least is not None
        assert value is not None
        assert most is not None
        assert least - 0.1 <= value <= most + 0.1
    assert before.memory is not None
    assert ours.memory is not None
    assert ours.memory.total_bytes == before.memory.total_bytes
    disks = {disk.name: disk for disk in after.disks}
    for disk in ours.disks:
        assert disk.write_bytes <= disks[disk.name].write_bytes
    assert {one.name for one in ours.interfaces} <= {one.name for one in after.interfaces}


@linux_only
def test_memory_held_by_this_process_is_seen_in_it_and_let_go_again() -> None:
    reader = ProcReader()
    before = reader.read_own()

    block = b"x" * (64 * MIB)
    during = reader.read_own()
    del block
    after = reader.read_own()
    reader.close()

    assert before.memory_bytes is not None
    assert during.memory_bytes is not None
    assert after.memory_bytes is not None
    assert 60 * MIB <= during.memory_bytes - before.memory_bytes <= 70 * MIB
    assert after.memory_bytes < during.memory_bytes - 60 * MIB


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@linux_only
def test_this_process_is_the_one_that_psutil_sees() -> None:
    reader = ProcReader()
    reader.read_own()  # opens what it keeps open
    before, ours, after = PsutilReader().read_own(), reader.read_own(), PsutilReader().read_own()
    descriptors = sum(_is_open(number) for number in range(4096))
    reader.close()

    assert ours.pid == os.getpid()
    assert ours.threads == before.threads
    assert ours.file_descriptors == descriptors
    assert ours.virtual_bytes == pytest.approx(before.virtual_bytes, rel=0.2)
    assert ours.available_cores == before.available_cores
    assert ours.uptime_seconds == pytest.approx(before.uptime_seconds, abs=1)
    assert before.cpu_user_seconds is not None
    assert ours.cpu_user_seconds is not None
    assert after.cpu_user_seconds is not None
    assert before.cpu_user_seconds - 0.03 <= ours.cpu_user_seconds <= after.cpu_user_seconds + 0.03
    assert (before.write_bytes or 0) <= (ours.write_bytes or 0) <= (after.write_bytes or 0)


@linux_only
def test_after_a_fork_the_child_sees_itself_and_the_parent_itself() -> None:
    reader = ProcReader()
    block = b"x" * (64 * MIB)
    parent = reader.read_own()
    answer, told = os.pipe()

    pid = os.fork()
    if pid == 0:
        del block
        child = reader.read_own()
        os.write(told, f"{child.pid} {child.uptime_seconds} {child.threads}".encode())
        os._exit(0)
    os.close(told)
    child_pid, uptime, threads = os.read(answer, 100).split()
    os.waitpid(pid, 0)
    os.close(answer)
    again = reader.read_own()
    reader.close()
    del block

    assert (int(child_pid), int(threads)) == (pid, 1)
    assert parent.uptime_seconds is not None
    assert float(uptime) <= parent.uptime_seconds
    assert again.pid == os.getpid()
    assert again.threads == parent.threads


@linux_only
def test_a_quota_of_the_cgroup_is_what_a_process_may_use() -> None:
    cgroup = cgroups.create()
    if cgroup is None or not cgroup.limit(cores=0.5):
        pytest.skip("no cgroup with a CPU controller can be made here: run as root, on Linux")
    program = (
        "import sys; from otel_codomon.sources.host import ProcReader\n"
        "sys.stdin.read(); print(ProcReader().read_own().available_cores)"
    )

    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        cgroup.join(child.pid)
        told, _ = child.communicate(timeout=60)
    cgroup.close()

    assert float(told) == 0.5


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
    before = psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0

    read_host()

    assert not before or psutil.Process().num_fds() == before


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
