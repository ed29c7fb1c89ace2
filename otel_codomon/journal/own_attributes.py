"""What an execution puts on its span, kept beside the span.

The SDK's limits drop the oldest attributes and cut long texts, and processors
of third parties drop and rename. What is kept here is complete whatever they
do, so that a finished execution keeps its identity and its outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from opentelemetry import context as otel_context

from otel_codomon._platform.logs import get_logger
from otel_codomon._platform.scrubbed_values import scrubbed_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AnyValue, AttributeValue

V = TypeVar("V")
_PREFIX: Final = "codomon."
_KEY: Final = otel_context.create_key("otel_codomon.own")
_MAX_REFUSED: Final = 100
_log = get_logger("otel_codomon")
_refused: Final[set[str]] = set()


class OwnEvent(NamedTuple):
    """An event that this package puts on a span.

    Attributes:
        name: Its name.
        attributes: Its attributes.
        unix_ns: When it happened, nanoseconds since the epoch.
    """

    name: str
    attributes: Mapping[str, AttributeValue]
    unix_ns: int


class OwnFacts:
    """The attributes and events of one execution that are ours.

    Attributes:
        attributes: Its attributes so far, the most important first.
        events: Its events so far.
        command: Program and arguments, for the journal of this machine and for no span;
            empty where it is no command.
    """

    __slots__ = ("__weakref__", "attributes", "command", "events")

    def __init__(
        self, attributes: Mapping[str, AttributeValue], *, command: Sequence[str] = ()
    ) -> None:
        self.command: Final = command
        self.attributes: Final[dict[str, AttributeValue]] = dict(attributes)
        self.events: Final[list[OwnEvent]] = []

    def set_on(self, span: Span, attributes: Mapping[str, AttributeValue]) -> None:
        """Add *attributes*, and put on *span* what the SDK's limits have dropped of the others.

        A span that is full drops its oldest attributes, which are ours. Set
        again they are the newest: the most important are set last.
        """
        self.attributes.update(attributes)
        span.set_attributes(attributes)
        # The API has no attributes to read, the SDK's spans do.
        lost = self.attributes.keys() - attributes_of(span) if hasattr(span, "attributes") else ()
        if lost:
            # Not by the order of a set: of few that fit, these are the last.
            again = {key: self.attributes[key] for key in reversed(self.attributes) if key in lost}
            span.set_attributes(again)

    def add_event(self, span: Span, event: OwnEvent) -> None:
        """Add an event, here and on *span*."""
        self.events.append(event)
        span.add_event(event.name, event.attributes, event.unix_ns)

    def differs(self, attributes: Mapping[str, AnyValue]) -> bool:
        """Whether *attributes*, of a span, lack any of ours or have more that look like ours."""
        ours = self.attributes
        return any(attributes.get(key) != value for key, value in ours.items()) or any(
            is_reserved(key) and key not in ours for key in attributes
        )

    def restored(self, attributes: Mapping[str, AnyValue]) -> dict[str, AnyValue]:
        """*attributes* with ours as they are, and none that only look like ours."""
        ours = self.attributes
        if attributes.keys() <= ours.keys():
            return dict(ours)
        foreign = {key: value for key, value in attributes.items() if not is_reserved(key)}
        return {**foreign, **ours}


def attributes_of(span: Any) -> dict[str, AnyValue]:  # noqa: ANN401 - of any SDK
    """The attributes of a span of an SDK, at this instant.

    What OpenTelemetry's own SDK keeps them in is copied at once where it is as it was:
    item by item, under a lock each, takes as long as all the rest of a record.
    """
    kept = getattr(getattr(span, "_attributes", None), "_dict", None)
    if type(kept) is dict:
        return kept.copy()
    return dict(span.attributes or {})


def with_own(context: Context | None, own: OwnFacts) -> Context:
    """*context* for the start of a span: processors of ours find *own* in it."""
    return otel_context.set_value(_KEY, own, context)


def own_of(context: Context | None) -> OwnFacts | None:
    """What `with_own` has put into *context*; None where it has not."""
    found = None if context is None else otel_context.get_value(_KEY, context)
    return found if isinstance(found, OwnFacts) else None


def is_reserved(key: str) -> bool:
    """Whether *key* is one of the names that only this package sets."""
    return key.startswith(_PREFIX)


def is_refused(key: str) -> bool:
    """Whether *key*, which the observed program sets, is reserved; logged once for each key."""
    if not is_reserved(key):
        return False
    if key not in _refused and len(_refused) < _MAX_REFUSED:
        _refused.add(key)
        _log.warning(
            "cannot set %r on an execution: names that begin with 'codomon.' are reserved; "
            "use a prefix of your own",
            scrubbed_text(key, limit=80),
        )
    return True


def without_reserved(attributes: Mapping[str, V]) -> dict[str, V]:
    """*attributes* of the observed program, without those that are refused."""
    return {key: value for key, value in attributes.items() if not is_refused(key)}
