"""Ids of executions as people read them. Pure."""

from __future__ import annotations

from typing import Final

_DIGITS: Final = 8
_OF_OURS: Final = (16, 32)


def short_id(execution_id: str) -> str:
    """The beginning of an id, if it is one of ours; a caller's own id as it is."""
    is_ours = len(execution_id) in _OF_OURS and set(execution_id) <= set("0123456789abcdef")
    return execution_id[:_DIGITS] if is_ours else execution_id
