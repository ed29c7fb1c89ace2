"""Executions that are tool calls of an agent."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import SpanKind
from support.collector import Collector

from otel_codomon import InvalidArgumentError, ToolCall, execution, names
from otel_codomon._platform import never_raises
from otel_codomon._platform.cleaning import MAX_TEXT
from otel_codomon.executions import captured_texts, tool_calls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from otel_codomon.testing import Recorder


@pytest.fixture(autouse=True)
def _choices() -> Iterator[None]:
    """What is captured, and what is a tool, as the environment says it, before and after."""

    def reset() -> None:
        captured_texts.choose(None)
        tool_calls.choose(are_functions_tools=None)

    reset()
    yield
    reset()


def _attributes(recorder: Recorder) -> Mapping[str, Any]:
    [span] = recorder.spans()
    return span.attributes or {}


def _gen_ai(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key.startswith("gen_ai.")}


def test_a_tool_call_is_told_as_the_conventions_have_it(recorder: Recorder) -> None:
    call = ToolCall("search", call_id="call-1", type="function")

    with execution("lookup", tool=call, session_id="s-1", kind="command"):
        pass

    [span] = recorder.spans()
    assert (span.name, span.kind) == ("execute_tool search", SpanKind.INTERNAL)
    assert _gen_ai(span.attributes or {}) == {
        names.GEN_AI_OPERATION_NAME: "execute_tool",
        names.GEN_AI_TOOL_NAME: "search",
        names.GEN_AI_TOOL_CALL_ID: "call-1",
        names.GEN_AI_TOOL_TYPE: "function",
        names.GEN_AI_CONVERSATION_ID: "s-1",
    }
    [ended] = recorder.executions()
    assert ended.labels.name == "lookup"


def test_the_name_of_a_tool_is_enough_and_what_is_not_known_is_absent(recorder: Recorder) -> None:
    @execution(tool="search")
    def lookup(query: str) -> str:
        return query

    assert lookup("x") == "x"

    [span] = recorder.spans()
    assert span.name == "execute_tool search"
    assert _gen_ai(span.attributes or {}) == {
        names.GEN_AI_OPERATION_NAME: "execute_tool",
        names.GEN_AI_TOOL_NAME: "search",
    }
    assert recorder.executions()[0].labels.name.endswith("lookup")


def test_an_execution_that_is_no_tool_call_has_none_of_it(recorder: Recorder) -> None:
    captured_texts.choose(["arguments", "output"])

    execution("plain", session_id="s")(lambda: "result")()

    [span] = recorder.spans()
    assert span.name == "plain"
    assert _gen_ai(span.attributes or {}) == {}


@pytest.mark.parametrize(
    "tool",
    ["", " ", 3, b"x", ToolCall(""), ToolCall("x", call_id=""), ToolCall("x", type=1)],  # type: ignore[arg-type] # callers' mistakes
)
def test_what_names_no_tool_is_refused(tool: object) -> None:
    expected = re.escape("must be the name of a tool, or a ToolCall of texts")

    with pytest.raises(InvalidArgumentError, match=expected):
        execution("x", tool=tool)  # type: ignore[call-overload] # a mistake


def test_names_and_ids_of_tools_are_scrubbed_and_bounded(recorder: Recorder) -> None:
    secret = "ghp_" + "0aB9" * 9

    with execution("x", tool=ToolCall(f"a\n{secret}", call_id="i" * 500, type="t" * 500)):
        pass

    told = _attributes(recorder)
    assert secret not in repr(told) + recorder.spans()[0].name
    assert all(len(value) <= 128 for value in _gen_ai(told).values())


# --- the switch for agents ------------------------------------------------------


def test_the_switch_makes_each_call_of_a_decorated_function_a_tool_call(recorder: Recorder) -> None:
    @execution("lookup")
    def plain() -> None: ...

    @execution("awaited")
    async def awaited() -> None: ...

    @execution(tool="own")
    def own() -> None: ...

    tool_calls.choose(are_functions_tools=True)
    plain()
    asyncio.run(awaited())
    own()
    with execution("block"):
        pass

    assert [span.name for span in recorder.spans()] == [
        "execute_tool lookup",
        "execute_tool awaited",
        "execute_tool own",
        "block",
    ]
    assert {e.labels.name for e in recorder.executions()} >= {"lookup", "awaited", "block"}


def test_a_wrong_word_in_the_environment_makes_no_tools_and_one_log_record(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(never_raises, "_told", set())  # what other tests have had told
    monkeypatch.setenv("OTEL_PYTHON_CODOMON_TOOL_CALLS", "agents")

    @execution("work")
    def call() -> int:
        return 5

    assert (call(), call()) == (5, 5)

    assert [span.name for span in recorder.spans()] == ["work", "work"]
    told = [one for one in caplog.messages if "whether functions are tools" in one]
    assert len(told) == 1


# --- arguments and result -------------------------------------------------------


def _call(*args: object, **kwargs: object) -> object:
    return execution("call", tool="t")(_echo)(*args, **kwargs)


def _echo(value: object = None, *more: object, **named: object) -> object:
    del more, named
    return value


def test_arguments_and_result_stay_here_unless_they_are_asked_for(recorder: Recorder) -> None:
    _call("private", key="private")

    assert "private" not in repr(_attributes(recorder))


def test_arguments_and_result_are_json_when_asked_for(recorder: Recorder) -> None:
    captured_texts.choose(["arguments", "output"])

    _call({"city": "Zürich", "days": [1, 2.5, None, True]}, "more", unit="C")

    told = _attributes(recorder)
    assert json.loads(told[names.GEN_AI_TOOL_CALL_ARGUMENTS]) == {
        "value": {"city": "Zürich", "days": [1, 2.5, None, True]},
        "more": ["more"],
        "named": {"unit": "C"},
    }
    assert json.loads(told[names.GEN_AI_TOOL_CALL_RESULT]) == {
        "city": "Zürich",
        "days": [1, 2.5, None, True],
    }


def test_each_is_asked_for_by_itself(recorder: Recorder) -> None:
    captured_texts.choose(["output"])

    _call("text")

    told = _attributes(recorder)
    assert told[names.GEN_AI_TOOL_CALL_RESULT] == "text"
    assert names.GEN_AI_TOOL_CALL_ARGUMENTS not in told


def test_the_source_text_is_no_argument_unless_code_is_asked_for(recorder: Recorder) -> None:
    @execution(tool="python", arguments={"code": "source"})
    def run_python(source: str, seconds: int) -> None: ...

    captured_texts.choose(["arguments"])
    run_python("planted", 3)
    captured_texts.choose(["arguments", "code"])
    run_python("planted", seconds=3)

    without, within = (span.attributes or {} for span in recorder.spans())
    assert without[names.GEN_AI_TOOL_CALL_ARGUMENTS] == '{"seconds": 3}'
    assert "planted" not in repr(dict(without))
    assert json.loads(str(within[names.GEN_AI_TOOL_CALL_ARGUMENTS]))["source"] == "planted"


def test_a_method_does_not_tell_of_its_object(recorder: Recorder) -> None:
    class Tools:
        @execution(tool="t")
        def look(self, word: str) -> None: ...

    captured_texts.choose(["arguments"])
    Tools().look("x")

    assert _attributes(recorder)[names.GEN_AI_TOOL_CALL_ARGUMENTS] == '{"word": "x"}'


def test_secrets_are_in_neither(recorder: Recorder) -> None:
    secret, token = "hunter2hunter2", "ghp_" + "0aB9" * 9
    captured_texts.choose(["arguments", "output"])

    _call({"password": secret, "nested": [{"api_key": secret}], "n": token}, pin=1, token=12345678)

    told = repr(_attributes(recorder))
    assert secret not in told
    assert token not in told
    assert "12345678" not in told


class _Hostile:
    def __str__(self) -> str:
        raise AssertionError("nobody may ask")

    __repr__ = __str__


def _endless() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def _deep() -> list[Any]:
    items: list[Any] = []
    for _ in range(10_000):
        items = [items]
    return items


@pytest.mark.parametrize(
    "value",
    [
        _Hostile(),
        {_Hostile(): _Hostile()},
        _endless(),
        _deep(),
        [[[["x" * 10_000] * 200] * 200] * 200] * 200,
        10**5000,
        float("nan"),
        "\ud800",
        b"\xff" * 100_000,
        {"\udcff": "\udcff"},
        object,
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_tool_takes_and_returns_is_bounded_and_its_own(
    value: object, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    captured_texts.choose(["arguments", "output"])

    returned = _call(value)

    assert returned is value
    told = _attributes(recorder)
    for key in (names.GEN_AI_TOOL_CALL_ARGUMENTS, names.GEN_AI_TOOL_CALL_RESULT):
        assert 0 < len(told[key]) <= MAX_TEXT
        told[key].encode()
    assert caplog.records == []


def test_what_is_called_wrongly_is_told_and_fails_as_it_would(recorder: Recorder) -> None:
    @execution(tool="t")
    def one(value: int) -> None: ...

    captured_texts.choose(["arguments"])

    with pytest.raises(TypeError, match="positional argument"):
        one(1, 2)  # type: ignore[call-arg] # the mistake of a model

    assert _attributes(recorder)[names.GEN_AI_TOOL_CALL_ARGUMENTS] == '{"0": 1, "1": 2}'


# --- through the journal, after a fork, and with others' providers -----------------

_JOURNAL = """
import os
from otel_codomon import configure, execution

