"""A journal that this process cannot use: reported once, and executions are exported without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from support.collector import PATIENT, Collector
from support.other_user import open_to_everybody
from support.unmeasured import UNMEASURED
from support.user_program import Program

from otel_codomon.journal.direct_export import PlainExport, WaitBudget
from otel_codomon.journal.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user: run as root")
RUN = (sys.executable, "-m", "otel_codomon")


@pytest.fixture(params=["no endpoint", "an endpoint"])
def endpoint(request: pytest.FixtureRequest, collector: Collector) -> dict[str, str]:
    """Where to export to, if anywhere."""
    return {} if request.param == "no endpoint" else {**collector.environment(), **PATIENT}


# --- direct export ----------------------------------------------------------------


def test_callers_wait_an_allowance_and_then_a_twentieth_of_the_time() -> None:
    now = [0.0]
    budget = WaitBudget(2.0, clock=lambda: now[0])

    assert budget.left_seconds() == 2.0
    budget.spend(5.0)
    assert budget.left_seconds() == 0.0
    now[0] = 10.0
    assert budget.left_seconds() == pytest.approx(0.5)
    now[0] = 1000.0
    assert budget.left_seconds() == 2.0


def test_a_caller_returns_when_its_item_was_exported() -> None:
    taken: list[str] = []

    def take(_exporter: object, batch: list[str]) -> bool:
        taken.extend(batch)
        return True

    plain = PlainExport(object, take, wait_seconds=100.0)

    for item in ("a", "b"):
        plain.add(item)
        assert taken[-1] == item

    assert plain.flush(0.0)
    assert plain.lost == 0


def test_a_receiver_that_takes_nothing_is_not_waited_for() -> None:
    may_go_on = threading.Event()
    began = threading.Semaphore(0)

    def refuse(_exporter: object, batch: list[str]) -> bool:
        began.release()
        return batch != ["refused"] and may_go_on.wait(100)

    plain = PlainExport(object, refuse, wait_seconds=100.0)
    plain.add("refused")
    plain.add("not waited for")
    began.acquire()
    assert not plain.flush(0.0)
    may_go_on.set()

    assert not plain.flush(100.0)
    assert plain.lost == 1


def test_what_raises_is_lost_and_the_next_is_exported(caplog: pytest.LogCaptureFixture) -> None:
    def export(_exporter: object, batch: list[str]) -> bool:
        if batch == ["bad"]:
            raise ValueError(batch)
        return True

    plain = PlainExport(object, export, wait_seconds=100.0)
    plain.add("bad")
    plain.add("good")
    plain.flush(100.0)

    assert plain.lost == 1
    assert len(caplog.records) <= 1


# --- a process that becomes another user --------------------------------------------

CHANGES_USER = """
import os, sys
from otel_codomon import configure, execution
configure()
with execution("as root"):
    pass
pid = os.fork() if sys.argv[1] == "fork" else 0
if pid == 0:
    os.setgid(65534)
    os.setuid(65534)
    for _ in range(3):
        with execution("as nobody"):
            pass
    if sys.argv[2] == "at once":
        os._exit(0)
else:
    os.waitpid(pid, 0)
"""


@AS_ROOT
@pytest.mark.parametrize("mode", [0o700, 0o755])
@pytest.mark.parametrize("arguments", [("fork", "at once"), ("fork", "in order"), ("itself", "")])
def test_the_executions_of_a_process_that_changed_its_user_are_exported(
    tmp_path: Path,
    collector: Collector,
    endpoint: dict[str, str],
    mode: int,
    arguments: tuple[str, str],
) -> None:
    open_to_everybody(tmp_path)
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal").chmod(mode)
    program = Program(tmp_path, {**endpoint, **UNMEASURED})

    done = program.run(CHANGES_USER, *arguments)

    assert done.returncode == 0
    assert [one.labels.name for one in program.executions()] == ["as root"]
    (reported,) = done.stderr.splitlines()
    assert f"cannot use the journal in {program.journal}: " in reported
    assert "permission denied" in reported or "belongs to user 0" in reported
    if endpoint:
        spans = collector.wait_for_spans(3 if "itself" in arguments else 4)
        assert sorted(span.name for span in spans)[:3] == ["as nobody"] * 3


# --- a folder that is not ours --------------------------------------------------------


@AS_ROOT
def test_a_journal_of_another_user_is_reported_by_all_who_would_use_it(
    tmp_path: Path, collector: Collector, endpoint: dict[str, str]
) -> None:
    journal = tmp_path / "journal"
    Writer(str(journal)).forget()
    os.chown(journal, 65534, 65534)
    environ = Program(tmp_path, endpoint).environment()
    expected = f"cannot keep a journal in {journal}: it belongs to user 65534"

    def said(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [*RUN, *words], env=environ, capture_output=True, text=True, check=False, timeout=300
        )
        return done.returncode, done.stderr

    for words in (["list"], ["report"], ["show", "a"], ["journal", "status"]):
        code, stderr = said(*words)
        assert (code, stderr.count(expected)) == (1, 1), words
    code, stderr = said("run", "--", "sh", "-c", "exit 7")
    assert (code, stderr.count(expected)) == (7, 1)
    assert said("run", "--quiet", "--", "sh", "-c", "exit 7") == (7, "")
    assert said("run", "--", "/nonexistent")[1].count(expected) == 1
    assert list(journal.iterdir()) == []
    if endpoint:
        assert {span.name for span in collector.wait_for_spans(3)} == {"sh", "nonexistent"}


AWAY = """
import os, sys, logging, json
from otel_codomon import configure, execution
records = []
logging.getLogger().addHandler(type("Keep", (logging.Handler,), {
    "emit": lambda self, record: records.append(record.getMessage())})())
