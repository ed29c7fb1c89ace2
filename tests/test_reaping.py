from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from otel_codomon.resources.reaping import notify_when_reaped

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.resources.totals import ChildTotals

BUSY_SECONDS = 0.02
BUSY = [
    *(sys.executable, "-I", "-S", "-c"),
    f"import time\nwhile time.process_time() < {BUSY_SECONDS}: pass\nraise SystemExit(3)",
]
HANG_SECONDS = 120


def poll_until_it_ends(child: subprocess.Popen[bytes]) -> int:
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    code = child.poll()
    assert code is not None
    return code


def leave_block(child: subprocess.Popen[bytes]) -> int:
    with child:
        pass
    return child.returncode


def communicate(child: subprocess.Popen[bytes]) -> int:
    child.communicate(timeout=HANG_SECONDS)
    return child.returncode


WAYS: tuple[Callable[[subprocess.Popen[bytes]], int], ...] = (
    lambda child: child.wait(),
    lambda child: child.wait(HANG_SECONDS),
    communicate,
    poll_until_it_ends,
    leave_block,
)


@pytest.mark.parametrize("wait", WAYS)
def test_however_it_is_waited_for_its_totals_are_told_once(
    wait: Callable[[subprocess.Popen[bytes]], int],
) -> None:
    told: list[ChildTotals] = []
    child = subprocess.Popen(BUSY)

    assert notify_when_reaped(child, told.append)

    assert wait(child) == 3
    assert wait(child) == 3 if wait is not poll_until_it_ends else child.poll() == 3
    [totals] = told
    assert totals.pid == child.pid
    assert totals.cpu_seconds >= BUSY_SECONDS


def test_a_child_that_somebody_else_waited_for_is_gone_as_subprocess_says() -> None:
    told: list[ChildTotals] = []
    child = subprocess.Popen(BUSY)
    notify_when_reaped(child, told.append)
    os.waitpid(child.pid, 0)

    assert child.wait() == 0  # what subprocess itself says then
    assert told == []


def test_it_stays_a_popen_of_its_own_kind() -> None:
    class Own(subprocess.Popen[bytes]):
        """Somebody's own."""

    child = Own(BUSY)
    notify_when_reaped(child, lambda _totals: None)
    notify_when_reaped(child, lambda _totals: None)
    child.wait()

    assert isinstance(child, Own)
    assert repr(child).startswith("<Own: returncode: 3")
    assert type(child).__doc__ == "Somebody's own."


def test_who_waits_in_a_way_of_its_own_is_left_alone() -> None:
    class Patient(subprocess.Popen[bytes]):
        def _try_wait(self, flags: int) -> tuple[int, int]:
            return os.waitpid(self.pid, flags)

    with Patient(BUSY) as child:
        assert not notify_when_reaped(child, lambda _totals: None)

    assert type(child) is Patient


def test_other_things_are_no_children() -> None:
    with subprocess.Popen(BUSY) as done:
        pass

    assert not notify_when_reaped(done, lambda _totals: None)
    assert not notify_when_reaped(1, lambda _totals: None)
    assert not notify_when_reaped(None, lambda _totals: None)


def test_one_that_is_dropped_while_it_runs_leaves_no_zombie() -> None:
    reader, writer = os.pipe()
    child = subprocess.Popen(["cat"], stdin=reader, stdout=subprocess.DEVNULL)
    os.close(reader)
    notify_when_reaped(child, lambda _totals: None)
    pid = child.pid

    dropped = [child]
    del child
    with pytest.warns(ResourceWarning):
        dropped.clear()
    os.close(writer)  # only now it ends
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    subprocess._cleanup()  # type: ignore[attr-defined] # what the next Popen does

    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
