from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from support.history import MIB, Past, write_history
from support.journal import Journal
from support.needs import needs_cgroup
from support.two_days import two_days

from otel_codomon import Limits, execution, names, run
from otel_codomon.host.oom_kills import read_oom_kills
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.reader import JournalReader
from otel_codomon.journal.span_data import IDENTITY
from otel_codomon.report.operation import make_report
from otel_codomon.report.tally import TALLIED, figures_of
from otel_codomon.resources.labels import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from otel_codomon.report.findings import Finding
    from otel_codomon.report.values import Report

HOUR = 3600.0


def report_on(folder: Path, past: Iterable[Past], **options: object) -> Report:
    write_history(folder, past).forget()
    return make_report(journal=os.fspath(folder), **options)  # type: ignore[arg-type] # as the test says


def found(report: Report, rule: str) -> Finding:
    (finding,) = [finding for finding in report.findings if finding.rule == rule]
    return finding


def memory(peak: float, limit: float = 100) -> dict[str, object]:
    return {names.USAGE_MEMORY_PEAK: int(peak * MIB), names.LIMIT_MEMORY: int(limit * MIB)}


def cpu(seconds: float) -> dict[str, object]:
    return {names.USAGE_CPU_TIME: seconds}


def rising(peak: float, seconds: float, *, until: float = 1.0) -> dict[str, object]:
    """Attributes of an execution whose memory rises until a share of its duration."""
    shares = [(n + 1) / 20 for n in range(20)]
    return {
        names.USAGE_MEMORY_PEAK: int(peak * MIB),
        names.USAGE_CURVE_TIME: [seconds * share for share in shares],
        names.USAGE_CURVE_CPU: [0.5] * 20,
        names.USAGE_CURVE_MEMORY: [int(peak * MIB * min(1, share / until)) for share in shares],
    }


def test_a_journal_that_does_not_exist_is_an_empty_report_and_is_not_made(tmp_path: Path) -> None:
    report = make_report(journal=str(tmp_path / "none"))

    assert (report.executions, report.groups, report.findings) == (0, (), ())
    assert not (tmp_path / "none").exists()


def test_what_ran_is_counted_by_name_and_outcome(tmp_path: Path) -> None:
    report = report_on(
        tmp_path,
        [
            Past(name="a", seconds=1.0),
            Past(name="a", seconds=3.0, outcome=Outcome.ERROR),
            Past(name="b", seconds=10.0),
            Past(name="b", ago_seconds=40 * HOUR),
        ],
    )

    assert (report.executions, report.before, report.running) == (3, 1, 0)
    assert report.outcomes == {"success": 2, "error": 1}
    assert [(group.name, group.executions) for group in report.groups] == [("b", 1), ("a", 2)]
    assert [line.duration_seconds for line in report.slowest] == [10.0, 3.0, 1.0]
    durations = report.groups[1].duration_seconds
    assert durations is not None
    assert (durations.minimum, durations.p50, durations.maximum) == (1.0, 2.0, 3.0)


def test_what_a_tally_looks_at_is_decoded(tmp_path: Path) -> None:
    told = {**dict.fromkeys(names.ATTRIBUTES.keys() - IDENTITY, 7), names.ERROR_TYPE: "odd"}
    write_history(tmp_path, [Past(outcome=Outcome.ERROR, seconds=9, attributes=told)]).forget()
    reader = JournalReader(str(tmp_path))
    [whole], [part] = reader.executions(), reader.executions(keys=TALLIED)

    assert None not in figures_of(whole)
    assert figures_of(part) == figures_of(whole)
    assert part.attributes.keys() < whole.attributes.keys()
    assert part.attributes[names.ERROR_TYPE] == "odd"
    assert (part.labels, part.outcome) == (whole.labels, whole.outcome)


@execution(name="grade")
def grade() -> None:
    run(["sh", "-c", "exit 3"], name="answer")
    raise ValueError("wrong")


