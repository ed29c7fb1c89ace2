"""`execution`: one name for the decorator and the block."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from otel_codomon._platform.cleaning import clean_text
from otel_codomon._platform.never_raises import never_raises
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.executions.providers import active_telemetry
from otel_codomon.executions.running import INERT
from otel_codomon.executions.spec import make_spec
from otel_codomon.executions.wrapping import wrap
from otel_codomon.resources.labels import Kind, SandboxType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from otel_codomon.executions.running import Execution
    from otel_codomon.executions.spec import ExecutionSpec
    from otel_codomon.executions.tool_calls import ToolCall
    from otel_codomon.resources.limits import Limits
    from otel_codomon.resources.thresholds import Thresholds
    from otel_codomon.words import KindWord, ResultForm, SandboxTypeWord

F = TypeVar("F", bound="Callable[..., Any]")
_DEFAULT_NAME: Final = "execution"


@overload
def execution(name: F, /) -> F: ...


@overload
def execution(
    name: str | None = None,
    *,
    kind: Kind | KindWord = Kind.FUNCTION,
    language: str | None = None,
    sandbox_type: SandboxType | SandboxTypeWord = SandboxType.NONE,
    timeout: float | None = None,
    session_id: str | None = None,
    code: str | bytes | None = None,
    limits: Limits | None = None,
    thresholds: Thresholds | None = None,
    attributes: Mapping[str, object] | None = None,
    result: Callable[[Any], object] | ResultForm | None = None,
    arguments: Mapping[str, str | None] | None = None,
    tool: str | ToolCall | None = None,
) -> Block: ...


def execution(
    name: Any = None,
    *,
    kind: Kind | KindWord = Kind.FUNCTION,
    language: str | None = None,
    sandbox_type: SandboxType | SandboxTypeWord = SandboxType.NONE,
    timeout: float | None = None,
    session_id: str | None = None,
    code: str | bytes | None = None,
    limits: Limits | None = None,
    thresholds: Thresholds | None = None,
    attributes: Mapping[str, object] | None = None,
    result: Callable[[Any], object] | ResultForm | None = None,
    arguments: Mapping[str, str | None] | None = None,
    tool: str | ToolCall | None = None,
) -> Any:
    """Observe a callable, or a block, as executions.

    As a decorator, with or without brackets, it takes functions, coroutine
    functions, generators, async generators, methods of every kind and objects
    that can be called, which keep their methods; each call is one execution::

        @execution(language="python")
        def run_snippet(code, timeout=30): ...

    As a block, also with ``async with``::

        with execution("nightly build", language="bash") as current:
            child = subprocess.Popen(["make"])
            current.attach(child)
            current.record(exit_code=child.wait())

    The result and the exception of what runs are its own, whatever happens
    here. On a decorated function the arguments called ``language``, ``code``,
    ``timeout`` and ``session_id`` are understood by name; of the code only
    size and SHA-256 are told.

    Args:
        name: What metrics and spans call it; by default a function's qualified
            name. Choose few names: each is a series.
        kind: What is executed.
        language: Programming language of the code that runs.
        sandbox_type: What separates it from its host.
        timeout: Time it is given, seconds; told, not enforced.
        session_id: The session that asked for it.
        code: Its source text, of which only size and SHA-256 are told.
        limits: What it may use; told, not enforced.
        thresholds: Marks whose crossing is an event on its span, and, if they
            say so, the end of the processes that were attached.
        attributes: More attributes for its span.
        result: Reads what the code returned: a function to an `Outcome`, or to
            anything of a shape that is understood, such as a dict with
            ``status``; or the name of a reader: ``exit_code`` (a number as a
            shell or an engine reports it), ``returncode`` (a number as
            `subprocess` does), ``status`` (a text), ``success`` (a truth
            value), ``nothing`` (it reports no outcome).
        arguments: What the decorated function calls the arguments that are
            understood: ``{"code": "code_action"}``; None for one not to read.
        tool: The tool that an agent calls with it: its name, or a `ToolCall` with
            the call's id too. Its span is ``execute_tool`` and that name, with the
            attributes of the GenAI conventions; its metrics stay as they are.

    Returns:
        The decorated callable, or a block that is both decorator and context
        manager.

    Raises:
        InvalidArgumentError: An argument cannot mean anything.
    """
    is_named = isinstance(name, str)
    spec = make_spec(
        name if is_named else _DEFAULT_NAME,
        kind=kind,
        language=language,
        sandbox_type=sandbox_type,
        timeout=timeout,
        session_id=session_id,
        code=code,
        limits=limits,
        thresholds=thresholds,
        attributes=attributes,
        result=result,
        arguments=arguments,
        tool=tool,
    )
    block = Block(spec, is_named=is_named)
    return block if name is None or is_named else block(name)


class Block:
    """What `execution` returns: enter it, or decorate with it.

    One block can be entered many times, one after the other or nested; make
    one for each thread or task.
    """

    def __init__(self, spec: ExecutionSpec, *, is_named: bool) -> None:
        self._spec = spec
        self._is_named = is_named
        self._entered: list[Execution] = []

    @property
    def spec(self) -> ExecutionSpec:
        """What was said of its executions, checked."""
        return self._spec

    def of_command(self, words: Sequence[str]) -> Block:
        """The same around a command, whose *words* the journal keeps scrubbed, and no span has."""
        return Block(replace(self._spec, command=words), is_named=self._is_named)

    def __call__(self, function: F) -> F:
        """Decorate *function*.

        Raises:
            InvalidArgumentError: It is not callable, or a class.
        """
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(self(function.__func__))
        if inspect.isclass(function) or not callable(function):
            raise _not_watchable(function)
        spec = self._spec.for_function(function, rename=not self._is_named)
        return wrap(function, spec)  # type: ignore[return-value] # same signature

    def __enter__(self) -> Execution:
        return self._start()

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        current = self._entered.pop()
        try:
            if error is None:
                current.succeed()
            else:
                current.fail(error)
        finally:
            current.leave()

    async def __aenter__(self) -> Execution:
        return self._start()

    async def __aexit__(
        self,
        type_: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(type_, error, traceback)

    def _start(self) -> Execution:
        current = self._begin() or INERT
        current.enter()
        self._entered.append(current)
        return current

    @never_raises("starting an execution", default=None)
    def _begin(self) -> Execution | None:
        telemetry = active_telemetry()
        return None if telemetry is None else self._spec.begin(telemetry)


def _not_watchable(thing: object) -> InvalidArgumentError:
    found = "a class" if inspect.isclass(thing) else "not callable"
    return InvalidArgumentError(
        "name",
        f"cannot observe {clean_text(repr(type(thing)), limit=80)} as executions: it is {found}; "
        "decorate a function or method, or give the block's name as a string",
    )
