"""The arguments of `configure` that change nothing, since what they are about is there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_codomon._platform.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_codomon.configuration.configured import Configuration

    _Question = Callable[[Configuration], bool]

_log = get_logger("otel_codomon")


def _makes_a_provider(configuration: Configuration) -> bool:
    return bool(configuration.made)


def _sends(configuration: Configuration) -> bool:
    """Whether providers of ours send, or the journal does: the executions of the dead at least."""
    return bool(configuration.made) or configuration.journal is not None


def _has_journal(configuration: Configuration) -> bool:
    return configuration.journal is not None


# Argument -> whether it has an effect on what was set up; the others always have one.
_EFFECTS: Final[Mapping[str, _Question]] = {
    "service_name": _makes_a_provider,
    "resource_attributes": _makes_a_provider,
    "endpoint": _sends,
    "protocol": _sends,
    "headers": _sends,
    "deliver": _has_journal,
    "durability": _has_journal,
    "exit_timeout": _has_journal,
}


def report_first(given: Mapping[str, Any], configuration: Configuration) -> None:
    """Log which arguments of the first call have no effect beside what was there before."""
    names = [
        name
        for name, has_effect in _EFFECTS.items()
        if given.get(name) is not None and not has_effect(configuration)
    ]
    _report(names, "providers exist already, or there is no journal; configure those instead")


def report_again(given: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Log which arguments of a later call are not those of the first."""
    names = [name for name, value in given.items() if value is not None and value != before[name]]
    _report(names, "the first call counts; pass them there")


def _report(names: list[str], reason: str) -> None:
    if names:
        _log.warning("configure() ignores %s: %s", ", ".join(names), reason)
