from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import SpanKind, StatusCode, get_current_span
from typing_extensions import assert_type

from otel_codomon import (
    CodomonError,
    InvalidArgumentError,
    Kind,
    Limits,
    Outcome,
    SandboxType,
    current_execution,
    execution,
    names,
    observe_cache,
)
from otel_codomon.executions import providers, running
from otel_codomon.instrumentation import CodomonInstrumentor
from otel_codomon.resources import tracker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from otel_codomon.testing import Recorder


@execution
def double(number: int) -> int:
    """Twice as much."""
    return 2 * number


MIB = 1024 * 1024


def burn(seconds: float) -> float:
    """Use so much of this thread's CPU time, or a little more: how much."""
    begin = time.thread_time()
    while (used := time.thread_time() - begin) < seconds:
        pass
    return used


@execution("named", language="python")
def named() -> str:
    return current_execution().execution_id


# --- every kind of callable ---------------------------------------------------


@pytest.fixture
def fast_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call takes long enough for its CPU time to be told, however slow the machine is."""
    monkeypatch.setattr(tracker, "THREAD_FLOOR_NS", 60 * 10**9)


@pytest.mark.usefixtures("fast_machine")
def test_a_call_is_one_span_that_says_what_ran_and_how_it_ended(recorder: Recorder) -> None:
    double(2)

    [span] = recorder.spans()
    attributes = dict(span.attributes or {})
    assert attributes.pop(names.EXECUTION_ID) == recorder.executions()[0].execution_id
    assert attributes == {
        names.EXECUTION_NAME: "double",
        names.EXECUTION_KIND: "function",
        names.SANDBOX_TYPE: "none",
        names.EXECUTION_OUTCOME: "success",
        names.CODE_FUNCTION_NAME: f"{__name__}.double",
        names.CODE_FILE_PATH: __file__,
        names.CODE_LINE_NUMBER: attributes[names.CODE_LINE_NUMBER],
    }
    assert span.name == "double"
    assert span.kind is SpanKind.INTERNAL
    assert span.status.status_code is StatusCode.UNSET
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "otel_codomon"
    assert span.instrumentation_scope.schema_url == names.SCHEMA_URL


async def _coroutine() -> str:
    await asyncio.sleep(0)
    return current_execution().execution_id


def _generator() -> Iterator[str]:
    yield current_execution().execution_id
    yield current_execution().execution_id


async def _async_generator() -> AsyncIterator[str]:
    yield current_execution().execution_id
    await asyncio.sleep(0)
    yield current_execution().execution_id


async def _collect(function: Callable[[], AsyncIterator[str]]) -> list[str]:
    return [item async for item in function()]


class Methods:
    @execution
    def plain(self) -> str:
        return current_execution().execution_id

    @execution("static")
    @staticmethod
    def static_inside() -> str:
        return current_execution().execution_id

    @staticmethod
    @execution
    def static_outside() -> str:
        return current_execution().execution_id

    @execution()
    @classmethod
    def of_class(cls) -> str:
        assert cls is Methods
        return current_execution().execution_id


CALLS: dict[str, Callable[[], str]] = {
    "function": named,
    "coroutine": lambda: asyncio.run(execution(_coroutine)()),
    "generator": lambda: list(execution(_generator)())[1],
    "async generator": lambda: asyncio.run(_collect(execution(_async_generator)))[1],
    "method": lambda: Methods().plain(),
    "static method, ours outside": Methods.static_inside,
    "static method, ours inside": Methods.static_outside,
    "class method": Methods.of_class,
    "partial": execution(functools.partial(named.__wrapped__)),  # type: ignore[attr-defined] # wraps
    "callable object": execution(functools.partial(lambda: current_execution().execution_id)),
    "lambda": execution("lambda")(lambda: current_execution().execution_id),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_kind_of_callable_runs_inside_its_execution(
    call: Callable[[], str], recorder: Recorder
) -> None:
    seen = call()

    [run] = recorder.executions()
    assert run.execution_id == seen
    assert run.outcome is Outcome.SUCCESS
    assert not current_execution().is_running
    assert not get_current_span().get_span_context().is_valid


def test_what_is_known_of_a_function_by_looking_at_it_stays_so() -> None:
    async def coroutine(a: int, *, b: str = "x") -> None: ...
    async def async_generator() -> AsyncIterator[int]:
        yield 1

    assert inspect.signature(execution(coroutine)) == inspect.signature(coroutine)
    assert inspect.iscoroutinefunction(execution(coroutine))
    assert inspect.isasyncgenfunction(execution(async_generator))
    assert inspect.isgeneratorfunction(execution(_generator))
    assert_type(double(1), int)
    assert double.__doc__ == "Twice as much."
    assert double.__name__ == "double"
    assert pickle.loads(pickle.dumps(double)) is double  # noqa: S301 - our own bytes


def test_a_generator_takes_what_is_sent_and_thrown_and_returns_its_value(
    recorder: Recorder,
) -> None:
    @execution
    def echo() -> Any:  # noqa: ANN401 - anything is echoed
        got = yield "first"
        try:
            yield got
        except KeyError:
            yield "caught"
        return "returned"

    def outer() -> Any:  # noqa: ANN401 - as above
        return (yield from echo())

    generator = outer()

    assert next(generator) == "first"
    assert generator.send("sent") == "sent"
    assert generator.throw(KeyError("thrown")) == "caught"
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "returned"
    assert [run.outcome for run in recorder.executions()] == [Outcome.SUCCESS]


def test_between_its_steps_a_generator_is_not_the_current_execution(recorder: Recorder) -> None:
    generator = execution(_generator)()

    with execution("consumer") as consumer:
        next(generator)
        between = current_execution()
        list(generator)

    assert between is consumer
    assert [run.labels.name for run in recorder.executions()] == ["_generator", "consumer"]


def test_a_generator_that_is_dropped_ends_well(recorder: Recorder) -> None:
    generator = execution(_generator)()
    next(generator)

    del generator
    gc.collect()

    assert [run.outcome for run in recorder.executions()] == [Outcome.SUCCESS]


def test_an_async_generator_that_is_closed_runs_its_cleanup_inside_the_execution(
    recorder: Recorder,
) -> None:
    cleaned_in: list[str] = []

    @execution
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            cleaned_in.append(current_execution().execution_id)

    async def main() -> None:
        stream = numbers()
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined] # generators have it

    asyncio.run(main())

    [run] = recorder.executions()
    assert run.outcome is Outcome.SUCCESS
    assert cleaned_in == [run.execution_id]


# --- blocks, nesting, threads, tasks --------------------------------------------


def test_nested_executions_are_child_spans(recorder: Recorder) -> None:
    with execution("outer") as outer, execution("inner"):
        double(1)

    inner_most, inner, outermost = recorder.executions()
    assert [run.labels.name for run in recorder.executions()] == ["double", "inner", "outer"]
    assert inner_most.parent_span_id == inner.span_id
    assert inner.parent_span_id == outermost.span_id == outer.span_id
    assert {run.trace_id for run in recorder.executions()} == {outer.trace_id}


def test_an_async_block_is_an_execution(recorder: Recorder) -> None:
    async def main() -> None:
        async with execution("block", kind=Kind.CELL, sandbox_type=SandboxType.CONTAINER):
            await asyncio.sleep(0)

    asyncio.run(main())

    [run] = recorder.executions()
    assert (run.labels.kind, run.labels.sandbox_type) == (Kind.CELL, SandboxType.CONTAINER)


def test_tasks_and_threads_keep_their_own(recorder: Recorder) -> None:
    seen: dict[str, str | None] = {}

    @execution
    async def task(name: str, barrier: asyncio.Event) -> None:
        await barrier.wait()
        seen[name] = current_execution().span_id

    async def main() -> None:
        barrier = asyncio.Event()
        tasks = [asyncio.ensure_future(task(name, barrier)) for name in ("one", "two")]
        await asyncio.sleep(0)
        barrier.set()
        await asyncio.gather(*tasks)

    def thread() -> None:
        with execution("thread"):
            seen["thread"] = current_execution().span_id

    with execution("outer") as outer:
        worker = threading.Thread(target=thread)
        worker.start()
        worker.join()
        asyncio.run(main())

    assert len({*seen.values(), outer.span_id}) == 4
    by_name = {run.labels.name: run for run in recorder.executions()}
    assert by_name["thread"].parent_span_id is None


def test_the_clock_of_a_coroutine_does_not_count_other_tasks(recorder: Recorder) -> None:
    @execution
    async def waits(burnt: asyncio.Event) -> None:
        await burnt.wait()

    async def burns(burnt: asyncio.Event) -> float:
        used = burn(0.2)
        burnt.set()
        return used

    async def main() -> float:
        burnt = asyncio.Event()
        _, used = await asyncio.gather(waits(burnt), burns(burnt))
        return used

    begin = time.thread_time()
    of_others = asyncio.run(main())
    of_all = time.thread_time() - begin

    [run] = recorder.executions()
    assert run.usage.cpu_seconds is None or run.usage.cpu_seconds <= of_all - of_others


def test_a_forked_child_does_not_end_what_runs_in_its_parent(recorder: Recorder) -> None:
    reader, writer = os.pipe()
    with execution("parent"):
        child = os.fork()
        if child == 0:
            own = current_execution().is_running
            with execution("child"):
                pass
            names_seen = [run.labels.name for run in recorder.executions()]
            os.write(writer, repr((own, names_seen)).encode())
            os._exit(0)
        os.waitpid(child, 0)

    assert os.read(reader, 1000) == b"(False, ['child'])"
    assert [run.labels.name for run in recorder.executions()] == ["parent"]
    os.close(reader)
    os.close(writer)


# --- outcomes -----------------------------------------------------------------


@dataclass
class Result:
    exit_code: int = 0
    status: str | None = None
    error_message: str = ""


RESULTS: list[tuple[object, Outcome, int | None]] = [
    (None, Outcome.SUCCESS, None),
    (3, Outcome.SUCCESS, None),
    ({"status": "timeout", "exit_code": -1}, Outcome.TIMEOUT, None),
    ({"status": "execution_error", "exit_code": 1}, Outcome.ERROR, 1),
    ({"status": "setup_error"}, Outcome.SETUP_ERROR, None),
    ({"status": "success", "exit_code": 0}, Outcome.SUCCESS, 0),
    ({"status": "no such status", "exit_code": 2}, Outcome.ERROR, 2),
    ({"returncode": 3}, Outcome.ERROR, 3),
    ({"error_message": "boom"}, Outcome.ERROR, None),
    ({"error_message": ""}, Outcome.SUCCESS, None),
    ({"exit_code": True}, Outcome.SUCCESS, None),
    (Result(exit_code=4), Outcome.ERROR, 4),
    (Result(status="OOM_KILLED", exit_code=137), Outcome.OOM_KILLED, 137),
    (Result(error_message="boom"), Outcome.ERROR, 0),
    (subprocess.CompletedProcess(["x"], 0), Outcome.SUCCESS, 0),
    (subprocess.CompletedProcess(["x"], 7), Outcome.ERROR, 7),
    (subprocess.CompletedProcess(["x"], -9), Outcome.KILLED, 137),
]


@pytest.mark.parametrize(("result", "outcome", "exit_code"), RESULTS, ids=repr)
def test_the_outcome_is_read_from_the_result(
    result: object, outcome: Outcome, exit_code: int | None, recorder: Recorder
) -> None:
    returned = execution("reads")(lambda: result)()

    [run] = recorder.executions()
    assert returned is result
    assert run.outcome is outcome
    assert run.attributes.get(names.PROCESS_EXIT_CODE) == exit_code
    assert (recorder.spans()[0].status.status_code is StatusCode.ERROR) == (
        outcome is not Outcome.SUCCESS
    )


class _OddError(TimeoutError):
    pass


EXCEPTIONS: list[tuple[BaseException, Outcome, str | None]] = [
    (ValueError("secret"), Outcome.ERROR, "ValueError"),
    (TimeoutError(), Outcome.TIMEOUT, "TimeoutError"),
    (_OddError(), Outcome.TIMEOUT, f"{__name__}._OddError"),
    (subprocess.TimeoutExpired("x", 1), Outcome.TIMEOUT, "subprocess.TimeoutExpired"),
    (subprocess.CalledProcessError(-15, "x"), Outcome.KILLED, "SIGTERM"),
    (asyncio.CancelledError(), Outcome.CANCELLED, "asyncio.exceptions.CancelledError"),
    (KeyboardInterrupt(), Outcome.CANCELLED, "KeyboardInterrupt"),
    (GeneratorExit(), Outcome.CANCELLED, "GeneratorExit"),
    (SystemExit(), Outcome.SUCCESS, None),
    (SystemExit(3), Outcome.ERROR, "exit_3"),
    (SystemExit("text"), Outcome.ERROR, "SystemExit"),
]


@pytest.mark.parametrize(("error", "outcome", "error_type"), EXCEPTIONS, ids=repr)
def test_the_outcome_is_read_from_the_exception_which_goes_on_as_it_is(
    error: BaseException, outcome: Outcome, error_type: str | None, recorder: Recorder
) -> None:
    @execution
    def fails() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        fails()

    [run] = recorder.executions()
    assert caught.value is error
    assert run.outcome is outcome
    assert run.attributes.get(names.ERROR_TYPE) == error_type
    assert "secret" not in str(recorder.spans()[0].to_json())


def test_an_interrupt_in_the_middle_of_the_end_takes_no_outcome_away(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        tracker.ResourceTracker, "finish", lambda _: signal.raise_signal(signal.SIGINT)
    )

    with pytest.raises(KeyboardInterrupt), execution("build") as current:
        current.record(exit_code=1)

    [span] = recorder.spans()
    assert (span.attributes or {})[names.EXECUTION_OUTCOME] == "error"
    assert not get_current_span().get_span_context().is_valid
    monkeypatch.undo()
    current.tracker.finish()


def test_what_is_recorded_goes_before_what_is_seen(recorder: Recorder) -> None:
    with execution("build") as current:
        current.record(exit_code=-9, reason="too slow", stdout_bytes=10, truncated=False)
        current.record(outcome=Outcome.LIMIT_EXCEEDED)

    [run] = recorder.executions()
    assert run.outcome is Outcome.LIMIT_EXCEEDED
    assert run.attributes[names.PROCESS_EXIT_CODE] == 137
    assert run.attributes[names.EXECUTION_SIGNAL] == "SIGKILL"
    assert run.attributes[names.ERROR_REASON] == "too slow"
    assert run.attributes[names.STDOUT_SIZE] == 10
    assert run.attributes[names.OUTPUT_TRUNCATED] is False


def test_a_success_that_was_told_does_not_hide_an_exception(recorder: Recorder) -> None:
    @execution
    def build() -> None:
        current_execution().record(exit_code=0)
        raise ValueError("after")

    with pytest.raises(ValueError, match="after"):
        build()

    assert recorder.executions()[0].outcome is Outcome.ERROR


def test_the_callers_own_reading_of_the_result_counts(recorder: Recorder) -> None:
    @execution(result=lambda answer: Outcome.TIMEOUT if answer == "late" else {"exit_code": 5})
    def ask(answer: str) -> str:
        return answer

    ask("late")
    ask("other")

    assert [run.outcome for run in recorder.executions()] == [Outcome.TIMEOUT, Outcome.ERROR]


# --- arguments ------------------------------------------------------------------


def test_arguments_are_understood_by_name_and_the_code_stays_here(recorder: Recorder) -> None:
    @execution
    def run_snippet(
        code: str, timeout: float = 30, *, language: str = "python", session_id: str | None = None
    ) -> None: ...

    run_snippet("print('planted')", 5, language="JS", session_id="s-1")
    run_snippet("x", language="no such language")

    first, second = recorder.executions()
    assert first.attributes[names.CODE_SIZE] == 16
    assert len(str(first.attributes[names.CODE_SHA256])) == 64
    assert first.attributes[names.EXECUTION_TIMEOUT] == 5.0
    assert first.attributes[names.SESSION_ID] == "s-1"
    assert first.attributes[names.EXECUTION_SESSION_ID] == "s-1"
    assert first.labels.language == "javascript"
    assert second.attributes[names.EXECUTION_TIMEOUT] == 30.0
    assert second.labels.language == "other"
    assert not any("planted" in str(value) for value in first.attributes.values())


def test_limits_and_attributes_are_on_the_span(recorder: Recorder) -> None:
    with execution(
        "x", limits=Limits(memory_bytes=5 * MIB), attributes={"team": "core"}, timeout=2
    ):
        pass

    attributes = recorder.executions()[0].attributes
    assert attributes[names.LIMIT_MEMORY] == 5 * MIB
    assert attributes["team"] == "core"
    assert attributes[names.EXECUTION_TIMEOUT] == 2


# --- metrics --------------------------------------------------------------------


def test_each_execution_is_in_the_histograms_with_an_exemplar_of_its_trace(
    recorder: Recorder,
) -> None:
    execution("named", language="python")(burn)(0.01)

    metrics = recorder.metrics()
    labels = {
        names.EXECUTION_NAME: "named",
        names.EXECUTION_KIND: "function",
        names.EXECUTION_LANGUAGE: "python",
        names.SANDBOX_TYPE: "none",
        names.EXECUTION_OUTCOME: "success",
    }
    [run] = recorder.executions()
    for row in (names.EXECUTION_DURATION, names.EXECUTION_CPU_TIME):
        [point] = metrics[row.name]
        assert dict(point.attributes or {}) == labels
        assert [f"{e.trace_id:032x}" for e in point.exemplars if e.trace_id] == [run.trace_id]
    assert names.EXECUTION_MEMORY_PEAK.name not in metrics  # not known is not zero


@pytest.mark.usefixtures("fast_machine")
def test_the_clock_of_the_thread_is_not_told_where_it_is_mostly_ours(recorder: Recorder) -> None:
    double(1)

    [run] = recorder.executions()
    assert (run.usage.cpu_seconds, run.usage.source) == (None, None)


def test_the_clock_of_the_thread_is_told_where_it_is_not_mostly_ours(recorder: Recorder) -> None:
    begin = time.thread_time()
    used = execution(burn)(0.05)
    at_most = time.thread_time() - begin

    [long] = recorder.executions()
    assert long.usage.source == "thread"
    assert long.usage.cpu_seconds is not None
    assert used <= long.usage.cpu_seconds <= at_most


def test_running_executions_are_counted_and_ended_ones_are_not(recorder: Recorder) -> None:
    with execution("a"), execution("a"), execution("b"):
        points = recorder.metrics()[names.EXECUTION_ACTIVE.name]
    counts = {str((point.attributes or {})[names.EXECUTION_NAME]): point.value for point in points}  # type: ignore[union-attr] # of a gauge

    assert counts == {"a": 2, "b": 1}
    assert names.EXECUTION_ACTIVE.name not in recorder.metrics()


def test_error_classes_made_at_run_time_do_not_make_series_without_end(
    recorder: Recorder,
) -> None:
    @execution
    def fail(number: int) -> None:
        raise type(f"Made{number}", (KeyError,), {})

    for number in range(150):
        with pytest.raises(KeyError):
            fail(number)

    points = recorder.metrics()[names.EXECUTION_DURATION.name]
    assert len(points) == 101
    assert sum(getattr(point, "count", 0) for point in points) == 150


# --- whatever comes in, the observed code goes on -----------------------------------


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("hostile")

    __repr__ = __str__

    @property
    def status(self) -> str:
        raise RuntimeError("hostile")


def _loop() -> list[object]:
    loop: list[object] = []
    loop.append(loop)
    return loop


STRANGE: dict[str, object] = {
    "surrogate": "a\ud800b",
    "bytes": b"\xff\xfe",
    "2**70": 2**70,
    "NaN": float("nan"),
    "infinity": float("-inf"),
    "hostile": Hostile(),
    "self-reference": _loop(),
    "a million elements": [0] * 1_000_000,
    "10 MB": "x" * 10_000_000,
    "NUL": "a\0b",
    "nothing": "",
}


@pytest.mark.parametrize("value", STRANGE.values(), ids=STRANGE)
def test_anything_at_all_may_come_in_and_the_span_arrives(
    value: object, recorder: Recorder
) -> None:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    @execution
    def work(code: object, **_understood: object) -> object:
        current = current_execution()
        current.set_attribute("value", value)
        current.set_attribute(value, "key")  # type: ignore[arg-type] # a stranger's key
        current.add_event(value, {"value": value})  # type: ignore[arg-type] # as above
        current.record(reason=value, executable=value)  # type: ignore[arg-type] # as above
        return code

    assert work(value, language=value, timeout=value, session_id=value) is value

    assert len(recorder.executions()) == 1
    assert len(encode_spans(recorder.spans()).SerializeToString()) < 100_000


def test_an_exception_whose_text_cannot_be_had_goes_on_as_it_is(recorder: Recorder) -> None:
    class Worse(Exception):  # noqa: N818 - a test's own
        def __str__(self) -> str:
            raise self

    error = Worse()

    with pytest.raises(Worse) as caught, execution("fails"):
        raise error

    assert caught.value is error
    assert recorder.executions()[0].outcome is Outcome.ERROR


def test_whatever_breaks_in_us_the_call_goes_on(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # A planted fault, in place of the bug we do not know of.
    monkeypatch.setattr("otel_codomon.executions.running.ResourceTracker.start", None)
    monkeypatch.setattr("otel_codomon._platform.never_raises._told", set())

    assert double(2) == 4
    assert double(3) == 6
    with execution("block") as current:
        current.record(exit_code=1)

    assert recorder.executions() == ()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_span_processor_that_raises_is_not_the_callers_problem(recorder: Recorder) -> None:
    from opentelemetry.sdk.trace import SpanProcessor

    class Broken(SpanProcessor):
        def on_end(self, span: object) -> None:  # noqa: ARG002 - the SDK's signature
            raise RuntimeError("broken")

    recorder.tracer_provider.add_span_processor(Broken())

    assert double(4) == 8


# --- not configured, suppressed, misused --------------------------------------------


def test_without_providers_nothing_is_recorded_and_everything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Whatever tests before it have left in this process.
    monkeypatch.setattr(running.registry, "_keeps", False)
    monkeypatch.setattr(providers, "_chosen", None)
    before = current_execution()

    assert double(2) == 4
    with execution("block") as current:
        current.attach(1)
        current.record(exit_code=1)
        current.set_attribute("a", 1)
        current.add_event("b")
        assert current.trace_id is None
        assert not current.is_running
    assert current is before


def test_suppressed_instrumentation_records_nothing(recorder: Recorder) -> None:
    with suppress_instrumentation():
        double(2)

    assert recorder.spans() == ()


@functools.lru_cache
def count_words(text: str) -> int:
    return len(text.split())


MISUSES: dict[str, Callable[[], object]] = {
    "not callable": lambda: execution(3),  # type: ignore[call-overload]
    "not callable, with brackets": lambda: execution()(3),  # type: ignore[type-var]
    "a class": lambda: execution(Result),
    "empty name": lambda: execution(" "),
    "unknown kind": lambda: execution("x", kind="no such"),  # type: ignore[call-overload]
    "unknown sandbox": lambda: execution("x", sandbox_type="no such"),  # type: ignore[call-overload]
    "language": lambda: execution("x", language=3),  # type: ignore[call-overload]
    "timeout of 0": lambda: execution("x", timeout=0),
    "timeout of NaN": lambda: execution("x", timeout=float("nan")),
    "negative timeout": lambda: execution("x", timeout=-1),
    "endless timeout": lambda: execution("x", timeout=10**400),
    "attributes": lambda: execution("x", attributes=[1]),  # type: ignore[call-overload]
    "limits": lambda: execution("x", limits={"memory_bytes": 1}),  # type: ignore[call-overload]
    "thresholds": lambda: execution("x", thresholds=3),  # type: ignore[call-overload]
    "result": lambda: execution("x", result=3),  # type: ignore[call-overload]
    "tracer provider": lambda: CodomonInstrumentor().instrument(tracer_provider=3),
    "meter provider": lambda: CodomonInstrumentor().instrument(meter_provider="x"),
    "name of a cache": lambda: observe_cache(count_words, name=3),  # type: ignore[call-overload]
    "adapters of a cache": lambda: observe_cache(count_words, adapters=3),  # type: ignore[call-overload]
    "negative limit": lambda: Limits(memory_bytes=-1),
    "NaN limit": lambda: Limits(cpu_seconds=float("nan")),
    "fraction of a process": lambda: Limits(processes=1.5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES)
def test_wrong_use_is_an_error_that_says_what_to_do(misuse: Callable[[], object]) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"^(cannot .*: .*; .*|invalid .*: .*)"
    ) as caught:
        misuse()

    assert isinstance(caught.value, (CodomonError, ValueError))


def test_importing_the_package_imports_nothing_of_opentelemetry() -> None:
    program = (
        "import sys, otel_codomon;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert found.stdout.strip() == b"[]"


def test_the_name_may_be_a_keyword(recorder: Recorder) -> None:
    @execution(name="nightly", language="bash")
    def job() -> None:
        with execution(name="step"):
            pass

    job()

    assert [span.name for span in recorder.spans()] == ["step", "nightly"]
