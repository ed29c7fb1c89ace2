"""Text that is wrapped at words to fit a terminal, and whole elsewhere."""

from __future__ import annotations

import shutil
import sys
import textwrap

from otel_codomon._platform.printable import printable
from otel_codomon.cli import output


def screen_width() -> int | None:
    """Columns of the terminal; None where stdout is none."""
    return shutil.get_terminal_size().columns if output.is_terminal() else None


def print_wrapped(
    text: str, *, first: str = "", indent: str = "", style: str | None = None
) -> None:
    """Print *text*, wrapped at words on a terminal.

    Args:
        text: What is printed.
        first: What goes before the first line.
        indent: What goes before the others.
        style: Colour of *first*; None for none.
    """
    width, clean = screen_width(), printable(text)
    if width is None or not (first + clean):
        output.print_line(first + clean)
        return
    lines = textwrap.wrap(
        clean, width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    )
    for number, line in enumerate(lines):
        head = line[: len(first)]
        if number == 0 and style is not None:
            head = output.coloured(head, style)
        sys.stdout.write(head + line[len(first) :] + "\n")