made = configure()
journal = os.environ["OTEL_PYTHON_CODOMON_JOURNAL"]
def run(name):
    with execution(name):
        pass
def run_until(name, happened):
    has_happened = False
    while not has_happened:
        has_happened = happened()
        run(name)
run("before")
made.force_flush(100)
os.rename(journal, journal + ".away")
if sys.argv[1] == "unusable":
    open(journal, "w").close()
    run_until("during", lambda: records)
    made.force_flush(100)
    os.unlink(journal)
    os.rename(journal + ".away", journal)
    run_until("after", lambda: len(records) > 1)
else:
    run_until("during", lambda: records)
    made.force_flush(100)
    os.rename(journal, journal + ".second")
    os.rename(journal + ".away", journal)
    segments = lambda: {name for name in os.listdir(journal) if name.startswith("t-")}
    before = segments()
    run_until("after", lambda: segments() > before)
run("last")
made.force_flush(100)
print(json.dumps(records))
"""


@pytest.mark.parametrize("state", ["unusable", "empty"])
def test_a_folder_that_goes_away_and_comes_back_is_left_and_used_again(
    tmp_path: Path, collector: Collector, state: str
) -> None:
    program = Program(tmp_path, {**collector.environment(), **PATIENT})

    done = program.run(AWAY, state)

    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    if state == "unusable":
        assert len(said) == 2
        assert "not a directory" in said[0] or "file exists" in said[0]
        assert "can be used again" in said[1]
    else:
        assert len(said) == 1
        assert "was removed, renamed or unmounted" in said[0]
    listed = {one.labels.name for one in program.executions()}
    assert {"before", "last"} <= listed
    assert {span.name for span in collector.spans()} == {"before", "during", "after", "last"}


UNMOUNTED = """
import os, subprocess
from otel_codomon import configure, execution
journal = os.environ["OTEL_PYTHON_CODOMON_JOURNAL"]
os.mkdir(journal)
mount = ["mount", "-t", "tmpfs", "-o", "mode=700", "none", journal]
def run_until_there(name):
    is_there = False
    while not is_there:
        is_there = any(file.startswith("t-") for file in os.listdir(journal))
        with execution(name):
            pass
subprocess.run(mount, check=True)
made = configure()
with execution("running all the time"):
    run_until_there("mounted")
    made.force_flush(100)
    subprocess.run(["umount", "-l", journal], check=True)
    run_until_there("unmounted")
    made.force_flush(100)
    subprocess.run(mount, check=True)
    run_until_there("mounted again")
    made.force_flush(100)
made.force_flush(100)
"""


@AS_ROOT
def test_a_journal_on_a_mount_point_that_goes_away_stops_nothing(
    tmp_path: Path, collector: Collector
) -> None:
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespaces: run with CAP_SYS_ADMIN")
    program = Program(
        tmp_path,
        {**collector.environment(), **PATIENT},
        ("unshare", "-m", sys.executable),
    )

    done = program.run(UNMOUNTED)

    assert done.returncode == 0
    (reported,) = done.stderr.splitlines()
    assert "was removed, renamed or unmounted" in reported
    names = {"mounted", "unmounted", "mounted again", "running all the time"}
    assert {span.name for span in collector.spans()} == names
