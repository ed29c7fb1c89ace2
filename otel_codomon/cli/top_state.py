"""What a person looks at in `top`, and what each key makes of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from otel_codomon.cli.keyboard import BACKSPACE, DOWN, ENTER, ESCAPE, UP
from otel_codomon.report.name_patterns import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_codomon.live.operation import RunningExecution

_LONGEST_FILTER: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is shown.

    Attributes:
        sort: What the rows are sorted by, one of `SORTS`.
        wanted: Only names that this pattern fits, or that it is part of; empty for all.
        is_typing: Whether keys are characters of *wanted*.
        selected: The execution that the cursor is on; None for the first.
        opened: The execution that is to be opened; None for none.
        is_over: Whether to leave.
    """

    sort: str = "memory"
    wanted: str = ""
    is_typing: bool = False
    selected: str | None = None
    opened: str | None = None
    is_over: bool = False


# What rows are sorted by, the largest first; what is not known goes last.
SORTS: Final[Mapping[str, Callable[[RunningExecution], float | None]]] = {
    "memory": lambda one: one.memory_bytes,
    "cpu": lambda one: one.cores,
    "age": lambda one: one.running_seconds,
    "processes": lambda one: one.process_count,
}
_BY_NAME: Final = "name"
SORT_NAMES: Final = (*SORTS, _BY_NAME)

KEYS: Final = {"m": "memory", "c": "cpu", "a": "age", "p": "processes", "n": _BY_NAME}
"""The key for each order."""


def arranged(view: View, executions: Sequence[RunningExecution]) -> list[RunningExecution]:
    """The executions that are shown, in the order of the rows."""
    shown = [one for one in executions if _is_wanted(one.name, view.wanted)]
    if view.sort == _BY_NAME:
        return sorted(shown, key=lambda one: (one.name, -one.running_seconds))
    read = SORTS[view.sort]
    return sorted(shown, key=lambda one: -1.0 if (n := read(one)) is None else n, reverse=True)


def _is_wanted(name: str, wanted: str) -> bool:
    return not wanted or wanted.lower() in name.lower() or fits(name, wanted)


def cursor(view: View, ids: Sequence[str]) -> int:
    """The row of the cursor; the first where what it was on has ended."""
    return ids.index(view.selected) if view.selected in ids else 0


def press(view: View, key: str, ids: Sequence[str]) -> View:
    """What *key* makes of the view.

    Args:
        view: What is shown.
        key: A character, or one of the names of `keyboard`.
        ids: The executions that are shown, in the order of the rows.
    """
    if view.is_typing:
        return _typed(view, key)
    move = SCROLL.get(key)
    if move is not None and ids:
        at = min(max(cursor(view, ids) + move, 0), len(ids) - 1)
        return replace(view, selected=ids[at])
    if key == ENTER and ids:
        return replace(view, opened=ids[cursor(view, ids)])
    change = _CHANGES.get(key)
    return view if change is None else change(view)


SCROLL: Final = {UP: -1, "k": -1, DOWN: 1, "j": 1}
"""Keys that move up and down, and by how many lines."""

_CHANGES: Final[Mapping[str, Callable[[View], View]]] = {
    "/": lambda view: replace(view, is_typing=True),
    "q": lambda view: replace(view, is_over=True),
    ESCAPE: lambda view: replace(view, wanted=""),
    **{key: partial(replace, sort=name) for key, name in KEYS.items()},
}


def _typed(view: View, key: str) -> View:
    """What *key* makes of the filter."""
    if key == ENTER:
        return replace(view, is_typing=False)
    if key == ESCAPE:
        return replace(view, is_typing=False, wanted="")
    if key == BACKSPACE:
        return replace(view, wanted=view.wanted[:-1])
    if len(key) == 1 and len(view.wanted) < _LONGEST_FILTER:
        return replace(view, wanted=view.wanted + key)
    return view
