from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from otel_codomon import names
from otel_codomon.journal.execution_record import ExecutionRecord, Outcome
from otel_codomon.report.cause import cause_of, growth_bytes_per_second
from otel_codomon.resources.labels import Kind, Labels
from otel_codomon.resources.usage import Curve, Usage

MIB = 1024 * 1024
GIB = 1024 * MIB


def curve(*memory: int, seconds: float = 2.2) -> Curve:
    step = seconds / len(memory)
    at = tuple(step * (n + 1) for n in range(len(memory)))
    return Curve(seconds=at, cores=(0.5,) * len(memory), memory_bytes=memory)


def record(
    outcome: Outcome | None,
    *,
    seconds: float = 2.2,
    usage: Usage | None = None,
    **attributes: object,
) -> ExecutionRecord:
    keys = {name: getattr(names, name.upper()) for name in attributes}
    return ExecutionRecord(
        execution_id="1",
        labels=Labels("job", Kind.COMMAND),
        trace_id="2",
        span_id="3",
        started_unix_ns=0,
        ended_unix_ns=None if outcome is None else round(seconds * 1e9),
        outcome=outcome,
        usage=usage or Usage(),
        attributes={keys[name]: value for name, value in attributes.items()},
    )


GROWING = Usage(curve=curve(64 * MIB, 192 * MIB, 320 * MIB, 512 * MIB))
CASES = [
    (record(None), None),
    (record(Outcome.SUCCESS), None),
    (record(Outcome.SUCCESS, error_reason="retried"), "retried"),
    (
        record(Outcome.OOM_KILLED, usage=GROWING, limit_memory=512 * MIB),
        "out of memory: reached its 512 MiB limit after 2.2 s, growing 291 MiB/s",
    ),
    (
        record(Outcome.OOM_KILLED, usage=Usage(peak_memory_bytes=2 * GIB)),
        "out of memory: killed by the kernel after 2.2 s, at 2 GiB",
    ),
    (
        record(Outcome.TIMEOUT, seconds=1.01, usage=Usage(cpu_seconds=0.02), execution_timeout=1.0),
        "timed out after 1 s while waiting (2 % CPU)",
    ),
    (
        record(Outcome.TIMEOUT, seconds=61, usage=Usage(cpu_seconds=60), execution_timeout=60),
        "timed out after 1m while computing (98 % CPU)",
    ),
    (
        record(Outcome.TIMEOUT, seconds=3, execution_timeout=600.0),
        "timed out after 3 s",
    ),
    (record(Outcome.KILLED, execution_signal="SIGSEGV"), "crashed: SIGSEGV"),
    (record(Outcome.KILLED, execution_signal="SIGKILL"), "killed by SIGKILL after 2.2 s"),
    (record(Outcome.KILLED, error_reason="its supervisor died"), "killed: its supervisor died"),
    (
        record(Outcome.LIMIT_EXCEEDED, limit_type="cpu", limit_cpu=90),
        "exceeded its CPU time limit of 1m 30s after 2.2 s",
    ),
    (
        record(Outcome.LIMIT_EXCEEDED, limit_type="processes", limit_processes=16),
        "exceeded its process limit of 16 after 2.2 s",
    ),
    (record(Outcome.LIMIT_EXCEEDED), "exceeded a limit after 2.2 s"),
    (record(Outcome.ERROR, process_exit_code=3), "failed with exit code 3"),
    (record(Outcome.ERROR, error_type="ValueError"), "failed: ValueError"),
    (record(Outcome.ERROR), "failed: it reported an error"),
    (record(Outcome.SETUP_ERROR, error_reason="no bwrap"), "could not start: no bwrap"),
    (record(Outcome.CANCELLED, seconds=0.04), "cancelled after 40 ms"),
    (record(Outcome.UNKNOWN), "ended after 2.2 s; its exit status is unknown"),
    (record(Outcome.HOST_DIED), "observer died"),
    (
        record(Outcome.HOST_DIED, usage=Usage(curve=curve(GIB, 1945 * MIB))),
        "observer died; last seen at 1.9 GiB",
    ),
]


@pytest.mark.parametrize(("found", "expected"), CASES)
def test_each_outcome_has_its_sentence(found: ExecutionRecord, expected: str | None) -> None:
    assert cause_of(found) == expected


def test_no_outcome_is_left_out() -> None:
    assert {found.outcome for found, _ in CASES} == {None, *Outcome}


@given(
    st.sampled_from(Outcome),
    st.dictionaries(
        st.sampled_from(sorted(names.ATTRIBUTES)),
        st.none() | st.integers() | st.text() | st.floats(),
    ),
)
def test_strange_attributes_still_make_one_sentence(
    outcome: Outcome, attributes: dict[str, object]
) -> None:
    found = record(outcome)
    strange = ExecutionRecord(
        execution_id="1",
        labels=found.labels,
        trace_id="2",
        span_id="3",
        started_unix_ns=0,
        ended_unix_ns=10**9,
        outcome=outcome,
        attributes=attributes,
    )

    cause = cause_of(strange)

    assert cause is None or cause


@pytest.mark.parametrize(
    "memory",
    [
        pytest.param((100 * MIB,), id="one point"),
        pytest.param((100 * MIB,) * 6, id="level"),
        pytest.param((300 * MIB, 200 * MIB, 100 * MIB, 90 * MIB), id="falling"),
        pytest.param((MIB, 2 * MIB, 2 * MIB, 2 * MIB + 9), id="slowly"),
    ],
)
def test_memory_that_does_not_grow_at_the_end_has_no_rate(memory: tuple[int, ...]) -> None:
    assert growth_bytes_per_second(curve(*memory)) is None
    assert growth_bytes_per_second(None) is None