def test_a_function_and_its_command_are_one_piece_of_work(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        with pytest.raises(ValueError, match="wrong"):
            grade()
        with execution("fine"):
            run(["true"], name="answer")
        run(["true"], name="alone")

    report = make_report(journal=os.fspath(journal.folder))

    assert (report.executions, report.nested) == (3, 2)
    assert report.outcomes == {"success": 2, "error": 1}
    assert {group.name: group.executions for group in report.groups} == {
        "grade": 1,
        "fine": 1,
        "answer": 2,
        "alone": 1,
    }
    assert sum(slot.executions for slot in report.timeline) == 3
    assert sum(slot.failures for slot in report.timeline) == 1


def test_what_still_runs_is_counted_apart(tmp_path: Path) -> None:
    writer = write_history(tmp_path, [Past(), Past(seconds=None)])

    report = make_report(journal=str(tmp_path))

    writer.forget()
    assert (report.executions, report.running) == (1, 1)


def test_what_its_process_never_ended_is_lost_with_its_host(tmp_path: Path) -> None:
    report = report_on(tmp_path, [Past(seconds=None)])

    assert found(report, "host_died").evidence == {"count": 1, "executions": 1}


def test_a_damaged_journal_is_read_around_the_damage_which_is_counted(tmp_path: Path) -> None:
    write_history(tmp_path, [Past() for _ in range(10)]).forget()
    (segment,) = tmp_path.glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)

    report = make_report(journal=str(tmp_path))

    assert (report.executions, report.unreadable) == (9, 1)


def test_strange_but_whole_records_are_counted(tmp_path: Path) -> None:
    writer = write_history(tmp_path, [Past()])
    writer.append(4, b"{}", key=b"12345678")
    writer.forget()

    report = make_report(journal=str(tmp_path))

    assert (report.executions, report.unreadable) == (1, 1)


def test_a_name_narrows_the_report(tmp_path: Path) -> None:
    report = report_on(tmp_path, [Past(name="a"), Past(name="b")], name="a")

    assert [group.name for group in report.groups] == ["a"]


# --- each rule, on the executions it is about ---

CASES: dict[str, list[Past]] = {
    "out_of_memory": [
        Past(attributes=memory(100), outcome=Outcome.OOM_KILLED),
        Past(attributes=memory(40)),
    ],
    "timeout": [Past(outcome=Outcome.TIMEOUT, attributes={names.EXECUTION_TIMEOUT: 1.0})],
    "hang": [
        Past(seconds=2.0, outcome=Outcome.TIMEOUT, attributes=cpu(0.01)),
        Past(seconds=2.0, attributes=cpu(1.9)),
    ],
    "too_slow": [
        Past(seconds=2.0, outcome=Outcome.TIMEOUT, attributes=cpu(1.9)),
        Past(seconds=2.0, attributes=cpu(0.01)),
    ],
    "tight_timeout": [
        *(Past(seconds=9.5, attributes={names.EXECUTION_TIMEOUT: 10.0}) for _ in range(3)),
        Past(seconds=20.0, outcome=Outcome.TIMEOUT, attributes={names.EXECUTION_TIMEOUT: 10.0}),
    ],
    "leak": [Past(seconds=60.0, ago_seconds=90, attributes=rising(300, 60)) for _ in range(2)],
    "limit_exceeded": [Past(outcome=Outcome.LIMIT_EXCEEDED)],
    "killed": [Past(outcome=Outcome.KILLED)],
    "host_died": [Past(seconds=None)],
    "setup_error": [Past(outcome=Outcome.SETUP_ERROR)],
    "failing": [
        Past(outcome=Outcome.ERROR, attributes={names.ERROR_TYPE: "ValueError"}) for _ in range(3)
    ],
    "memory_near_limit": [Past(attributes=memory(95)) for _ in range(3)],
    "cpu_near_limit": [Past(attributes={**cpu(0.5), names.LIMIT_CPU: 0.5}) for _ in range(3)],
    "throttled": [Past(attributes={names.USAGE_CPU_THROTTLED_TIME: 0.5}) for _ in range(3)],
    "cpu_bound": [Past(seconds=2.0, attributes=cpu(1.9)) for _ in range(3)],
    "waiting": [Past(seconds=2.0, attributes=cpu(0.01)) for _ in range(3)],
    "many_short_children": [Past(attributes={names.USAGE_PROCESSES: 200}) for _ in range(3)],
    "slower_than_before": [
        *(Past(seconds=1 + i / 100, ago_seconds=30 * HOUR) for i in range(30)),
        *(Past(seconds=2 + i / 100) for i in range(30)),
    ],
    "more_cpu_than_before": [
        *(Past(attributes=cpu(0.1 + i / 1000), ago_seconds=30 * HOUR) for i in range(30)),
        *(Past(attributes=cpu(0.5 + i / 1000)) for i in range(30)),
    ],
    "more_memory_than_before": [
        *(Past(attributes=memory(10 + i, 9999), ago_seconds=30 * HOUR) for i in range(30)),
        *(Past(attributes=memory(90 + i, 9999)) for i in range(30)),
    ],
    "fails_more_than_before": [
        *(Past(ago_seconds=30 * HOUR) for _ in range(30)),
        *(Past(outcome=Outcome.ERROR if i % 2 else Outcome.SUCCESS) for i in range(30)),
    ],
    "idle_memory_limit": [Past(attributes=memory(10)) for _ in range(20)],
    "idle_timeout": [Past(attributes={names.EXECUTION_TIMEOUT: 60.0}) for _ in range(20)],
}


