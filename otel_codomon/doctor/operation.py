"""What works on this machine and what does not, each with what to do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon.doctor.checks import configuration, endpoints, journal, machine
from otel_codomon.doctor.checks.result import CheckResult, Scene, State
from otel_codomon.journal.location import JournalOffError, find_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WORST: Final = (State.FAILURE, State.WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What the doctor found.

    Attributes:
        state: The worst of all lines; what is off is well.
        lines: One for each thing that was looked at.
    """

    state: State
    lines: tuple[CheckResult, ...]


CHECKS: Final[tuple[Callable[[Scene], Iterator[CheckResult]], ...]] = (
    endpoints.check,
    machine.check_clock,
    journal.check,
    configuration.check,
    machine.check_machine,
    machine.check_versions,
)


def iterate_checks(scene: Scene) -> Iterator[CheckResult]:
    """Make all checks, one line after the other."""
    for check in CHECKS:
        yield from check(scene)


def make_scene(
    *,
    journal: str | None = None,
    environ: Mapping[str, str] | None = None,
    timeout_seconds: float = 5.0,
) -> Scene:
    """What the checks are to look at.

    Args:
        journal: Folder of the journal; None for what the environment says.
        environ: The environment; None for this process's own.
        timeout_seconds: Longest time for one endpoint, seconds.
    """
    try:
        folder = find_journal(journal)
    except JournalOffError:
        folder = None
    return Scene(
        journal=folder,
        environ=os.environ if environ is None else environ,
        timeout_seconds=timeout_seconds,
    )


def examine(*, journal: str | None = None, timeout_seconds: float = 5.0) -> Diagnosis:
    """Make all checks.

    Args:
        journal: Folder of the journal; None for what the environment says.
        timeout_seconds: Longest time for one endpoint, seconds.
    """
    lines = tuple(iterate_checks(make_scene(journal=journal, timeout_seconds=timeout_seconds)))
    return Diagnosis(state=worst_of(lines), lines=lines)


def worst_of(lines: tuple[CheckResult, ...]) -> State:
    """The worst state among *lines*; what is off is well."""
    return next((state for state in _WORST if any(line.state is state for line in lines)), State.OK)
