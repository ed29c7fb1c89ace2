"""Draw docs/images/top.svg: the screen of `otel-codomon top` over real programs.

It takes three quarters of a minute: a trend is only shown from 30 seconds on.

    python -m tools.top_picture
"""

from __future__ import annotations

import re
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console

from otel_codomon import Limits, configure, run
from otel_codomon.cli.live_screen import as_text, lines_of
from otel_codomon.cli.top_state import View
from otel_codomon.live.operation import Monitor, Stats

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "top.svg"
MIB = 1024 * 1024
SECONDS = 45
LINES = 14

LEAK = """
import time
kept = []
while True:
    kept.append(bytearray(7 << 20))
    time.sleep(1)
"""
SHORT = "print(sum(range(10**6)))"
LONG = (
    ("thumbnail", LEAK, Limits(memory_bytes=512 * MIB)),
    ("hash-passwords", "while True: pass", None),
    ("wait-for-queue", "import time; time.sleep(600)", Limits(memory_bytes=64 * MIB)),
)
FAILING = (
    ("worker", "b = bytearray(300 << 20)", Limits(memory_bytes=128 * MIB)),
    ("parser", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", None),
)


def start(name: str, source: str, limits: Limits | None) -> None:
    """Run a program in a thread of its own, until this script has its picture."""

    def work() -> None:
        run(source, language="python", name=name, limits=limits, timeout=SECONDS + 10)

    threading.Thread(target=work, daemon=True).start()


def main() -> None:
    """Run the programs, look at them, and draw the last look."""
    with tempfile.TemporaryDirectory() as folder:
        configuration = configure(service_name="screens", journal=folder)
        for name, source, limits in LONG:
            start(name, source, limits)
        monitor = Monitor(journal=folder, what=("cpu", "memory", "disk"))
        for second in range(SECONDS):
            if second == SECONDS - 8:
                for name, source, limits in FAILING:
                    start(name, source, limits)
            if second % 6 == 0:
                run(SHORT, language="python", name="grade-answer")
            stats = monitor.look()
            time.sleep(1)
        draw(monitor, stats)
        monitor.close()
        configuration.shutdown()


def draw(monitor: Monitor, stats: Stats) -> None:
    """Write the picture of one look."""
    lines = lines_of(monitor, stats, View(), has_keys=True, height=LINES, columns=126)
    console = Console(record=True, width=126, force_terminal=True, color_system="truecolor")
    console.print(as_text(lines))
    picture = console.export_svg(title="otel-codomon top")
    # The fonts would be fetched from elsewhere: a reader's own will do.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    picture = re.sub(r"<!--.*?-->\s*", "", picture, flags=re.DOTALL)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture)
    print(f"Wrote {PICTURE}")  # noqa: T201 - what a script says


if __name__ == "__main__":
    main()
