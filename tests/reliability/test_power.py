"""The power goes out, on a real kernel: what each durability keeps, and that all starts again."""

from __future__ import annotations

import random
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from support import uml

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.long, pytest.mark.uml]

MIB = 1024 * 1024
# Only a hang takes so long.
PATIENCE_SECONDS = 600.0

# Says of each sync of spans, once it is over, when it was begun.
WRITE = """
import os, sys, time
from otel_codomon import configure, execution
run = sys.argv[1]
sync = os.fdatasync
def sync_and_say(fd):
    begin = time.monotonic()
    sync(fd)
    if "/t-" in os.readlink(f"/proc/self/fd/{fd}"):
        os.write(1, f"s {run} {begin}\\n".encode())
os.fdatasync = sync_and_say
configure()
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


@dataclass
class Life:
    """What a machine said before its power went.

    Attributes:
        read: The executions that it found in the journal.
        acknowledged: Those that it ran, with the time of that on its clock.
        synced: When the last sync that came to its end was begun, on its clock.
    """

    read: set[str] = field(default_factory=set)
    acknowledged: dict[str, float] = field(default_factory=dict)
    synced: float = 0.0

    def hear(self, line: str) -> None:
        """Take note of a line, if it is a whole one of ours."""
        word, *rest = line.split() if line.endswith("\n") else [""]
        if word == "r" and len(rest) == 1:
            self.read.add(rest[0])
        if word == "e" and len(rest) == 2:
            self.acknowledged[rest[0]] = float(rest[1])
        if word == "s" and len(rest) == 2:
            self.synced = max(self.synced, float(rest[1]))

    def is_under_way(self, durability: str) -> bool:
        """Whether it has done what the cut of the power is to come after."""
        return bool(self.acknowledged) and (durability == "process" or self.synced > 0)


def boot_until_the_power_goes(
    folder: Path, disk: Path, durability: str, run: str, chance: random.Random
) -> Life:
    """Read the journal, write to it, and cut the power at a random instant."""
    (folder / "read.py").write_text(READ)
    (folder / "write.py").write_text(WRITE)
    script = SCRIPT.format(durability=durability, folder=folder, run=run)
    machine = uml.start(script, folder, arguments=(f"ubd1={disk}",))
    hang_guard = threading.Timer(PATIENCE_SECONDS, uml.cut_power, (machine,))
    hang_guard.start()
    cutter: threading.Timer | None = None
    life, said = Life(), []
    assert machine.stdout is not None
    for line in machine.stdout:
        said.append(line)
        life.hear(line)
        if cutter is None and life.is_under_way(durability):
            cutter = threading.Timer(chance.uniform(0.1, 3), uml.cut_power, (machine,))
            cutter.start()
    hang_guard.cancel()
    hang_guard.join()
    machine.wait()
    machine.stdout.close()
    assert "read\n" in said, "".join(said[-40:])
    assert cutter is not None, "".join(said[-40:])
    cutter.join()
    return life


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
    before = Life()
    # After each cut the next boot reads, and goes on with the next durability.
    for cut, durability in enumerate((*durabilities, "process")):
        life = boot_until_the_power_goes(tmp_path, disk, durability, f"cut{cut}", chance)
        if cut:
            was = durabilities[cut - 1]
            lost = before.acknowledged.keys() - life.read
            last = max(before.acknowledged.values())
            first_lost = min((before.acknowledged[number] for number in lost), default=last)
            print(
                f"{was}: {len(before.acknowledged)} acknowledged, {len(lost)} lost, "
                f"the first {last - first_lost:.3f} s before the cut"
            )
            assert kept <= life.read, "what once survived is there for good"
            assert was != "strict" or lost == set()
            assert was != "power" or first_lost >= before.synced or not lost
        kept |= life.read
        before = life
