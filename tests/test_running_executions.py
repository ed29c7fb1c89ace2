from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from support.history import Past, write_history
from support.typed import clean_environment

from otel_codomon.journal.running_executions import RunningExecutions
from otel_codomon.journal.segments import MAGIC

if TYPE_CHECKING:
    from pathlib import Path

# Starts executions when told how many, ends all of them when told 0.
WRITER = """
import sys
from support.history import Past, add, write_history
from otel_codomon.journal import segments
writer = write_history(sys.argv[1], [])
for line in sys.stdin:
    before = set(writer._open)
    if line.strip() == "0":
        for key in before:
            writer.append(segments.TRACES, b"", key=key)
    else:
        for _ in range(int(line)):
            add(writer, Past(name=sys.argv[2], seconds=None))
    print("done", flush=True)
"""


class Process:
    """A process that runs executions when told."""

    def __init__(self, folder: Path, name: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(PYTHONPATH="tests:."),
        )

    def tell(self, number: int) -> None:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(f"{number}\n")
        self.child.stdin.flush()
        assert self.child.stdout.readline() == "done\n"

    def end(self) -> None:
        self.child.kill()
        self.child.communicate()


def names(living: RunningExecutions) -> list[str]:
    return sorted(record.labels.name for record in living.read())


def test_a_journal_that_is_not_there_has_nothing_that_runs(tmp_path: Path) -> None:
    assert RunningExecutions(str(tmp_path / "none")).read() == ()


def test_what_eight_processes_run_is_seen_from_another_look_after_look(tmp_path: Path) -> None:
    living = RunningExecutions(str(tmp_path))
    processes = [Process(tmp_path, f"p{number}") for number in range(8)]
    try:
        for process in processes:
            process.tell(2)
        assert names(living) == sorted(f"p{number}" for number in range(8) for _ in range(2))
        assert {record.host_pid for record in living.read()} == {p.child.pid for p in processes}

        processes[0].tell(0)
        processes[1].tell(1)
        assert names(living).count("p0") == 0
        assert names(living).count("p1") == 3

        for process in processes[1:]:
            process.end()
        assert names(living) == []
    finally:
        for process in processes:
            process.end()


def test_who_takes_over_the_segment_of_the_dead_does_not_take_over_what_they_ran(
    tmp_path: Path,
) -> None:
    dead = Process(tmp_path, "dead")
    dead.tell(3)
    dead.end()

    writer = write_history(tmp_path, [Past(name="alive", seconds=None)])

    assert len(list(tmp_path.glob("*.seg"))) == 1
    assert names(RunningExecutions(str(tmp_path))) == ["alive"]
    writer.forget()


def test_a_record_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    writer = write_history(tmp_path / "here", [Past(name="first", seconds=None)])
    write_history(tmp_path / "there", [Past(name="second", seconds=None)]).forget()
    (segment,) = (tmp_path / "here").glob("*.seg")
    (other,) = (tmp_path / "there").glob("*.seg")
    record = other.read_bytes()
    record = record[record.rindex(MAGIC) :]
    living = RunningExecutions(str(tmp_path / "here"))
    assert names(living) == ["first"]

    with segment.open("ab") as file:
        file.write(record[:50])
        file.flush()
        assert names(living) == ["first"]
        file.write(record[50:])

    assert names(living) == ["first", "second"]
    writer.forget()
