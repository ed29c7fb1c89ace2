from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.cgroup_folders import own_cgroups
from support.escapees import (
    ESCAPEE,
    STUBBORN,
    NamedPipe,
    is_alive,
    stubborn_telling,
    wait_until_dead,
)
from support.needs import needs_cgroup, needs_toolchain
from support.patience import lines, run_out_of_time
from support.sources import SOURCES

from otel_codomon import Kind, Limits, Outcome, SandboxType, names, run
from otel_codomon.sandbox import command
from otel_codomon.sandbox.toolchains import TOOLCHAINS

if TYPE_CHECKING:
    from otel_codomon.sandbox.toolchains import Toolchain
    from otel_codomon.testing import Recorder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor is Linux's")

MIB = 1024 * 1024


def test_a_command_that_ends_well_is_a_success() -> None:
    result = run(["sh", "-c", "echo out; echo err >&2"])

    assert (result.outcome, result.exit_code, result.signal) == (Outcome.SUCCESS, 0, None)
    assert (result.stdout, result.stderr, result.truncated) == ("out\n", "err\n", False)
    assert result.reason is None


def test_an_exit_code_is_an_error_with_its_reason() -> None:
    result = run(["sh", "-c", "exit 3"])

    assert (result.outcome, result.exit_code) == (Outcome.ERROR, 3)
    assert result.reason == "it ended with exit code 3"


def test_a_signal_is_told_by_its_name() -> None:
    result = run(["sh", "-c", "kill -SEGV $$"])

    assert (result.outcome, result.exit_code, result.signal) == (Outcome.KILLED, 139, "SIGSEGV")


def test_output_that_is_no_text_is_kept_as_it_is() -> None:
    result = run(["printf", r"\377\000\376"])

    assert result.output.kept == b"\xff\x00\xfe"
    assert result.stdout == "\ufffd\0\ufffd"


@pytest.mark.parametrize("toolchain", TOOLCHAINS, ids=lambda toolchain: toolchain.language)
def test_source_text_runs_in_each_language(toolchain: Toolchain) -> None:
    needs_toolchain(toolchain)

    result = run(SOURCES[toolchain.language], language=toolchain.language)

    assert (result.outcome, result.stdout, result.stderr) == (Outcome.SUCCESS, "42\n", "")


def test_a_toolchain_that_is_not_here_is_a_setup_error_with_the_way_out(
    recorder: Recorder, tmp_path: Path
) -> None:
    result = run("1", language="js", env={"PATH": str(tmp_path)})

    assert result.outcome is Outcome.SETUP_ERROR
    assert result.reason == (
        "cannot run javascript: no node or nodejs on the PATH; "
        "install Node.js from https://nodejs.org"
    )
    assert (result.exit_code, result.pid) == (None, None)
    [execution] = recorder.executions()
    assert execution.outcome is Outcome.SETUP_ERROR
    assert execution.attributes[names.ERROR_REASON] == result.reason


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler: install gcc")
def test_source_text_that_does_not_compile_is_an_error_with_the_compilers_words(
    recorder: Recorder,
) -> None:
    result = run("int main(void) { oops }", language="c")

    assert (result.outcome, result.exit_code) == (Outcome.ERROR, 1)
    assert result.reason == "it does not compile"
    assert "oops" in result.stderr
    compiler, snippet = recorder.executions()
    assert compiler.labels.kind is Kind.COMMAND
    assert compiler.parent_span_id == snippet.span_id


def test_source_text_works_in_a_folder_of_its_own_that_is_gone_afterwards() -> None:
    result = run(
        "import os; os.mkdir('locked'); open('locked/x', 'w'); os.chmod('locked', 0)\n"
        "print(os.getcwd())",
        language="python",
    )

    folder = Path(result.stdout.strip())
    assert folder != Path.cwd()
    assert not folder.exists()


def test_a_command_works_where_it_is_told(tmp_path: Path) -> None:
    assert run(["pwd"], cwd=tmp_path).stdout == f"{tmp_path.resolve()}\n"
    assert run(["pwd"]).stdout == f"{Path.cwd()}\n"


def test_a_script_without_an_interpreter_runs_in_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo shell $1")
    script.chmod(0o755)

    assert run([script, "one"]).stdout == "shell one\n"


def test_a_program_finds_signals_as_the_system_has_them() -> None:
    status = run(["cat", "/proc/self/status"]).stdout

    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
    pythons_own = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
    assert (int(masks["SigIgn"], 16) & pythons_own, int(masks["SigBlk"], 16)) == (0, 0)


