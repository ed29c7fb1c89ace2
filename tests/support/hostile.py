"""Words that act on terminals, spreadsheets and browsers, and journals full of them."""

from __future__ import annotations

import math
import tempfile
import unicodedata
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from otel_codomon import names
from otel_codomon.journal.folder import METRICS
from otel_codomon.journal.metrics import JournalMetricExporter
from otel_codomon.journal.writer import Writer
from support.history import Past, write_history

if TYPE_CHECKING:
    from collections.abc import Iterator

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
INVISIBLE = "\u200b\u200c\u200d\u2060\u2063\ufeff\u00ad\u3164\ufe0f\u115f\U000e0041\U000e0101"
EVIL = [
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b31m",
    "a\rb\nc\td\x00\x7f\x85\u2028",
    f"in{BIDI}voice",
    f"pay{INVISIBLE}roll",
    '=HYPERLINK("http://127.0.0.1")',
    "+1+1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1+1",
    " =1+1",
    "\uff1d1+1",
    "\ud800",
    "</script><script>x</script>",
    '"><img src=x onerror=x>',
    "{{DATA}}",
]


# What a journal may say of an execution that its reader shows as text.
SAID = (
    names.EXECUTION_LANGUAGE,
    names.SANDBOX_TYPE,
    names.USAGE_SOURCE,
    names.EXECUTION_SIGNAL,
    names.ERROR_TYPE,
    names.STDOUT_TEXT,
    names.EXECUTION_SESSION_ID,
)


def is_safe(text: str) -> bool:
    """Whether *text* has no control, no invisible and no reordering character."""
    return not any(
        unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") or c in BIDI + INVISIBLE
        for c in text
    )


def texts_in(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from texts_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_in(each)


@contextmanager
def hostile_journal(words: list[str], *, suffix: str = "") -> Iterator[str]:
    """A journal in which *words* stand wherever a word may stand; its process goes on running."""
    with tempfile.TemporaryDirectory(suffix=suffix) as folder, ExitStack() as stack:
        past = [_execution(index, word) for index, word in enumerate(words)]
        stack.callback(write_history(folder, past).forget)
        writer = Writer(folder, stream=METRICS)
        stack.callback(writer.forget)
        stack.callback(_write_caches(writer, words).shutdown)
        yield folder


def _execution(index: int, word: str) -> Past:
    return Past(
        name=word,
        execution_id=f"the-{index}-{word}",
        seconds=None if index % 3 == 2 else 1.0,
        attributes={
            **dict.fromkeys(SAID, word),
            names.EXECUTION_OUTCOME: word if index % 2 else "timeout",
            names.EXECUTION_KIND: word,
            word: word,
            "list": [word, word],
        },
    )


def _write_caches(writer: Writer, words: list[str]) -> MeterProvider:
    """One collection of caches of these names, each with a finding."""
    # Protobuf refuses lone surrogates: what is on disk has none.
    told = [word.encode("utf-8", "replace").decode() for word in words]
    reader = PeriodicExportingMetricReader(JournalMetricExporter(writer), math.inf)
    provider = MeterProvider([reader], Resource({"service.name": told[0]}), shutdown_on_exit=False)
    meter = provider.get_meter(names.SCOPE)
    tags = [{names.CACHE_NAME: word, names.CACHE_KIND: word} for word in told]
    misses = [Observation(10_000, {**tag, names.CACHE_RESULT: "miss"}) for tag in tags]
    entries = [Observation(64, tag) for tag in tags]
    meter.create_observable_counter(names.CACHE_REQUESTS.name, [lambda _: misses])
    meter.create_observable_gauge(names.CACHE_ENTRIES.name, [lambda _: entries])
    meter.create_observable_gauge(names.CACHE_CAPACITY.name, [lambda _: entries])
    provider.force_flush()
    return provider
