from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.backends import attributes
from support.programs import wait_for
from support.runner import Runner
from support.sample import SERVICE, settings
from support.stack import LocalStack

from otel_codomon import names

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.backends

COUNT = f'codomon_execution_duration_seconds_count{{job="{SERVICE}"}}'


def seen(stack: LocalStack) -> set[str]:
    """Execution ids in Jaeger."""
    return {str(attributes(span)[names.EXECUTION_ID]) for span in stack.jaeger.spans(SERVICE)}


def test_nothing_is_missing_after_the_collector_was_killed_and_came_back(tmp_path: Path) -> None:
    with LocalStack(tmp_path) as stack, Runner(settings(stack, tmp_path)) as runner:
        ids = set(runner.execute(40))
        stack.collector.kill()
        ids |= set(runner.execute(40))
        stack.collector.start()
        ids |= set(runner.execute(40))

        wait_for(lambda: seen(stack) == ids, what="every execution in Jaeger")
        wait_for(
            lambda: stack.prometheus.value(f"sum({COUNT})") == len(ids),
            what="every execution counted",
        )
    assert len(ids) == 120


def test_nothing_is_missing_after_every_backend_was_away(tmp_path: Path) -> None:
    with LocalStack(tmp_path) as stack, Runner(settings(stack, tmp_path)) as runner:
        stack.jaeger.kill()
        stack.prometheus.kill()
        ids = set(runner.execute(40))
        stack.collector.kill()
        stack.collector.start()
        stack.jaeger.start()
        stack.prometheus.start()

        wait_for(lambda: seen(stack) == ids, what="every execution in Jaeger")
        wait_for(
            lambda: stack.prometheus.value(f"sum({COUNT})") == len(ids),
            what="every execution counted",
        )


def test_a_program_that_was_killed_during_an_outage_is_heard_through_the_next(
    tmp_path: Path,
) -> None:
    with LocalStack(tmp_path) as stack:
        told = settings(stack, tmp_path)
        stack.collector.kill()
        with Runner(told) as killed:
            ids = set(killed.execute(40))
            killed.kill()
        stack.collector.start()

        with Runner(told) as following:
            ids |= set(following.execute(1))
            wait_for(lambda: seen(stack) == ids, what="the executions of both programs")
