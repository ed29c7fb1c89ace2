from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st
from opentelemetry.sdk.trace.sampling import Decision, _get_from_env_or_default
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)
from support.collector import PATIENT, Collector
from support.escapees import NamedPipe, is_alive, stubborn_telling
from support.programs import wait_for
from support.terminal import Terminal

from otel_codomon import Kind, Outcome, cli, names
from otel_codomon._platform import cgroups
from otel_codomon.cli import run_command
from otel_codomon.cli.run_options import OPTIONS, read_plainly
from otel_codomon.journal.reader import JournalReader
from otel_codomon.journal.running_executions import RunningExecutions
from otel_codomon.sandbox.sampling import is_sampled
from otel_codomon.sandbox.tree_limits import SAMPLE_SECONDS

if TYPE_CHECKING:
    from otel_codomon.journal.execution_record import ExecutionRecord

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="`run` is Linux's so far")

COMMAND = [sys.executable, "-m", "otel_codomon", "run"]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a journal that everything started in the test writes to."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "TRACEPARENT"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "journal"
    monkeypatch.setenv("OTEL_PYTHON_CODOMON_JOURNAL", str(folder))
    return folder


def recorded(journal: Path) -> list[ExecutionRecord]:
    return list(JournalReader(str(journal)).executions())


def otel_run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, **options
    )


# --- transparent --------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code", "outcome"),
    [
        (["true"], 0, Outcome.SUCCESS),
        (["sh", "-c", "exit 5"], 5, Outcome.ERROR),
        (["sh", "-c", "kill -KILL $$"], 137, Outcome.KILLED),
        (["sh", "-c", "kill -INT $$"], 130, Outcome.KILLED),
        (["no-such-program-here"], 127, Outcome.SETUP_ERROR),
        (["/no/such/program"], 127, Outcome.SETUP_ERROR),
        (["/etc/passwd"], 126, Outcome.SETUP_ERROR),
        (["/"], 126, Outcome.SETUP_ERROR),
    ],
)
@pytest.mark.parametrize("options", [[], ["-q"]])
def test_the_exit_code_is_the_commands_or_as_a_shell_says_it(
    options: list[str], command: list[str], code: int, outcome: Outcome, journal: Path
) -> None:
    done = otel_run(*options, "--", *command)

    assert (done.returncode, done.stdout) == (code, "")
    [execution] = recorded(journal)
    assert execution.outcome is outcome
    assert (
        execution.labels.name
        == Path(command[-1] if outcome is Outcome.SETUP_ERROR else command[0]).name
        or "command"
    )
    assert execution.attributes.get(names.PROCESS_EXIT_CODE) == code


@pytest.mark.usefixtures("journal")
def test_what_goes_in_and_out_is_untouched() -> None:
    done = otel_run("-q", "--", "sh", "-c", "cat; echo err >&2", input="in\n")

    assert (done.stdout, done.stderr) == ("in\n", "err\n")


@pytest.mark.usefixtures("journal")
def test_descriptors_and_folder_are_inherited(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    done = otel_run(
        "--", "bash", "-c", f"pwd; echo seen >&{writer}", pass_fds=[writer], cwd=tmp_path
    )
    os.close(writer)

    with os.fdopen(reader) as pipe:
        assert pipe.read() == "seen\n"
    assert done.stdout == f"{tmp_path.resolve()}\n"


@pytest.mark.usefixtures("journal")
def test_options_of_the_command_are_the_commands() -> None:
    assert otel_run("-q", "echo", "--timeout", "-q").stdout == "--timeout -q\n"
    assert otel_run("--", "echo", "--", "-n").stdout == "-- -n\n"


@pytest.mark.usefixtures("journal")
def test_a_script_without_an_interpreter_runs_in_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo shell $1")
    script.chmod(0o755)

    assert otel_run("--", str(script), "one").stdout == "shell one\n"


# Not with print: a handler may come while the one before is still in it.
SAYING = """
import os, signal, sys, time
def heard(number, frame):
    os.write(1, signal.Signals(number).name.encode() + b"\\n")
    if number == signal.SIGTERM:
        sys.exit(7)
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGTERM,
               signal.SIGWINCH):
    signal.signal(number, heard)
print("ready", flush=True)
while True:
    time.sleep(1000)
"""


@pytest.mark.usefixtures("journal")
def test_signals_that_are_sent_to_us_reach_the_command_once() -> None:
    sent = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGWINCH]
    with subprocess.Popen(
        [*COMMAND, "-q", "--", sys.executable, "-c", SAYING], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline()]
        for number in (*sent, signal.SIGTERM):
            process.send_signal(number)
            said.append(process.stdout.readline())

        assert process.stdout.read() == ""

    assert said == ["ready\n", *(f"{number.name}\n" for number in sent), "SIGTERM\n"]
    assert process.returncode == 7


