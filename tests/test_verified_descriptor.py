"""What we keep open is used only while it is ours: other code may close any descriptor."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import pytest
from support.collector import PATIENT, Collector
from support.user_program import Program

from otel_codomon._platform.procfs import OpenFiles
from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.journal import leader, segments
from otel_codomon.journal.index import is_locked
from otel_codomon.journal.writer import Writer
from otel_codomon.sandbox.cancellation import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = b"execution"[:8]


def opened(path: Path, content: bytes = b"MINE\n") -> int:
    """A file of the program's, at its end."""
    number = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(number, content)
    return number


def replace(kept: VerifiedDescriptor | None, path: Path) -> int:
    """Put a file of the program's in the place of *kept*; its number."""
    assert kept is not None
    own = opened(path)
    os.dup2(own, kept.number)
    os.close(own)
    return kept.number


# --- the class ------------------------------------------------------------------


def test_what_is_ours_is_used_and_closed(tmp_path: Path) -> None:
    kept = VerifiedDescriptor(opened(tmp_path / "ours"))
    number = kept.checked()

    kept.close()
    kept.close()

    assert not kept.is_ours
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_number_that_went_to_another_file_is_left_alone(tmp_path: Path) -> None:
    kept = VerifiedDescriptor(opened(tmp_path / "ours"))
    number = replace(kept, tmp_path / "own")

    with pytest.raises(OSError, match="Bad file descriptor"):
        kept.checked()
    kept.close()

    assert os.fstat(number).st_size == len(b"MINE\n")
    os.close(number)


def two_sockets() -> tuple[int, int]:
    one, other = socket.socketpair()
    return one.detach(), other.detach()


def two_memfds() -> tuple[int, int]:
    return os.memfd_create("a"), os.memfd_create("b")


@pytest.mark.parametrize("make", [os.pipe, two_sockets, two_memfds])
def test_two_of_a_kind_without_a_name_are_told_apart(make: Callable[[], tuple[int, int]]) -> None:
    ours, others = make(), make()
    kept = VerifiedDescriptor(ours[0])

    os.dup2(others[0], ours[0])

    assert not kept.is_ours
    for number in (*ours, *others):
        os.close(number)


# --- each place that keeps one --------------------------------------------------


def test_a_writer_goes_on_in_a_new_segment(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path / "journal"))
    writer.append(segments.STARTED, b"{}", key=KEY)
    number = replace(writer._kept, tmp_path / "own")

    writer.append(segments.TRACES, b"one")
    writer.forget()

    assert (tmp_path / "own").read_bytes() == b"MINE\n"
    assert os.fstat(number)
    os.close(number)
    assert len(list((tmp_path / "journal").iterdir())) == 2


def test_a_writer_whose_segment_was_closed_shows_at_once_that_it_lives(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path / "journal"))
    writer.append(segments.STARTED, b"{}", key=KEY)
    assert writer._kept is not None
    os.close(writer._kept.number)

    writer.sign_of_life()

    folder_fd = os.open(tmp_path / "journal", os.O_RDONLY)
    paths = tuple((tmp_path / "journal").iterdir())
    (own,) = [path for path in paths if is_locked(folder_fd, path.name)]
    os.close(folder_fd)
    kinds = [r.signal for r in segments.decode(own.read_bytes()) if isinstance(r, segments.Record)]
    assert kinds == [segments.SESSION, segments.STARTED]
    writer.forget()


def test_a_lock_is_neither_held_nor_given_up_on_a_file_of_the_program(tmp_path: Path) -> None:
    folder = str(tmp_path / "journal")
    assert leader.try_acquire(folder)
    number = replace(leader._sender._held[folder], tmp_path / "own")

    assert not leader.is_ours(folder)
    assert leader.try_acquire(folder)
    leader.release(folder)

    assert os.fstat(number).st_size == len(b"MINE\n")
    os.close(number)


