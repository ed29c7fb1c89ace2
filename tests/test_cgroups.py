from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from support.programs import wait_for

from otel_codomon._platform import cgroup_names, cgroups
from otel_codomon._platform.cgroup_files import FILES, LIVE_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024


@pytest.fixture
def cgroup() -> Iterator[cgroups.Cgroup]:
    made = cgroups.create()
    if made is None:
        pytest.skip("no cgroup can be made here: run as root, or in a delegated unit")
    yield made
    remove(made)


def remove(made: cgroups.Cgroup) -> None:
    """Kill what is in it until nothing is: who was killed may need a while to go."""

    def is_gone() -> bool:
        made.kill()
        return made.remove()

    wait_for(is_gone, what="an empty cgroup")


def run_in(cgroup: cgroups.Cgroup, program: str) -> tuple[int, bytes, float]:
    """Run *program* within *cgroup*: exit status, output, and its CPU seconds by `wait4`."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program],
        stdout=subprocess.PIPE,
        preexec_fn=cgroup.join,  # noqa: PLW1509 - the test has one thread
    ) as child:
        assert child.stdout is not None
        output = child.stdout.read()
        _, status, rusage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, output, rusage.ru_utime + rusage.ru_stime


def needs_memory(cgroup: cgroups.Cgroup) -> None:
    if cgroup.totals().peak_memory_bytes is None:
        pytest.skip("no memory controller here")


def folders(cgroup: cgroups.Cgroup) -> list[Path]:
    return [Path(folder) for folder in set(cgroup.folders.values())]


def test_a_cgroup_counts_the_cpu_time_of_children_nobody_sampled(cgroup: cgroups.Cgroup) -> None:
    _, output, whole_seconds = run_in(
        cgroup,
        "import os, resource\n"
        "for _ in range(50):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        sum(range(200_000)); os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "usage = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(usage.ru_utime + usage.ru_stime)\n",
    )

    cpu_ns = cgroup.totals().cpu_ns

    # The program itself was in the cgroup from shortly after its start on, its
    # children from their very beginning. A kernel whose clock goes in ticks of
    # 10 ms tells each of the two a little differently.
    assert cpu_ns is not None
    assert float(output) * 0.8 <= cpu_ns / 1e9 <= whole_seconds * 1.25 + 0.01


def test_a_cgroup_remembers_a_peak_that_has_passed(cgroup: cgroups.Cgroup) -> None:
    needs_memory(cgroup)
    run_in(cgroup, "b = b'x' * (200 << 20); del b")

    totals = cgroup.totals()

    assert totals.peak_memory_bytes is not None
    assert 200 * MIB <= totals.peak_memory_bytes - (totals.cache_bytes or 0) <= 215 * MIB


def test_a_cgroup_ends_a_program_that_takes_too_much_memory_and_says_so(
    cgroup: cgroups.Cgroup,
) -> None:
    needs_memory(cgroup)
    assert cgroup.limit(memory_bytes=64 * MIB) == ("memory_bytes",)
    assert cgroup.memory_limit_bytes() == 64 * MIB

    code, _, _ = run_in(cgroup, "b = b'x' * (200 << 20)")

    assert (code, cgroup.totals().oom_kills) == (-9, 1)


def test_a_cgroup_refuses_more_processes_than_its_limit(cgroup: cgroups.Cgroup) -> None:
    if not cgroup.limit(processes=2):
        pytest.skip("no pids controller here")

    code, _, _ = run_in(
        cgroup,
        "import os\n"
        "os.close(1)\n"
        "try:\n"
        "    [os.fork() or __import__('signal').pause() for _ in range(5)]\n"
        "except BlockingIOError:\n"
        "    os.killpg(0, 9) if os.getpgid(0) == os.getpid() else os._exit(7)\n",
    )
    cgroup.kill()

    assert code == 7


def test_a_killed_cgroup_has_no_process_left_not_even_a_daemon(cgroup: cgroups.Cgroup) -> None:
    daemonise = (
        "import os, signal\n"
        "if not os.fork():\n"
        "    os.setsid()\n"
        "    if not os.fork():\n"
        "        print('ready', flush=True); signal.pause()\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", daemonise],
        stdout=subprocess.PIPE,
        preexec_fn=cgroup.join,  # noqa: PLW1509 - the test has one thread
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.wait()
        [daemon] = cgroup.pids()

        cgroup.kill()

        assert child.stdout.read() == b""  # the daemon held the pipe open until it died
    assert daemon != child.pid


@pytest.mark.parametrize("execution_id", ["", "0f" * 16, "the caller's own-id/1"])
def test_a_cgroup_that_a_dead_process_left_is_removed_by_the_next_start(
    cgroup: cgroups.Cgroup, execution_id: str
) -> None:
    leave = (
        "import os, sys\n"
        "from otel_codomon._platform import cgroups\n"
        "made = cgroups.create(sys.argv[1])\n"
        "print(*filter(os.path.isdir, made.folders.values()), sep='\\n', flush=True)\n"
        "os._exit(0)\n"
    )
    left = subprocess.run(
        [sys.executable, "-c", leave, execution_id], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert left

    cgroups.clean_up()

    assert not any(Path(folder).exists() for folder in left)
    assert all(folder.is_dir() for folder in folders(cgroup))  # its owner, we, is alive


@pytest.mark.parametrize(
    ("execution_id", "told"),
    [
        ("0123456789abcdef" * 2, "0123456789abcdef" * 2),
        ("7b1e-order.12_a", "7b1e-order.12_a"),
        ("../../etc\n\0 id \u00e9", ".._.._etc___id__"),
        ("x" * 5000, "x" * 64),
    ],
)
def test_the_name_of_a_cgroup_has_the_id_of_its_execution(execution_id: str, told: str) -> None:
    made = cgroups.create(execution_id)
    if made is None:
        pytest.skip("no cgroup can be made here: run as root, or in a delegated unit")
    names = {folder.name for folder in folders(made)}
    plain = {folder.parent for folder in folders(made)}
    code, output, _ = run_in(made, "print(open('/proc/self/cgroup').read())")

    remove(made)

    [name] = names
    assert name.endswith(f"-{told}")
    assert f"/{name}\n".encode() in output
    assert code == 0
    assert not any((folder / name).exists() for folder in plain)


@given(st.text(max_size=300))
def test_a_name_is_a_file_name_and_says_that_its_owner_is_alive(execution_id: str) -> None:
    name = cgroup_names.new_name(execution_id)

    assert re.fullmatch(r"[A-Za-z0-9._-]{1,255}", name)
    assert name.startswith(cgroup_names.own_prefix())
    assert cgroup_names.is_owner_alive(name)


@given(st.text(max_size=60).filter(lambda text: str(os.getpid()) not in text))
def test_any_other_name_has_no_owner(name: str) -> None:
    assert not cgroup_names.is_owner_alive(name)
    assert not cgroup_names.is_owner_alive(cgroup_names.own_prefix() + name)


def test_cgroups_that_a_program_made_in_its_own_are_removed_with_it() -> None:
    made = cgroups.create()
    if made is None:
        pytest.skip("no cgroup can be made here: run as root, or in a delegated unit")
    for folder in folders(made):
        (folder / "inner" / "most").mkdir(parents=True)

    remove(made)

    assert not any(folder.exists() for folder in folders(made))


def test_a_folder_that_is_no_cgroup_is_not_taken_for_one(tmp_path: Path) -> None:
    assert cgroups.find(str(tmp_path)) is None
    assert cgroups.find("/sys/fs/cgroup/not-there") is None


def test_somebody_elses_cgroup_is_found_by_its_path_and_never_removed(
    cgroup: cgroups.Cgroup,
) -> None:
    for folder in folders(cgroup):
        found = cgroups.find(str(folder))

        assert found is not None
        assert folder in folders(found)
        assert found.remove()
        assert folder.is_dir()


def test_a_removed_cgroup_tells_nothing_and_raises_nothing() -> None:
    made = cgroups.create()
    if made is None:
        pytest.skip("no cgroup can be made here: run as root, or in a delegated unit")
    made.totals()
    made.remove()

    totals = made.totals()

    assert [getattr(totals, field) for field in totals.FIELDS] == [None] * len(totals.FIELDS)
    assert made.pids() == ()
    assert made.limit(memory_bytes=MIB) == ()
    made.kill()
    made.close()


@given(st.sampled_from(FILES), st.binary(max_size=200))
def test_whatever_a_file_says_is_parsed_or_left_out(
    row: tuple[str, str, object], text: bytes
) -> None:
    parse = row[2]
    assert callable(parse)

    assert all(isinstance(value, int) for value in parse(text).values())


def test_what_is_read_while_it_runs_is_read_at_the_end_too() -> None:
    assert set(LIVE_FILES) <= set(FILES)