def test_a_program_finds_no_descriptor_but_the_three() -> None:
    listed = run(["sh", "-c", "ls /proc/$$/fd"]).stdout

    assert listed.split() == ["0", "1", "2"]


# --- what goes in and comes out -----------------------------------------------


def test_it_reads_what_it_is_given() -> None:
    data = os.urandom(3 * MIB)

    result = run(["cat"], stdin=data, limits=Limits(output_bytes=4 * MIB))

    assert result.output.kept == data


def test_it_reads_nothing_when_given_nothing() -> None:
    assert run(["cat"]).output.total_bytes == 0


def test_a_program_that_does_not_read_ends_all_the_same() -> None:
    assert run(["true"], stdin=b"x" * 8 * MIB).succeeded


def test_output_beyond_the_limit_is_counted_and_dropped() -> None:
    result = run(
        ["sh", "-c", "head -c 50000000 /dev/zero; head -c 3000 /dev/zero >&2"],
        limits=Limits(output_bytes=1000),
    )

    assert result.succeeded
    assert result.output.kept == bytes(1000)
    assert (result.output.total_bytes, result.errors.total_bytes) == (50_000_000, 3000)
    assert result.truncated


# --- nothing is left ----------------------------------------------------------


def test_who_left_the_session_and_ignores_signals_is_gone_with_the_command() -> None:
    result = run([sys.executable, "-c", ESCAPEE])

    assert result.succeeded
    assert not is_alive(int(result.stdout))


def test_a_timeout_ends_the_whole_tree_and_says_so() -> None:
    result = run_out_of_time([sys.executable, "-c", STUBBORN], is_ready=lines(2))

    assert result.outcome is Outcome.TIMEOUT
    assert (result.signal, result.reason) == ("SIGKILL", "it ran out of time")
    assert [is_alive(int(pid)) for pid in result.stdout.split()] == [False, False]


def test_a_command_that_ends_itself_on_sigterm_has_still_run_out_of_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "GRACE_SECONDS", 120.0)  # it ends sooner, be it on a slow machine
    program = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done"

    result = run_out_of_time(["sh", "-c", program], is_ready=lines(1))

    assert (result.outcome, result.exit_code) == (Outcome.TIMEOUT, 0)


def test_a_swarm_that_forks_while_it_is_killed_is_gone() -> None:
    program = (
        "import os, time\n"
        "for _ in range(5):\n"
        "    os.fork()\n"
        "print(os.getpid(), flush=True)\n"
        "living = 0\n"
        "while True:\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(0.02); os._exit(0)\n"
        "    living += 1\n"
        "    while living and os.waitpid(-1, 0 if living == 20 else os.WNOHANG)[0]: living -= 1\n"
    )

    # At most 32 x 21 live at once: the limit only guards the machine.
    result = run_out_of_time(
        [sys.executable, "-c", program], is_ready=lines(32), limits=Limits(processes=2000)
    )

    assert result.outcome is Outcome.TIMEOUT
    assert not any(is_alive(int(pid)) for pid in result.stdout.split())


