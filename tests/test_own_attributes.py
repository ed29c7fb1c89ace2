"""What is ours on a span stays, whatever limits, processors and the observed code do."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from support.journal import Journal

from otel_codomon import execution, names
from otel_codomon.journal import own_attributes, segments
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.testing import Recorder

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.context import Context

CODE = "x = 1\n" * 100
LIMITS = {
    "attributes: few": {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "5"},
    "attributes: one": {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1"},
    "attributes: none": {"OTEL_ATTRIBUTE_COUNT_LIMIT": "0"},
    "values: short": {"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "3"},
    "values: empty": {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "0"},
    "events: none": {"OTEL_SPAN_EVENT_COUNT_LIMIT": "0"},
    "event attributes: none": {"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "0"},
    "links: none": {"OTEL_SPAN_LINK_COUNT_LIMIT": "0"},
    "as they are": {},
}


class Spoiler(SpanProcessor):
    """Drops and renames attributes, as processors of third parties do."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        del parent_context
        span._attributes.pop(names.EXECUTION_ID, None)  # type: ignore[union-attr]

    def on_end(self, span: ReadableSpan) -> None:
        span._attributes = {"renamed": "x", names.EXECUTION_OUTCOME: "???"}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK logs each attribute that it drops."""
    monkeypatch.setattr(logging.getLogger("opentelemetry.attributes"), "disabled", True)


def run_one() -> None:
    """An execution that fails, of code that puts more on its span than fits."""

    @execution("train", language="python", attributes={"first": "of the program"})
    def train(code: str) -> None:
        del code
        for index in range(200):
            trace.get_current_span().set_attribute(f"param.{index}", index)
        raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        train(CODE)


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("is_spoiled", [False, True], ids=["alone", "beside a spoiler"])
def test_nothing_takes_its_own_from_an_execution(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, str],
    is_spoiled: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    for name, value in limits.items():
        monkeypatch.setenv(name, value)
    journal = Journal(tmp_path / "journal")
    if is_spoiled:
        # Before ours, in the order in which processors are called.
        journal.provider._active_span_processor._span_processors = (
            Spoiler(),
            journal.processor,
        )
    with journal:
        run_one()

        (ended,) = journal.executions()
        (record,) = journal.records(segments.ENDED)

    assert (ended.outcome, ended.labels.name) == (Outcome.ERROR, "train")
    assert ended.labels.language == "python"
    assert len(ended.execution_id) == 32
    assert len(str(ended.attributes[names.CODE_SHA256])) == 64
    assert ended.attributes[names.ERROR_TYPE] == "ValueError"
    assert str(ended.attributes[names.CODE_FUNCTION_NAME]).endswith("train")
    assert [event["name"] for event in json.loads(record.payload)["events"]] == ["exception"]


def test_the_start_of_an_execution_is_whole_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "2")
    with Journal(tmp_path / "journal") as journal, execution("train", language="python") as current:
        (running,) = journal.executions()

    assert running.execution_id == current.execution_id
    assert running.labels == current.labels


def test_ours_displace_the_program_s_where_a_third_party_exports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "40")
    with Recorder() as recorder:
        run_one()

    (found,) = recorder.executions()
    assert (found.outcome, found.labels.language) == (Outcome.ERROR, "python")
    assert "param.199" in found.attributes
    assert "param.150" not in found.attributes


def test_of_few_that_fit_the_identity_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1")
    with Recorder() as recorder:
        run_one()

    (span,) = recorder.spans()
    assert list(span.attributes or ()) == [names.EXECUTION_ID]


@pytest.fixture
def _nothing_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_attributes, "_refused", set())


@pytest.mark.usefixtures("_nothing_refused")
def test_what_begins_like_ours_is_refused_with_one_line(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    mine = {"codomon.execution.outcome": "success", "mine": "kept", "codomon.x": 1}
    with Journal(tmp_path / "journal") as journal:
        for _ in range(3):
            with execution("x", attributes={"codomon.execution.name": "y", "a": "b"}) as current:
                for key, value in mine.items():
                    current.set_attribute(key, value)
                current.add_event("codomon.limit.reached")
                current.add_event("event", {"codomon.limit.type": "memory", "c": "d"})
                # Past the execution, on its span: nothing can refuse it there.
                trace.get_current_span().set_attribute("codomon.usage.cpu.throttled_time", 1e9)
                current.record(exit_code=1)
        ended = journal.executions()

    for found in ended:
        assert (found.outcome, found.labels.name) == (Outcome.ERROR, "x")
        assert (found.attributes["mine"], found.attributes["a"]) == ("kept", "b")
        assert "codomon.x" not in found.attributes
        assert "codomon.usage.cpu.throttled_time" not in found.attributes
    refused = [
        record.getMessage() for record in caplog.records if "reserved" in record.getMessage()
    ]
    assert len(refused) == len(set(refused)) == 5


@pytest.mark.usefixtures("_nothing_refused")
def test_refusals_of_made_up_names_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with Recorder(), execution("x") as current:
        for index in range(1000):
            current.set_attribute(f"codomon.{index}", index)

    assert len(caplog.records) == 100