configure()

@execution("lookup", session_id="s-1")
def lookup(query):
    return query

lookup("x")
if os.fork() == 0:
    lookup("child")
    os._exit(0)
os.wait()
if os.fork() == 0:
    with execution("dies", tool="fatal"):
        os.kill(os.getpid(), 9)
os.wait()
"""
_OTHERS = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
from otel_codomon import configure, execution

configure(tool_calls=True)
execution("lookup", session_id="s-1")(lambda: None)()
"""


def _run(program: str, collector: Collector, journal: Path, **more: str) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environment = {**clean, "OTEL_PYTHON_CODOMON_JOURNAL": str(journal), **more}
    subprocess.run(
        [sys.executable, "-c", program], env={**environment, **collector.environment()}, check=True
    )


def test_tool_calls_arrive_through_the_journal_also_of_children_and_of_the_dead(
    tmp_path: Path,
) -> None:
    with Collector() as collector:
        _run(_JOURNAL, collector, tmp_path / "journal", OTEL_PYTHON_CODOMON_TOOL_CALLS="true")
        subprocess.run(
            [sys.executable, "-m", "otel_codomon", "journal", "send"],
            env={
                **os.environ,
                **collector.environment(),
                "OTEL_PYTHON_CODOMON_JOURNAL": str(tmp_path / "journal"),
            },
            check=True,
            capture_output=True,
        )
        spans = collector.wait_for_spans(3)
        points = collector.points()

    told = sorted((s.name, s.attributes.get(names.GEN_AI_CONVERSATION_ID)) for s in spans)
    lookup = ("execute_tool lookup", "s-1")
    assert told == [("execute_tool fatal", None), lookup, lookup]
    assert {s.attributes[names.GEN_AI_TOOL_NAME] for s in spans} == {"fatal", "lookup"}
    assert not any(key.startswith("gen_ai.") for point in points for key in point.attributes)


def test_tool_calls_go_to_the_providers_of_others(tmp_path: Path) -> None:
    with Collector() as collector:
        _run(_OTHERS, collector, tmp_path / "journal")
        [span] = collector.wait_for_spans(1)

    assert span.name == "execute_tool lookup"
    assert span.attributes[names.GEN_AI_TOOL_NAME] == "lookup"
    assert span.attributes[names.GEN_AI_CONVERSATION_ID] == "s-1"
