"""The streams of `otel-codomon run --isolation bubblewrap`: our own, and complete."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
from pathlib import Path

import psutil
import pytest
from support.bubblewrap import MISSING
from support.programs import wait_for
from support.terminal import Terminal
from support.typed import clean_environment, typed_on_terminal

from otel_codomon import Outcome
from otel_codomon.journal.reader import JournalReader

pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

ISOLATED = ["run", "-q", "--isolation", "bubblewrap"]
COMMAND = [sys.executable, "-m", "otel_codomon", *ISOLATED]
# More than fits into pipes.
LARGE = 24 * 1024**2


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("OTEL_PYTHON_CODOMON_JOURNAL", str(tmp_path / "journal"))
    return directory


def sh(program: str, *options: str) -> list[str]:
    return [*COMMAND, *options, "--", "sh", "-c", program]


def outcome(work: Path) -> Outcome | None:
    [found] = JournalReader(str(work.parent / "journal")).executions()
    return found.outcome


def test_much_input_and_output_arrives_whole(work: Path) -> None:
    data = os.urandom(1024) * (LARGE // 1024)

    done = subprocess.run([*COMMAND, "--", "cat"], input=data, capture_output=True, check=False)

    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    assert outcome(work) is Outcome.SUCCESS


def test_the_order_of_both_outputs_into_one_file_is_kept(work: Path) -> None:
    with (work / "both").open("wb") as both:
        program = "i=0; while [ $i -lt 300 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done"
        subprocess.run(sh(program), stdout=both, stderr=both, check=True)

    expected = "".join(f"o{number}\ne{number}\n" for number in range(300))
    assert (work / "both").read_text() == expected


def test_what_was_written_before_a_kill_arrives(work: Path) -> None:
    done = subprocess.run(
        sh("head -c 60000 /dev/zero; echo last >&2; kill -KILL $$"),
        capture_output=True,
        check=False,
    )

    assert (done.returncode, len(done.stdout), done.stderr) == (137, 60000, b"last\n")
    assert outcome(work) is Outcome.KILLED


def test_a_slow_reader_gets_everything(work: Path) -> None:
    del work
    with subprocess.Popen(
        sh(f"head -c {LARGE} /dev/zero"), stdout=subprocess.PIPE, bufsize=0
    ) as child:
        assert child.stdout is not None
        read = len(child.stdout.read(1))
        while piece := child.stdout.read(3000):
            read += len(piece)

    assert (child.returncode, read) == (0, LARGE)


def test_a_reader_that_takes_nothing_does_not_outlast_the_timeout(work: Path) -> None:
    options = ("--timeout", "0.5", "--grace", "0.2")
    with subprocess.Popen(sh("yes", *options), stdout=subprocess.PIPE) as child:
        code = child.wait(300)

    assert code == 124
    assert outcome(work) is Outcome.TIMEOUT


def test_a_reader_that_goes_ends_the_command(work: Path) -> None:
    with subprocess.Popen(sh("yes"), stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.close()
        code = child.wait(300)

    assert code == 128 + signal.SIGPIPE
    assert outcome(work) is Outcome.KILLED


def test_a_full_disk_is_reported(work: Path) -> None:
    del work
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        command = [word for word in sh("yes") if word != "-q"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)

    assert done.returncode == 128 + signal.SIGPIPE
    assert b"cannot write its output to descriptor 1: no space left on device\n" in done.stderr


@pytest.mark.parametrize("reads", [0, 1, 2, 3])
def test_a_file_goes_on_where_the_command_stopped_reading(reads: int, work: Path) -> None:
    given = work / "given"
    given.write_text("one\ntwo\nthree\n")
    program = "import os\n" + f"for _ in range({reads}): os.read(0, 4)"

    with given.open() as stdin:
        subprocess.run([*COMMAND, "--", "/usr/bin/env", "python3", "-c", program], stdin=stdin,
                       check=True, env={**os.environ, "PATH": "/usr/bin:/bin"})  # fmt: skip
        rest = os.read(stdin.fileno(), 100)

    assert rest == b"one\ntwo\nthree\n"[4 * reads :]


# A directory is refused by Python itself.
@pytest.mark.parametrize("kind", ["device", "socket", "write-only"])
def test_other_kinds_of_input_are_not_the_callers(kind: str, work: Path) -> None:
    del work
    ours, theirs = socket.socketpair()
    if kind == "socket":
        stdin = theirs.detach()
    else:
        stdin = os.open(*{"device": ("/dev/zero", 0), "write-only": ("/dev/null", 1)}[kind])
    ours.close()
    program = "readlink /proc/self/fd/0; ls /proc/self/fd/0/ 2>/dev/null"

    done = subprocess.run(sh(program), stdin=stdin, stdout=subprocess.PIPE, text=True, check=False)
    os.close(stdin)
    theirs.close()

    assert done.stdout.startswith("pipe:["), done.stdout
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("program", "closed", "code"),
    [
        ("cat", "<&-", 1),
        ("echo x", ">&-", 1),
        ("echo x >&2", "2>&-", 1),
        ("exit 3", "<&- >&- 2>&-", 3),
    ],
)
def test_a_closed_stream_is_closed_inside_too(
    program: str, closed: str, code: int, work: Path
) -> None:
    del work
    words = " ".join(f"'{word}'" for word in sh(program))

    done = subprocess.run(["sh", "-c", f"{words} {closed}"], capture_output=True, check=False)

    assert done.returncode == code


# --- a terminal -------------------------------------------------------------------


def test_a_terminal_is_one_inside_and_another(work: Path) -> None:
    del work
    program = "test -t 0 && test -t 1 && test -t 2 && stty size; ls /dev/pts"

    code, shown = typed_on_terminal(
        *ISOLATED, "--", "sh", "-c", program, columns=93, env=clean_environment()
    )

    assert (code, shown) == (0, "40 93\r\nptmx\r\n")


def test_the_end_of_input_that_is_typed_arrives(work: Path) -> None:
    del work

    code, shown = typed_on_terminal(
        *ISOLATED, "--", "sh", "-c", "read x; echo got $x; cat; echo end",
        env=clean_environment(), keys=b"first\nsecond\n\x04",
    )  # fmt: skip

    assert code == 0
    assert shown.endswith("end\r\n")
    assert "got first\r\n" in shown
    assert shown.count("second") >= 2  # as typed, and as written


def test_ctrl_c_ends_it(work: Path) -> None:
    code, _ = typed_on_terminal(
        *ISOLATED, "--", "sh", "-c", "trap '' INT; echo ready; sleep 1000",
        env=clean_environment(OTEL_PYTHON_CODOMON_JOURNAL=str(work.parent / "journal")),
        ctrl_c_after=b"ready",
    )  # fmt: skip

    assert code == 130
    assert outcome(work) is Outcome.KILLED


def test_the_terminal_has_its_settings_and_size_whatever_happens_inside(work: Path) -> None:
    del work
    program = (
        "stty raw -echo cols 10; echo ready;"
        'until [ "$(stty size)" = "31 57" ]; do sleep 0.01; done; echo resized; sleep 1000'
    )
    with Terminal([*COMMAND, "--", "sh", "-c", program], env=clean_environment()) as terminal:
        before = termios.tcgetattr(terminal.fd)
        terminal.wait_for(b"ready")
        fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 57, 0, 0))
        terminal.wait_for(b"resized")
        during = termios.tcgetattr(terminal.fd)
        terminal.type(b"\x03")  # a character like others, as it is raw inside
        os.kill(_child_of(terminal._pid), signal.SIGTERM)
        said = terminal.shell_says()
        after = termios.tcgetattr(terminal.fd)

    assert said == f"ended {128 + signal.SIGTERM}"
    assert (after, during == before) == (before, False)


def _child_of(pid: int) -> int:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[0])


def test_ctrl_z_stops_the_whole_sandbox_where_its_input_is_no_terminal(work: Path) -> None:
    del work
    command = ["sh", "-c", 'exec "$@" </dev/null', "sh", *sh("echo ready >&2; sleep 1000")]
    with Terminal(command, env=clean_environment()) as terminal:
        terminal.wait_for(b"ready")
        terminal.type(b"\x1a")
        stopped = terminal.shell_says()
        below = _child_of(terminal._pid)
        # The signal has been sent to each; one that was running stops in its next turn.
        wait_for(lambda: _states_below(below) == {"T"}, what="all of it to stop")
        terminal.continue_job()
        continued = terminal.shell_says()
        terminal.type(b"\x03")
        ended = terminal.shell_says()

    assert (stopped, continued) == (f"stopped {signal.SIGTSTP:d}", "continued")
    assert ended == f"ended {128 + signal.SIGINT}"


def _states_below(pid: int) -> set[str]:
    found = psutil.Process(pid).children(recursive=True)
    assert len(found) >= 3  # bubblewrap, its process 1, the command
    stats = [Path(f"/proc/{each.pid}/stat").read_text() for each in found]
    return {stat.rpartition(")")[2].split()[0] for stat in stats}
