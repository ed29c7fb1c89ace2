"""Processes that a program starts, observed with no change to it."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import logging
import os
import pickle
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_codomon import Outcome, environment_variables as env, execution, names, run, words
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.executions.running import registry
from otel_codomon.instrumentation import CodomonInstrumentor
from otel_codomon.instrumentation.targets import TARGETS
from otel_codomon.journal.reader import JournalReader
from otel_codomon.resources.labels import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.trace import Span

    from otel_codomon.journal.execution_record import ExecutionRecord
    from otel_codomon.testing import Recorder

PROCESS_TARGETS = tuple(name for name in words.INSTRUMENTS if name not in {"caches", "host"})
BUSY = "import time\nwhile time.process_time() < 0.05: pass\n"
PYTHON = (sys.executable, "-I", "-S", "-c")
PATIENCE_SECONDS = 60.0
HELD_BYTES = 64 * 2**20


@contextmanager
def instrumented(recorder: Recorder, **options: Any) -> Iterator[None]:
    """Everything that starts processes is observed, in a program that configures nothing else."""
    instrumentor = CodomonInstrumentor()
    options.setdefault("instrument", PROCESS_TARGETS)
    instrumentor.instrument(
        tracer_provider=recorder.tracer_provider,
        meter_provider=recorder.meter_provider,
        skip_dep_check=True,
        **options,
    )
    try:
        yield
    finally:
        instrumentor.uninstrument()


@pytest.fixture(autouse=True)
def _no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(env.OTEL_PYTHON_CODOMON_JOURNAL, "off")


@pytest.fixture
def observed(recorder: Recorder) -> Iterator[Recorder]:
    with instrumented(recorder):
        yield recorder


def the_end(recorder: Recorder) -> ExecutionRecord:
    """The one execution, once it has ended: a thread of ours may have to see that."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not recorder.executions() and time.monotonic() < until:
        time.sleep(0.01)
    [ended] = recorder.executions()
    return ended


def facts(ended: ExecutionRecord) -> tuple[str, Kind, str | None, object]:
    outcome = None if ended.outcome is None else ended.outcome.value
    return ended.labels.name, ended.labels.kind, outcome, ended.attributes.get("process.exit.code")


# --- every entry point ------------------------------------------------------------


async def asyncio_exec() -> int | None:
    return await (await asyncio.create_subprocess_exec("sh", "-c", "exit 3")).wait()


async def asyncio_shell() -> int | None:
    return await (await asyncio.create_subprocess_shell("exit 3")).wait()


def posix_spawn() -> int:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], os.environ)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def posix_spawnp() -> int:
    pid = os.posix_spawnp("sh", ["sh", "-c", "exit 3"], os.environ)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def checked(call: Callable[..., object]) -> int:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        call(["sh", "-c", "exit 3"])
    return caught.value.returncode


ENTRY_POINTS: dict[str, tuple[str, Callable[[], object]]] = {
    "Popen": ("subprocess", lambda: subprocess.Popen(["sh", "-c", "exit 3"]).wait()),
    "run": ("subprocess", lambda: subprocess.run(["sh", "-c", "exit 3"], check=False).returncode),
    "call": ("subprocess", lambda: subprocess.call(["sh", "-c", "exit 3"])),
    "check_call": ("subprocess", lambda: checked(subprocess.check_call)),
    "check_output": ("subprocess", lambda: checked(subprocess.check_output)),
    "getoutput": ("subprocess", lambda: 3 if subprocess.getoutput("exit 3") == "" else None),
    "Popen by posix_spawn": (
        "subprocess",
        lambda: subprocess.call(["/bin/sh", "-c", "exit 3"], close_fds=False),
    ),
    "os.system": ("os.system", lambda: os.waitstatus_to_exitcode(os.system("exit 3"))),
    "os.popen": ("os.popen", lambda: os.waitstatus_to_exitcode(os.popen("exit 3").close() or 0)),
    "os.posix_spawn": ("os.posix_spawn", posix_spawn),
    "os.posix_spawnp": ("os.posix_spawn", posix_spawnp),
    "create_subprocess_exec": ("asyncio.subprocess", lambda: asyncio.run(asyncio_exec())),
    "create_subprocess_shell": ("asyncio.subprocess", lambda: asyncio.run(asyncio_shell())),
}