HOST = """
import sys
from otel_codomon import run
run([sys.executable, "-c", sys.argv[1]], stdin=b"x")
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_tree_goes_with_its_host(number: signal.Signals, tmp_path: Path) -> None:
    told = tmp_path / "told"
    host_program = [sys.executable, "-c", HOST, stubborn_telling(told)]
    with (
        NamedPipe(told) as reader,
        subprocess.Popen(host_program, stderr=subprocess.PIPE) as host,
    ):
        pids = [reader.number() for _ in range(2)]

        host.send_signal(number)
        host.wait()
        for pid in pids:
            wait_until_dead(pid)

    assert host.returncode == -number


@pytest.mark.parametrize("code", [0, 3])
def test_a_host_that_leaves_from_a_signal_handler_cancels_its_command(
    code: int, recorder: Recorder, tmp_path: Path
) -> None:
    def leave(*_: object) -> None:
        sys.exit(code)

    told = tmp_path / "told"
    before = signal.signal(signal.SIGUSR1, leave)
    try:
        with NamedPipe(told) as reader:
            program = "import os, sys, time; open(sys.argv[1], 'w').write(f'{os.getpid()}\\n');"
            alarm = f"os.kill({os.getpid()}, {int(signal.SIGUSR1)}); time.sleep(1000)"
            with pytest.raises(SystemExit) as caught:
                run([sys.executable, "-c", f"{program} {alarm}", str(told)])
            pid = reader.number()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert caught.value.code == code
    assert not is_alive(pid)
    [execution] = recorder.executions()
    assert execution.outcome is Outcome.CANCELLED
    assert execution.attributes[names.ERROR_REASON] == "its caller ended it: SystemExit"
    assert names.PROCESS_EXIT_CODE not in execution.attributes


# --- limits -------------------------------------------------------------------


def test_the_cpu_time_of_the_whole_tree_is_limited(recorder: Recorder) -> None:
    spin = "while :; do :; done"

    result = run(["bash", "-c", f"({spin})& ({spin})& wait"], limits=Limits(cpu_seconds=0.4))

    assert result.outcome is Outcome.LIMIT_EXCEEDED
    assert result.reason == "it exceeded its limit: cpu"
    assert result.usage.cpu_seconds is not None
    assert result.usage.cpu_seconds > 0.4
    [point] = recorder.metrics()["codomon.execution.limit.reached"]
    assert dict(point.attributes or {})[names.LIMIT_TYPE] == "cpu"


def test_the_signal_for_cpu_time_is_the_limit_too() -> None:
    result = run(["sh", "-c", "kill -XCPU $$"], limits=Limits(cpu_seconds=100))

    assert (result.outcome, result.signal) == (Outcome.LIMIT_EXCEEDED, "SIGXCPU")


def test_the_number_of_processes_is_limited() -> None:
    program = "for i in $(seq 20); do sleep 1000 & done; wait"

    result = run(["bash", "-c", program], limits=Limits(processes=10))

    assert result.outcome is Outcome.LIMIT_EXCEEDED
    assert result.reason == "it exceeded its limit: processes"


def test_the_size_of_a_file_is_limited(tmp_path: Path) -> None:
    result = run(
        ["dd", "if=/dev/zero", "of=big", "bs=1000", "count=2000"],
        cwd=tmp_path,
        limits=Limits(file_size_bytes=MIB),
    )

    assert (result.outcome, result.signal) == (Outcome.LIMIT_EXCEEDED, "SIGXFSZ")
    assert (tmp_path / "big").stat().st_size <= MIB


def test_the_number_of_open_files_is_limited() -> None:
    result = run(["sh", "-c", "ulimit -n"], limits=Limits(open_files=17))

    assert result.stdout == "17\n"


def test_a_memory_limit_holds() -> None:
    program = "block = b'x' * (300 * 1024 * 1024); print('got it')"

    result = run([sys.executable, "-c", program], limits=Limits(memory_bytes=128 * MIB))

    assert not result.succeeded
    assert "got it" not in result.stdout


@needs_cgroup
def test_out_of_memory_is_told_when_the_kernel_says_so(recorder: Recorder) -> None:
    program = "block = b'x' * (300 * 1024 * 1024); print('got it')"

    result = run([sys.executable, "-c", program], limits=Limits(memory_bytes=64 * MIB))

    assert (result.outcome, result.signal) == (Outcome.OOM_KILLED, "SIGKILL")
    assert result.reason == "the kernel killed 1 of its processes at its memory limit"
    [execution] = recorder.executions()
    assert execution.outcome is Outcome.OOM_KILLED
    assert execution.usage.source == "cgroup"


def own_folders() -> set[str]:
    """The cgroups that this process has made and not removed."""
    return {folder for folder in own_cgroups() if f"-{os.getpid()}-" in folder}


@needs_cgroup
def test_a_cgroup_tells_the_truth_of_what_is_over_at_once(recorder: Recorder) -> None:
    beside = own_folders()
    run([sys.executable, "-c", f"b'x' * {50 * MIB}"])

    [execution] = recorder.executions()
    assert execution.usage.source == "cgroup"
    assert execution.usage.peak_memory_bytes is not None
    assert 50 * MIB < execution.usage.peak_memory_bytes < 100 * MIB
    assert own_folders() <= beside


@needs_cgroup
def test_its_cgroup_has_the_id_of_the_execution(recorder: Recorder) -> None:
    result = run(["cat", "/proc/self/cgroup"])

    [execution] = recorder.executions()
    assert result.execution_id == execution.execution_id
    assert re.search(rf"/codomon-\d+-{os.getpid()}-.*-{result.execution_id}\n", result.stdout)


# --- what it learns of us -----------------------------------------------------


def test_the_environment_is_a_few_of_ours_and_what_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("WANTED_ONE", "1")

    shown = run(["env"], env={"GIVEN": "x=y"}, allow_env=["WANTED_*"]).stdout.splitlines()

    assert {"GIVEN=x=y", "WANTED_ONE=1", "LC_TIME=C"} <= set(shown)
    assert not any("secret" in line or "TRACEPARENT" in line for line in shown)
    assert "GIVEN" not in os.environ


def test_full_propagation_makes_the_command_report_into_our_trace(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=x")

    result = run(["env"], propagate="full")

    shown = dict(line.split("=", 1) for line in result.stdout.splitlines())
    assert shown["TRACEPARENT"].split("-")[1:3] == [result.trace_id, result.span_id]
    assert shown["OTEL_EXPORTER_OTLP_HEADERS"] == "authorization=x"
    assert len(recorder.executions()) == 1


def test_linked_propagation_gives_a_trace_of_its_own_and_no_credentials(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=x")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")

    result = run(["env"], propagate="linked")

    shown = dict(line.split("=", 1) for line in result.stdout.splitlines())
    trace_id = shown["TRACEPARENT"].split("-")[1]
    assert trace_id != result.trace_id
    [span] = recorder.spans()
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [trace_id]
    assert shown["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4318"
    assert "OTEL_EXPORTER_OTLP_HEADERS" not in shown


# --- what is told of it -------------------------------------------------------


def test_the_span_has_what_the_result_has_and_not_what_was_said(recorder: Recorder) -> None:
    result = run(
        ["sh", "-c", "echo password; exit 7"], timeout=60, limits=Limits(memory_bytes=MIB * 500)
    )

    [execution] = recorder.executions()
    [span] = recorder.spans()
    attributes = dict(execution.attributes)
    assert (execution.labels.name, execution.labels.kind) == ("sh", Kind.COMMAND)
    assert execution.labels.sandbox_type is SandboxType.PROCESS
    assert (execution.execution_id, execution.span_id) == (result.execution_id, result.span_id)
    assert span.kind.name == "CLIENT"
    assert attributes[names.PROCESS_EXECUTABLE_NAME] == Path(os.path.realpath("/bin/sh")).name
    assert attributes[names.PROCESS_PID] == result.pid
    assert attributes[names.PROCESS_EXIT_CODE] == 7
    assert attributes[names.EXECUTION_TIMEOUT] == 60
    assert attributes[names.LIMIT_MEMORY] == 500 * MIB
    assert attributes[names.STDOUT_SIZE] == 9
    assert "password" not in repr(attributes)
    assert execution.usage == result.usage


def test_the_totals_are_those_of_the_whole_tree_down_to_its_orphans() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    program = (
        "import os, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n"
        f"    exec({burn!r})\n"
        "    print('burnt', flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "sys.stdin.read()\n"
    )
    # The orphan holds the only other end of the pipe that the command waits on.
    wrapped = (
        "import os, subprocess, sys\n"
        "reader, writer = os.pipe()\n"
        f"child = subprocess.Popen([sys.executable, '-c', {program!r}], "
        "stdin=subprocess.DEVNULL, stdout=writer)\n"
        "os.close(writer)\n"
        "os.read(reader, 1)\n"
        "child.wait()\n"
    )

    result = run([sys.executable, "-c", wrapped])

    assert result.succeeded
    assert result.usage.cpu_seconds is not None
    assert result.usage.cpu_seconds >= 0.3


def test_memory_is_that_of_the_command_and_never_ours() -> None:
    ours = bytearray(200 * MIB)

    small = run(["true"])
    large = run([sys.executable, "-c", f"b'x' * {100 * MIB}"])

    assert (small.usage.peak_memory_bytes or 0) < 8 * MIB
    assert large.usage.peak_memory_bytes is not None
    assert 100 * MIB < large.usage.peak_memory_bytes < 150 * MIB
    del ours


def test_it_runs_where_nothing_is_configured() -> None:
    # In a process of its own: a monitor that another test made would watch it, too.
    source = """
from otel_codomon import run
result = run(["true"])
print(result.outcome.value, result.trace_id, result.span_id, result.usage.source)
"""
    env = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}

    said = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, env=env
    ).stdout

    assert said.split() == ["success", "None", "None", "process_tree"]


@pytest.mark.parametrize(
    ("command", "outcome", "name"),
    [
        (["sh", "-c", "sh -c 'kill -KILL $$'; exit $?"], Outcome.KILLED, "SIGKILL"),
        (["sh", "-c", "exit 143"], Outcome.KILLED, "SIGTERM"),
        (["sh", "-c", "exit 128"], Outcome.ERROR, None),
        (["sh", "-c", "exit 193"], Outcome.ERROR, None),
        ([sys.executable, "-c", "raise SystemExit(137)"], Outcome.ERROR, None),
    ],
)
def test_a_shell_passes_on_by_which_signal_its_command_ended(
    command: list[str], outcome: Outcome, name: str | None
) -> None:
    result = run(command)

    assert (result.outcome, result.signal) == (outcome, name)
    assert (result.exit_code or 0) > 127
