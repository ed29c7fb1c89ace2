"""How much disk a command may add, through `run` and `otel-codomon run`."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.bubblewrap import MISSING

from otel_codomon import Limits, Outcome, names, run as run_for_ever
from otel_codomon.sandbox import disk_meter, supervised, supervisor_process
from otel_codomon.sandbox.counting import TooManyFilesError
from otel_codomon.sandbox.disk_meter import DiskMeter
from otel_codomon.sandbox.warm_supervisor import WarmSupervisor

if TYPE_CHECKING:
    from pathlib import Path

    from otel_codomon.testing import Recorder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="disk is Linux's to limit")

needs_bubblewrap = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")
MIB = 1024 * 1024
# Only what is not ended takes so long.
run = functools.partial(run_for_ever, timeout=200)
LIMIT = Limits(disk_bytes=4 * MIB)
WRITE = f"import os, time\ndef write(path): open(path, 'wb').write(os.urandom({8 * MIB}))\n"
STAY = "\nwhile True: time.sleep(1000)\n"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", WRITE + code + STAY]


WAYS = {
    "one file": "write('big')",
    "many files": "for n in range(2500): open(str(n), 'wb').write(b'x' * 4096)",
    "deep down": (
        "import os\n"
        "for _ in range(3000):\n"
        "    os.mkdir('directory'); os.chdir('directory')\n"
        "write('big')"
    ),
    "deleted and held open": "held = open('big', 'wb+'); held.write(os.urandom("
    + str(8 * MIB)
    + ")); held.flush(); os.unlink('big')",
    "in a directory that was moved": "os.rename(os.getcwd(), os.getcwd() + '-moved'); write('big')",
    "by a daemon": "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: write('big')",
}


@pytest.mark.parametrize("way", WAYS)
def test_what_source_text_adds_to_its_directory_is_limited(way: str, recorder: Recorder) -> None:
    result = run(WRITE + WAYS[way] + STAY, language="python", limits=LIMIT)

    assert (result.outcome, result.reason) == (
        Outcome.LIMIT_EXCEEDED,
        "it exceeded its limit: disk",
    )
    [execution] = recorder.executions()
    assert execution.attributes[names.LIMIT_DISK] == 4 * MIB
    [point] = recorder.metrics()["codomon.execution.limit.reached"]
    assert dict(point.attributes or {})[names.LIMIT_TYPE] == "disk"


def test_what_a_command_adds_to_its_directory_is_limited(tmp_path: Path) -> None:
    result = run(python(WAYS["one file"]), cwd=tmp_path, limits=LIMIT)

    assert result.reason == "it exceeded its limit: disk"


@needs_bubblewrap
def test_writable_directories_and_tmpfs_count_together_in_isolation() -> None:
    halves = f"for place in ('big', '/tmp/big'): open(place, 'wb').write(os.urandom({3 * MIB}))"

    result = run(WRITE + halves + STAY, language="python", isolation="bubblewrap", limits=LIMIT)

    assert result.reason == "it exceeded its limit: disk"


@needs_bubblewrap
def test_memory_in_the_tmpfs_of_a_sandbox_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_codomon._platform.cgroups.create", lambda *_: None)

    result = run(
        "import os, time\n"
        f"open('/tmp/big', 'wb').write(bytes({30 * MIB}))\n"
        f"held = b'x' * {30 * MIB}" + STAY,
        language="python",
        isolation="bubblewrap",
        limits=Limits(memory_bytes=50 * MIB),
    )

    assert result.reason == "it exceeded its limit: memory"


def test_what_is_there_before_does_not_count(tmp_path: Path) -> None:
    tmp_path.joinpath("large").write_bytes(os.urandom(16 * MIB))

    result = run(["sh", "-c", "echo more > more; sleep 0.3"], cwd=tmp_path, limits=LIMIT)

    assert result.succeeded


def test_what_was_removed_makes_room(tmp_path: Path) -> None:
    tmp_path.joinpath("large").write_bytes(os.urandom(8 * MIB))
    code = "import os; os.unlink('large'); write('other'); time.sleep(0.3)"

    assert run([sys.executable, "-c", WRITE + code], cwd=tmp_path, limits=LIMIT).succeeded


def test_a_file_with_many_names_counts_once(tmp_path: Path) -> None:
    tmp_path.joinpath("one").write_bytes(os.urandom(3 * MIB))
    tmp_path.joinpath("two").hardlink_to(tmp_path / "one")
    tmp_path.joinpath("far").symlink_to("/usr")

    meter = DiskMeter([str(tmp_path), str(tmp_path / ".")], MIB)

    assert 3 * MIB <= meter._start_bytes < 4 * MIB


def test_disk_cannot_be_limited_where_counting_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(disk_meter, "COUNTING_SECONDS", 0.0)

    with pytest.raises(TooManyFilesError):
        DiskMeter([str(tmp_path)], MIB)


def test_a_command_whose_disk_cannot_be_limited_is_not_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from otel_codomon.sandbox import disk_meter, {0}\n"
        "disk_meter.COUNTING_SECONDS = 0.0\n"
        "{0}.main()\n"
    )
    monkeypatch.setattr(supervisor_process, "_PROGRAM", program)
    own = WarmSupervisor()
    monkeypatch.setattr(supervised, "warm_supervisor", own)

    result = run(["touch", "made"], cwd=tmp_path, limits=LIMIT)
    own.close()

    assert result.outcome is Outcome.SETUP_ERROR
    assert result.reason is not None
    assert result.reason.startswith(f"cannot limit disk in {tmp_path}: it holds more files than")
    assert not list(tmp_path.iterdir())


def test_the_option_of_the_command_line_limits_disk(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "otel_codomon", "run", "--limit-disk", "4M", "--"),
            *python(WAYS["one file"]),
        ],
        cwd=tmp_path,
        env={**os.environ, "OTEL_PYTHON_CODOMON_JOURNAL": str(tmp_path.parent / "journal")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 137
    assert "exceeded its disk limit of 4 MiB" in done.stderr
