"""Programs that have a container engine do the work: what they use is not what the work uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_RUNS: Final[dict[str, frozenset[str]]] = {
    **dict.fromkeys(("docker", "podman", "nerdctl"), frozenset({"run", "exec", "start"})),
    "kubectl": frozenset({"run", "exec"}),
    "ctr": frozenset({"run", "exec", "start"}),
    "docker-compose": frozenset({"up", "run", "exec", "start"}),
    "podman-compose": frozenset({"up", "run", "exec", "start"}),
}
"""Which subcommands of which client run work; the others, as ``docker ps``, are their own work."""

_GROUPS: Final[dict[str, dict[str, frozenset[str]]]] = {
    client: {
        "container": frozenset({"run", "exec", "start"}),
        "compose": frozenset({"up", "run", "exec", "start"}),
        "task": frozenset({"exec", "start"}),
        "tasks": frozenset({"exec", "start"}),
    }
    for client in ("docker", "podman", "nerdctl", "ctr")
}
"""Subcommands that come in two words, as ``docker compose up``."""

_NAMES: Final = frozenset(name.encode()[:15] for name in _RUNS)
_MOST_WORDS: Final = 32
_BEFORE: Final = 3
"""Words in which the client is looked for: its interpreter comes before a script."""


def is_client_name(name: bytes) -> bool:
    """Whether a process of this name, as the kernel cuts it, may be such a client."""
    return name in _NAMES


def client_in(arguments: Sequence[str]) -> str | None:
    """What kind of client a command line is, as ``docker run``; None if it runs no work.

    Options before the subcommand are skipped. The value of one may be taken
    for the subcommand only if it is spelled like one.
    """
    at = next((n for n, word in enumerate(arguments[:_BEFORE]) if _base(word) in _RUNS), None)
    if at is None:
        return None
    arguments = arguments[at:]
    client = _base(arguments[0])
    known, words = {"": _RUNS[client], **_GROUPS.get(client, {})}, [client]
    for word in arguments[1:_MOST_WORDS]:
        if word in known.get(words[-1] if len(words) > 1 else "", ()):
            return " ".join((*words, word))
        if len(words) == 1 and word in known:
            words.append(word)
    return None


def _base(word: str) -> str:
    return word.rpartition("/")[2]
