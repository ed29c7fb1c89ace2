"""Write what people see: each command over two days of a service, at four widths of a terminal.

The commands run in a real terminal; read the files that it names.

    python -m tools.screens [DIRECTORY]
"""

from __future__ import annotations

import re
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from rich.console import Console
from support.history import write_history
from support.two_days import two_days
from support.typed import clean_environment, typed_on_terminal

from otel_codomon import Limits, configure, run
from otel_codomon.cli.live_screen import as_text, lines_of
from otel_codomon.cli.top_state import View
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.reader import JournalReader
from otel_codomon.live.operation import Monitor

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTHS: Final = (40, 80, 120, 200)
_ESCAPE: Final = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_COMMANDS: Final = {
    "nothing": (),
    "list": ("list", "--limit", "20"),
    "list-failed": ("list", "--outcome", "oom_killed"),
    "list-unknown-name": ("list", "--name", "thumb"),
    "list-tree": ("list", "--tree", "--limit", "10"),
    "report": ("report",),
    "report-verbose": ("report", "-v"),
    "report-worker": ("report", "--name", "worker"),
    "monitor-stats": ("monitor-stats", "--duration", "1", "-i", "0.5", "--since", "2d"),
    "journal-status": ("journal", "status"),
    "cache-info": ("cache-info",),
    "doctor": ("doctor",),
    "doctor-verbose": ("doctor", "-v"),
    "run": ("run", "--", "sh", "-c", "exit 3"),
    "run-timeout": ("run", "--timeout", "0.3", "--", "sleep", "10"),
    "demo": ("demo",),
    "help": ("--help",),
    "help-run": ("run", "--help"),
    "mistake": ("list", "--since", "tomorrow"),
    "mistake-command": ("lst",),
}


def main() -> None:
    """Write all screens."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/screens")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as journal:
        write_history(Path(journal), two_days()).forget()
        for name, text in (*_typed(journal), *_top(journal)):
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    print(f"Wrote {folder}")  # noqa: T201 - what a script says


def _typed(journal: str) -> Iterator[tuple[str, str]]:
    """What each command prints, by its name and width."""
    environment = clean_environment(OTEL_PYTHON_CODOMON_JOURNAL=journal, LC_ALL="C.UTF-8")
    worst = next(
        record.execution_id
        for record in JournalReader(journal).executions()
        if (record.labels.name, record.outcome) == ("worker", Outcome.OOM_KILLED)
    )
    commands = {**_COMMANDS, "show": ("show", worst), "show-verbose": ("show", worst, "-v")}
    for name, words in commands.items():
        for columns in WIDTHS:
            code, text = typed_on_terminal(*words, columns=columns, env=environment)
            shown = _ESCAPE.sub("", text).replace("\r\n", "\n")
            widest = max(map(len, shown.splitlines()), default=0)
            note = f"[exit code {code}; widest line {widest} of {columns}]\n"
            yield f"{name}-{columns}", f"$ otel-codomon {' '.join(words)}\n{shown}{note}"


def _top(journal: str) -> Iterator[tuple[str, str]]:
    """The screen of `top` over programs that run."""
    configuration = configure(service_name="screens", journal=journal)
    limits = Limits(memory_bytes=128 * 1024 * 1024)
    source = "kept = bytearray(90 << 20)\nwhile True: pass"
    ends = [
        threading.Thread(
            target=run,
            args=(source,),
            kwargs={"language": "python", "name": name, "limits": limits, "timeout": 6},
        )
        for name in ("thumbnail", "a-name-that-is-longer-than-its-column-is-wide")
    ]
    for thread in ends:
        thread.start()
    monitor = Monitor(journal=journal)
    for _ in range(4):
        stats = monitor.look()
        time.sleep(1)
    for columns in WIDTHS:
        lines = lines_of(monitor, stats, View(), has_keys=True, height=20, columns=columns)
        console = Console(record=True, width=columns, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115 - not printed
        console.print(as_text(lines))
        yield f"top-{columns}", console.export_text()
    monitor.close()
    for thread in ends:
        thread.join()
    configuration.shutdown()


if __name__ == "__main__":
    main()