@pytest.mark.parametrize(("target", "start"), ENTRY_POINTS.values(), ids=ENTRY_POINTS)
def test_each_way_to_start_a_process_is_one_execution(
    observed: Recorder, target: str, start: Callable[[], object]
) -> None:
    del target

    assert start() == 3

    assert facts(the_end(observed)) == ("sh", Kind.COMMAND, "error", 3)


@pytest.mark.parametrize(("target", "start"), ENTRY_POINTS.values(), ids=ENTRY_POINTS)
def test_each_is_switched_off_by_name(
    recorder: Recorder, target: str, start: Callable[[], object]
) -> None:
    with instrumented(recorder, instrument=[f"-{target}"]):
        assert start() == 3

    assert recorder.executions() == ()


@pytest.mark.parametrize("target", PROCESS_TARGETS)
def test_each_is_switched_on_alone(
    recorder: Recorder, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(env.OTEL_PYTHON_CODOMON_INSTRUMENT, target)

    with instrumented(recorder, instrument=None):
        for _, other in ENTRY_POINTS.values():
            assert other() == 3

    same = [one for one, _ in ENTRY_POINTS.values() if one == target]
    assert len(recorder.executions()) == len(same)


def test_the_settings_name_the_rows_of_the_table() -> None:
    assert tuple(target.name for target in TARGETS if target.is_chosen) == words.INSTRUMENTS


# --- outcomes ---------------------------------------------------------------------


def test_a_program_that_succeeds(observed: Recorder) -> None:
    subprocess.run(["true"], check=True)

    ended = the_end(observed)
    assert facts(ended) == ("true", Kind.COMMAND, "success", 0)


def test_its_executable_is_the_file_that_runs(observed: Recorder, tmp_path: Path) -> None:
    called = tmp_path / "called"
    called.symlink_to(shutil.which("cat") or "")
    subprocess.run([str(called)], input=b"it runs until this is read", check=True)

    ended = the_end(observed)
    assert ended.labels.name == "called"
    assert ended.attributes["process.executable.name"] == "cat"


def test_a_program_that_a_signal_ends(observed: Recorder) -> None:
    child = subprocess.Popen(["sleep", "600"])
    child.kill()

    assert child.wait() == -signal.SIGKILL

    ended = the_end(observed)
    assert facts(ended) == ("sleep", Kind.COMMAND, "killed", 128 + signal.SIGKILL)
    assert ended.attributes["process.pid"] == child.pid


def run_with_timeout() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["sleep", "600"], timeout=0.01, check=False)


def kill_after_timeout() -> None:
    child = subprocess.Popen(["sleep", "600"])
    try:
        child.wait(0.01)
    except subprocess.TimeoutExpired:
        child.terminate()
    assert child.wait() == -signal.SIGTERM


