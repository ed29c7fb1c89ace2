"""The operations as tools of a Model Context Protocol server on stdio.

Needs the extra ``mcp``. A tool is a row of a table: the function that answers
it, whose docstring an agent reads, and the permission it needs. What may go
wrong by the caller's doing is answered as an error that says what to do.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable  # noqa: TC003 - in a dataclass
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp.types import ToolAnnotations
from pydantic import RootModel

from otel_codomon.errors import CodomonError
from otel_codomon.operations.cache_report import (
    CacheReport,
    ClearReport,
    empty_caches,
    report_caches,
)
from otel_codomon.operations.doctor import Diagnosis, examine
from otel_codomon.operations.executions import (
    ExecutionDetail,
    ExecutionList,
    Wanted,
    list_executions,
    show_execution,
)
from otel_codomon.operations.report import DAY_SECONDS, Report, make_report
from otel_codomon.operations.running import CommandReport, run_command
from otel_codomon.operations.stats import Monitor, Stats
from otel_codomon.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

INSTRUCTIONS: Final = """\
Executions of code on this machine: what ran, how it ended, what it used, and what is wrong.
Begin with `report`; `show_execution` tells everything about one. Times are in seconds, sizes in
bytes; null means not known, never zero.
"""
_RECENT: Final = 50
_MOST: Final = 1000
_RATE_SECONDS: Final = 0.5


class _Tools:
    """The tools, on one journal.

    Args:
        journal: Folder of the journal; None for what the environment says.
    """

    def __init__(self, journal: str | None) -> None:
        self._journal = journal

    def list_executions(
        self,
        limit: int = _RECENT,
        name: str | None = None,
        outcome: str | None = None,
        since_seconds: float | None = None,
    ) -> ExecutionList:
        """List executions, the newest first.

        Outcomes: success, error, timeout, killed, oom_killed, limit_exceeded, cancelled,
        setup_error, host_died, and running.
        """
        if not 0 < limit <= _MOST:
            raise ToolError(f"cannot list {limit} executions: give a limit from 1 to {_MOST}")
        wanted = Wanted(since_seconds=since_seconds, name=name, outcome=outcome, limit=limit)
        return list_executions(journal=self._journal, wanted=wanted)

    def show_execution(self, execution_id: str) -> ExecutionDetail:
        """Show everything about one execution, by the beginning of its id or trace id."""
        return show_execution(execution_id, journal=self._journal)

    def report(self, since_seconds: float = DAY_SECONDS, name: str | None = None) -> Report:
        """Report what ran in a period, how it ended, and the bottlenecks and regressions in it.

        Each finding has its evidence, what to do, and a limit that would fit.
        """
        if not since_seconds > 0:
            raise ToolError("cannot look back 0 seconds or less: give a period above 0")
        return make_report(journal=self._journal, since_seconds=since_seconds, name=name)

    def stats(self, name: str | None = None) -> Stats:
        """Look at the host and at the executions that run now, over half a second."""
        import time  # noqa: PLC0415 - this tool's alone

        monitor = Monitor(journal=self._journal, name=name)
        try:
            monitor.look()
            time.sleep(_RATE_SECONDS)
            return monitor.look()
        finally:
            monitor.close()

    def cache_info(
        self, what: str = "all", name: str | None = None, pid: int | None = None
    ) -> CacheReport:
        """Show the caches of the running processes: hits, misses, sizes, and what is wrong.

        What: function (caches of functions), module (cache objects), or all.
        """
        return report_caches(journal=self._journal, what=what, name=name, pid=pid)

    def doctor(self) -> Diagnosis:
        """Say what works on this machine: endpoint, journal, configuration, what is measured."""
        return examine(journal=self._journal)

    def run(
        self,
        command: list[str] | None = None,
        source: str | None = None,
        language: str | None = None,
        timeout_seconds: float = 60.0,
        memory_bytes: int | None = None,
    ) -> CommandReport:
        """Run a command, or a source text in a language, as one execution.

        It runs with the rights of this server's user: this is no security boundary.
        """
        return run_command(
            command=command,
            source=source,
            language=language,
            timeout_seconds=timeout_seconds,
            memory_bytes=memory_bytes,
        )

    def clear_caches(self, name: str | None = None, pid: int | None = None) -> ClearReport:
        """Empty caches of running processes: those whose names contain a text, or all."""
        return empty_caches(journal=self._journal, name=name, pid=pid)


@dataclass(frozen=True, slots=True)
class Tool:
    """One row of the table.

    Attributes:
        answer: The method of `_Tools` that answers it; its name is the tool's.
        permission: The option that must have been given; None for none.
    """

    answer: Callable[..., Any]
    permission: str | None = None


TOOLS: Final = (
    Tool(_Tools.list_executions),
    Tool(_Tools.show_execution),
    Tool(_Tools.report),
    Tool(_Tools.stats),
    Tool(_Tools.cache_info),
    Tool(_Tools.doctor),
    Tool(_Tools.run, "run"),
    Tool(_Tools.clear_caches, "clear"),
)


def make_server(*, journal: str | None = None, allowed: Iterable[str] = ()) -> MCPServer:
    """A server with the tools that are allowed.

    Args:
        journal: Folder of the journal; None for what the environment says.
        allowed: Permissions: ``run`` and ``clear``.
    """
    server = MCPServer("otel-codomon", instructions=INSTRUCTIONS, version=__version__)
    tools, granted = _Tools(journal), {None, *allowed}
    for row in TOOLS:
        if row.permission in granted:
            method = getattr(tools, row.answer.__name__)
            only_reads = ToolAnnotations(read_only_hint=row.permission is None)
            server.tool(annotations=only_reads)(_as_tool(method))
    _add_resources(server, tools)
    return server


def _as_tool(method: Callable[..., Any]) -> Callable[..., Any]:
    """The same for the SDK: a result with a schema, and our own errors as the tool's.

    The SDK takes the slots of a dataclass for the defaults of its fields, so
    the result goes in a model of pydantic, which knows dataclasses.
    """
    signature = inspect.signature(method, eval_str=True)
    model = RootModel[signature.return_annotation]  # type: ignore[name-defined] # made at run time

    def answer(*args: object, **kwargs: object) -> RootModel[Any]:
        try:
            return model(method(*args, **kwargs))
        except CodomonError as error:
            raise ToolError(str(error)) from error

    answer.__name__, answer.__doc__ = method.__name__, method.__doc__
    answer.__signature__ = signature.replace(return_annotation=model)  # type: ignore[attr-defined] # PEP 362
    answer.__annotations__ = {
        **{name: each.annotation for name, each in signature.parameters.items()},
        "return": model,
    }
    return answer


def _add_resources(server: MCPServer, tools: _Tools) -> None:
    def recent() -> str:
        """The newest executions."""
        return _to_json(tools.list_executions())

    def one(execution_id: str) -> str:
        """One execution."""
        try:
            return _to_json(tools.show_execution(execution_id))
        except CodomonError as error:
            raise ResourceNotFoundError(str(error)) from error

    kind = "application/json"
    server.resource("codomon://executions/recent", mime_type=kind)(recent)
    server.resource("codomon://executions/{execution_id}", mime_type=kind)(one)


def _to_json(value: object) -> str:
    return json.dumps(value, default=_fields_of)


def _fields_of(value: Any) -> object:  # noqa: ANN401 - what json does not know
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    items = getattr(value, "items", None)
    return dict(items()) if callable(items) else str(value)


def serve(*, journal: str | None = None, allowed: Iterable[str] = ()) -> None:
    """Serve on stdin and stdout until stdin ends."""
    make_server(journal=journal, allowed=allowed).run("stdio")
