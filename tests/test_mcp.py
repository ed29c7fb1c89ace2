"""The server as an agent has it: through the SDK's own client, over stdio and in this process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.history import Past, write_history
from support.typed import clean_environment

from otel_codomon.journal.execution_record import Outcome
from otel_codomon.sandbox.agent_runs import Allowance

mcp = pytest.importorskip("mcp", reason="pip install 'otel-codomon[mcp]'")

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
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

    assert [line["execution_id"] for line in told["list"]["executions"]] == ["second-one"]
    assert told["show"]["line"]["name"] == "nightly"
    assert [finding["rule"] for finding in told["report"]["findings"]] == ["timeout"]
    assert told["stats"]["host"]["memory"]["total_bytes"] > 0
    assert told["caches"]["caches"] == []
    assert told["doctor"]["lines"]


@pytest.mark.parametrize(
    ("tool", "arguments", "way_out"),
    [
        ("show_execution", {"execution_id": "nobody"}, "otel-codomon list"),
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
        ("list_executions", {"since": 5}, "unknown argument 'since'"),
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


def test_recent_executions_are_a_resource_and_each_one_too(folder: Path) -> None:
    async def read(client: Any) -> list[Any]:  # noqa: ANN401 - as above
        return [
            json.loads((await client.read_resource(uri)).contents[0].text)
            for uri in ("codomon://executions/recent", "codomon://executions/second-one")
        ]

    recent, one = ask(folder, read)

    assert [line["execution_id"] for line in recent["executions"]] == ["second-one", "first-one"]
    assert one["line"]["outcome"] == "timeout"