@pytest.mark.usefixtures("journal")
def test_what_was_ignored_stays_ignored() -> None:
    done = otel_run(
        "--",
        "grep",
        "SigIgn",
        "/proc/self/status",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )

    assert int(done.stdout.split()[1], 16) & (1 << (signal.SIGHUP - 1))


@pytest.mark.usefixtures("journal")
def test_a_daemon_is_left_alone(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = f"setsid sh -c 'echo $$ > {told}; exec sleep 1000' >/dev/null 2>&1 & exit 0"
    with NamedPipe(told) as reader:
        done = otel_run("-q", "--", "sh", "-c", program, stdin=subprocess.DEVNULL)
        daemon = reader.number()

    assert done.returncode == 0
    assert is_alive(daemon)
    os.kill(daemon, signal.SIGKILL)


@pytest.mark.usefixtures("journal")
def test_time_that_passes_while_we_are_stopped_is_no_signal() -> None:
    command = [*COMMAND, "-q", "--limit-cpu", "1000", "--", "sh", "-c", "echo ready; read line"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(10):
            process.send_signal(signal.SIGSTOP)
            time.sleep(2 * SAMPLE_SECONDS)  # what it waits for is over then
            process.send_signal(signal.SIGCONT)
            time.sleep(SAMPLE_SECONDS / 2)  # so that it waits anew
        process.communicate(b"go on\n")

    assert process.returncode == 0


# --- in a terminal ------------------------------------------------------------


@pytest.mark.usefixtures("journal")
def test_the_command_has_the_terminal() -> None:
    program = 'test -t 0 && test -t 1 && test -t 2 && read line && echo "got $line"'
    with Terminal([*COMMAND, "-q", "--", "sh", "-c", program], env=os.environ) as terminal:
        terminal.type(b"hello\n")
        terminal.wait_for(b"got hello")

        assert terminal.shell_says() == "ended 0"


@pytest.mark.usefixtures("journal")
def test_keys_that_send_signals_reach_the_command_once() -> None:
    with Terminal([*COMMAND, "-q", "--", sys.executable, "-c", SAYING], env=os.environ) as terminal:
        terminal.wait_for(b"ready")
        for key, name in ((b"\x03", b"SIGINT"), (b"\x1c", b"SIGQUIT"), (b"\x03", b"SIGINT")):
            terminal.type(key)
            terminal.wait_for(name)
        fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
        terminal.wait_for(b"SIGWINCH")


COUNTING = """
import signal, sys
count = 0
def heard(number, frame):
    global count
    count += 1
signal.signal(signal.SIGINT, heard)
print("ready", flush=True)
sys.stdin.readline()
print("count", count, flush=True)
"""


@pytest.mark.usefixtures("journal")
def test_a_key_is_no_two_signals() -> None:
    with Terminal(
        [*COMMAND, "-q", "--", sys.executable, "-c", COUNTING], env=os.environ
    ) as terminal:
        terminal.wait_for(b"ready")
        terminal.type(b"\x03")
        terminal.wait_for(b"^C")
        terminal.type(b"\n")
        terminal.wait_for(b"count 1")

        assert terminal.shell_says() == "ended 0"


@pytest.mark.usefixtures("journal")
def test_stopping_and_continuing_the_job_is_as_without_us() -> None:
    program = 'echo ready; read line; echo "got $line"; exit 3'
    with Terminal([*COMMAND, "-q", "--", "sh", "-c", program], env=os.environ) as terminal:
        terminal.wait_for(b"ready")
        for _ in range(2):
            terminal.type(b"\x1a")
            assert terminal.shell_says() == f"stopped {int(signal.SIGTSTP)}"  # 148 in `$?`
            terminal.continue_job()
            assert terminal.shell_says() == "continued"
        terminal.type(b"on\n")
        terminal.wait_for(b"got on")

        assert terminal.shell_says() == "ended 3"


@pytest.mark.parametrize(
    ("redirected", "code"),
    [
        ("-q -- sh -c 'exit 5' >&-", 5),
        ("-- sh -c 'exit 5' >&-", 5),
        ("-- sh -c 'exit 5' 2>&-", 5),
        ("-- sh -c 'exit 5' <&- >&- 2>&-", 5),
        ("-- sh -c 'exit 5' 2>/dev/full", 5),
        ("-- sh -c 'exit 5' >/dev/full 2>/dev/full", 5),
        ("-- true 2>/dev/full", 0),
        ("--output-file 9 -- true", 0),
        ("--output-file 9 -- true 2>/dev/full", 0),
        ("-- no-such-program 2>/dev/full", 127),
        ("-- no-such-program 2>&-", 127),
        ("2>/dev/full", 2),
    ],
)
def test_the_exit_code_depends_on_no_stream(redirected: str, code: int, journal: Path) -> None:
    line = f"{' '.join(COMMAND)} {redirected}"

    done = subprocess.run(["sh", "-c", line], capture_output=True, check=False)

    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert len(recorded(journal)) == (code != 2)
    for segment in journal.glob("*.seg"):  # no stream of the command was a file of ours
        assert segment.read_bytes().startswith(b"\xffOC\xfe")


@pytest.mark.usefixtures("journal")
def test_a_closed_stream_is_closed_for_the_command_too() -> None:
    line = f"{' '.join(COMMAND)} -q -- sh -c 'echo x >&0' <&- 2>&1; echo $?"

    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)

    assert done.stdout.splitlines()[-1] != "0"
    assert "descriptor" in done.stdout  # that it is bad


@pytest.mark.parametrize("command", [["list"], ["journal", "status"], ["doctor"]])
@pytest.mark.parametrize("where", [">&-", ">/dev/full", ">/dev/full 2>/dev/full"])
@pytest.mark.usefixtures("journal")
def test_other_commands_say_that_their_output_is_lost(where: str, command: list[str]) -> None:
    line = " ".join([*COMMAND[:-1], *command, "--format", "json", where])

    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("otel-codomon: cannot write to standard output: ") or (
        where.endswith("2>/dev/full") and not done.stderr
    )


_PLANTED = """
import os, signal, sys
from otel_codomon.sandbox.foreground_execution import ForegroundExecution
end = ForegroundExecution.end
def planted(*arguments, **options):
    {planted}
    return end(*arguments, **options)
ForegroundExecution.end = planted
from otel_codomon.cli import main
sys.exit(main(["run", "-q", "--", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_comes_too_late_loses_nothing(number: signal.Signals, journal: Path) -> None:
    program = _PLANTED.format(planted=f"os.kill(os.getpid(), {int(number)})")

    done = subprocess.run([sys.executable, "-c", program, "sh", "-c", "exit 5"], check=False)

    assert done.returncode == 5
    assert [execution.outcome for execution in recorded(journal)] == [Outcome.ERROR]


@pytest.mark.parametrize(
    ("command", "code"), [(["sh", "-c", "exit 5"], 5), (["sh", "-c", "kill -9 $$"], 137)]
)
@pytest.mark.usefixtures("journal")
def test_a_failure_of_ours_takes_no_exit_code_away(command: list[str], code: int) -> None:
    program = _PLANTED.format(planted="raise RuntimeError('planted')")

    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=False
    )

    assert done.returncode == code
    assert "RuntimeError: planted; the command is not affected" in done.stderr


# --- sampling -----------------------------------------------------------------

_SAMPLERS = (
    *("always_on", "always_off", "traceidratio"),
    *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
    *("PARENTBASED_ALWAYS_OFF", "no_such_sampler", ""),
)


@given(
    sampler=st.sampled_from((None, *_SAMPLERS)),
    argument=st.sampled_from((None, "0", "1", "0.5", "1e-3", "2", "-1", "nan", "half", "")),
    flags=st.sampled_from((None, "00", "01", "02", "03")),
    trace_id=st.integers(1, 2**128 - 1),
)
def test_it_samples_as_the_sdk_does(
    sampler: str | None, argument: str | None, flags: str | None, trace_id: int
) -> None:
    given_variables = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    environ = {name: value for name, value in given_variables.items() if value is not None}
    parent = None
    if flags is not None:
        context = SpanContext(trace_id, 1, is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
        parent = set_span_in_context(NonRecordingSpan(context))

    with pytest.MonkeyPatch.context() as patch:
        for name in given_variables:
            patch.delenv(name, raising=False)
        for name, value in environ.items():
            patch.setenv(name, value)
        theirs = _get_from_env_or_default().should_sample(parent, trace_id, "x")

    ours = is_sampled(f"{trace_id:032x}", flags, environ)
    assert ours == (theirs.decision is Decision.RECORD_AND_SAMPLE)


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_SAMPLER": "always_off"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
        {"TRACEPARENT": f"00-{'a' * 32}-{'b' * 16}-00"},
    ],
    ids=["always off", "ratio", "parent"],
)
def test_what_is_not_sampled_is_kept_counted_and_not_sent(
    variables: dict[str, str], journal: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**variables, **collector.environment()}.items():
        monkeypatch.setenv(name, value)

    shown = otel_run("-q", "--", "printenv", "TRACEPARENT").stdout
    linked = otel_run("-q", "--propagate", "linked", "--", "printenv", "TRACEPARENT").stdout
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    otel_run("-q", "--", "true")
    subprocess.run([*COMMAND[:-1], "journal", "send"], check=True, capture_output=True)

    assert shown.endswith("-00\n")
    assert linked.endswith("-00\n")
    assert [span.name for span in collector.spans()] == ["true"]
    assert len(recorded(journal)) == 3
    counted = {point.attributes["codomon.execution.name"] for point in collector.points()}
    assert counted == {"printenv", "true"}


def test_a_configuration_file_is_refused_and_the_command_runs(
    journal: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in collector.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OTEL_CONFIG_FILE", "/etc/otel.yaml")

    done = otel_run("--", "sh", "-c", "exit 5")

    assert done.returncode == 5
    assert "OTEL_CONFIG_FILE is set, which this command does not read" in done.stderr
    assert len(recorded(journal)) == 1
    assert collector.requests() == []


# --- what can be said ---------------------------------------------------------


def test_a_timeout_ends_the_tree_with_124(journal: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = stubborn_telling(told)
    with NamedPipe(told) as reader:
        for seconds in (1, 10, 100):  # until the program is ready in this time
            done = otel_run(
                *("--timeout", str(seconds), "--grace", "0.1", "--", sys.executable, "-c", program)
            )
            pids = reader.numbers()
            if len(pids) == 2:
                break

    assert done.returncode == 124
    assert [is_alive(pid) for pid in pids] == [False, False]
    execution = recorded(journal)[0]
    assert execution.outcome is Outcome.TIMEOUT
    assert execution.attributes[names.EXECUTION_TIMEOUT] == seconds


def test_a_limit_ends_the_tree(journal: Path) -> None:
    # Each ends soon: one that went on would have the kernel's limit of a process before ours.
    burn = f"{sys.executable} -ISc 'import time\nwhile time.process_time() < 0.05: pass'"
    spin = f"while :; do {burn}; done"
    done = otel_run("--limit-cpu", "0.2", "--", "bash", "-c", f"({spin})& ({spin})& wait")

    assert done.returncode == 137
    [execution] = recorded(journal)
    assert execution.outcome is Outcome.LIMIT_EXCEEDED
    assert execution.attributes[names.LIMIT_CPU] == 0.2


@pytest.mark.usefixtures("journal")
def test_limits_of_a_process_are_set() -> None:
    done = otel_run(
        "--limit-open-files",
        "33",
        "--limit-file-size",
        "1M",
        "--",
        "sh",
        "-c",
        "ulimit -n; ulimit -f",
    )

    assert done.stdout.split() == ["33", "2048"]


def test_source_text_in_a_file_runs_in_its_language(journal: Path, tmp_path: Path) -> None:
    source = tmp_path / "double.py"
    source.write_text("import sys; print(2 * int(sys.argv[1]))")

    done = otel_run("--language", "py", str(source), "21")

    assert (done.returncode, done.stdout) == (0, "42\n")
    [execution] = recorded(journal)
    assert (execution.labels.kind, execution.labels.language) == (Kind.SNIPPET, "python")


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no command"),
        (["--"], "no command"),
        (
            ["--timeout", "0", "--", "true"],
            "invalid number of seconds '0': must be more than 0 and at most",
        ),
        (["--timeout", "nan", "--", "true"], "at most 1000000000, such as 2 or 0.5"),
        (["--timeout=1e10", "--", "true"], "invalid number of seconds '1e10': must be more than 0"),
        (
            ["--limit-cpu=1e300", "--", "true"],
            "invalid number of seconds '1e300': must be more than 0",
        ),
        (
            ["--limit-memory", "512", "--", "true"],
            "invalid limit '512': must be 1M or more (did you mean 512M?)",
        ),
        (["--limit-memory=8388608T", "--", "true"], "invalid size '8388608T': use bytes or a unit"),
        (["--limit-processes", "9" * 5000, "--", "true"], "must be a whole number from 1 to"),
        (
            ["--limit-memory", "5Q", "--", "true"],
            "invalid size '5Q': use bytes or a unit, such as 4096, 512M or 1.5G",
        ),
        (["--limit-cpu", "-1", "--", "true"], "--limit-cpu"),
        (["--language", "klingon", "--", "x"], "cannot run source text in 'klingon'"),
        (["--language", "python", "--", "/no/such/file"], "cannot run '/no/such/file'"),
        (["--propagate", "some", "--", "true"], "invalid choice: 'some'"),
        (["--isolation", "jail", "--", "true"], "invalid choice: 'jail'"),
        (["--writable", ".", "--", "true"], "add --isolation bubblewrap"),
        (["--allow-env", "X", "--", "true"], "add --isolation bubblewrap"),
    ],
)
def test_wrong_usage_is_told_in_one_line(arguments: list[str], said: str) -> None:
    done = otel_run(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(
    "option", [row.flags[-1] for row in OPTIONS if row.choices or row.convert not in (str, None)]
)
def test_a_value_that_an_option_cannot_take_is_told_with_one_that_it_can(option: str) -> None:
    done = otel_run(option, "¿nonsense?", "--", "true")

    assert (done.returncode, done.stdout) == (2, "")
    assert re.search("such as|choose from", done.stderr)
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("journal")
def test_a_memory_limit_that_lets_nothing_begin_is_an_end_like_others() -> None:
    done = otel_run("--limit-memory", "1M", "--", sys.executable, "-c", "pass")

    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


# --- what is told -------------------------------------------------------------


def test_an_inherited_trace_goes_on_in_the_command(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", f"00-{'a' * 32}-{'b' * 16}-01")

    done = otel_run("--", "printenv", "TRACEPARENT")

    [execution] = recorded(journal)
    assert (execution.trace_id, execution.parent_span_id) == ("a" * 32, "b" * 16)
    assert done.stdout == f"00-{'a' * 32}-{execution.span_id}-01\n"


def test_a_traceparent_that_is_none_begins_a_trace(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", "00-00-00-00")

    otel_run("--", "true")

    [execution] = recorded(journal)
    assert execution.parent_span_id is None


def test_a_linked_command_reports_into_a_trace_of_its_own(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", f"00-{'a' * 32}-{'b' * 16}-01")
    monkeypatch.setenv("TRACESTATE", "vendor=ours")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
    with Collector() as collector:
        for name, value in collector.environment().items():
            monkeypatch.setenv(name, value)

        shown = otel_run("-q", "--propagate", "linked", "--", "env").stdout
        [span] = collector.wait_for_spans(1)

    learnt = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    _, trace_id, span_id, flags = learnt["TRACEPARENT"].split("-")
    assert (span.trace_id, flags) == ("a" * 32, "01")
    assert (span.links, len(span_id)) == ([trace_id], 16)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in learnt
    assert not learnt.keys() & {"OTEL_EXPORTER_OTLP_HEADERS", "TRACESTATE"}
    assert [execution.trace_id for execution in recorded(journal)] == ["a" * 32]


@pytest.mark.usefixtures("journal")
def test_without_propagation_the_command_learns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", f"00-{'a' * 32}-{'b' * 16}-01")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")

    shown = otel_run("-q", "--propagate", "none", "--", "env").stdout

    learnt = [line for line in shown.splitlines() if line.startswith(("TRACE", "OTEL_"))]
    assert learnt == []


def test_the_summary_is_one_line_with_the_way_to_more(journal: Path) -> None:
    done = otel_run("--", "sh", "-c", "exit 3")

    [execution] = recorded(journal)
    assert done.stderr.startswith("otel-codomon: failed with exit code 3, ")
    assert done.stderr.endswith(f"; otel-codomon show {execution.execution_id[:8]}\n")


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(
    ("options", "script", "cause"),
    [
        ((), "true", "success, "),
        ((), "kill -SEGV $$", "crashed: SIGSEGV, "),
        (("--timeout", "0.2"), "sleep 60", "timed out after 200 ms while waiting "),
        (("--limit-cpu", "0.1"), "while :; do :; done", "exceeded its CPU time limit of 100 ms "),
    ],
)
def test_the_summary_begins_with_the_cause(
    options: tuple[str, ...], script: str, cause: str
) -> None:
    done = otel_run(*options, "--", "sh", "-c", script)

    assert done.stderr.startswith(f"otel-codomon: {cause}")


@pytest.mark.usefixtures("journal")
def test_the_summary_goes_as_json_to_a_file_or_a_descriptor(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    reader, writer = os.pipe()

    otel_run("-q", "--format", "json", "--output-file", str(file), "--", "true")
    otel_run("--format", "json", "--output-file", str(writer), "--", "true", pass_fds=[writer])
    os.close(writer)

    with os.fdopen(reader) as pipe:
        summaries = [json.loads(file.read_text()), json.loads(pipe.read())]
    assert [(each["outcome"], each["exit_code"]) for each in summaries] == [("success", 0)] * 2


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(("word", "is_known"), [("run", False), ("ps", True)])
def test_the_figures_of_an_engine_client_do_not_stand_in_for_the_work(
    journal: Path, tmp_path: Path, word: str, *, is_known: bool
) -> None:
    client = tmp_path / "docker"
    client.write_text(
        # Larger than what starts it: without a cgroup its peak is not known otherwise.
        f"#!{sys.executable}\nimport time\nheld = b'x' * (200 << 20)\n"
        "while time.process_time() < 0.2: pass\n",
        encoding="utf-8",
    )
    client.chmod(0o755)

    otel_run("--", str(client), word, "image")

    [record] = recorded(journal)
    assert (record.usage.cpu_seconds is not None) is is_known
    assert (record.usage.peak_memory_bytes is not None) is is_known
    assert (record.usage.absent_reason is None) is is_known


def test_a_summary_that_cannot_be_written_leaves_the_exit_code() -> None:
    done = otel_run("--output-file", "/no/such/folder/x", "--", "sh", "-c", "exit 4")

    assert done.returncode == 4
    assert "cannot write the summary to /no/such/folder/x" in done.stderr


def test_a_journal_that_cannot_be_written_leaves_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("OTEL_PYTHON_CODOMON_JOURNAL", str(blocked / "journal"))

    done = otel_run("-q", "--", "echo", "out")

    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "")


def test_the_curve_begins_when_the_command_does_and_not_when_it_is_first_sampled(
    journal: Path,
) -> None:
    burn = "read go; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
    living = RunningExecutions(str(journal))
    with subprocess.Popen(
        [*COMMAND, "-q", "--", "sh", "-c", burn], stdin=subprocess.PIPE, text=True
    ) as child:
        wait_for(lambda: bool(living.read()) and bool(living.heartbeats), what="a heartbeat")
        go_unix_ns = time.time_ns()
        child.communicate("go\n")

    [execution] = recorded(journal)
    curve = execution.usage.curve
    assert curve is not None
    go_seconds = (go_unix_ns - execution.started_unix_ns) / 1e9
    points = zip(curve.seconds, curve.seconds[1:], curve.cores[1:], strict=False)
    before = sum((end - begin) * cores for begin, end, cores in points if end <= go_seconds)
    assert before < 0.05
    assert curve.seconds[0] <= go_seconds
    assert curve.seconds[-1] <= (execution.duration_seconds or 0)


needs_cgroup = pytest.mark.skipif(
    (own := cgroups.create()) is None or not own.remove(),
    reason="no cgroup can be made here: run the tests as root, or with a delegated cgroup",
)


@needs_cgroup
def test_out_of_memory_is_told_when_the_kernel_says_so(journal: Path) -> None:
    program = "block = b'x' * (300 * 1024 * 1024); print('got it')"

    done = otel_run("--limit-memory", "64M", "--", sys.executable, "-c", program)

    assert (done.returncode, done.stdout) == (137, "")
    [execution] = recorded(journal)
    assert execution.outcome is Outcome.OOM_KILLED
    assert execution.usage.source == "cgroup"


@needs_cgroup
def test_its_cgroup_has_the_id_of_the_execution(journal: Path) -> None:
    done = otel_run("--", "cat", "/proc/self/cgroup")

    [execution] = recorded(journal)
    assert re.search(rf"/codomon-\d+-.*-{execution.execution_id}\n", done.stdout)


@needs_cgroup
def test_the_totals_are_those_of_the_whole_tree(journal: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    burn = "import time\nwhile time.process_time() < 0.15: pass"
    start = f"subprocess.run([sys.executable, '-c', {burn!r}])"
    program = f"import subprocess, sys\nfor _ in range(2): {start}"

    otel_run("--", sys.executable, "-c", program + f"\nb'x' * {50 * 1024 * 1024}")

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    with_ours = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    [execution] = recorded(journal)
    assert execution.usage.cpu_seconds is not None
    assert 0.3 <= execution.usage.cpu_seconds <= with_ours + 0.05
    assert execution.usage.peak_memory_bytes is not None
    assert 50 * 1024**2 < execution.usage.peak_memory_bytes < 100 * 1024**2


def test_a_command_that_lasts_has_a_curve(journal: Path) -> None:
    for seconds in ("1", "10", "100"):  # until what looks has been imported in this time
        done = otel_run("-q", "--", "sleep", seconds)
        usage = recorded(journal)[0].usage
        if usage.curve is not None:
            break

    assert (done.returncode, done.stderr) == (0, "")
    assert usage.curve is not None
    assert usage.samples is not None
    assert usage.samples > len(usage.curve.seconds)


def test_spans_of_short_and_long_commands_reach_a_collector(journal: Path) -> None:
    with Collector() as collector:
        env = {**os.environ, **PATIENT, **collector.environment(), "OTEL_SERVICE_NAME": "shell"}
        otel_run("-q", "--", "sh", "-c", "exit 3", env=env)
        otel_run("-q", "--", "sleep", "1", env=env)
        spans = collector.wait_for_spans(2)
        points = collector.wait_for_points(1)

    assert sorted(str(span.attributes[names.EXECUTION_OUTCOME]) for span in spans) == [
        "error",
        "success",
    ]
    assert {span.name for span in spans} == {"sh", "sleep"}
    assert {span.resource["service.name"] for span in spans} == {"shell"}
    assert points
    assert journal.exists()


def test_without_a_journal_the_span_reaches_the_collector_all_the_same(
    journal: Path, tmp_path: Path
) -> None:
    passing = tmp_path / "passing"
    passing.mkdir()
    with Collector() as collector:
        env = {**os.environ, **PATIENT, **collector.environment(), "TMPDIR": str(passing)}
        env["OTEL_PYTHON_CODOMON_JOURNAL"] = "off"
        otel_run("-q", "--", "true", env=env)
        [span] = collector.wait_for_spans(1)

    assert span.name == "true"
    assert not journal.exists()


# --- its cost -----------------------------------------------------------------


@pytest.mark.usefixtures("journal")
def test_a_short_command_never_waits_for_opentelemetry() -> None:
    program = (
        "from otel_codomon import cli\n"
        "from otel_codomon.cli import run_command, run_start\n"
        "run_start._LATER_SECONDS = 3600\n"  # however slow the machine, it is short
        "raise SystemExit(cli.main(['run', '-q', '--', 'true']))"
    )

    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "opentelemetry" not in done.stderr


# Says what is imported when the command is about to be started.
TELLING = """
import os, sys
fork = os.fork
def fork_and_tell():
    sys.stderr.write(" ".join(sys.modules))
    return fork()
os.fork = fork_and_tell
from otel_codomon.cli import main
sys.exit(main(sys.argv[1:]))
"""
HEAVY = {"argparse", "dataclasses", "enum", "subprocess", "logging", "opentelemetry", "typing"}


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize("options", [[], ["--timeout", "60"], ["--limit-memory=1G"]], ids=" ".join)
def test_before_the_command_starts_nothing_is_imported_that_takes_time(options: list[str]) -> None:
    bare = subprocess.run(
        [sys.executable, "-c", "import sys, ctypes; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )

    done = subprocess.run(
        [sys.executable, "-c", TELLING, "run", "-q", *options, "--", "true"],
        capture_output=True,
        text=True,
        check=True,
    )

    imported = set(done.stderr.split()) - set(bare.stdout.split())
    assert "otel_codomon.sandbox.foreground" in imported
    assert not imported & HEAVY


PLAIN: list[list[str]] = [
    [],
    ["-q"],
    ["--quiet", "--name", "job"],
    ["--name=job=1", "--session-id", "s", "--language", "c"],
    ["--timeout", "60", "--grace=0.5", "--propagate", "linked"],
    ["--limit-cpu", "1.5", "--limit-memory", "64M", "--limit-processes=3"],
    ["--limit-file-size", "1G", "--limit-open-files", "33"],
    ["--format", "json", "--output-file", "out", "--output-file", "other"],
    ["--isolation", "bubblewrap", "--writable", "a", "--writable=b", "--allow-env", "X"],
]
# For argparse alone to judge: right, but not plain, or wrong.
OTHER: list[list[str]] = [
    ["true"],
    ["--name", "-x", "--", "true"],
    ["--name"],
    ["--name", "--", "true"],
    ["--nam", "x", "--", "true"],
    ["--quiet=x", "--", "true"],
    ["--timeout", "soon", "--", "true"],
    ["--propagate", "some", "--", "true"],
    ["--help", "--", "true"],
    ["-qq", "--", "true"],
    [],
]


@pytest.mark.parametrize("options", PLAIN, ids=" ".join)
def test_what_is_plain_is_read_as_the_parser_reads_it(options: list[str]) -> None:
    parser = cli.parser_of("run", run_command)  # type: ignore[arg-type] # a module is one
    typed = [*options, "--", "true", "--", "-q", "--name"]

    plain = read_plainly(typed)

    assert plain is not None
    parsed = vars(parser.parse_args(typed))
    assert run_command.words_of(plain.command) == run_command.words_of(parsed.pop("command"))
    assert {name: getattr(plain, name) for name in parsed} == parsed


@pytest.mark.parametrize("arguments", OTHER, ids=" ".join)
def test_the_rest_is_left_to_the_parser(arguments: list[str]) -> None:
    assert read_plainly(arguments) is None