ENDS_IN_GOOD_ORDER = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print(flush=True)
signal.sigwait([signal.SIGTERM])
"""


def kill_group_after_timeout() -> None:
    program = [*PYTHON, ENDS_IN_GOOD_ORDER]
    with subprocess.Popen(program, start_new_session=True, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            child.wait(0.01)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGTERM)
    assert child.returncode == 0  # its time was up all the same


async def kill_after_asyncio_timeout() -> None:
    child = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        await asyncio.wait_for(child.wait(), 0.01)
    except asyncio.TimeoutError:
        child.kill()
    assert await child.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    "start",
    [
        run_with_timeout,
        kill_after_timeout,
        kill_group_after_timeout,
        lambda: asyncio.run(kill_after_asyncio_timeout()),
    ],
)
def test_a_program_that_is_killed_because_its_time_is_up(
    observed: Recorder, start: Callable[[], None]
) -> None:
    start()

    assert the_end(observed).outcome is Outcome.TIMEOUT


def test_one_that_ends_after_a_wait_has_expired_did_not_time_out(observed: Recorder) -> None:
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.01)
    child.communicate()

    assert the_end(observed).outcome is Outcome.SUCCESS


def missing_popen() -> None:
    subprocess.run(["/no/such/program"], check=False)


def missing_spawn() -> None:
    os.posix_spawn("/no/such/program", ["program"], os.environ)


def missing_asyncio() -> None:
    async def start() -> None:
        await asyncio.create_subprocess_exec("/no/such/program")

    asyncio.run(start())


@pytest.mark.parametrize("start", [missing_popen, missing_spawn, missing_asyncio])
def test_a_program_that_is_missing(observed: Recorder, start: Callable[[], None]) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        start()

    assert caught.value.filename == "/no/such/program"
    ended = the_end(observed)
    assert facts(ended) == ("program", Kind.COMMAND, "setup_error", None)
    assert ended.attributes["error.type"] == "FileNotFoundError"


# --- how its end is seen ------------------------------------------------------------


WAITS: dict[str, Callable[[int], object]] = {
    "waitpid": lambda pid: os.waitpid(pid, 0),
    "waitpid of any": lambda _: os.waitpid(-1, 0),
    "wait": lambda _: os.wait(),
    "wait3": lambda _: os.wait3(0),
    "wait4": lambda pid: os.wait4(pid, 0),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_its_totals_are_those_of_the_kernel_however_it_is_waited_for(
    observed: Recorder, wait: Callable[[int], object]
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    pid = os.posix_spawn(sys.executable, [*PYTHON, BUSY], os.environ)
    wait(pid)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    usage = the_end(observed).usage
    assert usage.source == "process_tree"
    assert usage.cpu_user_seconds == pytest.approx(after.ru_utime - before.ru_utime, abs=1e-5)
    assert usage.cpu_system_seconds == pytest.approx(after.ru_stime - before.ru_stime, abs=1e-5)
    assert usage.minor_page_faults == after.ru_minflt - before.ru_minflt
    assert usage.voluntary_context_switches == after.ru_nvcsw - before.ru_nvcsw


def test_waitid_tells_how_it_ended_and_not_what_it_used(observed: Recorder) -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], os.environ)
    result = os.waitid(os.P_PID, pid, os.WEXITED)

    assert result is not None
    assert result.si_status == 3
    ended = the_end(observed)
    assert facts(ended) == ("sh", Kind.COMMAND, "error", 3)
    assert ended.usage.cpu_seconds is None


def poll(child: subprocess.Popen[bytes]) -> int | None:
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    return child.poll()


@pytest.mark.parametrize("wait", [subprocess.Popen.wait, poll])
def test_a_popen_has_exact_totals(
    observed: Recorder, wait: Callable[[subprocess.Popen[bytes]], int | None]
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = subprocess.Popen([*PYTHON, BUSY + "raise SystemExit(3)"])
    assert wait(child) == 3
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    usage = the_end(observed).usage
    assert usage.cpu_user_seconds == pytest.approx(after.ru_utime - before.ru_utime, abs=1e-5)


def test_one_that_nobody_waits_for_ends_with_exact_totals_and_is_left_to_its_parent(
    observed: Recorder,
) -> None:
    pid = os.posix_spawn(sys.executable, [*PYTHON, BUSY + "raise SystemExit(3)"], os.environ)
    ended = the_end(observed)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    found, status, rusage = os.wait4(pid, 0)

    assert before.ru_utime <= resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert (found, os.waitstatus_to_exitcode(status)) == (pid, 3)
    assert facts(ended) == (os.path.basename(sys.executable), Kind.COMMAND, "error", 3)  # noqa: PTH119 - a text
    assert ended.usage.cpu_user_seconds == pytest.approx(rusage.ru_utime, abs=1e-6)
    assert len(observed.executions()) == 1


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_popen_that_is_lost_ends_all_the_same(observed: Recorder) -> None:
    reader, writer = os.pipe()
    child = subprocess.Popen(["cat"], stdin=reader, stdout=subprocess.DEVNULL)
    os.close(reader)
    del child
    gc.collect()
    os.close(writer)

    assert facts(the_end(observed)) == ("cat", Kind.COMMAND, "success", 0)
    subprocess._cleanup()  # type: ignore[attr-defined] # waits for those that were lost


def test_where_the_kernel_waits_nobody_knows_how_it_ended(observed: Recorder) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert subprocess.Popen(["sh", "-c", "exit 3"]).wait() == 0  # as subprocess says
    finally:
        signal.signal(signal.SIGCHLD, before)

    ended = the_end(observed)
    assert facts(ended) == ("sh", Kind.COMMAND, "unknown", None)
    assert ended.attributes[names.ERROR_REASON] == "its exit code could not be read"


def test_one_that_vanishes_unseen_ends_as_unknown(observed: Recorder) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        os.posix_spawn("/bin/true", ["true"], os.environ)
        assert the_end(observed).outcome is Outcome.UNKNOWN
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_handler_of_sigchld_may_wait_before_the_start_has_returned(observed: Recorder) -> None:
    waited: list[tuple[int, int]] = []

    def handle(*_: object) -> None:
        while True:
            try:
                found = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not found[0]:
                return
            waited.append(found)

    before = signal.signal(signal.SIGCHLD, handle)
    try:
        children = [subprocess.Popen(["sh", "-c", "exit 3"]) for _ in range(50)]
        until = time.monotonic() + PATIENCE_SECONDS
        while len(waited) < 50 and time.monotonic() < until:
            time.sleep(0.01)
        assert {child.wait() for child in children} == {0}  # as subprocess says
    finally:
        signal.signal(signal.SIGCHLD, before)

    assert [facts(ended)[2:] for ended in observed.executions()] == [("error", 3)] * 50


ALONE = """
import json, os, resource, sys
from otel_codomon.instrumentation import CodomonInstrumentor
from otel_codomon.testing import Recorder

