"""Which names a pattern stands for. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase


def fits(name: str, pattern: str) -> bool:
    """Whether *name* is *pattern*, or matches it as in a shell: ``thumb*``."""
    return name == pattern or fnmatchcase(name, pattern)
