"""What a check says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class State(str, Enum):
    """How it is.

    ``off`` is not there or not in use, and nothing is wrong with that; ``warning`` works and
    may surprise; ``failure`` does not work.
    """

    OK = "ok"
    OFF = "off"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One thing that was looked at.

    Attributes:
        category: What it is part of: ``endpoint``, ``clock``, ``journal``,
            ``configuration``, ``machine`` or ``versions``.
        name: What was looked at.
        state: How it is.
        detail: What was found.
        hint: What to do about it; None where nothing is to be done.
        is_detail: Whether it is of interest only to those who ask for more: a default, a version.
    """

    category: str
    name: str
    state: State
    detail: str
    hint: str | None = None
    is_detail: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the checks look at.

    Attributes:
        journal: Folder of the journal; None where it is switched off.
        environ: The environment.
        timeout_seconds: Longest time for one endpoint, seconds.
    """

    journal: str | None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    timeout_seconds: float = 5.0