recorder = Recorder()
CodomonInstrumentor().instrument(
    tracer_provider=recorder.tracer_provider, meter_provider=recorder.meter_provider
)
before = resource.getrusage(resource.RUSAGE_CHILDREN)
os.system(sys.argv[1])
after = resource.getrusage(resource.RUSAGE_CHILDREN)
[ended] = recorder.executions()
used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
usage = ended.usage
print(json.dumps([used, usage.cpu_seconds, usage.source, usage.peak_memory_bytes]))
"""


def test_a_command_of_os_system_has_what_this_process_waited_for() -> None:
    holds = f"block = bytearray({HELD_BYTES})\n" + BUSY.replace("0.05", "0.4")
    # In a process whose threads are known: any other may start processes as well.
    done = subprocess.run(
        [sys.executable, "-c", ALONE, shlex.join([*PYTHON, holds])],
        capture_output=True,
        text=True,
        check=True,
    )

    used, cpu_seconds, source, peak_memory_bytes = json.loads(done.stdout)
    assert cpu_seconds == pytest.approx(used, abs=1e-5)
    assert source == "process_tree"
    assert peak_memory_bytes >= HELD_BYTES  # long enough for samples


def test_commands_of_os_system_at_the_same_time_have_no_totals_that_are_guessed(
    observed: Recorder,
) -> None:
    command = shlex.join([*PYTHON, BUSY])
    threads = [threading.Thread(target=os.system, args=(command,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for ended in observed.executions():
        usage = ended.usage
        assert usage.cpu_seconds is None or usage.cpu_seconds == pytest.approx(0.05, abs=0.045)
        assert (usage.cpu_seconds is None) == (usage.absent_reason is not None)


def test_a_process_that_runs_for_a_while_is_sampled(observed: Recorder) -> None:
    holds = f"block = bytearray({HELD_BYTES})\n" + BUSY.replace("0.05", "0.4")
    subprocess.run([*PYTHON, holds], check=True)

    usage = the_end(observed).usage
    assert usage.samples
    assert usage.peak_memory_bytes is not None
    assert usage.peak_memory_bytes >= HELD_BYTES
    assert usage.is_final is None


def test_the_client_of_a_container_engine_is_not_its_work(
    observed: Recorder, tmp_path: Path
) -> None:
    client = tmp_path / "docker"
    client.symlink_to("/bin/true")
    subprocess.run([client, "run", "image"], check=True)

    usage = the_end(observed).usage
    assert usage.cpu_seconds is None
    assert usage.absent_reason == (
        "the work of docker run was done by another process; attach its container"
    )


# --- where it belongs ---------------------------------------------------------------


def test_it_is_a_child_of_the_current_span_and_its_time_still_belongs_to_the_function(
    observed: Recorder,
) -> None:
    @execution
    def build() -> int:
        return subprocess.run([*PYTHON, BUSY], check=True).returncode

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    build()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    command, function = observed.executions()
    assert command.parent_span_id == function.span_id
    assert command.trace_id == function.trace_id
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert command.usage.cpu_seconds == pytest.approx(used, abs=1e-5)
    assert function.usage.cpu_seconds is not None
    assert function.usage.cpu_seconds >= used


def test_a_process_of_asyncio_belongs_to_its_task(observed: Recorder) -> None:
    @execution(name="task")
    async def task(code: str) -> None:
        child = await asyncio.create_subprocess_exec("sh", "-c", code)
        await child.wait()

    async def main() -> None:
        await asyncio.gather(*(task(f"exit {number}") for number in range(10)))

    asyncio.run(main())

    ended = observed.executions()
    tasks = {one.span_id for one in ended if one.labels.name == "task"}
    commands = [one for one in ended if one.labels.name == "sh"]
    assert {one.parent_span_id for one in commands} == tasks
    assert {one.attributes["process.exit.code"] for one in commands} == set(range(10))


def test_threads_that_start_processes_do_not_mix_them(observed: Recorder) -> None:
    def work(number: int) -> None:
        for _ in range(10):
            assert subprocess.call(["sh", "-c", f"exit {number}"]) == number

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    codes = [one.attributes["process.exit.code"] for one in observed.executions()]
    assert sorted(map(str, codes)) == sorted(str(number) for number in range(8) for _ in range(10))
    assert all(one.usage.cpu_user_seconds is not None for one in observed.executions())


def test_a_forked_child_observes_its_own_and_leaves_those_of_its_parent(
    observed: Recorder,
) -> None:
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    pid = os.fork()
    if pid == 0:
        is_right = False
        try:
            observed.clear()
            subprocess.call(["sh", "-c", "exit 3"])
            [own] = observed.executions()
            is_right = facts(own) == ("sh", Kind.COMMAND, "error", 3)
        finally:
            os._exit(0 if is_right else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    child.communicate()
    assert facts(the_end(observed)) == ("cat", Kind.COMMAND, "success", 0)


def test_what_the_package_starts_itself_is_left_out(observed: Recorder) -> None:
    result = run(["sh", "-c", "exit 3"], name="ours")

    assert result.exit_code == 3
    assert [one.labels.name for one in observed.executions()] == ["ours"]


def test_the_arguments_of_the_command_line_stay_here(observed: Recorder) -> None:
    subprocess.run(["echo", "hunter2-private"], stdout=subprocess.DEVNULL, check=True)
    os.system(": hunter2-private")

    spans = [span.to_json() for span in observed.spans()]
    assert len(spans) == 2
    assert not [text for text in spans if "hunter2-private" in text]


def test_arguments_are_told_where_they_are_asked_for(
    observed: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_codomon.executions.captured_texts._wanted", frozenset({"arguments"}))

    subprocess.run(["echo", "--password=hunter2", "word"], stdout=subprocess.DEVNULL, check=True)

    told = the_end(observed).attributes["process.command_args"]
    assert isinstance(told, tuple)
    assert (told[0], told[2]) == ("echo", "word")
    assert "hunter2" not in str(told)


# --- what is chosen -----------------------------------------------------------------


def test_nothing_is_observed_where_instrumentation_is_suppressed(observed: Recorder) -> None:
    with suppress_instrumentation():
        for _, start in ENTRY_POINTS.values():
            start()

    assert observed.executions() == ()


@pytest.mark.parametrize(
    ("glob", "expected"),
    [("fal*", {"sh"}), ("/bin/*", set()), ("/usr/*", {"sh", "false"}), ("FALSE", {"sh", "false"})],
)
@pytest.mark.parametrize("as_variable", [False, True])
def test_programs_are_excluded_by_glob(
    recorder: Recorder,
    glob: str,
    expected: set[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    as_variable: bool,
) -> None:
    if as_variable:
        monkeypatch.setenv(env.OTEL_PYTHON_CODOMON_EXCLUDED_PROGRAMS, f"nothing,{glob}")

    with instrumented(recorder, exclude=None if as_variable else [glob]):
        subprocess.call(["/bin/false"])
        subprocess.call(["sh", "-c", "exit 3"], executable="/bin/sh")

    assert {one.labels.name for one in recorder.executions()} == expected


def test_hooks_are_called_with_the_span(recorder: Recorder) -> None:
    seen: list[object] = []

    def request(span: Span, args: list[str]) -> None:
        span.set_attribute("app.words", len(args))
        seen.append(("request", args))

    def response(span: Span, args: list[str], returncode: int) -> None:
        span.set_attribute("app.code", returncode)
        seen.append(("response", args, returncode))

    command = ["sh", "-c", "exit 3"]
    with instrumented(recorder, request_hook=request, response_hook=response):
        subprocess.call(command)

    assert seen == [("request", command), ("response", command, 3)]
    attributes = the_end(recorder).attributes
    assert (attributes["app.words"], attributes["app.code"]) == (3, 3)


def test_a_hook_may_start_processes_itself(recorder: Recorder) -> None:
    def hook(*_: object) -> None:
        subprocess.call(["true"])

    with instrumented(recorder, request_hook=hook, response_hook=hook):
        subprocess.call(["sh", "-c", "exit 3"])

    assert facts(the_end(recorder)) == ("sh", Kind.COMMAND, "error", 3)


def test_hooks_that_raise_are_one_line_in_the_log_each(
    recorder: Recorder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hook(*_: object) -> None:
        raise ValueError("of the user")

    monkeypatch.setattr("otel_codomon._platform.never_raises._told", set())
    with (
        caplog.at_level(logging.WARNING),
        instrumented(recorder, request_hook=hook, response_hook=hook),
    ):
        assert [subprocess.call(["sh", "-c", "exit 3"]) for _ in range(3)] == [3, 3, 3]

    assert len(recorder.executions()) == 3
    failures = [record.getMessage() for record in caplog.records if "hook" in record.getMessage()]
    assert len(failures) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"instrument": ["subprocesses"]},
        {"instrument": ["subprocess", "-os.system"]},
        {"instrument": 3},
        {"exclude": 3},
        {"exclude": [3]},
        {"request_hook": "print"},
        {"response_hook": 3},
    ],
)
def test_what_cannot_mean_anything_is_an_error_and_leaves_nothing_on(
    options: dict[str, object],
) -> None:
    before = functions()

    with pytest.raises(InvalidArgumentError, match=rf"^invalid {next(iter(options))} "):
        CodomonInstrumentor()._instrument(**options)

    assert functions() == before


# --- the program is as it was ---------------------------------------------------------

_OF_OS = (
    "system",
    "popen",
    "posix_spawn",
    "posix_spawnp",
    "kill",
    "killpg",
    *("wait", "wait3", "wait4", "waitpid"),
)


def functions() -> dict[str, object]:
    """What instrumenting may replace."""
    methods = {name: value for name, value in vars(subprocess.Popen).items() if callable(value)}
    return {**methods, **{name: getattr(os, name) for name in (*_OF_OS, "waitid")}}


def test_nothing_is_left_of_it_however_often(recorder: Recorder) -> None:
    before = functions()

    for _ in range(3):
        with instrumented(recorder):
            subprocess.call(["true"])
            assert functions() != before
        assert functions() == before

    subprocess.call(["true"])
    os.system("true")
    assert len(recorder.executions()) == 3


def test_what_still_runs_when_it_is_switched_off_ends_there(recorder: Recorder) -> None:
    with instrumented(recorder):
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)

    assert the_end(recorder).outcome is Outcome.UNKNOWN
    child.communicate()
    assert child.returncode == 0
    assert registry.running() == ()


def test_signatures_types_and_pickles_are_the_same(recorder: Recorder) -> None:
    class Own(subprocess.Popen[bytes]):
        pass

    of_os = ("system", "waitpid", "wait4", "wait")
    signatures = [
        inspect.signature(subprocess.Popen),
        *(inspect.signature(getattr(os, n)) for n in of_os),
    ]

    with instrumented(recorder):
        now = [
            inspect.signature(subprocess.Popen),
            *(inspect.signature(getattr(os, n)) for n in of_os),
        ]
        again = [pickle.loads(pickle.dumps(getattr(os, name))) for name in of_os]  # noqa: S301 - our own
        child = Own(["sh", "-c", "exit 3"])
        plain = subprocess.Popen(["true"])
        codes = (child.wait(), plain.wait())

        assert again == [getattr(os, name) for name in of_os]
    assert now == signatures
    assert codes == (3, 0)
    assert (type(child), type(plain)) == (Own, subprocess.Popen)
    assert len(recorder.executions()) == 2


class Loud(subprocess.Popen[bytes]):
    """What a program may put in the place of the class."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.is_loud = True


