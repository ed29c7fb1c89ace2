"""Whose CPU time it was: the rule, on values alone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, strategies as st

from otel_codomon.resources.attribution import (
    HANDED_OVER,
    NEGLIGIBLE_NS,
    OTHER_TASKS,
    OTHER_THREADS,
    SHARED,
    Share,
    Work,
    is_negligible,
    of_children,
    of_threads,
)

SECOND = 10**9


@pytest.mark.parametrize(
    ("work", "share"),
    [
        pytest.param(Work(), Share(0), id="none"),
        pytest.param(
            Work(unaccounted_ns=SECOND, others_idle=True, is_alone=True),
            Share(SECOND),
            id="nobody else was awake",
        ),
        pytest.param(
            Work(unaccounted_ns=SECOND, is_alone=True),
            Share(None, OTHER_THREADS),
            id="another thread was awake",
        ),
        pytest.param(Work(known_ns=SECOND), Share(SECOND), id="known, whatever other threads did"),
        pytest.param(
            Work(known_ns=SECOND, unaccounted_ns=SECOND),
            Share(None, OTHER_THREADS),
            id="a known one, and another of nobody knows whom",
        ),
        pytest.param(
            Work(unaccounted_ns=SECOND, seen_ns=SECOND - NEGLIGIBLE_NS),
            Share(SECOND),
            id="seen nearly to its end",
        ),
        pytest.param(
            Work(unaccounted_ns=SECOND, in_steps_ns=SECOND, others_idle=True),
            Share(SECOND),
            id="waited for in a step",
        ),
        pytest.param(
            Work(unaccounted_ns=SECOND, others_idle=True),
            Share(0),
            id="waited for between steps, and none of ours is missing",
        ),
        pytest.param(
            Work(unaccounted_ns=SECOND, others_idle=True, born_ns=1_000_000),
            Share(None, OTHER_TASKS),
            id="waited for between steps, perhaps by a thread that it started",
        ),
        pytest.param(
            Work(unaccounted_ns=SECOND, others_idle=True, has_lost=True),
            Share(None, OTHER_TASKS),
            id="waited for between steps, as one of ours was",
        ),
    ],
)
def test_children_count_where_it_is_certain_whose_they_are(work: Work, share: Share) -> None:
    assert of_children(work) == share


@pytest.mark.parametrize(
    ("work", "share"),
    [
        pytest.param(Work(own_ns=7), Share(7), id="its own thread"),
        pytest.param(Work(is_shared=True), Share(None, SHARED), id="a thread of many tasks"),
        pytest.param(
            Work(own_ns=7, beside_ns=SECOND, born_ns=SECOND, others_idle=True, is_alone=True),
            Share(SECOND + 7),
            id="threads that only it can have started",
        ),
        pytest.param(Work(own_ns=7, beside_ns=SECOND), Share(7), id="a busy thread beside"),
        pytest.param(
            Work(own_ns=7, beside_ns=SECOND, born_ns=SECOND),
            Share(None, HANDED_OVER),
            id="threads that anybody can have started",
        ),
        pytest.param(
            Work(own_ns=7, beside_ns=SECOND, pool_ns=SECOND),
            Share(None, HANDED_OVER),
            id="a worker of a pool",
        ),
    ],
)
def test_threads_count_where_it_is_certain_for_whom_they_worked(work: Work, share: Share) -> None:
    assert of_threads(work) == share


@dataclass(frozen=True)
class World:
    """What really happened while an execution ran, and what of it could be seen."""

    own_ns: int
    others_ns: int
    known_ns: int

    def work(self) -> Work:
        # Who waited for a child was awake.
        return Work(
            known_ns=self.known_ns,
            unaccounted_ns=self.own_ns + self.others_ns,
            others_idle=not self.others_ns,
            is_alone=True,
        )


amounts = st.integers(0, 20 * SECOND)


@given(st.builds(World, own_ns=amounts, others_ns=amounts, known_ns=amounts))
def test_what_is_told_of_children_is_right_or_absent(world: World) -> None:
    truth_ns = world.own_ns + world.known_ns

    reported_ns = of_children(world.work()).cpu_ns

    assert reported_ns is None or is_negligible(abs(reported_ns - truth_ns), reported_ns)
