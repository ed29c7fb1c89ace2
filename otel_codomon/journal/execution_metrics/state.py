"""The file that holds the sums and how far they cover the journal: one atomic write.

Only the elected sender writes it. Where it is missing or damaged the sums begin
again, with what was not delivered yet, and their start time shows it. One that a
later version wrote is left alone, and nothing is added up.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_codomon.journal import folder as folders
from otel_codomon.journal.execution_metrics.sums import Sums

if TYPE_CHECKING:
    from collections.abc import Mapping

SUMS_FILE: Final = "sums.json"
INSTANCE_FILE: Final = "instance.json"
_MACHINE_ID_FILE: Final = "/etc/machine-id"
_VERSION: Final = 1
_MAX_BYTES: Final = 64 * 1024 * 1024
_ID_BYTES: Final = 16


class NewerVersionError(Exception):
    """A later version of this package wrote the sums."""


@dataclass(slots=True)
class SumsState:
    """What is remembered from one sender to the next.

    Attributes:
        sums: What the executions add up to.
        counted: How far each segment is added up, bytes.
        exported: How far each was when the sums were exported last.
        exported_unix_ns: When that was; 0 for never.
        instance: The journal that they are the sums of.
        is_delta: Whether the sums are what was added since the last export.
        is_new: Whether there was no such file.
    """

    sums: Sums
    counted: dict[str, int] = field(default_factory=dict)
    exported: dict[str, int] = field(default_factory=dict)
    exported_unix_ns: int = 0
    instance: str = ""
    is_delta: bool = False
    is_new: bool = False

    def forget_all_but(self, names: set[str]) -> None:
        """Drop what is known of segments that are gone."""
        for offsets in (self.counted, self.exported):
            for name in offsets.keys() - names:
                del offsets[name]


def load_sums(folder_fd: int, *, is_exponential: bool, is_delta: bool) -> SumsState:
    """Read the sums; new ones where there are none that make sense.

    Those of another kind of histogram begin again, and so do totals where what is
    wanted is growth. What is added up stays added up.

    Args:
        folder_fd: The journal's folder.
        is_exponential: Whether histograms have exponential buckets.
        is_delta: Whether growth is exported instead of totals.

    Raises:
        NewerVersionError: They are of a later version.
    """
    instance = _instance(folder_fd)
    state = SumsState(Sums(is_exponential=is_exponential), instance=instance, is_delta=is_delta)
    told = _read_object(folder_fd, SUMS_FILE)
    if told is None:
        state.is_new = True
        return state
    try:
        if told["version"] > _VERSION:
            raise NewerVersionError
        state.counted = _offsets(told["counted"])
        state.exported = _offsets(told["exported"])
        state.exported_unix_ns = int(told["exported_unix_ns"])
        kept = told["is_delta"], told["is_exponential"], told["instance"]
    except (ValueError, TypeError, KeyError, AttributeError):
        return SumsState(state.sums, instance=instance, is_delta=is_delta, is_new=True)
    was_delta, was_exponential, owner = kept
    if was_exponential is is_exponential and owner == instance and was_delta >= is_delta:
        try:
            state.sums.add_json(told["services"])
            state.sums.is_changed = told["is_changed"] is True
        except (ValueError, TypeError, KeyError, AttributeError):
            state.sums = Sums(is_exponential=is_exponential)
    return state


def exported_ends(folder_fd: int) -> dict[str, int] | None:
    """How far each segment's executions are added up and exported, bytes.

    None where a later version does that: nobody else may wait for it.
    """
    told = _read_object(folder_fd, SUMS_FILE)
    try:
        if told is not None and told["version"] > _VERSION:
            return None
        return {} if told is None else _offsets(told["exported"])
    except (TypeError, KeyError, AttributeError):
        return {}


def save_sums(folder_fd: int, state: SumsState) -> None:
    """Write the sums anew, whole or not at all.

    Raises:
        OSError: They cannot be written.
    """
    told = {
        "version": _VERSION,
        "instance": state.instance,
        "is_delta": state.is_delta,
        "is_exponential": state.sums.is_exponential,
        "is_changed": state.sums.is_changed,
        "exported_unix_ns": state.exported_unix_ns,
        "counted": state.counted,
        "exported": state.exported,
        "services": state.sums.to_json(),
    }
    _write_object(folder_fd, SUMS_FILE, told)


def _instance(folder_fd: int) -> str:
    """The id of this journal; a new one where it is a copy of another's, or has none."""
    place = f"{_machine()}:{os.fstat(folder_fd).st_ino}"
    told = _read_object(folder_fd, INSTANCE_FILE) or {}
    found = told.get("id")
    if isinstance(found, str) and len(found) == 2 * _ID_BYTES and told.get("place") == place:
        return found
    made = os.urandom(_ID_BYTES).hex()
    with suppress(OSError):  # then the next sender makes another: one series more
        _write_object(folder_fd, INSTANCE_FILE, {"id": made, "place": place})
    return made


def _machine() -> str:
    try:
        with open(_MACHINE_ID_FILE, encoding="ascii") as file:  # noqa: PTH123 - as below
            return file.read(64).strip()
    except (OSError, ValueError):  # as in most containers
        return ""


def _read_object(folder_fd: int, name: str) -> dict[str, Any] | None:
    try:
        descriptor = folders.open_file(folder_fd, name, os.O_RDONLY)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
            told = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _write_object(folder_fd: int, name: str, told: Mapping[str, object]) -> None:
    fresh = f"{name}.new"
    descriptor = folders.open_file(folder_fd, fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - as above
        file.write(json.dumps(told, separators=(",", ":")).encode())
    os.rename(fresh, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)


def _offsets(told: Any) -> dict[str, int]:  # noqa: ANN401 - JSON
    return {name: n for name, n in told.items() if type(n) is int and n >= 0}