@pytest.mark.parametrize("is_before", [True, False])
def test_a_class_that_replaces_popen_keeps_working(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, *, is_before: bool
) -> None:
    before = functions()

    if is_before:
        monkeypatch.setattr(subprocess, "Popen", Loud)
    with instrumented(recorder):
        monkeypatch.setattr(subprocess, "Popen", Loud)
        child: Any = subprocess.Popen(["sh", "-c", "exit 3"])
        assert child.wait() == 3
    monkeypatch.undo()

    assert child.is_loud
    assert facts(the_end(recorder)) == ("sh", Kind.COMMAND, "error", 3)
    assert functions() == before


def test_a_class_that_starts_processes_in_a_way_of_its_own_is_left_alone(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Other:
        def __init__(self, args: object) -> None:
            self.args = args

    monkeypatch.setattr(subprocess, "Popen", Other)
    before = dict(vars(Other))

    with caplog.at_level(logging.WARNING), instrumented(recorder):
        assert dict(vars(Other)) == before
        assert subprocess.Popen(["true"]).args == ["true"]

    assert [r.getMessage() for r in caplog.records if "subprocess.Popen" in r.getMessage()] != []
    monkeypatch.undo()


def test_a_process_that_still_runs_when_its_object_is_lost_warns_as_ever(
    observed: Recorder,
) -> None:
    del observed
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        stdin, pid = child.stdin, child.pid
        del child
        gc.collect()

    assert [str(one.message) for one in caught] == [f"subprocess {pid} is still running"]
    assert caught[0].category is ResourceWarning
    assert stdin is not None
    stdin.close()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    subprocess._cleanup()  # type: ignore[attr-defined] # waits for those that were lost


def test_bad_arguments_raise_what_subprocess_raises(observed: Recorder) -> None:
    del observed
    with pytest.raises(TypeError):
        subprocess.Popen(3)  # type: ignore[call-overload] # what is tested
    with pytest.raises(ValueError, match="null byte"):
        subprocess.Popen(["a\0b"])
    assert subprocess.call(word for word in ("sh", "-c", "exit 3")) == 3  # type: ignore[arg-type] # read once


OUTLIVED = """
import atexit, os, subprocess
from otel_codomon import names
from otel_codomon.instrumentation import CodomonInstrumentor
from otel_codomon.testing import Recorder

recorder = Recorder()

@atexit.register  # the first that is registered is the last that is called
def report():
    for ended in recorder.executions():
        print(ended.labels.name, ended.outcome.value, ended.attributes.get(names.ERROR_REASON))

CodomonInstrumentor().instrument(
    tracer_provider=recorder.tracer_provider, meter_provider=recorder.meter_provider
)
lives = subprocess.Popen(["cat"], stdout=subprocess.DEVNULL)
ended = subprocess.Popen(["sh", "-c", "exit 3"])
os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
"""


def test_a_program_that_ends_before_its_processes_reports_them() -> None:
    program = [sys.executable, "-c", OUTLIVED]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        told = sorted(child.stdout.read().splitlines())

    assert child.returncode == 0
    assert told == [
        "cat unknown it outlived the process that started it",
        "sh error None",
    ]


UNCHANGED = """
import asyncio, os, subprocess

subprocess.run(["sh", "-c", "exit 0"])
os.system("exit 3")
os.popen("exit 4").close()
os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", "exit 5"], os.environ), 0)

async def main():
    await (await asyncio.create_subprocess_exec("sh", "-c", "exit 6")).wait()

asyncio.run(main())
subprocess.run(["true"])
"""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({env.OTEL_PYTHON_CODOMON_EXCLUDED_PROGRAMS: "tr*"}, [0, 3, 4, 5, 6]),
        ({env.OTEL_PYTHON_CODOMON_INSTRUMENT: "os.popen,host"}, [4]),
        ({env.OTEL_PYTHON_CODOMON_INSTRUMENT: "nothing"}, []),
    ],
)
def test_an_unchanged_program_under_opentelemetry_instrument(
    tmp_path: Path, variables: dict[str, str], expected: list[int]
) -> None:
    journal = tmp_path / "journal"
    program = tmp_path / "program.py"
    program.write_text(UNCHANGED)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}

    done = subprocess.run(
        [f"{sys.executable.rpartition('/')[0]}/opentelemetry-instrument", sys.executable, program],
        env={
            **clean,
            **variables,
            env.OTEL_PYTHON_CODOMON_JOURNAL: str(journal),
            **dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"), "none"),
            "OTEL_LOGS_EXPORTER": "none",
        },
        capture_output=True,
        text=True,
        check=True,
    )

    ends = JournalReader(str(journal)).executions() if journal.exists() else ()
    assert sorted(int(str(end.attributes["process.exit.code"])) for end in ends) == expected
    is_refused = "invalid OTEL_PYTHON_CODOMON_INSTRUMENT 'nothing'" in done.stderr
    assert is_refused == ("nothing" in variables.values())


@pytest.mark.long
def test_ten_thousand_processes_keep_memory_and_descriptors_flat(observed: Recorder) -> None:
    me = psutil.Process()

    def start(count: int) -> None:
        for _ in range(count // 100):
            for _ in range(100):
                subprocess.call(["true"])
            observed.clear()

    start(1000)
    gc.collect()
    memory, descriptors = me.memory_info().rss, me.num_fds()
    start(10_000)
    gc.collect()

    assert me.num_fds() <= descriptors + 2
    assert me.memory_info().rss - memory < 4 * 2**20
