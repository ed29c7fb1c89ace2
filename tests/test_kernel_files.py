from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from otel_codomon.host import kernel_files as files
from otel_codomon.host.sample import CpuTimes, DiskTotals, InterfaceTotals, Memory, Swap

if TYPE_CHECKING:
    from collections.abc import Callable

STAT = b"""\
cpu  300 20 100 4000 50 7 3 11 99 0
cpu0 100 10 40 2000 20 3 1 5 0 0
cpu7 200 10 60 2000 30 4 2 6 99 0
intr 9 0 0
ctxt 5
btime 1
processes 4321
procs_running 1
"""
MEMINFO = b"""\
MemTotal:       1000 kB
MemFree:         100 kB
MemAvailable:    600 kB
Buffers:          50 kB
Cached:          300 kB
SwapCached:      999 kB
Shmem:            40 kB
SReclaimable:     30 kB
SUnreclaim:       20 kB
HugePages_Total:   0
"""
VMSTAT = b"nr_free_pages 5\npswpin 3\npswpout 4\npgfault 1000\npgmajfault 10\n"
DISKSTATS = b"""\
   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
   8       0 sda 10 1 80 500 20 2 160 700 0 900 1200 0 0 0 0 0 0
   8       1 sda1 10 1 80 500 20 2 160 700 0 900 1200
 259       0 nvme0n1 1 0 2 3 4 5 6 7 8 9 10
 259       1 nvme0n1p1 1 0 2 3 4 5 6 7 8 9 10
 252       1 dm-1 1 0 2 3 4 5 6 7 8 9 10
 252      10 dm-10 1 0 2 3 4 5 6 7 8 9 10
   8      16 sdb 18446744073709551616 x
"""
PARTITIONS = b"major minor  #blocks  name\n\n   8        0       1024 sda\n"
NET_DEV = b"""\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
    lo:  500      5    0    0    0     0          0         0      500       5    0    0    0     0
  ifb0:    0      0    0    0    0     0          0         0        0       0    0    0    0     0
eth0:1:1000      10    1    2    0     0          0         0     2000      20    3    4    0     0
veth1a:    7      7    0    0    0     0          0         0        0       0    0    0    0     0
"""
SWAPS = b"""\
Filename				Type		Size		Used		Priority
/dev/dm-1                               partition	1000	250	-2
/swap\\040file                           file	10	0	-3
"""
MOUNTS = rb"""overlay / overlay rw,relatime,lowerdir=a 0 0
proc /proc proc rw 0 0
/dev/sda1 /etc/hosts ext4 rw 0 0
/dev/sda1 /data ext4 rw 0 0
/dev/sdb1 /mnt/my\040disk vfat ro,nosuid 0 0
/dev/sdc1 /mnt/ntfs fuseblk rw 0 0
server:/export /nfs nfs4 rw 0 0
"""
OWN_STAT = (
    b"42 (a) R (b) S 1 42 42 0 -1 4194304 100 0 0 0 5 6 0 0 20 0 3 0 7200 4096000 250 "
    b"18446744073709551615 1 1 0\n"
)
REAL: list[tuple[Callable[[bytes], object], bytes]] = [
    (files.parse_stat, STAT),
    (files.parse_cores, STAT),
    (files.parse_meminfo, MEMINFO),
    (files.parse_vmstat, VMSTAT),
    (lambda text: files.parse_diskstats(text, {}), DISKSTATS),
    (files.parse_partitions, PARTITIONS),
    (files.parse_net_dev, NET_DEV),
    (files.parse_swaps, SWAPS),
    (files.parse_mounts, MOUNTS),
    (files.parse_own_stat, OWN_STAT),
    (files.parse_io, b"rchar: 1\nread_bytes: 5\nwrite_bytes: 6\n"),
]


def test_the_modes_of_a_core_do_not_count_guests_twice() -> None:
    stat = files.parse_stat(STAT)

    assert stat.cpu == CpuTimes(
        user_seconds=3.0,
        nice_seconds=0.2,
        system_seconds=1.0,
        idle_seconds=40.0,
        iowait_seconds=0.5,
        interrupt_seconds=0.1,
        steal_seconds=0.11,
    )
    assert [cpu.core for cpu in files.parse_cores(STAT)] == [0, 7]
    assert stat.logical_cores == 2
    assert stat.processes_created == 4321


def test_an_old_kernel_that_knows_four_modes_has_four() -> None:
    stat = files.parse_stat(b"cpu 100 0 200 300\n")

    assert stat.cpu == CpuTimes(
        user_seconds=1.0, nice_seconds=0.0, system_seconds=2.0, idle_seconds=3.0
    )


