"""Wait in a coroutine for what runs in a thread, and end that with the coroutine."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, ParamSpec

from otel_codomon.errors import NoEventLoopError
from otel_codomon.sandbox.cancellation import Cancellation, current_cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from otel_codomon.sandbox.result import ExecutionResult

P = ParamSpec("P")


def in_thread(
    function: Callable[P, ExecutionResult],
) -> Callable[P, Coroutine[None, None, ExecutionResult]]:
    """Return *function* as a coroutine function whose cancellation ends the command.

    Each call has a thread of its own: those of asyncio's executor are few, and
    a command may take hours.
    """

    async def call(*args: P.args, **kwargs: P.kwargs) -> ExecutionResult:
        loop = _running_loop()
        cancellation = Cancellation()
        try:
            context = contextvars.copy_context()
            context.run(current_cancellation.set, cancellation)
            work = functools.partial(context.run, function, *args, **kwargs)
            done, thread = _start_thread(work, loop)
            try:
                return await _outlast(done, on_cancel=cancellation.cancel)
            finally:
                # Nobody waits any more where the loop was closed or given up.
                cancellation.cancel()
                thread.join()  # it has said its last word
        finally:
            cancellation.close()

    return call


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise NoEventLoopError from None


def _start_thread(
    work: Callable[[], ExecutionResult], loop: asyncio.AbstractEventLoop
) -> tuple[asyncio.Future[ExecutionResult], threading.Thread]:
    done: asyncio.Future[ExecutionResult] = loop.create_future()

    def settle(result: ExecutionResult | None, error: BaseException | None) -> None:
        if error is not None:
            done.set_exception(error)
        elif result is not None:
            done.set_result(result)

    def target() -> None:
        try:
            result, error = work(), None
        except BaseException as raised:  # noqa: BLE001 - carried to who waits
            result, error = None, raised
        with suppress(RuntimeError):  # the loop was closed: nobody waits
            loop.call_soon_threadsafe(settle, result, error)

    thread = threading.Thread(target=target, name="otel-codomon-run", daemon=True)
    thread.start()
    return done, thread


_WAKE_SECONDS: Final = 0.2
"""How often the loop is woken while it waits: a signal handler that cancels the
task, as that of a notebook's kernel, does not wake it."""


async def _outlast(
    work: asyncio.Future[ExecutionResult], *, on_cancel: Callable[[], object]
) -> ExecutionResult:
    """Wait for *work*; when cancelled, say so to it and still wait until it is over."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait({work}, timeout=_WAKE_SECONDS)
        except asyncio.CancelledError as error:  # noqa: PERF203 - once, but for who insists
            cancelled = error
            on_cancel()
    if cancelled is not None:
        raise cancelled
    return work.result()
