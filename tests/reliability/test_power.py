"""The power goes out, on a real kernel: what each durability keeps, and that all starts again."""

from __future__ import annotations

import random
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from support import uml

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.uml

MIB = 1024 * 1024
# What `power` may lose: the time between two syncs, and what one sync and its
# thread's turn take on this slow machine with one processor.
POWER_WINDOW_SECONDS = 0.1
POWER_SLACK_SECONDS = 1.5

WRITE = """
import os, sys, time
from otel_codomon import configure, execution
configure()
run = sys.argv[1]
for index in range(100_000):
    with execution("job", attributes={"number": f"{run}-{index}"}):
        pass
    os.write(1, f"e {run}-{index} {time.monotonic()}\\n".encode())
    time.sleep(0.002)
"""

READ = """
from otel_codomon.journal.reader import JournalReader
for record in JournalReader("/run/disk/journal").executions():
    if record.outcome == "success":
        print("r", record.attributes["number"], flush=True)
print("read", flush=True)
"""

SCRIPT = """
mkdir /run/disk
mount /dev/ubdb /run/disk || exit 9
export OTEL_PYTHON_CODOMON_JOURNAL=/run/disk/journal
export OTEL_PYTHON_CODOMON_DURABILITY={durability}
$PYTHON {folder}/read.py || exit 8
exec $PYTHON {folder}/write.py {run}
"""


def make_disk(folder: Path) -> Path:
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("needs mkfs.ext4: apt-get install e2fsprogs")
    disk = folder / "disk.img"
    with disk.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(disk)], check=True)
    return disk


def boot_until_the_power_goes(
    folder: Path, disk: Path, durability: str, run: str, chance: random.Random
) -> tuple[set[str], dict[str, float]]:
    """Read the journal, write to it, and cut the power at a random instant.

    Returns:
        What was read, and what was acknowledged with the time on that machine's clock.
    """
    (folder / "read.py").write_text(READ)
    (folder / "write.py").write_text(WRITE)
    script = SCRIPT.format(durability=durability, folder=folder, run=run)
    machine = uml.start(script, folder, arguments=(f"ubd1={disk}",))
    hang_guard = threading.Timer(180, uml.cut_power, (machine,))
    hang_guard.start()
    read: set[str] = set()
    acknowledged: dict[str, float] = {}
    is_read = False
    said: list[str] = []
    assert machine.stdout is not None
    for line in machine.stdout:
        said.append(line)
        words = line.split()
        is_read = is_read or words[:1] == ["read"]
        if words[:1] == ["r"]:
            read.add(words[1])
        if words[:1] == ["e"] and len(words) == 3 and line.endswith("\n"):
            acknowledged[words[1]] = float(words[2])
            if len(acknowledged) == 1:
                cutter = threading.Timer(chance.uniform(0.3, 3), uml.cut_power, (machine,))
                cutter.start()
    hang_guard.cancel()
    machine.wait()
    machine.stdout.close()
    assert is_read, "".join(said[-40:])
    assert acknowledged, "".join(said[-40:])
    cutter.join()
    return read, acknowledged


def lost_after(acknowledged: dict[str, float], read: set[str]) -> tuple[set[str], float]:
    """What was acknowledged and is gone, and how long before the cut the first of it was."""
    lost = acknowledged.keys() - read
    last = max(acknowledged.values())
    return set(lost), max((last - acknowledged[number] for number in lost), default=0.0)


@pytest.mark.parametrize(
    "durabilities",
    [
        pytest.param(("process", "power", "strict"), id="once each"),
        pytest.param(("process", "power", "strict") * 7, id="21 cuts", marks=pytest.mark.soak),
    ],
)
def test_a_cut_of_the_power_costs_what_the_durability_says(
    tmp_path: Path, durabilities: tuple[str, ...]
) -> None:
    disk = make_disk(tmp_path)
    chance = random.Random(len(durabilities))
    kept: set[str] = set()
    before: dict[str, float] = {}
    # After each cut the next boot reads, and goes on with the next durability.
    for cut, durability in enumerate((*durabilities, "process")):
        read, acknowledged = boot_until_the_power_goes(
            tmp_path, disk, durability, f"cut{cut}", chance
        )
        if cut:
            was = durabilities[cut - 1]
            lost, seconds = lost_after(before, read)
            print(
                f"{was}: {len(before)} acknowledged, {len(lost)} lost, "
                f"the first {seconds:.3f} s before the cut"
            )
            assert kept <= read, "what once survived is there for good"
            assert was != "strict" or lost == set()
            assert was != "power" or seconds <= POWER_WINDOW_SECONDS + POWER_SLACK_SECONDS
        kept |= read
        before = acknowledged
