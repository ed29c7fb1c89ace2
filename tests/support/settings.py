"""Run a behaviour program in each setting that users have, in a real process.

A behaviour program is a file of Python that defines ``behave()``. A test that
takes the fixture ``setting`` runs once in each setting::

    def test_something(setting: RunSetting) -> None:
        seen = setting("def behave(): ...")
        assert seen.value == ...
        assert [e.name for e in seen.executions] == ...
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import pytest

from otel_codomon.journal.reader import JournalReader
from support import setting_host
from support.unmeasured import UNMEASURED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HANG_SECONDS: Final = 600
_STATE: Final = "otel-codomon"


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: What `setting_host` knows it by.
        flags: Options of the interpreter.
        returncode: How the process ends.
        needs: A module without which there is no such setting.
        needs_root: Whether only root can make it.
    """

    name: str
    flags: tuple[str, ...] = ()
    returncode: int = 0
    needs: str | None = None
    needs_root: bool = False

    def __str__(self) -> str:
        return self.name


SETTINGS: Final = (
    Setting("recorder"),
    Setting("journal"),
    Setting("dead endpoint"),
    Setting("distro", needs="opentelemetry.distro"),
    Setting("logfire", needs="logfire"),
    Setting("ordinary user", needs_root=True),
    Setting("busy threads"),
    Setting("warnings as errors", flags=("-X", "dev", "-W", "error")),
    Setting("after fork"),
    Setting("spawned child"),
    Setting("ended by SIGTERM", returncode=-signal.SIGTERM),
    Setting("ended by os._exit"),
    Setting("ended by SIGKILL", returncode=-signal.SIGKILL),
)
ENDINGS: Final = tuple(one for one in SETTINGS if one.name.startswith("ended"))
"""Those that differ from ``journal`` only in the end of the process."""


@dataclass(frozen=True)
class SeenExecution:
    """One execution, as a recorder or the journal tells it."""

    name: str
    outcome: str | None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What a behaviour program did in one setting.

    Attributes:
        value: What ``behave()`` returned.
        executions: Its executions, in the order in which they ended.
        errors: What was written to standard error.
    """

    value: Any
    executions: tuple[SeenExecution, ...]
    errors: str


class RunSetting:
    """Runs behaviour programs in one setting.

    Args:
        setting: The setting.
        folder: For the files of this run alone, where every user can get to.
    """

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.setting = setting
        self._folder = folder

    def __call__(self, program: str, **environment: str) -> Seen:
        """Run *program*, with more variables of the environment."""
        files = _prepared(self._folder, program)
        ended = subprocess.run(
            [
                sys.executable,
                *self.setting.flags,
                setting_host.__file__,
                self.setting.name,
                *map(str, files),
            ],
            env=_environment(self._folder, {**self._measured, **environment}),
            capture_output=True,
            text=True,
            check=False,
            timeout=_HANG_SECONDS,
        )
        assert ended.returncode == self.setting.returncode, ended.stderr
        told = json.loads(files[1].read_text())
        return Seen(told["value"], self._executions(told["executions"]), ended.stderr)

    @property
    def _measured(self) -> dict[str, str]:
        return UNMEASURED if self.setting.needs_root else {}  # of another user then

    def _executions(self, recorded: list[dict[str, Any]] | None) -> tuple[SeenExecution, ...]:
        if recorded is not None:
            return tuple(SeenExecution(**one) for one in recorded)
        journal = self._folder / "state" / _STATE
        for path in (journal, *journal.iterdir()):
            os.chown(path, os.geteuid(), os.getegid())  # the ordinary user's: now for us to read
        found = JournalReader(str(journal)).executions()
        ours = sorted(
            (e for e in found if e.labels.name != "in the parent"),
            key=lambda e: e.ended_unix_ns or 0,
        )
        return tuple(SeenExecution(e.labels.name, e.outcome, e.attributes) for e in ours)


def _prepared(folder: Path, program: str) -> tuple[Path, Path]:
    """The program, and where its result goes, for every user to read and write."""
    (folder / "state").mkdir(exist_ok=True)
    for directory in (folder, folder / "state"):
        directory.chmod(0o777)
    file = folder / "behaviour.py"
    file.write_text(program)
    return file, folder / "result.json"


def _environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "XDG_", "LOGFIRE"))}
    tests = str(Path(__file__).parents[1])
    root = str(Path(__file__).parents[2])
    return {
        **kept,
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "PYTHONPATH": os.pathsep.join((tests, root)),
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }


@contextmanager
def run_setting(setting: Setting) -> Iterator[RunSetting]:
    """Make *setting*, or skip with the name of what is missing."""
    if setting.needs is not None:
        pytest.importorskip(setting.needs, reason=f"needs {setting.needs}")
    if setting.needs_root and os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    with TemporaryDirectory(prefix="codomon-setting-") as folder:
        yield RunSetting(setting, Path(folder))
