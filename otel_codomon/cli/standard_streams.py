"""Standard streams that are closed, full or broken: an exit code never depends on them.

Imports next to nothing: the command of `otel-codomon run` waits for it.
"""

from __future__ import annotations

import os
import sys

_STDOUT, _STDERR = 1, 2


def open_missing() -> None:
    """Occupy standard descriptors that are closed, before a file of ours gets their number.

    A command that is started finds them closed, as it would without us. What
    is written to standard output fails as on one that is closed; standard
    error takes what nobody can read.
    """
    for number in (0, _STDOUT, _STDERR):
        if not _is_open(number):  # the lowest free number is this one
            os.open(os.devnull, os.O_WRONLY if number == _STDERR else os.O_RDONLY)
    # Not closed with the file object: the descriptor stays occupied.
    if sys.stdout is None:
        sys.stdout = open(_STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor
    if sys.stderr is None:
        sys.stderr = open(_STDERR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def write_error(text: str) -> None:
    """Write *text* to standard error, or nowhere: the exit code says the rest."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):  # a full disk, a closed pipe or file
        let_go(_STDERR)


def let_go(number: int) -> None:
    """Point a standard descriptor at nothing, so that the interpreter's own flush is quiet."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, number)
        os.close(nothing)
    except OSError:  # no descriptor is left
        return


def let_go_of_stdout() -> None:
    """As `let_go`, for standard output."""
    let_go(_STDOUT)