@pytest.mark.parametrize("rule", CASES)
def test_each_rule_finds_what_it_is_about_and_says_what_to_do(rule: str, tmp_path: Path) -> None:
    finding = found(report_on(tmp_path, CASES[rule]), rule)

    assert finding.name == "work"
    assert "{" not in finding.message + finding.advice
    assert finding.evidence


def test_the_timeout_that_is_shown_is_the_one_that_was_reached(tmp_path: Path) -> None:
    def past(timeout: float, seconds: float, outcome: Outcome, count: int) -> list[Past]:
        told = {names.EXECUTION_TIMEOUT: timeout}
        return [Past(ago_seconds=900, seconds=seconds, outcome=outcome, attributes=told)] * count

    report = report_on(
        tmp_path,
        past(600.0, 2.0, Outcome.SUCCESS, 5)
        + past(5.0, 5.1, Outcome.TIMEOUT, 2)
        + past(60.0, 60.1, Outcome.TIMEOUT, 1)
        + past(600.0, 3.0, Outcome.TIMEOUT, 4),  # of a request within them, say
    )

    evidence = found(report, "timeout").evidence
    assert (evidence["count"], evidence["timeout_seconds"]) == (7, 5.0)


@pytest.mark.parametrize(
    "attributes",
    [rising(300, 60, until=0.4), rising(63, 60)],
    ids=["it stops growing", "it stays small"],
)
def test_memory_that_is_no_leak_is_not_called_one(
    attributes: dict[str, object], tmp_path: Path
) -> None:
    report = report_on(
        tmp_path, [Past(seconds=60.0, ago_seconds=90, attributes=attributes) for _ in range(3)]
    )

    assert "leak" not in {finding.rule for finding in report.findings}


def test_a_detail_that_is_not_known_is_left_out(tmp_path: Path) -> None:
    report = report_on(tmp_path, [Past(outcome=Outcome.OOM_KILLED)])

    assert found(report, "out_of_memory").message == "1 of 1 ran out of memory"


@pytest.mark.parametrize("rule", CASES)
def test_a_healthy_execution_is_no_finding(rule: str, tmp_path: Path) -> None:
    del rule
    healthy = [
        Past(seconds=1 + i / 100, ago_seconds=ago, attributes={**cpu(0.5), **memory(50)})
        for i in range(30)
        for ago in (60, 30 * HOUR)
    ]

    assert report_on(tmp_path, healthy).findings == ()


def test_a_memory_limit_is_recommended_from_what_was_used(tmp_path: Path) -> None:
    finding = found(report_on(tmp_path, CASES["idle_memory_limit"]), "idle_memory_limit")

    assert finding.recommended == {"memory_bytes": 15 * MIB}


def test_after_a_kill_the_recommended_limit_is_above_the_one_that_was_not_enough(
    tmp_path: Path,
) -> None:
    finding = found(report_on(tmp_path, CASES["out_of_memory"]), "out_of_memory")

    assert finding.recommended == {"memory_bytes": 150 * MIB}
    assert finding.message == "1 of 2 ran out of memory (limit 100 MiB, median peak 100 MiB)"


def test_the_first_execution_in_each_process_that_is_slow_is_a_slow_start(tmp_path: Path) -> None:
    for number in range(8):
        pid = os.fork()
        if pid == 0:
            first = [Past(seconds=5 + number / 10, kind=Kind.FUNCTION, ago_seconds=100)]
            rest = [Past(seconds=0.1 + i / 100, kind=Kind.FUNCTION) for i in range(9)]
            write_history(tmp_path, first + rest).forget()
            os._exit(0)
        os.waitpid(pid, 0)

    finding = found(make_report(journal=str(tmp_path)), "slow_start")

    assert finding.evidence["hosts"] == 8


def test_the_same_numbers_in_both_periods_are_no_regression(tmp_path: Path) -> None:
    past = [Past(seconds=1 + i / 10, ago_seconds=ago) for i in range(50) for ago in (60, 30 * HOUR)]

    report = report_on(tmp_path, past)

    assert report.findings == ()


def test_the_page_shows_the_newest_executions_oldest_first(tmp_path: Path) -> None:
    past = [Past(ago_seconds=float(ago), execution_id=str(ago)) for ago in range(300, 0, -1)]

    report = report_on(tmp_path, past)

    assert [line.execution_id for line in report.recent] == [str(ago) for ago in range(200, 0, -1)]


