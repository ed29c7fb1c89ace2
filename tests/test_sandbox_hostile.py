"""Commands that fight what limits and ends them: real programs, with and without a cgroup."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from support.escapees import NamedPipe, is_alive
from support.patience import lines, run_out_of_time

from otel_codomon import Limits, Outcome, arun, run as run_for_ever
from otel_codomon._platform import cgroups
from otel_codomon.resources.totals import UNWAITED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otel_codomon import ExecutionResult
    from otel_codomon.testing import Recorder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor is Linux's")

MIB = 1024 * 1024
# Only what is not ended takes so long.
run = functools.partial(run_for_ever, timeout=200)


@pytest.fixture
def no_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for an ordinary user."""
    monkeypatch.setattr(cgroups, "create", lambda *_: None)


@pytest.fixture(params=["cgroup", "no cgroup"])
def anywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether there is a cgroup, in both cases."""
    if request.param == "no cgroup":
        monkeypatch.setattr(cgroups, "create", lambda *_: None)
        return False
    if (made := cgroups.create()) is None:
        pytest.skip("no cgroup can be made here: run the tests as root, or with a delegated one")
    made.remove()
    return True


def python(code: str) -> list[str]:
    return [sys.executable, "-c", "import os, signal, sys, time\n" + textwrap.dedent(code)]


# --- the supervisor -------------------------------------------------------------


@pytest.mark.usefixtures("anywhere")
def test_a_supervisor_that_was_stopped_goes_on() -> None:
    result = run(python("os.kill(os.getppid(), signal.SIGSTOP); sys.exit(5)"))

    assert (result.outcome, result.exit_code) == (Outcome.ERROR, 5)


TELLING = "open({path!r}, 'w').write(f'{{os.getpid()}}\\n')"
STOPPING = """
    supervisor = os.getppid()
    if os.fork():
        print(os.getpid(), flush=True)
        while True: time.sleep(1000)
    os.setsid()
    while True:
        os.kill(supervisor, signal.SIGSTOP)
        time.sleep(0.001)