def test_a_lock_that_was_lost_with_its_descriptor_goes_to_another_process(tmp_path: Path) -> None:
    folder = str(tmp_path / "journal")
    assert leader.try_acquire(folder)
    os.close(leader._sender._held[folder].number)
    read_end, write_end = os.pipe()
    release, released = os.pipe()

    child = os.fork()
    if child == 0:
        os.write(write_end, b"1" if leader.try_acquire(folder) else b"0")
        os.read(release, 1)
        os._exit(0)
    assert os.read(read_end, 1) == b"1"

    assert not leader.try_acquire(folder)
    assert leader.holder_pid(folder) == child
    os.write(released, b"x")
    os.waitpid(child, 0)
    assert leader.try_acquire(folder)
    leader.release(folder)
    for number in (read_end, write_end, release, released):
        os.close(number)


def test_a_file_of_a_process_is_opened_again_and_counted_once(tmp_path: Path) -> None:
    files = OpenFiles()
    file = files.file(f"/proc/{os.getpid()}/stat")
    assert file.read()
    number = replace(file._kept, tmp_path / "own")

    text = file.read()
    file.close()

    assert text is not None
    assert text.startswith(b"%d " % os.getpid())
    assert not files._kept
    assert os.fstat(number).st_size == len(b"MINE\n")
    os.close(number)


def test_a_cancellation_writes_to_its_own_pipe_or_to_none(tmp_path: Path) -> None:
    cancellation = Cancellation()
    number = replace(cancellation._written, tmp_path / "own")

    cancellation.cancel()
    cancellation.close()

    assert cancellation.is_cancelled
    assert os.fstat(number).st_size == len(b"MINE\n")
    os.close(number)


# --- whole programs -------------------------------------------------------------

DAEMON = """
import json, os, sys
from otel_codomon import configure, execution
made = configure()
with execution("before"):
    pass
with execution("during"):
    os.closerange(3, 256)
    folder = os.path.dirname(sys.argv[0])
    files = [open(os.path.join(folder, f"own{i}"), "w+b", buffering=0) for i in range(40)]
    for file in files:
        file.write(b"MINE\\n")
with execution("after"):
    pass
made.force_flush(100_000)
with execution("last"):
    pass
made.shutdown()
print(json.dumps([os.fstat(file.fileno()).st_size for file in files]))
"""


@pytest.mark.parametrize("endpoint", ["none", "http/protobuf"])
def test_a_daemon_that_closes_everything_keeps_its_files_and_loses_no_execution(
    tmp_path: Path, collector: Collector, endpoint: str
) -> None:
    environ = {} if endpoint == "none" else {**collector.environment(endpoint), **PATIENT}
    program = Program(tmp_path, environ)

    done = program.run(DAEMON)

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [5] * 40
    assert {path.read_bytes() for path in tmp_path.glob("own*")} == {b"MINE\n"}
    names = ["after", "before", "during", "last"]
    assert sorted(one.labels.name for one in program.executions()) == names
    if endpoint != "none":
        assert {span.name for span in collector.wait_for_spans(4)} == set(names)


WATCHER = """
import json, os, subprocess, tempfile, threading
from otel_codomon import configure, execution
from otel_codomon.resources.sampler import sampler
configure()
looks = threading.Semaphore(0)
sample = sampler.sample
sampler.sample = lambda **arguments: (sample(**arguments), looks.release())
def wait_for_looks():
    while looks.acquire(blocking=False):
        pass
    for _ in range(3):
        looks.acquire()
with execution("watched", kind="command") as current:
    children = [subprocess.Popen(["sleep", "1000"]) for _ in range(3)]
    for child in children:
        current.attach(child)
    wait_for_looks()
    os.closerange(3, 256)
    files = [tempfile.TemporaryFile() for _ in range(30)]
    wait_for_looks()
    for child in children:
        child.kill()
        child.wait()
def is_open(file):
    try:
        return os.fstat(file.fileno()).st_size == 0
    except OSError:
        return False
print(json.dumps(all(map(is_open, files))), flush=True)
os._exit(0)
"""


def test_a_sampler_closes_no_file_of_the_program(tmp_path: Path) -> None:
    program = Program(tmp_path)

    done = program.run(WATCHER)

    assert (done.returncode, done.stderr, done.stdout) == (0, "", "true\n")
    (found,) = program.executions()
    assert found.usage.processes is not None
