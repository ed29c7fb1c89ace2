"""The server as an agent has it: through the SDK's own client, over stdio and in this process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from support.history import MIB, Past, write_history
from support.two_days import two_days
from support.typed import clean_environment

from otel_codomon import names
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.sandbox.agent_runs import Allowance

mcp = pytest.importorskip("mcp", reason="pip install 'otel-codomon[mcp]'")

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

OPEN = ("--allow-run", "--isolation", "none")
READING = {"list_executions", "show_execution", "report", "stats", "cache_info", "doctor"}


def ask_over_stdio(folder: Path, question: Callable[[Any], Awaitable[Any]], *options: str) -> Any:  # noqa: ANN401 - what the question asks
    """Start the server as an agent would, ask, and end it."""
    server = mcp.StdioServerParameters(
        command=sys.executable,
        args=["-m", "otel_codomon", "mcp", "--journal", os.fspath(folder), *options],
        env=clean_environment(),
    )
    return asyncio.run(_ask(server, question))


def ask(
    folder: Path,
    question: Callable[[Any], Awaitable[Any]],
    allowance: Allowance | None = None,
    *,
    may_clear: bool = False,
) -> Any:  # noqa: ANN401 - as above
    """Ask a server in this process, which takes a tenth of the time."""
    from otel_codomon.mcp import make_server

    server = make_server(journal=os.fspath(folder), allowance=allowance, may_clear=may_clear)
    return asyncio.run(_ask(server, question))


async def _ask(server: Any, question: Callable[[Any], Awaitable[Any]]) -> Any:  # noqa: ANN401 - as above
    async with mcp.Client(server) as client:
        return await question(client)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    past = [
        Past(name="nightly", execution_id="first-one"),
        Past(name="nightly", outcome=Outcome.TIMEOUT, ago_seconds=30, execution_id="second-one"),
    ]
    write_history(tmp_path, past).forget()
    return tmp_path


def test_an_agent_finds_only_tools_that_read_unless_more_is_allowed(folder: Path) -> None:
    async def names(client: Any) -> set[str]:  # noqa: ANN401 - the SDK's client
        return {tool.name for tool in (await client.list_tools()).tools}

    assert ask_over_stdio(folder, names) == READING
    allowed = ask_over_stdio(folder, names, *OPEN, "--allow-clear")
    assert allowed == READING | {"run", "clear_caches"}


def test_every_tool_has_a_description_and_typed_results(folder: Path) -> None:
    async def tools(client: Any) -> list[Any]:  # noqa: ANN401 - as above
        found: list[Any] = (await client.list_tools()).tools
        return found

    for tool in ask(folder, tools, Allowance(), may_clear=True):
        assert tool.description
        assert tool.output_schema["type"] == "object", tool.name
        assert tool.output_schema["properties"], tool.name
        for name, argument in tool.input_schema["properties"].items():
            assert argument["description"], (tool.name, name)


def test_the_schemas_of_all_tools_are_small(folder: Path) -> None:
    async def size(client: Any) -> int:  # noqa: ANN401 - as above
        return len((await client.list_tools()).model_dump_json(by_alias=True, exclude_none=True))

    assert ask(folder, size, Allowance(), may_clear=True) <= 12 * 1024


def test_reading_tools_answer_with_what_the_operations_return(folder: Path) -> None:
    async def answers(client: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
        return {
            "list": (await client.call_tool("list_executions", {"outcome": "timeout"})),
            "show": (await client.call_tool("show_execution", {"execution_id": "first"})),
            "report": (await client.call_tool("report", {})),
            "stats": (await client.call_tool("stats", {})),
            "caches": (await client.call_tool("cache_info", {})),
            "doctor": (await client.call_tool("doctor", {})),
        }

    told = {
        name: answer.structured_content for name, answer in ask_over_stdio(folder, answers).items()
    }

    assert [line["id"] for line in told["list"]["executions"]] == ["second-one"]
    assert told["show"]["line"]["name"] == "nightly"
    assert told["show"]["summary"] == "success after 1 s"
    assert [one["problem"] for one in told["report"]["problems"]] == ["timeout"]
    assert told["stats"]["host"]["memory"]["total_bytes"] > 0
    assert told["caches"]["caches"] == []
    assert told["doctor"]["lines"]


@pytest.mark.parametrize(
    ("tool", "arguments", "way_out"),
    [
        ("show_execution", {"execution_id": "nobody"}, "call list_executions to see them"),
        ("show_execution", {}, "Field required"),
        ("show_execution", {"execution_id": ""}, "at least 1 character"),
        ("show_execution", {"execution_id": "\ud800"}, "Input should be"),
        ("show_execution", {"execution_id": "x" * 1001}, "at most 1000 characters"),
        ("list_executions", {"limit": 0}, "greater than or equal to 1"),
        ("list_executions", {"limit": 1001}, "less than or equal to 1000"),
        ("list_executions", {"limit": "many"}, "valid integer"),
        ("list_executions", {"name": ""}, "at least 1 character"),
        ("list_executions", {"outcome": "fine"}, "use one of running, success, error"),
        ("list_executions", {"since_seconds": -1}, "greater than 0"),
        ("list_executions", {"since_seconds": 1e300}, "less than or equal to 1000000000"),
        ("list_executions", {"since": 5}, "unknown argument 'since' of list_executions: use since"),
        ("list_executions", {"order": 5}, "unknown argument 'order' of list_executions: it takes"),
        ("list_executions", {"sort": "name"}, "use one of started, duration, cpu, memory"),
        ("report", {"limit": 21}, "less than or equal to 20"),
        ("show", {}, "unknown tool 'show': use show_execution"),
        ("kill", {}, "unknown tool 'kill': use list_executions, show_execution, report"),
        ("report", {"since_seconds": 0}, "greater than 0"),
        ("report", {"since_seconds": 1e300}, "less than or equal to 1000000000"),
        ("report", {"name": 5}, "valid string"),
        ("stats", {"name": ""}, "at least 1 character"),
        ("cache_info", {"what": "disk"}, "use one of function, module, all"),
        ("cache_info", {"pid": 0}, "greater than or equal to 1"),
        ("clear_caches", {"name": ""}, "at least 1 character"),
        ("clear_caches", {"pid": -1}, "greater than or equal to 1"),
        ("doctor", {"verbose": True}, "unknown argument 'verbose' of doctor: it takes none"),
        ("run", {}, "give either a command or a source text"),
    ],
)
def test_what_the_caller_did_wrong_is_an_error_that_says_what_to_do(
    tool: str, arguments: dict[str, Any], way_out: str, folder: Path
) -> None:
    async def answer(client: Any) -> Any:  # noqa: ANN401 - as above
        return await client.call_tool(tool, arguments)

    told = ask(folder, answer, Allowance(isolation="none"), may_clear=True)

    assert told.is_error
    assert way_out in told.content[0].text


def test_a_tool_that_is_not_allowed_says_what_would_allow_it(folder: Path) -> None:
    async def answers(client: Any) -> list[str]:  # noqa: ANN401 - as above
        called = [await client.call_tool(name, {}) for name in ("run", "clear_caches")]
        return [each.content[0].text for each in called if each.is_error]

    run, clear = ask(folder, answers)

    assert "the tool run is not offered" in run
    assert "--allow-run" in run
    assert "--allow-clear" in clear


def test_prompts_ask_for_the_cause_and_for_what_changed(folder: Path) -> None:
    async def texts(client: Any) -> dict[str, str]:  # noqa: ANN401 - as above
        asked = {"why_did_it_die": {"execution": "night\x1b[31mly"}}
        listed = (await client.list_prompts()).prompts
        got = {
            each.name: await client.get_prompt(each.name, asked.get(each.name)) for each in listed
        }
        return {name: each.messages[0].content.text for name, each in got.items()}

    told = ask(folder, texts)

    assert sorted(told) == ["what_changed_since_yesterday", "why_did_it_die"]
    for text in told.values():
        words = set(re.findall(r"[a-z]+(?:_[a-z]+)+", text))
        assert words <= {*READING, "since_seconds"}, "names a tool that there is not"
    assert r"'night\x1b[31mly'" in told["why_did_it_die"]


def test_times_are_iso_with_ages_and_nothing_is_null(tmp_path: Path) -> None:
    past = [
        Past(outcome=Outcome.OOM_KILLED, ago_seconds=7200, attributes={names.LIMIT_MEMORY: MIB}),
        Past(seconds=None, ago_seconds=60),
    ]
    writer = write_history(tmp_path, past)

    async def answers(client: Any) -> list[Any]:  # noqa: ANN401 - as above
        listed = await client.call_tool("list_executions", {})
        wanted = {"execution_id": listed.structured_content["executions"][0]["id"]}
        shown = await client.call_tool("show_execution", wanted)
        return [listed, shown, await client.call_tool("report", {})]

    try:
        listed, shown, report = ask(tmp_path, answers)
    finally:
        writer.forget()

    newest, oldest = listed.structured_content["executions"]
    assert (newest["outcome"], newest["age"], oldest["age"]) == ("running", "1m ago", "2h ago")
    assert oldest["summary"] == "out of memory: reached its 1 MiB limit after 1 s"
    assert shown.structured_content["summary"].startswith("running for ")
    for answer in (listed, shown, report):
        assert json.loads(answer.content[0].text) == answer.structured_content
        assert not list(nulls(answer.structured_content))
        assert "unix_ns" not in answer.content[0].text
    for instant in (newest["started"], report.structured_content["since"]):
        assert datetime.fromisoformat(instant.replace("Z", "+00:00")).tzinfo is not None


def nulls(value: Any) -> Iterator[None]:  # noqa: ANN401 - JSON
    if value is None:
        yield None
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from nulls(each)


@pytest.mark.long
def test_answers_over_two_days_and_over_100_000_executions_are_small(tmp_path: Path) -> None:
    many = [
        Past(
            name=f"service-{number % 300}",
            outcome=list(Outcome)[number % 7],
            ago_seconds=80_000 - number * 0.7,
        )
        for number in range(100_000)
    ]
    for folder, past in ((tmp_path / "days", two_days()), (tmp_path / "many", many)):
        write_history(folder, past).forget()

    async def answers(client: Any) -> list[Any]:  # noqa: ANN401 - as above
        return [
            await client.call_tool("list_executions", {}),
            await client.call_tool("list_executions", {"outcome": "timeout"}),
            await client.call_tool("report", {}),
            await client.call_tool("report", {"name": "service-1*"}),
        ]

    for folder in (tmp_path / "days", tmp_path / "many"):
        for answer in ask(folder, answers):
            assert not answer.is_error
            assert len(answer.model_dump_json(exclude_none=True).encode()) <= 6 * 1024


def test_a_limit_is_kept_whatever_the_size(tmp_path: Path) -> None:
    write_history(tmp_path, two_days()).forget()

    async def answers(client: Any) -> list[Any]:  # noqa: ANN401 - as above
        wanted = {"since_seconds": 2 * 86400.0}
        return [
            await client.call_tool("list_executions", {**wanted, "limit": 200}),
            await client.call_tool("list_executions", {"limit": 1}),
            await client.call_tool("report", {**wanted, "limit": 20}),
        ]

    listed, one, report = (each.structured_content for each in ask(tmp_path, answers))

    assert (len(listed["executions"]), listed["more"]) == (200, True)
    assert (len(one["executions"]), one["more"]) == (1, True)
    assert (len(report["problems"]), report["more_problems"]) == (7, 0)
    assert report["problems"][0]["problem"] == "out of memory"


def test_recent_executions_are_a_resource_and_each_one_too(folder: Path) -> None:
    async def read(client: Any) -> list[Any]:  # noqa: ANN401 - as above
        return [
            json.loads((await client.read_resource(uri)).contents[0].text)
            for uri in ("codomon://executions/recent", "codomon://executions/second-one")
        ]

    recent, one = ask(folder, read)

    assert [line["id"] for line in recent["executions"]] == ["second-one", "first-one"]
    assert one["line"]["outcome"] == "timeout"
