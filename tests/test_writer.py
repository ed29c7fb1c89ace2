from __future__ import annotations

import errno
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_codomon._platform.private_folder import state_folder
from otel_codomon.errors import JournalUnavailableError
from otel_codomon.journal import folder as folders, segments
from otel_codomon.journal.segments import Record, decode
from otel_codomon.journal.writer import MAX_SEGMENT_AGE_NS, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.words import Durability

KEY = b"12345678"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def writer(folder: Path) -> Iterator[Writer]:
    made = Writer(str(folder))
    yield made
    made.forget()


def segment_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("t-*.seg"))


def records(folder: Path) -> list[Record]:
    return [
        item
        for path in segment_files(folder)
        for item in decode(path.read_bytes())
        if isinstance(item, Record)
    ]


def payloads(folder: Path, kind: int = segments.TRACES) -> list[bytes]:
    return [record.payload for record in records(folder) if record.signal == kind]


def test_what_is_appended_is_on_disk(writer: Writer, folder: Path) -> None:
    assert writer.append(segments.TRACES, b"one", key=KEY, time_unix_ns=5)

    session, one = records(folder)
    assert (session.signal, session.key) == (segments.SESSION, writer.session)
    assert (one.payload, one.key, one.time_unix_ns) == (b"one", KEY, 5)
    assert (writer.written, writer.unwritten) == (1, 0)


@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_a_directory_that_exists_keeps_its_mode_and_the_files_in_it_are_private(
    folder: Path, mode: int
) -> None:
    folder.mkdir()
    folder.chmod(mode)

    writer = Writer(str(folder))
    writer.append(segments.TRACES, b"one")
    writer.forget()

    assert folder.stat().st_mode & 0o777 == mode
    assert [path.stat().st_mode & 0o777 for path in segment_files(folder)] == [0o600]


