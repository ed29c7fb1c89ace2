"""Wrap a callable so that each of its calls is an execution.

The wrapper is of the same kind as what it wraps, adds one frame, and lets the
result and the exception through as they are.
"""

from __future__ import annotations

import functools
import inspect
import types
from typing import TYPE_CHECKING, Any, Final, TypeVar

from otel_codomon import names
from otel_codomon._platform.never_raises import never_raises
from otel_codomon.executions.arguments import ArgumentReader
from otel_codomon.executions.providers import active_telemetry
from otel_codomon.executions.running import INERT
from otel_codomon.executions.tool_calls import call_arguments

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from otel_codomon.executions.running import Execution
    from otel_codomon.executions.spec import ExecutionSpec

T = TypeVar("T")


class Starter:
    """Starts the executions of one decorated callable."""

    __slots__ = ("_function", "_read_arguments", "_spec")

    def __init__(self, function: Callable[..., object], spec: ExecutionSpec) -> None:
        self._spec = spec
        self._function = function
        self._read_arguments = ArgumentReader(function, spec.arguments)

    @never_raises("starting an execution", default=None)
    def start(
        self, args: tuple[object, ...], kwargs: dict[str, object], *, thread: bool
    ) -> Execution | None:
        """Start one; None while nothing is configured, or if it failed."""
        telemetry = active_telemetry()
        if telemetry is None:
            return None
        current = self._spec.begin(
            telemetry, facts=self._read_arguments(args, kwargs), thread=thread
        )
        if current.is_tool_call:
            code = self._spec.arguments.get("code")
            arguments = call_arguments(self._function, args, kwargs, code=code)
            current.note(names.GEN_AI_TOOL_CALL_ARGUMENTS, arguments)
        return current


def wrap(function: Callable[..., Any], spec: ExecutionSpec) -> Callable[..., Any]:
    """Return *function*, observed: as a function, or as the object that it is."""
    own_call = None if isinstance(function, _FUNCTIONS) else type(function).__call__
    kinds = (make for is_kind, make in _KINDS if is_kind(function) or is_kind(own_call))
    make = next(kinds, _wrap_function)
    wrapped: Callable[..., Any] = make(function, Starter(function, spec))
    if own_call is None:
        return wrapped
    from otel_codomon.executions.observed_object import (  # noqa: PLC0415 - 5 ms, and functions need none
        ObservedObject,
    )

    return ObservedObject(function, wrapped, functools.partial(_wrap_again, spec))


def _wrap_again(spec: ExecutionSpec, function: Callable[..., Any]) -> Callable[..., Any]:
    """Observe a copy of an object with the same plan."""
    return wrap(function, spec)


def _wrap_function(function: Callable[..., T], starter: Starter) -> Callable[..., T]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> T:
        current = starter.start(args, kwargs, thread=True)
        if current is None:
            return function(*args, **kwargs)
        current.enter()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            current.fail(error)
            raise
        else:
            current.succeed(result)
            return result
        finally:
            current.leave()

    return call


class _Step:
    """One step of a coroutine or generator, as part of an execution.

    The execution is current, and the thread's clock runs for it, during a
    step and never in between, when the thread belongs to others.
    """

    __slots__ = ("_current", "_own")

    def __init__(self, current: Execution) -> None:
        self._current = current
        self._own = current.tracker.own

    def __enter__(self) -> None:
        self._current.enter()
        self._own.begin_step()

    def __exit__(self, *_exception: object) -> None:
        try:
            self._own.end_step()
        finally:
            self._current.leave()


def _drive(current: Execution, steps: Any) -> Generator[Any, Any, Any]:
    """Run *steps* inside *current* and pass everything through (PEP 380, by hand)."""
    step = _Step(current)
    advance, value = steps.send, None
    while True:
        try:
            with step:
                item = advance(value)
        except StopIteration as stop:
            return stop.value
        try:
            value = yield item
            advance = steps.send
        except GeneratorExit:
            with step:
                steps.close()
            raise
        except BaseException as error:  # noqa: BLE001 - thrown in, for the observed code
            advance, value = steps.throw, error


class _Driven:
    """Awaits *awaitable* step by step, inside an execution."""

    __slots__ = ("_awaitable", "_current")

    def __init__(self, current: Execution, awaitable: Awaitable[Any]) -> None:
        self._current = current
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._awaitable
        return _drive(self._current, steps if hasattr(steps, "send") else steps.__await__())


def _wrap_coroutine(
    function: Callable[..., Awaitable[Any]], starter: Starter
) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        current = starter.start(args, kwargs, thread=False)
        if current is None:
            return await function(*args, **kwargs)
        current.tracker.own.runs_as_task()
        try:
            result = await _Driven(current, function(*args, **kwargs))
        except BaseException as error:
            current.fail(error)
            raise
        current.succeed(result)
        return result

    return call


def _wrap_generator(
    function: Callable[..., Generator[Any, Any, Any]], starter: Starter
) -> Callable[..., Generator[Any, Any, Any]]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        current = starter.start(args, kwargs, thread=False)
        if current is None:
            return (yield from function(*args, **kwargs))
        try:
            result = yield from _drive(current, function(*args, **kwargs))
        except BaseException as error:
            current.fail(error)
            raise
        current.succeed(result)
        return result

    return call


def _wrap_async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], starter: Starter
) -> Callable[..., AsyncGenerator[Any, Any]]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        current = starter.start(args, kwargs, thread=False) or INERT
        steps = function(*args, **kwargs)
        try:
            advance, value = steps.asend, None
            while True:
                item = await _Driven(current, advance(value))
                try:
                    value = yield item
                    advance = steps.asend
                except GeneratorExit:
                    await _Driven(current, steps.aclose())
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in, for the observed code
                    advance, value = steps.athrow, error
        except StopAsyncIteration:
            current.succeed()
        except BaseException as error:
            current.fail(error)
            raise

    return call


# What needs no methods of its own; any other callable is an object with a `__call__`.
_FUNCTIONS: Final = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)

# What kind of callable -> how it is wrapped; the rest are plain functions.
_KINDS: Final[tuple[tuple[Callable[[object], bool], Callable[..., Any]], ...]] = (
    (inspect.isasyncgenfunction, _wrap_async_generator),
    (inspect.iscoroutinefunction, _wrap_coroutine),
    (inspect.isgeneratorfunction, _wrap_generator),
)
