"""Every way in which results and exceptions report how an execution ended."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import os
import pickle
import signal
import subprocess
import types
from enum import Enum
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from opentelemetry.trace import StatusCode

from otel_codomon import InvalidArgumentError, current_execution, execution, names
from otel_codomon.executions.results import read_result
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.outcome_details import read_exception
from otel_codomon.monitoring.values import MetricsSummary
from otel_codomon.report.tally import Tally
from otel_codomon.resources.labels import Kind, Labels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from otel_codomon.journal.execution_record import ExecutionRecord
    from otel_codomon.testing import Recorder
    from otel_codomon.words import OutcomeWord, ResultForm


class Reported(Enum):
    """As the client of a sandbox has it."""

    OUTCOME_OK = 1
    OUTCOME_FAILED = 2
    OUTCOME_DEADLINE_EXCEEDED = 3
    OUTCOME_UNSPECIFIED = 0


class Has(SimpleNamespace):
    def cancelled(self) -> bool:
        return True

    def status(self) -> str:
        return "error"


SIGKILL = 137
# What is returned, how it ended, its exit code, its signal.
RESULTS: list[tuple[object, Outcome | None, int | None, str | None]] = [
    # flags and messages
    ({"error": "boom"}, Outcome.ERROR, None, None),
    ({"error": ""}, None, None, None),
    ({"error": None, "exit_code": 0}, Outcome.SUCCESS, 0, None),
    ({"error": 0.25}, None, None, None),  # of a measurement
    ({"error": {"message": "x"}}, Outcome.ERROR, None, None),
    ({"error": {}}, None, None, None),
    (Has(error=Has(name="ZeroDivisionError", value="x")), Outcome.ERROR, None, None),
    (Has(error=print), None, None, None),
    ({"error_message": "boom", "exit_code": 0}, Outcome.ERROR, 0, None),
    ({"success": False}, Outcome.ERROR, None, None),
    ({"success": True}, None, None, None),
    ({"ok": False}, Outcome.ERROR, None, None),
    ({"ok": 0}, None, None, None),
    ({"isError": True, "content": []}, Outcome.ERROR, None, None),
    (Has(isError=True), Outcome.ERROR, None, None),
    ({"isError": False}, None, None, None),
    ({"timed_out": True, "returncode": -9}, Outcome.TIMEOUT, SIGKILL, "SIGKILL"),
    ({"timed_out": False, "returncode": 0}, Outcome.SUCCESS, 0, None),
    # words
    ({"outcome": "OUTCOME_FAILED"}, Outcome.ERROR, None, None),
    (Has(outcome=Reported.OUTCOME_DEADLINE_EXCEEDED), Outcome.TIMEOUT, None, None),
    (Has(outcome=Reported.OUTCOME_OK), Outcome.SUCCESS, None, None),
    (Has(outcome=Reported.OUTCOME_UNSPECIFIED), Outcome.UNKNOWN, None, None),
    (Has(outcome=Outcome.LIMIT_EXCEEDED, exit_code=1), Outcome.LIMIT_EXCEEDED, 1, None),
    ({"status": "Time Limit Exceeded"}, Outcome.TIMEOUT, None, None),
    ({"status": "running", "exit_code": None}, Outcome.UNKNOWN, None, None),
    ({"status": "running", "exit_code": 0}, Outcome.SUCCESS, 0, None),
    ({"status": "host_died"}, None, None, None),  # no result can say that
    ({"status": 404}, None, None, None),
    # one field says that it went well, another that it did not
    ({"status": "completed", "exit_code": 1}, Outcome.ERROR, 1, None),
    ({"status": "success", "error": "boom"}, Outcome.ERROR, None, None),
    ({"status": "failed", "exit_code": 137}, Outcome.KILLED, SIGKILL, "SIGKILL"),
    ({"success": True, "exit_code": 3}, Outcome.ERROR, 3, None),
    # exit codes
    ({"StatusCode": 137, "Error": None}, Outcome.KILLED, SIGKILL, "SIGKILL"),
    ({"StatusCode": 0, "Error": {"Message": "gone"}}, Outcome.ERROR, 0, None),
    ({"return_code": 1}, Outcome.ERROR, 1, None),
    ({"exit_code": 143}, Outcome.KILLED, 143, "SIGTERM"),
    ({"exit_code": 128}, Outcome.ERROR, 128, None),
    ({"exit_code": 193}, Outcome.ERROR, 193, None),
    ({"exit_code": 255}, Outcome.ERROR, 255, None),
    ({"exit_code": 256}, Outcome.ERROR, None, None),
    ({"exit_code": 2**70}, Outcome.ERROR, None, None),
    ({"exit_code": -(2**70)}, Outcome.ERROR, None, None),
    ({"exit_code": -1}, Outcome.ERROR, None, None),
    ({"exit_code": "1"}, None, None, None),
    ({"run": {"code": 1, "signal": None}}, Outcome.ERROR, 1, None),
    ({"run": {"code": None, "signal": "SIGKILL"}}, Outcome.KILLED, None, "SIGKILL"),
    ({"compile": {"code": 1}, "run": {"code": 0}}, Outcome.ERROR, 1, None),
    ({"run": {"code": 0, "signal": None}}, Outcome.SUCCESS, 0, None),
    ({"run": "a text"}, None, None, None),
    ({"code": 1}, None, None, None),  # may be anything
    (
        {"State": {"Status": "exited", "ExitCode": 137, "OOMKilled": True, "Error": ""}},
        Outcome.OOM_KILLED,
        SIGKILL,
        "SIGKILL",
    ),
    # return codes: of the process itself, unless it is a shell or the client of an engine
    (subprocess.CompletedProcess(["job"], 137), Outcome.ERROR, 137, None),
    (subprocess.CompletedProcess(["/bin/sh", "-c", "x"], 137), Outcome.KILLED, 137, "SIGKILL"),
    (subprocess.CompletedProcess("job | tail", 143), Outcome.KILLED, 143, "SIGTERM"),
    (subprocess.CompletedProcess(["docker", "run", "x"], 137), Outcome.KILLED, 137, "SIGKILL"),
    (subprocess.CompletedProcess(["docker", "run", "x"], 125), Outcome.ERROR, 125, None),
    (subprocess.CompletedProcess([], 137), Outcome.ERROR, 137, None),
    (Has(exitcode=-11), Outcome.KILLED, 139, "SIGSEGV"),
    ({"returncode": -65}, Outcome.ERROR, None, None),
    # nothing that reports an outcome
    (Has(), None, None, None),
    ([{"error": "boom"}], None, None, None),
    ({}, None, None, None),
]


@pytest.mark.parametrize(("result", "outcome", "exit_code", "name"), RESULTS, ids=repr)
def test_a_result_says_how_it_ended(
    result: object, outcome: Outcome | None, exit_code: int | None, name: str | None
) -> None:
    found = read_result(result)

    assert (found.outcome, found.exit_code, found.signal) == (outcome, exit_code, name)
    assert (found.error_type is None) == (outcome is None or not outcome.is_failure)


def test_a_result_with_one_field_that_cannot_be_read_is_read_by_the_others() -> None:
    class Odd:
        exit_code = 3

        @property
        def status(self) -> str:
            raise RuntimeError

    assert read_result(Odd()).exit_code == 3


@given(
    st.dictionaries(
        st.sampled_from(["status", "exit_code", "error", "run", "signal"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.dictionaries(st.text(), inner),
        ),
    )
)
def test_any_result_is_read(result: object) -> None:
    found = read_result(result)

    assert found.exit_code is None or 0 <= found.exit_code <= 255


# Module, class and arguments or attributes of an exception, how it ended.
EXCEPTIONS: list[tuple[str, str, Outcome]] = [
    ("asyncio.exceptions", "CancelledError", Outcome.CANCELLED),
    ("asyncio.exceptions", "TimeoutError", Outcome.TIMEOUT),
    ("billiard.exceptions", "SoftTimeLimitExceeded", Outcome.TIMEOUT),
    ("billiard.exceptions", "TimeLimitExceeded", Outcome.TIMEOUT),
    ("billiard.exceptions", "WorkerLostError", Outcome.KILLED),
    ("billiard.exceptions", "Terminated", Outcome.CANCELLED),
    ("celery.exceptions", "Ignore", Outcome.SUCCESS),
    ("celery.exceptions", "Reject", Outcome.SUCCESS),
    ("celery.exceptions", "Retry", Outcome.SUCCESS),
    ("celery.exceptions", "TaskRevokedError", Outcome.CANCELLED),
    ("celery.exceptions", "TimeoutError", Outcome.TIMEOUT),
    ("concurrent.futures._base", "CancelledError", Outcome.CANCELLED),
    ("concurrent.futures._base", "TimeoutError", Outcome.TIMEOUT),
    ("concurrent.futures.process", "BrokenProcessPool", Outcome.ERROR),  # without its base
    ("distributed.scheduler", "KilledWorker", Outcome.KILLED),
    ("e2b.exceptions", "TimeoutException", Outcome.TIMEOUT),
    ("httpx", "TimeoutException", Outcome.TIMEOUT),
    ("llm_sandbox.exceptions", "SandboxTimeoutError", Outcome.TIMEOUT),
    ("multiprocessing.context", "TimeoutError", Outcome.TIMEOUT),
    ("nbclient.exceptions", "DeadKernelError", Outcome.KILLED),
    ("ray.exceptions", "ActorDiedError", Outcome.KILLED),
    ("ray.exceptions", "GetTimeoutError", Outcome.TIMEOUT),
    ("ray.exceptions", "NodeDiedError", Outcome.KILLED),
    ("ray.exceptions", "OutOfMemoryError", Outcome.OOM_KILLED),
    ("ray.exceptions", "TaskCancelledError", Outcome.CANCELLED),
    ("ray.exceptions", "WorkerCrashedError", Outcome.KILLED),
    ("redis.exceptions", "TimeoutError", Outcome.TIMEOUT),
    ("requests.exceptions", "Timeout", Outcome.TIMEOUT),
    ("smolagents.local_python_executor", "ExecutionTimeoutError", Outcome.TIMEOUT),
    ("smolagents.local_python_executor", "FinalAnswerException", Outcome.SUCCESS),
    ("trio", "Cancelled", Outcome.CANCELLED),
    ("trio", "TooSlowError", Outcome.TIMEOUT),
    ("unittest.case", "SkipTest", Outcome.SUCCESS),
    ("urllib3.exceptions", "TimeoutError", Outcome.TIMEOUT),
    ("my_own.exceptions", "Retry", Outcome.ERROR),
    ("celery_like", "Retry", Outcome.ERROR),
]


@pytest.mark.parametrize(("module", "name", "outcome"), EXCEPTIONS)
def test_an_exception_of_a_library_says_how_it_ended(
    module: str, name: str, outcome: Outcome
) -> None:
    """By its name: no library needs to be installed, and none is imported."""
    like = type(name, (Exception,), {"__module__": module})
    below = type("Special", (like,), {"__module__": "my_own"})

    for cls in (like, below):
        found = read_exception(cls())
        assert found.outcome is outcome
        assert (found.reason is None) == (outcome is not Outcome.SUCCESS)


def test_the_exceptions_of_what_is_installed_are_those_of_the_table() -> None:
    from concurrent.futures import BrokenExecutor, thread
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import TimeoutError as PoolTimeout
    from unittest import SkipTest

    import httpx2
    import redis
    import requests
    import trio
    from joblib.externals.loky.process_executor import (  # type: ignore[import-untyped] # has no types
        TerminatedWorkerError,
    )

    found = {
        error: read_exception(error("x")).outcome
        for error in (
            *(BrokenExecutor, BrokenProcessPool, TerminatedWorkerError, thread.BrokenThreadPool),
            *(PoolTimeout, redis.TimeoutError, requests.Timeout, requests.ConnectTimeout),
            *(httpx2.ReadTimeout, trio.TooSlowError, SkipTest),
        )
    }

    assert found == {
        **dict.fromkeys((BrokenExecutor, BrokenProcessPool, TerminatedWorkerError), Outcome.KILLED),
        thread.BrokenThreadPool: Outcome.ERROR,
        **dict.fromkeys((PoolTimeout, redis.TimeoutError, requests.Timeout), Outcome.TIMEOUT),
        **dict.fromkeys((requests.ConnectTimeout, httpx2.ReadTimeout), Outcome.TIMEOUT),
        trio.TooSlowError: Outcome.TIMEOUT,
        SkipTest: Outcome.SUCCESS,
    }


@pytest.mark.parametrize(
    ("module", "name", "field"),
    [
        ("docker.errors", "ContainerError", "exit_status"),
        ("e2b.sandbox.commands.command_handle", "CommandExitException", "exit_code"),
    ],
)
def test_an_exception_with_an_exit_code_says_that(module: str, name: str, field: str) -> None:
    cls = type(name, (Exception,), {"__module__": module})
    outcomes = {}
    for code in (2, 137, 2**70, None):
        error = cls()
        setattr(error, field, code)
        found = read_exception(error)
        outcomes[code] = (found.outcome, found.exit_code, found.signal)

    assert outcomes == {
        2: (Outcome.ERROR, 2, None),
        137: (Outcome.KILLED, 137, "SIGKILL"),
        2**70: (Outcome.ERROR, None, None),
        None: (Outcome.ERROR, None, None),
    }


def test_a_called_process_error_is_read_by_its_command() -> None:
    found = {
        command: read_exception(subprocess.CalledProcessError(137, command.split()))
        for command in ("docker run x", "job")
    }

    assert [details.outcome for details in found.values()] == [Outcome.KILLED, Outcome.ERROR]


class GroupLike(Exception):  # noqa: N818 - `BaseExceptionGroup` is not in Python 3.10
    exceptions: tuple[BaseException, ...] = ()


GroupLike.__module__, GroupLike.__qualname__ = "builtins", "BaseExceptionGroup"


def test_a_group_of_exceptions_that_agree_says_the_same() -> None:
    def group(*inner: BaseException) -> GroupLike:
        found = GroupLike()
        found.exceptions = inner
        return found

    assert read_exception(group(TimeoutError(), group(TimeoutError()))).outcome is Outcome.TIMEOUT
    assert read_exception(group(TimeoutError(), ValueError())).outcome is Outcome.ERROR
    assert read_exception(group()).outcome is Outcome.ERROR


# --- what is no failure -----------------------------------------------------------


def test_control_flow_is_no_failure_and_its_reason_is_on_the_span(recorder: Recorder) -> None:
    retry = type("Retry", (Exception,), {"__module__": "celery.exceptions"})

    @execution
    def task() -> None:
        raise retry

    with pytest.raises(retry):
        task()

    [run] = recorder.executions()
    [span] = recorder.spans()
    assert (run.outcome, run.attributes[names.ERROR_REASON]) == (Outcome.SUCCESS, "to be retried")
    assert span.status.status_code is StatusCode.UNSET
    assert span.events == ()
    assert names.ERROR_TYPE not in run.attributes


@types.coroutine
def _forever() -> Iterator[None]:
    yield


def test_a_generator_that_is_closed_ended_well_and_a_coroutine_that_is_closed_did_not(
    recorder: Recorder,
) -> None:
    @execution
    def numbers() -> Iterator[int]:
        yield 1

    def numbers_in_a_block() -> Iterator[int]:
        with execution("numbers in a block"):
            yield 1

    @execution
    async def waits() -> None:
        await _forever()

    for started in (numbers(), numbers_in_a_block()):
        next(started)
        started.close()  # type: ignore[attr-defined] # generators have it
    waiting = waits()
    waiting.send(None)
    waiting.close()

    ended = [(run.outcome, run.attributes.get(names.ERROR_REASON)) for run in recorder.executions()]
    closed = (Outcome.SUCCESS, "closed by its consumer")
    assert ended == [closed, closed, (Outcome.CANCELLED, None)]


def test_an_iterator_that_is_exhausted_ended_well(recorder: Recorder) -> None:
    class Numbers:
        @execution
        def __next__(self) -> int:
            raise StopIteration

    with pytest.raises(StopIteration):
        next(Numbers())

    assert [run.outcome for run in recorder.executions()] == [Outcome.SUCCESS]


def test_what_nobody_could_see_is_no_success_and_no_failure(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_result: object) -> Outcome:
        raise RuntimeError("broken")

    execution("read", result=broken)(lambda: 1)()
    execution("reported")(lambda: {"status": "unknown"})()
    execution("no such word", result=lambda _: "as ever")(lambda: 1)()
    with execution("recorded") as current:
        current.record(outcome="unknown")

    runs, spans = recorder.executions(), recorder.spans()
    assert {run.outcome for run in runs} == {Outcome.UNKNOWN}
    assert {span.status.status_code for span in spans} == {StatusCode.UNSET}
    assert not any(names.ERROR_TYPE in run.attributes for run in runs)
    assert "reading a result" in caplog.text


def test_the_unknown_are_in_no_ratio(recorder: Recorder) -> None:
    def run(outcome: OutcomeWord) -> ExecutionRecord:
        with execution("job") as current:
            current.record(outcome=outcome)
        return recorder.executions()[-1]

    records = [run(outcome) for outcome in ("success", "error", "unknown", "unknown")]
    tally = Tally(Labels("job", Kind.FUNCTION))
    for record in records:
        tally.add(record)

    assert (tally.failures, tally.known, tally.count) == (1, 2, 4)
    summary = MetricsSummary.of(records, running=0)
    assert (summary.finished.success_rate, summary.finished.executions) == (0.5, 4)
    assert MetricsSummary.of(records[2:], running=0).finished.success_rate is None


# --- signal handlers that exit -------------------------------------------------------


class Exits:
    def __call__(self, *_arguments: object) -> None:
        raise SystemExit(0)


def _exit(code: int, *_arguments: object) -> None:
    raise SystemExit(code)


@pytest.mark.parametrize(
    "handler",
    [lambda *_: _exit(0), functools.partial(_exit, 3), Exits(), Exits().__call__],
    ids=["function", "partial", "object", "method"],
)
@pytest.mark.parametrize("shape", ["function", "block", "coroutine", "generator"])
def test_the_exit_of_a_signal_handler_cancels_what_was_running(
    handler: Callable[..., None], shape: str, recorder: Recorder
) -> None:
    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)

    async def coroutine() -> None:
        interrupted()

    def generator() -> Iterator[None]:
        interrupted()
        yield

    def block() -> None:
        with execution("block"):
            interrupted()

    bodies: dict[str, Callable[[], object]] = {
        "function": execution(interrupted),
        "block": block,
        "coroutine": lambda: execution(coroutine)().send(None),
        "generator": lambda: next(execution(generator)()),
    }
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(SystemExit):
            bodies[shape]()
    finally:
        signal.signal(signal.SIGUSR1, before)

    [run] = recorder.executions()
    assert (run.outcome, run.attributes[names.ERROR_TYPE]) == (Outcome.CANCELLED, "SystemExit")
    assert names.PROCESS_EXIT_CODE not in run.attributes


def test_an_exit_of_the_observed_code_itself_has_its_exit_code(recorder: Recorder) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: _exit(0))
    try:
        for code in (0, 3):
            with pytest.raises(SystemExit):
                execution("exits")(_exit)(code)
    finally:
        signal.signal(signal.SIGUSR1, before)

    runs = recorder.executions()
    assert [run.outcome for run in runs] == [Outcome.SUCCESS, Outcome.ERROR]
    assert [run.attributes[names.PROCESS_EXIT_CODE] for run in runs] == [0, 3]


# --- readers by name, arguments by name ------------------------------------------------


@pytest.mark.parametrize(
    ("reader", "returned", "outcome", "exit_code"),
    [
        ("exit_code", 0, Outcome.SUCCESS, 0),
        ("exit_code", 137, Outcome.KILLED, 137),
        ("exit_code", {"exit_code": 2}, Outcome.ERROR, 2),
        ("returncode", 137, Outcome.ERROR, 137),
        ("returncode", -9, Outcome.KILLED, 137),
        ("returncode", subprocess.CompletedProcess("x", 1), Outcome.ERROR, 1),
        ("status", "timed_out", Outcome.TIMEOUT, None),
        ("status", "no such status", Outcome.UNKNOWN, None),
        ("status", {"status": "failed"}, Outcome.ERROR, None),
        ("success", True, Outcome.SUCCESS, None),
        ("success", "", Outcome.ERROR, None),
        ("nothing", {"error": "boom"}, Outcome.SUCCESS, None),
    ],
)
def test_a_result_is_read_by_the_reader_of_a_name(
    reader: ResultForm,
    returned: object,
    outcome: Outcome,
    exit_code: int | None,
    recorder: Recorder,
) -> None:
    execution("reads", result=reader)(lambda: returned)()

    [run] = recorder.executions()
    assert (run.outcome, run.attributes.get(names.PROCESS_EXIT_CODE)) == (outcome, exit_code)


@pytest.mark.parametrize("reader", ["exitcode", "", 3, ["exit_code"]])
def test_there_is_no_reader_of_another_name(reader: object) -> None:
    with pytest.raises(InvalidArgumentError, match="exit_code, returncode, status"):
        execution("reads", result=reader)  # type: ignore[call-overload] # a caller's mistake


def test_the_arguments_are_read_by_the_names_that_the_function_has(recorder: Recorder) -> None:
    names_of = {"code": "code_action", "timeout": "seconds", "session_id": None}

    @execution(arguments=names_of)
    def run(
        code_action: str, *, seconds: float = 5.0, session_id: str = "x", code: int = 0
    ) -> None:
        del code_action, seconds, session_id, code

    run("abc")
    run(code_action="abcd", seconds=2)

    first, second = (span.attributes or {} for span in recorder.spans())
    assert (first[names.CODE_SIZE], first[names.EXECUTION_TIMEOUT]) == (3, 5.0)
    assert (second[names.CODE_SIZE], second[names.EXECUTION_TIMEOUT]) == (4, 2.0)
    assert names.EXECUTION_SESSION_ID not in first


def test_an_argument_may_be_among_those_that_are_not_declared(recorder: Recorder) -> None:
    execution(arguments={"code": "source"})(lambda **_: None)(source="abc")

    [span] = recorder.spans()
    assert (span.attributes or {})[names.CODE_SIZE] == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"source": "code"}, "language, code, timeout, session_id"),
        ({"code": 3}, "name of a parameter"),
        ("code", "of type str"),
        ({"code": "missing"}, "the function has text"),
    ],
)
def test_arguments_that_nothing_can_be_read_from_are_refused(arguments: object, says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):

        @execution(arguments=arguments)  # type: ignore[call-overload, untyped-decorator] # as above
        def run(text: str) -> None:
            del text


# --- objects that can be called ----------------------------------------------------------


class Executor:
    """An interpreter, as an agent has it."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def __call__(self, code: str, *, timeout: float | None = None) -> str:
        del timeout
        return code.upper()

    def send(self, tool: str) -> None:
        self.sent.append(tool)

    def __len__(self) -> int:
        return len(self.sent)


