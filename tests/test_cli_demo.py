from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from support.collector import PATIENT, Collector
from support.needs import HAS_MEMORY_LIMITS
from support.typed import clean_environment, typed_on_terminal

from otel_codomon import Outcome, Usage, names
from otel_codomon.cli import demo
from otel_codomon.journal.reader import JournalReader
from otel_codomon.live.demo import TITLES, Seen

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shown on Linux")

DEMO = [sys.executable, "-m", "otel_codomon", "demo"]
NOT_SHOWN = "not shown"
OUT_OF_MEMORY = "oom killed" if HAS_MEMORY_LIMITS else NOT_SHOWN
EXPECTED = ["success"] * 4 + ["killed", "timeout", OUT_OF_MEMORY, "error", "success"]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    journal = str(tmp_path / "journal")
    return {**kept, **PATIENT, "OTEL_PYTHON_CODOMON_JOURNAL": journal, "LANG": "C.UTF-8"}


def test_without_a_collector_it_shows_and_keeps_every_program(
    env: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(DEMO, env=env, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()[: len(TITLES) + 2]
    assert head.split() == ["program", "outcome", "time", "CPU", "memory"]
    assert [re.split(r"\s{2,}", row.strip())[1] for row in rows] == EXPECTED
    assert "nothing was sent" in done.stdout
    kept = {
        execution.labels.name: execution
        for execution in JournalReader(str(tmp_path / "journal")).executions()
    }
    assert kept["answer"].parent_span_id == kept["grade"].span_id
    assert kept["hang"].outcome is Outcome.TIMEOUT
    assert kept["start-children"].usage.cpu_seconds is not None
    assert kept["start-children"].usage.cpu_seconds >= 40 * 0.015


def test_with_a_collector_every_program_arrives(env: dict[str, str]) -> None:
    expected = [word.replace(" ", "_") for word in EXPECTED if word != NOT_SHOWN]
    with Collector() as collector:
        subprocess.run(
            DEMO, env={**env, **collector.environment()}, stdout=subprocess.DEVNULL, check=True
        )
        spans = collector.wait_for_spans(len(expected))

    outcomes = [str(span.attributes[names.EXECUTION_OUTCOME]) for span in spans]
    assert sorted(outcomes) == sorted(expected)


SEEN = [
    Seen(
        title=title,
        depth=int(title == "its command"),
        outcome=Outcome.LIMIT_EXCEEDED,
        seconds=2.0 + at,
        usage=Usage(cpu_seconds=1.0, peak_memory_bytes=1024**2 * 1000),
    )
    for at, title in enumerate((*TITLES, "its command"))
]


def drawn(columns: int, monkeypatch: pytest.MonkeyPatch, *, locale: str) -> list[str]:
    monkeypatch.setenv("LC_ALL", locale)
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None)
    console.print(demo.picture(console, SEEN))
    shown: str = console.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    return shown.splitlines()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_picture_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn(columns, monkeypatch, locale="C.UTF-8")

    assert max(map(len, lines)) <= columns
    assert any("█" in line for line in lines) == (columns >= 78)
    assert any("└─ its command" in line for line in lines)
    if columns >= 78:
        assert len(lines) == len(SEEN) + 4  # no row is folded


def test_where_the_terminal_speaks_no_unicode_the_picture_is_ascii(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = "\n".join(drawn(120, monkeypatch, locale="C"))

    assert shown.isascii()
    assert "####" in shown
    assert "`- its command" in shown


def test_what_was_not_shown_is_a_dash_and_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SEEN", [Seen(title="nothing")])

    shown = "\n".join(drawn(60, monkeypatch, locale="C"))

    assert "not shown" in shown
    assert "0.0" not in shown


def test_on_a_terminal_the_programs_are_shown_while_they_run(tmp_path: Path) -> None:
    env = clean_environment(OTEL_PYTHON_CODOMON_JOURNAL=str(tmp_path), LC_ALL="C.UTF-8")

    code, text = typed_on_terminal("demo", columns=100, env=env)

    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert code == 0
    assert "1 execution running, by age" in text
    assert "crashed: SIGSEGV" in text  # just ended, with its cause
    assert "a CPU burner" in text
