from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.backends import attributes
from support.deltas import one_command
from support.programs import wait_for
from support.sample import SERVICE, settings
from support.spans import post
from support.stack import LocalStack

from otel_codomon import names

if TYPE_CHECKING:
    from pathlib import Path

    from support.backends import Jaeger

pytestmark = pytest.mark.backends

COUNT = "codomon_execution_duration_seconds_count"
ALL = "2h"  # a window with everything in it, however slow the machine


def test_commands_that_overtake_each_other_are_all_counted_in_one_series(stack: LocalStack) -> None:
    service, commands = "overtaking", 1000
    chance = random.Random(0)
    requests = [
        one_command(
            service=service,
            seconds=chance.uniform(0.001, 400),
            outcome=chance.choice(["success", "error"]),
        )
        for _ in range(commands)
    ]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda body: post(f"{stack.collector.http}/v1/metrics", body), requests))

    count = f'{COUNT}{{job="{service}"}}'
    wait_for(
        lambda: stack.prometheus.value(f"sum({count})") == commands, what="every command counted"
    )
    assert len(stack.prometheus.series(count)) == 2  # one for each outcome
    every = f'codomon_execution_duration_seconds_bucket{{job="{service}",le="+Inf"}}'
    assert stack.prometheus.value(f"sum({every})") == commands


def test_a_command_now_and_then_has_a_rate(stack: LocalStack) -> None:
    service = "now-and-then"
    count = f'{COUNT}{{job="{service}"}}'

    def increase() -> float | None:
        return stack.prometheus.value(f"sum(increase({count}[{ALL}]))")

    for number in (1, 2):
        post(
            f"{stack.collector.http}/v1/metrics",
            one_command(service=service, seconds=1, outcome="success"),
        )
        wait_for(
            lambda number=number: stack.prometheus.value(count) == number,  # type: ignore[misc] # mypy cannot type a default
            what=f"command {number} counted",
        )
    # The scrapes after the last command: one point alone would have no rate.
    wait_for(
        lambda: (stack.prometheus.value(f"count_over_time({count}[{ALL}])") or 0) > 4,
        what="two scrapes",
    )

    assert increase() == pytest.approx(2, rel=0.5)


def test_the_end_of_the_collector_loses_no_command(tmp_path: Path) -> None:
    service = "interrupted"
    with LocalStack(tmp_path) as stack:

        def report(commands: int) -> None:
            for _ in range(commands):
                post(
                    f"{stack.collector.http}/v1/metrics",
                    one_command(service=service, seconds=1, outcome="success"),
                )

        report(30)
        stack.collector.kill()
        stack.collector.start()
        report(30)

        # At least once: what the collector had sent on but not yet crossed off
        # when it was killed, it sends again.
        wait_for(lambda: growth(stack, service) >= 60, what="both halves")


def growth(stack: LocalStack, service: str) -> float:
    """How much a counter has grown over all its restarts, exactly.

    What `increase()` does without its extrapolation.
    """
    total = before = 0.0
    for series in stack.prometheus.query(f'{COUNT}{{job="{service}"}}[{ALL}]'):
        for _, value in series["values"]:
            now = float(value)
            total += now - before if now >= before else now
            before = now
    return total


def test_a_thousand_real_commands_make_no_more_series_than_a_hundred(tmp_path: Path) -> None:
    with LocalStack(tmp_path) as stack:
        told = settings(stack, tmp_path)
        mine = f'{{job="{SERVICE}"}}'

        def command(_number: int) -> None:
            subprocess.run(
                [sys.executable, "-m", "otel_codomon", "run", "--", "true"],
                env=told,
                capture_output=True,
                check=True,
            )

        def seen(commands: int) -> list[dict[str, str]]:
            """Every series, once all that *commands* report has arrived; no recorded ones."""
            calls = f"sum(traces_span_metrics_calls_total{mine})"
            for what in (f"sum({COUNT}{mine})", calls):
                wait_for(
                    lambda what=what: stack.prometheus.value(what) == commands,  # type: ignore[misc] # mypy cannot type a default
                    what=f"{commands} commands in {what}",
                )
            return stack.prometheus.series(f'{{job="{SERVICE}", __name__!~".*:.*"}}')

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(command, range(100)))
            few = seen(100)
            list(threads.map(command, range(900)))
        many = seen(1000)

        assert len(many) == len(few)
        assert len(stack.prometheus.series(f"{COUNT}{mine}")) == 1
        assert growth(stack, SERVICE) == 1000
        # Prometheus extrapolates to the edges of the window: at most by a tenth more than
        # the mean pause between two samples. Its first may have been up to the first hundred.
        samples = stack.prometheus.value(f"count_over_time({COUNT}{mine}[{ALL}])")
        increase = stack.prometheus.value(f"sum(increase({COUNT}{mine}[{ALL}]))")
        assert samples is not None
        assert increase is not None
        assert 900 <= increase <= 1000 * (1 + 1.1 / (samples - 1))
        wait_for(lambda: len(ids_in(stack.jaeger)) == 1000, what="every command in Jaeger")


def ids_in(jaeger: Jaeger) -> set[str]:
    """Execution ids in Jaeger."""
    return {str(attributes(span)[names.EXECUTION_ID]) for span in jaeger.spans(SERVICE)}
