"""`otel-codomon run --language`: an execution, whatever becomes of its source text."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.escapees import NamedPipe, wait_until_dead
from support.needs import needs_cgroup
from support.typed import clean_environment

from otel_codomon import Kind, Outcome, names
from otel_codomon.journal.reader import JournalReader

if TYPE_CHECKING:
    from pathlib import Path

    from otel_codomon.journal.execution_record import ExecutionRecord

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="`run` is Linux's so far")

COMMAND = [sys.executable, "-m", "otel_codomon", "run"]
WELL = "int main(int count, char **words) { return count - 1; }"
needs_c = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here; install gcc")


class Workshop:
    """A directory with sources, tools that go before the others, and a journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tools = folder / "tools"
        self._tools.mkdir()
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.environment = clean_environment(
            OTEL_PYTHON_CODOMON_JOURNAL=str(folder / "journal"),
            TMPDIR=str(self.temporary),
            PATH=f"{self._tools}:{os.environ['PATH']}",
        )

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def add_tool(self, name: str, script: str, *, interpreter: str = "/bin/sh") -> None:
        (self._tools / name).write_text(f"#!{interpreter}\n{script}\n")
        (self._tools / name).chmod(0o755)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def recorded(self) -> list[ExecutionRecord]:
        """What is in the journal: source texts before their compilers."""
        found = JournalReader(str(self.folder / "journal")).executions()
        return sorted(found, key=lambda each: each.labels.kind is Kind.COMMAND)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@needs_c
def test_a_compiler_is_an_execution_within_that_of_its_source_text(workshop: Workshop) -> None:
    workshop.write("a.c", WELL)

    done = workshop.run("--language", "c", "a.c", "x", "y")

    assert done.returncode == 2
    snippet, compiler = workshop.recorded()
    assert (snippet.labels.kind, snippet.labels.language) == (Kind.SNIPPET, "c")
    assert (compiler.labels.kind, compiler.labels.name) == (Kind.COMMAND, "cc")
    assert compiler.parent_span_id == snippet.span_id
    assert (snippet.outcome, compiler.outcome) == (Outcome.ERROR, Outcome.SUCCESS)
    assert list(workshop.temporary.iterdir()) == []


@needs_c
@pytest.mark.parametrize("isolation", ["none", "bubblewrap"])
def test_source_text_that_does_not_compile_is_an_execution(
    isolation: str, workshop: Workshop
) -> None:
    if isolation == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("no bubblewrap here; install it")
    workshop.write("a.c", "int main(void) { oops }")

    done = workshop.run("--isolation", isolation, "--language", "c", "a.c")

    assert (done.returncode, done.stdout) == (1, "")
    assert "oops" in done.stderr
    assert "otel-codomon: failed: it does not compile" in done.stderr
    snippet, _ = workshop.recorded()
    assert snippet.outcome is Outcome.ERROR
    assert snippet.attributes[names.ERROR_REASON] == "it does not compile"
    assert list(workshop.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "code", "outcome", "reason"),
    [
        ("--limit-cpu=0.2", 137, Outcome.LIMIT_EXCEEDED, "it exceeded its limit: cpu"),
        ("--timeout=0.2", 124, Outcome.TIMEOUT, "it ran out of time"),
    ],
)
def test_a_compiler_has_the_limits_and_the_time_of_its_source_text(
    option: str, code: int, outcome: Outcome, reason: str, workshop: Workshop
) -> None:
    workshop.add_tool("cc", "while :; do :; done")
    workshop.write("a.c", WELL)

    done = workshop.run(option, "--language", "c", "a.c")

    assert done.returncode == code
    assert f"compiler cc: {reason}" in done.stderr
    snippet, compiler = workshop.recorded()
    assert (snippet.outcome, compiler.outcome) == (outcome, outcome)
    assert snippet.attributes[names.ERROR_REASON] == f"compiler cc: {reason}"


@needs_cgroup
def test_the_kernel_holds_a_compiler_to_the_memory_limit(workshop: Workshop) -> None:
    workshop.add_tool("cc", "block = b'x' * (300 * 1024**2)", interpreter=sys.executable)
    workshop.write("a.c", WELL)

    done = workshop.run("--limit-memory", "64M", "--language", "c", "a.c")

    assert done.returncode == 137
    assert [each.outcome for each in workshop.recorded()] == [Outcome.OOM_KILLED] * 2


def test_a_toolchain_that_is_missing_is_an_execution(workshop: Workshop) -> None:
    workshop.write("a.c", WELL)

    done = workshop.run("--language", "c", "a.c", PATH=str(workshop.temporary))

    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr == (
        "otel-codomon run: cannot run c: no cc or gcc or clang on the PATH; "
        "install a C compiler, such as the package gcc\n"
    )
    [snippet] = workshop.recorded()
    assert (snippet.outcome, snippet.labels.language) == (Outcome.SETUP_ERROR, "c")


@pytest.mark.parametrize(
    ("language", "tool", "refusal", "code"),
    [("rust", "rustc", 1, 126), ("javascript", "node", 127, 127)],
)
def test_a_tool_that_only_stands_in_is_a_setup_error_with_its_words(
    language: str, tool: str, refusal: int, code: int, workshop: Workshop
) -> None:
    workshop.add_tool(tool, f"echo 'no default is chosen' >&2; exit {refusal}")
    workshop.write("source", "text")

    done = workshop.run("--language", language, "source")

    assert done.returncode == code
    assert "does not work here: 'no default is chosen'" in done.stderr
    assert workshop.recorded()[0].outcome is Outcome.SETUP_ERROR


def test_an_interrupt_ends_the_compiler_and_is_recorded(workshop: Workshop) -> None:
    told = workshop.folder / "told"
    workshop.add_tool("cc", f"echo $$ > {told}; exec sleep 1000")
    workshop.write("a.c", WELL)
    with NamedPipe(told) as reader:
        process = subprocess.Popen(
            [*COMMAND, "--language", "c", "a.c"],
            cwd=workshop.folder,
            env=workshop.environment,
            stderr=subprocess.PIPE,
        )
        with process:
            compiler = reader.number()
            process.send_signal(signal.SIGINT)
            process.communicate()

    assert process.returncode == 130
    wait_until_dead(compiler)
    assert [each.outcome for each in workshop.recorded()] == [Outcome.CANCELLED] * 2
    assert list(workshop.temporary.iterdir()) == []


def test_a_file_that_is_called_like_an_option_is_a_file(workshop: Workshop) -> None:
    workshop.write("-c.py", "print('well')")

    done = workshop.run("--language", "python", "--", "-c.py")

    assert (done.returncode, done.stdout) == (0, "well\n")