def test_the_states_of_memory_sum_up_to_all_of_it() -> None:
    memory = files.parse_meminfo(MEMINFO)

    assert memory == Memory(
        total_bytes=1024000,
        free_bytes=102400,
        available_bytes=614400,
        buffers_bytes=51200,
        cached_bytes=337920,
        shared_bytes=40960,
        slab_reclaimable_bytes=30720,
        slab_unreclaimable_bytes=20480,
    )
    assert memory is not None
    assert memory.used_bytes == 1024000 - 102400 - 51200 - 337920


def test_minor_faults_are_those_that_are_not_major() -> None:
    paging = files.parse_vmstat(VMSTAT)

    assert paging is not None
    assert (paging.minor_faults, paging.major_faults) == (990, 10)
    assert (paging.swapped_in_pages, paging.swapped_out_pages) == (3, 4)


def test_disks_are_whole_disks_that_were_used() -> None:
    disks = files.parse_diskstats(DISKSTATS, files.parse_partitions(PARTITIONS))

    assert [disk.name for disk in disks] == ["sda", "nvme0n1", "dm-1", "dm-10"]
    assert disks[0] == DiskTotals(
        name="sda",
        read_bytes=80 * 512,
        write_bytes=160 * 512,
        reads=10,
        writes=20,
        merged_reads=1,
        merged_writes=2,
        read_seconds=0.5,
        write_seconds=0.7,
        busy_seconds=0.9,
        total_bytes=1024 * 1024,
    )


@pytest.mark.parametrize(
    ("name", "others", "is_part"),
    [
        ("sda1", {"sda"}, True),
        ("sda1", set(), False),  # a virtual machine may have the part and no disk
        ("sdp1", {"sdp"}, True),
        ("nvme0n1p12", {"nvme0n1"}, True),
        ("mmcblk0boot0", {"mmcblk0"}, False),
        ("dm-10", {"dm-1"}, False),
        ("loop10", {"loop1", "loop"}, True),
        ("md127p1", {"md127"}, True),
        ("7", {""}, True),
    ],
)
def test_parts_of_a_disk_are_told_by_their_names(
    name: str, others: set[str], *, is_part: bool
) -> None:
    assert files.is_partition(name, others) is is_part


def test_interfaces_are_those_that_were_used_and_stay() -> None:
    interfaces = files.parse_net_dev(NET_DEV)

    assert [one.name for one in interfaces] == ["lo", "eth0:1"]
    assert interfaces[1] == InterfaceTotals(
        name="eth0:1",
        receive_bytes=1000,
        transmit_bytes=2000,
        receive_packets=10,
        transmit_packets=20,
        receive_errors=1,
        transmit_errors=3,
        receive_dropped=2,
        transmit_dropped=4,
    )


def test_swap_devices_have_their_paths_without_escapes() -> None:
    assert files.parse_swaps(SWAPS) == (
        Swap(name="/dev/dm-1", total_bytes=1024000, used_bytes=256000),
        Swap(name="/swap file", total_bytes=10240, used_bytes=0),
    )


def test_only_file_systems_on_storage_and_the_root_are_asked_each_once() -> None:
    assert [
        (mount.device, mount.mountpoint, mount.mode) for mount in files.parse_mounts(MOUNTS)
    ] == [
        ("overlay", "/", "rw"),
        ("/dev/sda1", "/data", "rw"),
        ("/dev/sdb1", "/mnt/my disk", "ro"),
    ]


def test_a_name_with_brackets_does_not_shift_the_fields_of_a_process() -> None:
    stat = files.parse_own_stat(OWN_STAT)

    assert stat == files.OwnStat(
        threads=3, started_seconds=72.0, virtual_bytes=4096000, resident_pages=250
    )


@pytest.mark.parametrize(("parse", "text"), REAL)
@given(st.data())
def test_a_file_cut_or_changed_anywhere_never_raises(
    parse: Callable[[bytes], object], text: bytes, data: st.DataObject
) -> None:
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, len(text)))
    noise = data.draw(st.binary(max_size=40))

    parse(text[:begin] + noise + text[end:])
    parse(text[begin:end])


@given(st.lists(st.tuples(st.sampled_from([b"pgfault", b"x", b"pgmajfault"]), st.integers(0))))
def test_the_first_line_of_a_key_is_the_one_that_counts(lines: list[tuple[bytes, int]]) -> None:
    text = b"".join(b"%s %d\n" % line for line in lines)
    expected = next((number for key, number in lines if key == b"pgfault"), None)

    found = files.number_after(text, b"pgfault ")

    assert found == (expected if expected is None or expected < 10**20 else None)
