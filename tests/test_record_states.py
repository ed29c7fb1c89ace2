"""The table of states at the head of the journal's format is true."""

from __future__ import annotations

import ast
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support.user_program import Program

from otel_codomon.journal import segments
from otel_codomon.journal.delivery.backlog import Backlog
from otel_codomon.journal.delivery.batch_sender import BatchSender
from otel_codomon.journal.delivery.session import DeliverySession
from otel_codomon.journal.delivery.state import save_state
from otel_codomon.journal.flusher import Flusher
from otel_codomon.journal.recovery import Recovery
from otel_codomon.journal.retention import evict
from otel_codomon.journal.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = Path(__file__).parent
ENDS = "reliability/test_ends.py"
VAIN = "test_delivery.py::test_what_is_sent_in_vain"


class State(NamedTuple):
    """What the code and the tests have for a row.

    Attributes:
        mover: The function that moves a record on; None for the last state.
        crashes: Tests in which a process dies, or the power fails, in this state.
    """

    mover: Callable[..., object] | None
    crashes: tuple[str, ...]


STATES = {
    "pending": State(
        Flusher.flush_soon,
        ("test_record_states.py::test_a_kill_loses_the_spans_that_wait_and_no_execution",),
    ),
    "torn": State(
        Backlog.next_batch,
        (
            "test_segments.py::test_a_segment_cut_anywhere_loses_only_its_tail",
            "test_writer.py::test_a_torn_tail_does_not_harm_who_takes_over",
            "reliability/test_model.py::restart_writer",
        ),
    ),
    "written": State(
        Writer.sync,
        (
            "test_journal.py::test_a_process_that_was_killed_leaves_its_executions",
            f"{ENDS}::test_sigkill_at_any_instant_loses_nothing_that_was_acknowledged",
        ),
    ),
    "synced": State(
        Backlog.next_batch,
        ("reliability/test_power.py::test_a_cut_of_the_power_costs_what_the_durability_says",),
    ),
    "orphaned": State(
        Recovery.search,
        (
            "test_recovery.py::test_the_execution_of_a_process_that_was_killed_arrives_once",
            "test_recovery.py::test_it_ended_at_its_last_sign_of_life_also_after_a_restart",
        ),
    ),
    "in flight": State(
        BatchSender.deliver,
        ("reliability/test_outages.py::test_chaos_loses_nothing",),
    ),
    "acknowledged": State(
        save_state,
        (
            "reliability/test_model.py::restart_sender",
            f"{VAIN}_is_a_twentieth_of_what_was_taken_and_little_each_time",
        ),
    ),
    "rejected": State(DeliverySession.work, ("reliability/test_model.py::restart_sender",)),
    "sent": State(
        evict,
        (
            "test_sender.py::test_what_was_delivered_is_not_sent_again_by_the_next_process",
            "test_sender.py::test_a_state_that_makes_no_sense_means_to_send_again",
        ),
    ),
    "evicted": State(
        None,
        ("test_recovery.py::test_the_oldest_make_room_and_what_was_not_delivered_is_counted",),
    ),
}


def rows_of_the_table() -> dict[str, str]:
    """State -> what the documentation says moves it on."""
    _, _, table, _ = re.split(r"^=+  =+  =+$", segments.__doc__ or "", flags=re.MULTILINE)
    return dict(re.findall(r"^(\w[\w ]*?)  +([\w.]+)  ", table, flags=re.MULTILINE))


def test_the_table_names_each_state_and_the_function_that_moves_it_on() -> None:
    movers = {
        state: "nothing" if row.mover is None else row.mover.__qualname__
        for state, row in STATES.items()
    }

    assert list(rows_of_the_table().items()) == list(movers.items())


@pytest.mark.parametrize("state", STATES)
def test_there_is_a_test_that_crashes_in_each_state(state: str) -> None:
    for crash in STATES[state].crashes:
        file, _, name = crash.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert name in defined, f"{file} has no {name}"


KILLED = """
import os, signal
from opentelemetry import trace
from otel_codomon import configure, execution
from otel_codomon.journal import flusher

flusher.FLUSH_SECONDS = 3600.0
configure()
with execution("kept"):
    pass
trace.get_tracer("app").start_span("waits").end()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_loses_the_spans_that_wait_and_no_execution(tmp_path: Path) -> None:
    program = Program(tmp_path)

    done = program.run(KILLED)

    written = b"".join(path.read_bytes() for path in Path(program.journal).glob("t-*"))
    assert done.returncode == -signal.SIGKILL
    assert [one.labels.name for one in program.executions()] == ["kept"]
    assert b"kept" in written
    assert b"waits" not in written
