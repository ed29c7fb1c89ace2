"""The examples of README and docs are run, each in a program of its own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECURITY = ROOT / "SECURITY.md"
PAGES = (ROOT / "README.md", SECURITY, *sorted((ROOT / "docs").glob("*.md")))
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


@dataclass(frozen=True)
class Example:
    """One fenced block: ``python`` and ``console`` are run unless marked ``no-run``.

    Files of real frameworks, marked ``file=…``, are run by `tests/frameworks`.
    """

    page: str
    line: int
    language: str
    mark: str
    text: str


def _examples() -> list[Example]:
    return [
        Example(
            page.relative_to(ROOT).as_posix(),
            page.read_text()[: match.start()].count("\n") + 1,
            match[1],
            match[2].strip(),
            match[3],
        )
        for page in PAGES
        for match in _FENCE.finditer(page.read_text())
    ]


def _runnable(language: str) -> list[Example]:
    return [
        row
        for row in _examples()
        if row.language == language and not row.mark.startswith(("no-run", "file="))
    ]


def _environment(home: Path) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    scripts = Path(sys.executable).parent
    return clean | {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "PATH": f"{scripts}{os.pathsep}{clean.get('PATH', '')}",
    }


@pytest.mark.parametrize("example", _runnable("python"), ids=lambda e: f"{e.page}:{e.line}")
def test_a_python_example_runs(example: Example, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(example.text)

    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=_environment(tmp_path),
        timeout=120,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("example", _runnable("console"), ids=lambda e: f"{e.page}:{e.line}")
def test_a_console_example_runs(example: Example, tmp_path: Path) -> None:
    for line in example.text.splitlines():
        if not line.startswith("$ otel-codomon"):
            continue  # its output, or a command of somebody else's
        done = subprocess.run(
            shlex.split(line.removeprefix("$ "), comments=True),
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=_environment(tmp_path),
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

        assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_links_only_to_what_is_there(page: Path) -> None:
    targets = _LINK.findall(page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_promise_of_the_security_page_names_tests_that_are_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", SECURITY.read_text())

    assert len(named) > len(set(named)) > 0
    assert [name for name in named if not (ROOT / name).exists()] == []
