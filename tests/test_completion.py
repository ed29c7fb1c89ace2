from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.typed import typed

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("shtab", reason="pip install 'otel-codomon[completion]'")

# What readline does when Tab is pressed after the words.
TAB = """
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$(complete -p otel-codomon | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completions(script: Path, *words: str) -> list[str]:
    done = subprocess.run(
        ["bash", "-c", TAB, "tab", str(script), "otel-codomon", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("completion") / "bash"
    path.write_text(typed("completion", "bash").stdout)
    return path


def test_a_real_bash_completes_commands_options_and_values(script: Path) -> None:
    assert completions(script, "rep") == ["report"]
    assert "--since" in completions(script, "report", "--s")
    assert completions(script, "report", "--format", "j") == ["json"]
    assert completions(script, "monitor-stats", "mem") == ["memory"]


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_get_a_script_too(shell: str) -> None:
    done = typed("completion", shell)

    assert (done.returncode, done.stderr) == (0, "")
    assert "monitor-stats" in done.stdout
    if shell == "zsh" and shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=done.stdout, text=True, check=True)


def test_an_unknown_shell_is_wrong_usage() -> None:
    done = typed("completion", "fish")

    assert done.returncode == 2
    assert "bash" in done.stderr
