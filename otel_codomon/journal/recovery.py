"""The executions of processes that died before they ended them become spans."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.never_raises import never_raises
from otel_codomon.journal import folder as folders, records, segments
from otel_codomon.journal.heartbeats import remove_of_dead, usage_so_far
from otel_codomon.journal.index import build_index, is_locked, read_record
from otel_codomon.journal.segment_reader import segment_size
from otel_codomon.journal.span_data import read_span_data
from otel_codomon.journal.writer import TAKE_OVER_AGE_NS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
    from otel_codomon.journal.delivery.state import State
    from otel_codomon.journal.index import Index, Place
    from otel_codomon.journal.writer import Writer
    from otel_codomon.resources.usage import Usage

_NO_TAKEOVERS: Final[Mapping[str, int]] = MappingProxyType({})


class Recovery:
    """Finds the dead and writes their spans, again and again, at little cost.

    What it writes is a record like any other: it is delivered, read and
    evicted as such, and tells the next search that this one was found.

    Args:
        kept: The journal's folder.
        state: Which segments are settled; more are noted there.
        writer: Where the spans go.
    """

    def __init__(self, kept: VerifiedDescriptor, state: State, writer: Writer) -> None:
        self._kept = kept
        self._state = state
        self._writer = writer
        self._seen: dict[str, int] | None = None  # at first the dead may be anywhere

    def search(self, takeovers: Mapping[str, int] = _NO_TAKEOVERS) -> int:
        """Write a span for each execution whose process died; how many.

        Never for a process that lives, or may live.

        Args:
            takeovers: Where in segments processes continued what others had left.
        """
        sight = self._look(takeovers)
        if sight == self._seen:
            return 0
        index = build_index(self._kept.checked(), settled=self._state.settled)
        found = 0
        died = index.died()
        used = usage_so_far(self._kept.checked()) if died else {}
        for key, place in died:
            found += self._append_died(index, key, place, used.get(key.hex()))
        self._settle(index)
        remove_of_dead(self._kept.checked())
        # As it was before the reading: who died since then is found the next time.
        self._seen = {name: at for name, at in sight.items() if name not in self._state.settled}
        return found

    def _look(self, takeovers: Mapping[str, int]) -> dict[str, int]:
        """How far the unsettled segments go that may have starts of the dead.

        To the end where their process died or moved on; where another took over
        that lives, to where it did so.
        """
        found = {}
        for name in folders.segment_names(self._kept.checked(), folders.TRACES):
            if name in self._state.settled:
                continue
            if not is_locked(self._kept.checked(), name):
                found[name] = segment_size(self._kept.checked(), name)
            elif name in takeovers:
                found[name] = takeovers[name]
        return found

    @never_raises("recovering an execution whose process died", default=False)
    def _append_died(self, index: Index, key: bytes, place: Place, used: Usage | None) -> bool:
        record = read_record(self._kept.checked(), index.names[place.segment], place)
        if record is None or (span := read_span_data(record)) is None:
            return False
        died = span.as_died(index.last_sign_unix_ns(place), used)
        resource = index.resources.get(span.resource_key or b"")
        if span.resource_key is not None and resource is not None:
            # Not declared: each dead process has its own, and the writer would keep them all.
            self._writer.append(segments.RESOURCE, resource, key=span.resource_key)
        # No instrument of the dead process reported it: it counts, whoever delivers.
        flags = record.flags & (segments.UNSAMPLED | segments.UNCOUNTED)
        payload = records.to_json(died.payload())
        return self._writer.append(segments.ENDED, payload, key=key, flags=flags)

    def _settle(self, index: Index) -> None:
        """Note the segments that need not be read again.

        In their order: the end of an execution may be in a later segment than
        its start, so a segment may be forgotten only after those before it. One
        that is still written has none of the others' ends but those that are
        written here, and is settled in its turn when its process is gone.
        """
        for name in index.names:
            if name in index.written:
                continue
            if folders.created_unix_ns(name) + TAKE_OVER_AGE_NS > index.read_unix_ns:
                break  # may be taken over, and get new starts
            self._state.settled.add(name)
