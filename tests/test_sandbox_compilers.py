"""Compilers: held to what their source text may use, and told from what only looks like one."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from support.escapees import ESCAPEE, is_alive
from support.needs import needs_cgroup

from otel_codomon import Kind, Limits, Outcome, names, run

if TYPE_CHECKING:
    from pathlib import Path

    from otel_codomon.testing import Recorder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor is Linux's")

MIB = 1024 * 1024


class Tools:
    """Programs of our own on a PATH where there are few others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, script: str, *, interpreter: str = "/bin/sh") -> None:
        tool = self._folder / name
        tool.write_text(f"#!{interpreter}\n{script}\n")
        tool.chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": f"{self._folder}:{os.defpath}"}


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(tmp_path)


def test_a_compiler_is_held_to_the_limits_of_its_source_text(
    tools: Tools, recorder: Recorder
) -> None:
    tools.add("cc", "while :; do :; done")

    result = run("int x;", language="c", env=tools.env, limits=Limits(cpu_seconds=0.2))

    assert result.outcome is Outcome.LIMIT_EXCEEDED
    assert result.reason == "compiler cc: it exceeded its limit: cpu"
    compiler, snippet = recorder.executions()
    assert (compiler.outcome, snippet.outcome) == (result.outcome, result.outcome)
    assert (compiler.labels.kind, compiler.parent_span_id) == (Kind.COMMAND, snippet.span_id)
    assert [event.name for span in recorder.spans() for event in span.events] == [
        names.EVENT_LIMIT_REACHED
    ] * 2


def test_a_compiler_runs_out_of_the_time_of_its_source_text(tools: Tools) -> None:
    tools.add("cc", "sleep 1000")

    result = run("int x;", language="c", env=tools.env, timeout=0.1)

    assert result.outcome is Outcome.TIMEOUT
    assert result.reason == "compiler cc: it ran out of time"


@needs_cgroup
def test_the_kernel_holds_a_compiler_to_the_memory_limit(tools: Tools) -> None:
    tools.add("cc", f"block = b'x' * {300 * MIB}; print('got it')", interpreter=sys.executable)

    result = run("int x;", language="c", env=tools.env, limits=Limits(memory_bytes=64 * MIB))

    assert result.outcome is Outcome.OOM_KILLED
    assert result.reason == (
        "compiler cc: the kernel killed 1 of its processes at its memory limit"
    )


def test_nothing_that_a_compiler_starts_is_left(tools: Tools) -> None:
    asked = "import sys\nif '--version' in sys.argv: sys.exit(0)"
    tools.add("cc", f"{asked}\n{ESCAPEE}\nsys.exit(1)", interpreter=sys.executable)

    result = run("int x;", language="c", env=tools.env)

    assert not is_alive(int(result.stdout))


# --- what stands in for a tool that is not installed ----------------------------

REFUSAL = "error: no default toolchain is chosen"


@pytest.mark.parametrize(
    ("language", "tool", "code"), [("rust", "rustc", 1), ("javascript", "node", 127)]
)
def test_a_tool_that_only_stands_in_is_a_setup_error_with_its_words(
    language: str, tool: str, code: int, tools: Tools, recorder: Recorder
) -> None:
    tools.add(tool, f"echo '{REFUSAL}' >&2; exit {code}")

    result = run("text", language=language, env=tools.env)

    assert (result.outcome, result.exit_code, result.pid) == (Outcome.SETUP_ERROR, None, None)
    assert result.reason is not None
    assert f"{tool} does not work here: '{REFUSAL}'; install " in result.reason
    assert recorder.executions()[-1].outcome is Outcome.SETUP_ERROR


@pytest.mark.parametrize(
    ("language", "tool", "code"), [("rust", "rustc", 1), ("javascript", "node", 127)]
)
def test_a_tool_that_knows_its_version_refuses_the_text_and_nothing_else(
    language: str, tool: str, code: int, tools: Tools
) -> None:
    tools.add(tool, f"[ $1 = --version ] || {{ echo '{REFUSAL}' >&2; exit {code}; }}")

    result = run("text", language=language, env=tools.env)

    assert (result.outcome, result.exit_code) == (Outcome.ERROR, code)
    assert result.stderr == f"{REFUSAL}\n"