def test_a_directory_that_is_made_is_private(folder: Path, writer: Writer) -> None:
    writer.append(segments.TRACES, b"one")

    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_behind_a_link_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    link = tmp_path / "link"
    link.symlink_to(target)
    expected = re.escape(
        f"cannot keep a journal in {link}: it is a symbolic link; set OTEL_PYTHON_CODOMON_JOURNAL "
        "to a directory of your own, or to off"
    )

    with pytest.raises(JournalUnavailableError, match=f"^{expected}$") as caught:
        Writer(str(link))

    assert (caught.value.folder, caught.value.found) == (str(link), "it is a symbolic link")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(JournalUnavailableError, match="file exists"):
        Writer(str(tmp_path / "file"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away: run as root")
def test_a_folder_of_somebody_else_is_refused(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 12345, 12345)

    with pytest.raises(JournalUnavailableError, match="it belongs to user 12345"):
        Writer(str(folder))


def test_a_segment_in_place_of_which_is_a_link_is_not_followed(
    writer: Writer, folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    name = folders.new_segment_name(folders.TRACES, time_unix_ns=10**18)
    (folder / name).symlink_to(target)

    writer.append(segments.TRACES, b"one", time_unix_ns=10**18)

    assert target.read_text() == "mine"


def test_no_home_means_no_journal_rather_than_a_folder_called_tilde(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", "nowhere")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(JournalUnavailableError, match="this user has no home directory"):
        folders.journal_folder({})
    with pytest.raises(JournalUnavailableError, match="this user has no home directory"):
        folders.open_folder(state_folder({}))

    assert list(tmp_path.iterdir()) == []


def test_the_environment_says_where_it_is() -> None:
    assert folders.journal_folder({"OTEL_PYTHON_CODOMON_JOURNAL": "OFF"}) is None
    assert folders.journal_folder({"OTEL_PYTHON_CODOMON_JOURNAL": "/x/y"}) == "/x/y"
    assert folders.journal_folder({"XDG_STATE_HOME": "/s"}) == "/s/otel-codomon"
    home = Path.home()
    assert folders.journal_folder({"XDG_STATE_HOME": "not/absolute"}) == (
        f"{home}/.local/state/otel-codomon"
    )


def test_a_full_segment_is_followed_by_another(folder: Path) -> None:
    writer = Writer(str(folder), max_segment_bytes=500)

    for index in range(20):
        assert writer.append(segments.TRACES, b"%03d" % index * 30)
    writer.forget()

    assert len(segment_files(folder)) > 2
    assert payloads(folder) == [b"%03d" % index * 30 for index in range(20)]


def test_an_old_segment_is_followed_by_another(writer: Writer, folder: Path) -> None:
    writer.append(segments.TRACES, b"one", time_unix_ns=10**18)
    writer.append(segments.TRACES, b"two", time_unix_ns=10**18 + MAX_SEGMENT_AGE_NS)

    assert len(segment_files(folder)) == 2


def test_the_oldest_make_room_also_where_nobody_ships_the_journal(folder: Path) -> None:
    writer = Writer(str(folder), max_segment_bytes=500, max_journal_bytes=3000)

    for index in range(100):
        assert writer.append(segments.TRACES, b"%03d" % index * 30)
    writer.forget()

    kept = payloads(folder)
    assert sum(path.stat().st_size for path in segment_files(folder)) <= 3000 + 500
    assert kept == [b"%03d" % index * 30 for index in range(100 - len(kept), 100)]
    assert writer.evicted == 100 - len(kept)


def test_the_next_segment_repeats_what_still_runs(folder: Path) -> None:
    writer = Writer(str(folder), max_segment_bytes=300)
    writer.declare(b"resource", b"{}")
    writer.append(segments.STARTED, b"long", key=b"longlong")
    writer.append(segments.STARTED, b"short", key=b"shortsho")
    writer.append(segments.TRACES, b"end", key=b"shortsho")
    before = len(segment_files(folder))

    writer.append(segments.TRACES, bytes(300))
    writer.forget()

    last = decode(segment_files(folder)[-1].read_bytes())
    kinds = [(r.signal, r.key) for r in last if isinstance(r, Record)]
    assert len(segment_files(folder)) == before + 1
    assert kinds == [
        (segments.SESSION, writer.session),
        (segments.STARTED, b"longlong"),
        (segments.RESOURCE, b"resource"),
        (segments.TRACES, segments.NO_KEY),
    ]


def test_the_segment_of_a_dead_process_is_taken_over(folder: Path) -> None:
    for index in range(50):
        short_lived = Writer(str(folder))
        short_lived.append(segments.TRACES, b"%d" % index)
        short_lived.forget()

    assert len(segment_files(folder)) == 1
    assert payloads(folder) == [b"%d" % index for index in range(50)]


def test_the_segment_of_a_living_process_is_left_alone(writer: Writer, folder: Path) -> None:
    writer.append(segments.TRACES, b"one")

    other = Writer(str(folder))
    other.append(segments.TRACES, b"two")
    other.forget()

    assert len(segment_files(folder)) == 2


def test_a_torn_tail_does_not_harm_who_takes_over(folder: Path) -> None:
    first = Writer(str(folder))
    first.append(segments.TRACES, b"whole")
    first.forget()
    (path,) = segment_files(folder)
    torn = segments.encode(segments.TRACES, b"x" * 99, time_unix_ns=1)[:-50]
    path.write_bytes(path.read_bytes() + torn)

    second = Writer(str(folder))
    second.append(segments.TRACES, b"after")
    second.forget()

    assert payloads(folder) == [b"whole", b"after"]


def test_a_folder_that_goes_away_is_made_again(writer: Writer, folder: Path) -> None:
    writer.append(segments.TRACES, b"one")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()

    assert writer.append(segments.TRACES, b"two")

    assert payloads(folder) == [b"two"]


def test_sixty_four_threads_append_without_tearing(writer: Writer, folder: Path) -> None:
    def append(number: int) -> None:
        for index in range(50):
            writer.append(segments.TRACES, b"%d-%d" % (number, index))

    threads = [threading.Thread(target=append, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    expected = {b"%d-%d" % (number, index) for number in range(64) for index in range(50)}
    assert len(payloads(folder)) == 64 * 50
    assert set(payloads(folder)) == expected


def test_a_forked_child_writes_a_segment_of_its_own(writer: Writer, folder: Path) -> None:
    writer.append(segments.STARTED, b"parent", key=KEY)

    child = os.fork()
    if child == 0:
        writer.append(segments.TRACES, b"child")
        os._exit(0)
    os.waitpid(child, 0)
    writer.append(segments.TRACES, b"parent")

    assert len(segment_files(folder)) == 2
    by_file = [
        [r.payload for r in decode(p.read_bytes()) if isinstance(r, Record) and r.signal != 1]
        for p in segment_files(folder)
    ]
    assert sorted(by_file) == [[b"child"], [b"parent", b"parent"]]


def test_an_end_in_a_signal_handler_does_not_block(writer: Writer, folder: Path) -> None:
    def handler(_number: int, _frame: object) -> None:
        writer.append(segments.TRACES, b"in the handler")

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with writer._lock:  # as if the signal came in the middle of an append
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert payloads(folder) == [b"in the handler"]


def test_what_does_not_fit_is_undone_and_counted(folder: Path, writer: Writer) -> None:
    writer.append(segments.TRACES, b"fits")
    (path,) = segment_files(folder)
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        refused = writer.append(segments.TRACES, b"does not fit")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert not refused
    assert path.stat().st_size == size
    assert (writer.written, writer.unwritten) == (1, 1)
    assert writer.append(segments.TRACES, b"room again")
    assert payloads(folder) == [b"fits", b"room again"]


def test_a_disk_that_is_full_at_any_byte_costs_that_record_only(folder: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in range(300):
        writer = Writer(str(folder))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            took = [writer.append(segments.TRACES, b"%d" % index * 20) for index in range(3)]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        writer.forget()

        assert payloads(folder) == [b"%d" % index * 20 for index in range(3) if took[index]]
        for path in segment_files(folder):
            path.unlink()


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE])
@pytest.mark.parametrize("call", ["write", "open", "fstat"])
def test_a_system_call_that_fails_costs_that_record_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    # The kernel cannot be made to fail such a call on demand: the one place for a patch.
    writer = Writer(str(folder))
    writer.append(segments.TRACES, b"before")

    def fail(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(f"otel_codomon.journal.writer.os.{call}", fail)
        writer.append(segments.TRACES, b"during")
    assert writer.append(segments.TRACES, b"after")
    writer.forget()

    found = payloads(folder)
    assert found[0] == b"before"
    assert found[-1] == b"after"
    assert writer.written == len(found)


@pytest.mark.parametrize("durability", ["power", "strict"])
def test_every_durability_writes_the_same(folder: Path, durability: Durability) -> None:
    writer = Writer(str(folder), durability=durability)

    writer.append(segments.TRACES, b"one")
    writer.sync()
    writer.forget()

    assert payloads(folder) == [b"one"]


def test_touching_leaves_a_sign_of_life(writer: Writer, folder: Path) -> None:
    writer.append(segments.TRACES, b"one")
    (path,) = segment_files(folder)
    os.utime(path, (0, 0))

    writer.sign_of_life()

    assert path.stat().st_mtime > 0


def test_the_path_of_a_short_command_imports_nothing_heavy() -> None:
    program = (
        "import sys; from otel_codomon.journal import records as light, writer;"
        "heavy = {'typing', 'dataclasses', 'logging', 'opentelemetry', 'subprocess', 'inspect'};"
        "print(sorted(heavy & set(sys.modules)))"
    )

    found = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(Path.cwd())!r});{program}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert found.stdout == "[]\n"
