"""What other processes of this user may ask of this one's caches: to be emptied, if allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_codomon._platform.logs import get_logger
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.journal import control_files, folder as folders
from otel_codomon.journal.writer import open_sessions
from otel_codomon.settings import read_setting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLEAR = "clear"
_log = get_logger(__name__)


class ClearRequests:
    """Takes the requests to empty caches, at each collection.

    Nothing is taken unless ``OTEL_PYTHON_CODOMON_CONTROL`` allows it: then a
    request is not even looked for.

    Args:
        clear: Empties the cache of a name; returns None, or why it could not.
        names: The names there are.
        environ: Where to look for the permission, once; None for the process's own.
    """

    def __init__(
        self,
        clear: Callable[[str], str | None],
        names: Callable[[], tuple[str, ...]],
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._clear = clear
        self._names = names
        self._is_allowed = _is_allowed(environ)

    def take(self) -> None:
        """Do what was asked of this process since the last time, and answer."""
        if not self._is_allowed:
            return
        for folder, session in open_sessions(folders.METRICS):
            for address, body in control_files.take(folder, session):
                control_files.answer(folder, address, self._answer(body))

    def _answer(self, body: dict[str, Any] | None) -> dict[str, Any]:
        wanted = None if body is None or body.get("action") != CLEAR else body.get("caches")
        if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
            return {"refused": "this process does not understand the request"}
        known = frozenset(self._names())
        return {
            "caches": {
                name: self._clear(name) if name in known else "no cache of this name is observed"
                for name in dict.fromkeys(wanted)
            }
        }


def _is_allowed(environ: Mapping[str, str] | None) -> bool:
    try:
        return CLEAR in read_setting("control", environ).value
    except InvalidArgumentError as error:
        _log.warning("%s; until then requests are refused", error)
        return False
