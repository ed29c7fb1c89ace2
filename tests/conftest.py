from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import HealthCheck, settings
from support.cgroup_folders import own_cgroups
from support.collector import Collector
from support.settings import SETTINGS, RunSetting, run_setting

from otel_codomon._platform import cgroup_names, cgroups
from otel_codomon._platform.cgroup_folders import pids_in
from otel_codomon.caches import registry as cache_registry
from otel_codomon.executions.running import registry
from otel_codomon.testing import Recorder

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# The same examples in every run, however slow the machine: a run fails because of
# what was changed. `make soak` searches further, with examples of its own.
_SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", _SLOW, derandomize=True)
settings.register_profile("search", _SLOW, max_examples=1000, print_blob=True)
settings.load_profile("same")

# Only a thread that hangs takes so long to end.
_PATIENCE_SECONDS = 60.0

# A Tempo cannot be installed from a registry: its tests alone may be left out.
_MAY_BE_LEFT_OUT = ("tempo",)


def pytest_configure() -> None:
    """Take the signals that end a process, also as a script's job in the background.

    Such a job may ignore them, and whatever it starts ignores them too.
    """
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--leave-none-out",
        action="store_true",
        help="a test that is left out because something is not installed has failed",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if (
        report.skipped
        and item.config.getoption("--leave-none-out")
        and not hasattr(report, "wasxfail")
    ):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if not any(word in reason.lower() for word in _MAY_BE_LEFT_OUT):
            report.outcome = "failed"
            report.longrepr = f"left out where none may be: {reason}"
    # A worker of pytest-xdist ends when it is to send what has no UTF-8.
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report


@pytest.fixture(autouse=True)
def _beside_others(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """In a run of several workers, wait until a test marked ``alone`` is the only one."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    alone = request.node.get_closest_marker("alone") is not None
    # The workers' directories are beside each other.
    with (tmp_path_factory.getbasetemp().parent / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@pytest.fixture(scope="module")
def running_collector() -> Iterator[Collector]:
    """A real receiver of OTLP, for all tests of a file."""
    with Collector() as running:
        yield running


@pytest.fixture
def collector(running_collector: Collector) -> Collector:
    """The same, as if nothing had arrived yet."""
    running_collector.reset()
    return running_collector


@pytest.fixture(params=SETTINGS, ids=str)
def setting(request: pytest.FixtureRequest) -> Iterator[RunSetting]:
    """Runs a behaviour program in each setting that users have; one test for each."""
    with run_setting(request.param) as run:
        yield run


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A recorder that takes every execution of the test."""
    with Recorder() as recorder:
        yield recorder


@pytest.fixture(scope="session", autouse=True)
def leaves_no_cgroup_behind() -> Iterator[None]:
    """No cgroup of ours is left when all tests are over that was not there before.

    Those that a killed process has left empty are removed first, as the next
    start of any of ours would. One whose maker lives, and is neither this
    process nor below it, belongs to another user of this machine.
    """
    before = own_cgroups()
    yield

    def left() -> set[str]:
        cgroups.clean_up()
        return {folder for folder in own_cgroups() - before if not _is_of_others(folder)}

    until = time.monotonic() + _PATIENCE_SECONDS
    while left() and time.monotonic() < until:
        time.sleep(0.1)  # what was killed last is on its way out
    assert {folder: pids_in(folder) for folder in left()} == {}, "left behind: cgroups"


def _is_of_others(folder: str) -> bool:
    name = Path(folder).name
    me = psutil.Process()
    ours = [f"{cgroup_names.own_prefix()}{one.pid}-" for one in (me, *me.children(recursive=True))]
    return cgroup_names.is_owner_alive(name) and not name.startswith(tuple(ours))


@pytest.fixture(autouse=True)
def patience_with_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at a cache is given all the time that a slow machine takes."""
    monkeypatch.setattr(cache_registry, "LOOK_SECONDS", 60.0)
    monkeypatch.setattr(cache_registry, "COLLECTION_SECONDS", 60.0)


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """No execution runs, no child lives and no thread works after a test that did not before.

    The real programs of the ``backends`` tests may be restarted by a test and
    outlive it: the fixture that started them ends them.

    Threads whose names are ours may rest for a while: the sampler does after
    the last execution.
    """
    me = psutil.Process(os.getpid())
    threads = set(threading.enumerate())
    children = set(me.children(recursive=True))
    yield
    running = [execution.labels.name for execution in registry.running()]
    outlives = request.node.get_closest_marker("backends") is not None
    born = [
        child for child in me.children(recursive=True) if child not in children and not outlives
    ]
    started = [
        thread.name
        for thread in threading.enumerate()
        if thread not in threads and not thread.daemon and not _ends(thread)
    ]
    assert (running, born, started) == ([], [], []), "left behind: executions, children, threads"


def _ends(thread: threading.Thread) -> bool:
    """Whether *thread* ends; one that was told to may need a moment to hear of it."""
    thread.join(_PATIENCE_SECONDS)
    return not thread.is_alive()


@pytest.fixture
def no_finished_executions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No finished executions, before and after the test, and a journal of its own."""
    monkeypatch.setenv("OTEL_PYTHON_CODOMON_JOURNAL", str(tmp_path / "journal"))
    registry._finished.clear()
    yield
    registry._keeps = False
    registry._finished.clear()