# --- the answer ---


def test_two_days_of_a_service_are_answered_with_what_matters_first(tmp_path: Path) -> None:
    report = report_on(tmp_path, two_days())

    problems = {problem.name: problem for problem in report.problems}
    ranked = [problem.rule for problem in report.problems]
    assert (report.problems[0].name, report.problems[0].affected) == ("worker", 3)
    assert ranked[0] == "out_of_memory"
    assert problems["indexer"].message.endswith("up to 2.8 GiB")
    assert problems["crawler"].message.startswith("each starts 160 processes")
    assert (problems["fetch"].rule, problems["solve"].rule) == ("hang", "too_slow")
    assert problems["embed"].rule == "more_memory_than_before"
    assert report.problems[-1].name == "pyhton"


def test_a_problem_has_an_example_its_time_and_a_next_step(tmp_path: Path) -> None:
    now = time.time_ns()
    past = [
        Past(attributes=memory(100), outcome=Outcome.OOM_KILLED, ago_seconds=ago, execution_id=id_)
        for ago, id_ in ((30 * HOUR, "old"), (2 * HOUR, "first"), (HOUR, "last one"))
    ]
    write_history(tmp_path, past, now_unix_ns=now).forget()

    report = make_report(journal=str(tmp_path), now_unix_ns=now)

    (problem,) = report.problems
    assert problem.affected == 2
    assert problem.first_unix_ns == now - int(30 * HOUR * 1e9)
    assert problem.last_unix_ns == now - int(HOUR * 1e9)
    assert problem.next_step == "otel-codomon show 'last one'"
    assert [one.line.execution_id for one in report.examples] == ["last one"]
    assert report.examples[0].memory_limit_bytes == 100 * MIB


def test_a_command_that_was_mistyped_ranks_below_what_runs_again_and_again(tmp_path: Path) -> None:
    past = [
        Past(name="pyhton", outcome=Outcome.SETUP_ERROR, ago_seconds=60),
        *(Past(name="old", attributes=memory(95), ago_seconds=23 * HOUR) for _ in range(3)),
    ]

    report = report_on(tmp_path, past)

    assert report.findings[0].name == "pyhton"
    assert [problem.name for problem in report.problems] == ["old", "pyhton"]


def test_the_findings_of_one_name_are_one_problem(tmp_path: Path) -> None:
    past = [
        Past(attributes=memory(100), outcome=Outcome.OOM_KILLED),
        *[Past(attributes=memory(95))] * 3,
    ]

    (problem,) = report_on(tmp_path, past).problems

    assert problem.rule == "out_of_memory"
    assert problem.also == ("1 in 10 of 4 uses 98.5 % or more of its memory limit",)


def test_the_timeline_counts_executions_and_failures_by_time(tmp_path: Path) -> None:
    past = [
        Past(ago_seconds=23.9 * HOUR),
        Past(ago_seconds=23.8 * HOUR, outcome=Outcome.ERROR),
        Past(ago_seconds=60),
    ]

    slots = [(slot.executions, slot.failures) for slot in report_on(tmp_path, past).timeline]

    assert slots == [(2, 1), *[(0, 0)] * 46, (1, 0)]


@needs_cgroup
def test_what_the_kernel_killed_for_memory_is_counted_with_ours_and_others(tmp_path: Path) -> None:
    before = read_oom_kills()
    if before is None:
        pytest.skip("this kernel does not count its kills for want of memory")
    with Journal(tmp_path) as journal:
        result = run(
            "block = b'x' * 200_000_000", language="python", limits=Limits(memory_bytes=64 * MIB)
        )
        report = make_report(journal=os.fspath(journal.folder))

    if result.outcome is not Outcome.OOM_KILLED:
        pytest.skip("no memory controller here")
    assert report.memory_kills is not None
    assert report.memory_kills.processes > before.processes
    assert report.memory_kills.executions == 1
    assert report.memory_kills.since_unix_ns < time.time_ns()


def test_a_limit_is_tried_on_the_last_executions(tmp_path: Path) -> None:
    past = [
        Past(ago_seconds=float(n), seconds=0.1, attributes={names.USAGE_MEMORY_PEAK: size * MIB})
        for n, size in enumerate([*[10] * 90, *[100] * 10, *[9999] * 5], 1)
    ]

    rows = [row for row in report_on(tmp_path, past).what_if if row.limit == "memory_bytes"]

    assert [(row.value / MIB, row.failed, row.executions) for row in rows] == [
        (128, 0, 100),
        (64, 10, 100),
        (32, 10, 100),
    ]