class AsyncExecutor(Executor):
    async def __call__(self, code: str, *, timeout: float | None = None) -> str:  # type: ignore[override]
        del timeout
        await asyncio.sleep(0)
        self.sent.append(current_execution().execution_id)
        return code


def test_a_decorated_object_keeps_its_methods(recorder: Recorder) -> None:
    target = Executor()
    observed = execution("agent")(target)

    observed.send("a")
    observed.limit = 3  # type: ignore[attr-defined] # as programs do

    assert observed("x = 1", timeout=2) == "X = 1"
    assert isinstance(observed, Executor)
    assert (observed.__class__, observed.__doc__) == (Executor, Executor.__doc__)
    assert (len(observed), target.sent, target.limit) == (1, ["a"], 3)  # type: ignore[attr-defined]
    assert inspect.signature(observed) == inspect.signature(target)
    [span] = recorder.spans()
    attributes = span.attributes or {}
    assert (span.name, attributes[names.CODE_SIZE]) == ("agent", 5)
    assert attributes[names.CODE_FUNCTION_NAME] == f"{__name__}.Executor.__call__"
    assert attributes[names.CODE_FILE_PATH] == __file__


def test_an_object_without_a_name_is_called_like_its_class(recorder: Recorder) -> None:
    execution(Executor())("x")

    assert [span.name for span in recorder.spans()] == ["Executor"]