"""


@pytest.mark.usefixtures("anywhere")
def test_a_supervisor_that_is_stopped_again_and_again_is_relieved() -> None:
    result = run(python(STOPPING))

    assert result.outcome is Outcome.KILLED
    assert result.reason == "it was ended because its supervisor was kept from working"
    assert not is_alive(int(result.stdout))
    assert result.signal == "SIGKILL"  # the supervisor could report in the end


@pytest.mark.usefixtures("anywhere")
def test_no_timeout_is_missed_while_the_supervisor_is_stopped() -> None:
    result = run_out_of_time(python(STOPPING), is_ready=lines(1))

    assert result.outcome is Outcome.TIMEOUT
    assert not is_alive(int(result.stdout))


@pytest.mark.usefixtures("anywhere")
def test_a_supervisor_is_traced_by_root_alone_and_in_vain() -> None:
    code = """
        import ctypes
        PTRACE_ATTACH = 16
        if ctypes.CDLL(None).ptrace(PTRACE_ATTACH, os.getppid(), 0, 0) != 0: sys.exit(7)
        print(os.getpid(), flush=True)
        while True: time.sleep(1000)
    """

    result = run(python(code))

    if result.exit_code == 7:
        assert not result.stdout
    else:
        assert os.geteuid() == 0
        assert result.outcome is Outcome.KILLED
        assert not is_alive(int(result.stdout))


PROTECTED = """
import ctypes, subprocess, sys
from otel_codomon.sandbox.spawning import Ahead
from otel_codomon.sandbox.supervisor import Supervisor
supervisor = Supervisor.__new__(Supervisor)
supervisor._ahead = Ahead()
supervisor._protect()
PR_GET_DUMPABLE = 3
print(ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
"""


def test_no_process_of_its_user_can_trace_or_open_a_supervisor() -> None:
    said = subprocess.run(
        [sys.executable, "-c", PROTECTED], capture_output=True, text=True, check=True
    ).stdout

    assert said == "0\n"


KILLING = """
    import ctypes
    supervisor = os.getppid()
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            ctypes.CDLL(None).prctl(1, 0)
            os.write(writer, b"%d" % os.getpid())
            os.closerange(0, 100)
            os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(1000)"], {})
        os._exit(0)
    print(os.read(reader, 20).decode(), flush=True)
    os.kill(supervisor, signal.SIGKILL)
    time.sleep(1000)
"""


def test_nothing_is_left_by_a_supervisor_that_was_killed(*, anywhere: bool) -> None:
    result = run(python(KILLING))

    assert result.outcome is Outcome.KILLED
    assert result.exit_code is None
    assert result.usage.cpu_seconds is None
    assert not is_running(int(result.stdout))
    assert result.reason is not None
    assert result.reason.startswith("its supervisor died")
    assert ("others may be left" in result.reason) is not anywhere


def is_running(pid: int) -> bool:
    """Whether *pid* has not ended, be it that nobody has waited for it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123 - one file
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.usefixtures("anywhere")
def test_a_supervisor_is_not_starved() -> None:
    code = """
        for _ in range(40):
            if os.fork() == 0: break
        print(os.getpid(), flush=True)
        while True: pass
    """

    result = run_out_of_time(python(code), is_ready=lines(41))

    assert result.outcome is Outcome.TIMEOUT
    assert not any(is_alive(int(pid)) for pid in result.stdout.split())


@pytest.mark.parametrize("how", ["signal.SIG_IGN", "signal.SIG_DFL"])
def test_a_caller_may_ignore_its_children(how: str) -> None:
    program = (
        f"import signal; signal.signal(signal.SIGCHLD, {how})\n"
        "from otel_codomon import run\n"
        "result = run(['sh', '-c', 'exit 3'])\n"
        "print(result.outcome.value, result.exit_code)\n"
    )

    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout

    assert said == "error 3\n"


# --- CPU time that nobody waits for -----------------------------------------------

IGNORING = """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
"""
# SA_NOCLDWAIT: the same, and no file of the kernel shows it.
NO_ZOMBIES = """
    import ctypes
    class Action(ctypes.Structure):
        _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_byte * 128),
                    ("flags", ctypes.c_int), ("restorer", ctypes.c_void_p)]
    assert ctypes.CDLL(None).sigaction(17, ctypes.byref(Action(flags=2)), None) == 0
"""
BURNING = """
    def burn(seconds):
        if os.fork() == 0:
            while time.process_time() < seconds: pass
            os._exit(0)
        try: os.wait()
        except ChildProcessError: pass
"""


def burning(ignoring: str, then: str) -> list[str]:
    return python("\n".join(map(textwrap.dedent, (ignoring, BURNING, then))))


@pytest.mark.parametrize("ignoring", [IGNORING, NO_ZOMBIES], ids=["SIG_IGN", "SA_NOCLDWAIT"])
@pytest.mark.parametrize("seconds", [0.2, 0.03, 0.002])
@pytest.mark.usefixtures("anywhere")
def test_cpu_time_is_limited_also_where_nobody_waits(ignoring: str, seconds: float) -> None:
    program = burning(ignoring, f"while True: burn({seconds})")

    result = run(program, limits=Limits(cpu_seconds=0.5))

    assert result.outcome is Outcome.LIMIT_EXCEEDED
    assert result.reason == "it exceeded its limit: cpu"


@pytest.mark.parametrize("seconds", [0.3, 0.01])
def test_cpu_time_is_whole_or_absent(seconds: float, *, anywhere: bool, recorder: Recorder) -> None:
    result = run(burning(IGNORING, f"burn({seconds})"))

    [execution] = recorder.executions()
    assert result.succeeded
    for usage in (result.usage, execution.usage):
        if anywhere:
            assert usage.cpu_seconds is not None
            assert usage.cpu_seconds >= seconds
            assert usage.absent_reason is None
        else:
            assert usage.cpu_seconds is None
            assert usage.absent_reason == UNWAITED


@pytest.mark.usefixtures("anywhere")
def test_cpu_time_of_children_that_were_waited_for_is_told() -> None:
    result = run(burning("", "burn(0.3)"), limits=Limits(cpu_seconds=60))

    assert result.succeeded
    assert result.usage.cpu_seconds is not None
    assert 0.3 <= result.usage.cpu_seconds < 60


@pytest.mark.usefixtures("anywhere")
def test_hundreds_of_forks_between_two_samples_do_not_hide_cpu_time() -> None:
    result = run(burning("", "while True: burn(0)"), limits=Limits(cpu_seconds=0.5))

    assert result.reason == "it exceeded its limit: cpu"


# --- memory that no process has mapped ---------------------------------------------


MEMFD = f"""
    hidden = os.memfd_create("hidden")
    while True: os.write(hidden, bytes({MIB}))
"""


@pytest.mark.usefixtures("no_cgroup")
@pytest.mark.parametrize("is_mapped", [False, True])
def test_memory_in_a_memfd_is_limited(*, is_mapped: bool) -> None:
    code = f"""
        import mmap
        hidden = os.memfd_create("hidden")
        for _ in range(100): os.write(hidden, bytes({MIB}))
        mapped = mmap.mmap(hidden, 0) if {is_mapped} else b''
        for at in range(0, len(mapped), 4096): mapped[at]
        while True: time.sleep(1000)
    """

    result = run(python(code), limits=Limits(memory_bytes=64 * MIB))

    assert result.reason == "it exceeded its limit: memory"


@pytest.mark.usefixtures("no_cgroup")
def test_memory_in_a_memfd_that_is_mapped_counts_once(recorder: Recorder) -> None:
    code = f"""
        import mmap
        hidden = os.memfd_create("hidden")
        for _ in range(60): os.write(hidden, bytes({MIB}))
        mapped = mmap.mmap(hidden, 0)
        for at in range(0, len(mapped), 4096): mapped[at]
        time.sleep(0.5)  # some samples
    """

    result = run(python(code), limits=Limits(memory_bytes=100 * MIB))

    assert result.succeeded, result
    assert recorder.executions()


# --- through `otel-codomon run` ----------------------------------------------------

WITHOUT_CGROUP = """
import sys
from otel_codomon._platform import cgroups
cgroups.create = lambda *_: None
from otel_codomon.cli import main
sys.exit(main())
"""


def run_in_shell(options: Sequence[str], program: str, tmp_path: Path) -> dict[str, Any]:
    """Run *program* as an ordinary user's `otel-codomon run` does; its summary."""
    words = ["run", "--format", "json", "--output-file", str(tmp_path / "summary"), *options, "--"]
    subprocess.run(
        [sys.executable, "-c", WITHOUT_CGROUP, *words, *python(program)],
        env={**os.environ, "OTEL_PYTHON_CODOMON_JOURNAL": str(tmp_path / "journal")},
        cwd=tmp_path,
        check=False,
        timeout=300,
    )
    summary: dict[str, Any] = json.loads((tmp_path / "summary").read_text())
    return summary


@pytest.mark.parametrize(
    ("options", "program"),
    [
        (["--limit-cpu", "0.5"], IGNORING + BURNING + "\n    while True: burn(0.05)"),
        (["--limit-memory", "64M"], MEMFD),
        (["--limit-processes", "16"], "while True: os.fork() or time.sleep(1000)"),
        (["--limit-disk", "4M"], f"open('big', 'wb').write(bytes({8 * MIB})); time.sleep(1000)"),
    ],
    ids=["cpu", "memory", "processes", "disk"],
)
def test_limits_hold_in_a_shell_too(options: list[str], program: str, tmp_path: Path) -> None:
    summary = run_in_shell(options, program, tmp_path)

    assert summary["outcome"] == "limit_exceeded", summary


def test_in_a_shell_cpu_time_is_absent_where_children_are_not_waited_for(tmp_path: Path) -> None:
    summary = run_in_shell([], IGNORING + BURNING + "\n    burn(0.3)", tmp_path)

    assert summary["outcome"] == "success"
    assert summary.get("usage", {}).get("cpu_seconds") is None, summary


# --- in a coroutine -------------------------------------------------------------------


@pytest.mark.usefixtures("anywhere")
def test_a_coroutine_comes_back_too_where_the_supervisor_is_stopped() -> None:
    async def main() -> ExecutionResult:
        return await arun(python(STOPPING), timeout=1)

    result = asyncio.run(main())

    assert result.outcome is Outcome.TIMEOUT
    assert not any(is_alive(int(pid)) for pid in result.stdout.split())


@pytest.mark.usefixtures("anywhere")
def test_a_cancelled_coroutine_leaves_nothing_where_the_supervisor_is_stopped(
    tmp_path: Path,
) -> None:
    told = tmp_path / "told"
    program = STOPPING.replace("print(os.getpid(), flush=True)", TELLING.format(path=str(told)))

    async def main(reader: NamedPipe) -> int:
        task = asyncio.create_task(arun(python(program)))
        pid = await asyncio.to_thread(reader.number)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pid

    with NamedPipe(told) as reader:
        pid = asyncio.run(main(reader))

    assert not is_alive(pid)


# --- the cgroup -----------------------------------------------------------------------


@pytest.mark.alone
def test_a_cgroup_is_emptied_of_a_fork_bomb() -> None:
    made = cgroups.create()
    if made is None:
        pytest.skip("no cgroup can be made here: run the tests as root, or with a delegated one")
    bomb = "while True:\n    try: os.fork()\n    except OSError: pass"
    program = f"import os, sys\nsys.stdin.read()\nprint(flush=True)\n{bomb}"
    made.limit(processes=300)
    try:
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            made.join(process.pid)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.stdout.readline()

            assert made.kill()

        assert not made.pids()
    finally:
        made.kill()
        made.remove()
