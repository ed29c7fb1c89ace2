"""Metrics of executions in the real Prometheus: each counts once, and rates are right."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.backends import attributes
from support.programs import get_json, wait_for
from support.sample import SERVICE, settings
from support.stack import LocalStack

from otel_codomon import names

if TYPE_CHECKING:
    from pathlib import Path

    from support.backends import Jaeger

pytestmark = pytest.mark.backends

COUNT = "codomon_execution_duration_seconds_count"
MINE = f'{{job="{SERVICE}"}}'
ALL = "2h"  # a window with everything in it, however slow the machine

SERVING = """
import os, signal, sys
from otel_codomon import configure, execution
configure()
@execution
def job(): pass
for _ in range(int(sys.argv[1])): job()
"""


def command(told: dict[str, str]) -> None:
    """Run a command of a moment, and wait for it only."""
    subprocess.run(
        [sys.executable, "-m", "otel_codomon", "run", "--", "true"],
        env=told,
        capture_output=True,
        check=True,
    )


def wait_for_count(stack: LocalStack, expected: int, of: str = MINE) -> None:
    wait_for(
        lambda: stack.prometheus.value(f"sum({COUNT}{of})") == expected,
        what=f"{expected} executions counted",
    )


def growth(stack: LocalStack) -> float:
    """How much a counter has grown over all its restarts, exactly.

    What `increase()` does without its extrapolation.
    """
    total = before = 0.0
    for series in stack.prometheus.query(f"{COUNT}{MINE}[{ALL}]"):
        for _, value in series["values"]:
            now = float(value)
            total += now - before if now >= before else now
            before = now
    return total


def assert_increase_is(stack: LocalStack, expected: int) -> None:
    """Prometheus extrapolates by at most a tenth more than the mean pause of two samples."""
    samples = stack.prometheus.value(f"count_over_time({COUNT}{MINE}[{ALL}])")
    increase = stack.prometheus.value(f"sum(increase({COUNT}{MINE}[{ALL}]))")
    assert samples is not None
    assert increase is not None
    assert expected <= increase <= expected * (1 + 1.1 / (samples - 1))


def test_a_thousand_real_commands_make_no_more_series_than_a_hundred(tmp_path: Path) -> None:
    with LocalStack(tmp_path) as stack:
        told = settings(stack, tmp_path)

        def run(count: int) -> None:
            with ThreadPoolExecutor(2) as threads:
                list(threads.map(lambda _: command(told), range(count)))

        def seen(commands: int) -> list[dict[str, str]]:
            """Every series, once all that *commands* report has arrived; no recorded ones."""
            wait_for_count(stack, commands)
            calls = f"sum(traces_span_metrics_calls_total{MINE})"
            wait_for(lambda: stack.prometheus.value(calls) == commands, what=f"{commands} spans")
            return stack.prometheus.series(f'{{job="{SERVICE}", __name__!~".*:.*"}}')

        run(100)
        few = seen(100)
        run(900)
        many = seen(1000)

        assert len(many) == len(few)
        assert len(stack.prometheus.series(f"{COUNT}{MINE}")) == 1
        assert growth(stack) == 1000
        assert_increase_is(stack, 1000)
        wait_for(lambda: len(ids_in(stack.jaeger)) == 1000, what="every command in Jaeger")


def test_a_service_that_restarts_is_one_series_that_goes_on(tmp_path: Path) -> None:
    ends = ("", "os.kill(os.getpid(), signal.SIGTERM); signal.pause()", "os._exit(1)")
    with LocalStack(tmp_path) as stack:
        told = settings(stack, tmp_path)

        for executions, end in enumerate(ends * 3, start=1):
            subprocess.run(
                [sys.executable, "-c", SERVING + end, str(executions)], env=told, check=False
            )
        command(told)  # whose sender delivers what the last one left

        expected = sum(range(1, 10))
        wait_for_count(stack, expected, f'{{job="{SERVICE}", codomon_execution_name="job"}}')
        series = stack.prometheus.series(f'{COUNT}{{codomon_execution_name="job"}}')
        assert len(series) == 1


def test_a_command_now_and_then_has_a_rate(tmp_path: Path) -> None:
    with LocalStack(tmp_path) as stack:
        told = settings(stack, tmp_path)

        for number in (1, 2, 3):
            command(told)
            wait_for_count(stack, number)

        assert growth(stack) == 3
        assert_increase_is(stack, 3)


def test_a_process_that_is_killed_raises_the_alarm(tmp_path: Path) -> None:
    with LocalStack(tmp_path) as stack:
        told = settings(stack, tmp_path)
        killed = "with execution('victim'): os.kill(os.getpid(), signal.SIGKILL)"

        done = subprocess.run([sys.executable, "-c", SERVING + killed, "1"], env=told, check=False)
        assert done.returncode == -signal.SIGKILL
        command(told)  # whose sender finds it

        alert = wait_for(lambda: _firing(stack, "CodomonHostDied"), what="the alert to fire")
        assert alert is not None
        assert alert["labels"]["codomon_execution_name"] == "victim"
        assert alert["labels"]["job"] == SERVICE


def _firing(stack: LocalStack, name: str) -> dict[str, dict[str, str]] | None:
    """The alert *name* where it fires; None where it does not."""
    found = get_json(f"{stack.prometheus.url}/api/v1/alerts")
    for alert in found["data"]["alerts"] if found else ():
        if alert["labels"]["alertname"] == name and alert["state"] == "firing":
            return alert  # type: ignore[no-any-return] # JSON
    return None


def ids_in(jaeger: Jaeger) -> set[str]:
    """Execution ids in Jaeger."""
    return {str(attributes(span)[names.EXECUTION_ID]) for span in jaeger.spans(SERVICE)}