def _pickled(target: Executor) -> Executor:
    found: Executor = pickle.loads(pickle.dumps(target))  # noqa: S301 - our own bytes
    return found


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, _pickled])
def test_a_copy_of_a_decorated_object_is_observed_too(
    again: Callable[[Executor], Executor], recorder: Recorder
) -> None:
    observed = execution("agent", result="status")(Executor())
    observed.send("a")

    copied = again(observed)

    assert (copied("ok"), copied.sent) == ("OK", ["a"])
    assert [span.name for span in recorder.spans()] == ["agent"]


def test_an_object_whose_calls_are_coroutines_is_awaited_inside_its_execution(
    recorder: Recorder,
) -> None:
    observed = execution("agent")(AsyncExecutor())

    assert inspect.iscoroutinefunction(observed.__call__)
    assert asyncio.run(observed("x")) == "x"
    assert [run.execution_id for run in recorder.executions()] == observed.sent


def test_a_decorated_cache_keeps_what_it_tells(recorder: Recorder) -> None:
    class Parser:
        @execution
        @functools.lru_cache  # noqa: B019 - of one object
        def parse(self, text: str) -> str:
            return text.strip()

    parser = Parser()

    assert [parser.parse(" a"), parser.parse(" a")] == ["a", "a"]
    assert Parser.parse.cache_info().hits == 1
    assert len(recorder.executions()) == 2


def test_a_partial_is_observed_as_what_it_calls(recorder: Recorder) -> None:
    async def job(code: str, times: int) -> str:
        await asyncio.sleep(0)
        return code * times

    observed = execution("job")(functools.partial(job, times=2))

    assert asyncio.run(observed("ab")) == "abab"
    assert observed.func is job
    [span] = recorder.spans()
    assert (span.attributes or {})[names.CODE_SIZE] == 2


async def _items() -> AsyncIterator[int]:
    yield 1


def test_an_object_whose_calls_are_async_generators_is_one_execution_for_each(
    recorder: Recorder,
) -> None:
    class Stream:
        def __call__(self) -> AsyncIterator[int]:
            return _items()

    async def main() -> list[int]:
        return [item async for item in execution("stream")(Stream())()]

    assert asyncio.run(main()) == [1]
    assert [run.outcome for run in recorder.executions()] == [Outcome.SUCCESS]
