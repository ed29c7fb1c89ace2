"""Look at a command in our place while it runs: its curve, and live gauges.

All of it in a thread that is started when the command has run for a while, so
that a short one pays for none of the imports.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.threads_and_forks import OwnThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_codomon.executions.running import Execution
    from otel_codomon.journal.heartbeats import HeartbeatWriter
    from otel_codomon.resources.heartbeat import Heartbeat
    from otel_codomon.resources.labels import Labels
    from otel_codomon.resources.limits import Limits
    from otel_codomon.resources.usage import Usage

# A command that ends while the imports are under way does not wait for them.
_PATIENCE_SECONDS: Final = 0.1
# How exactly the end is known should this process be killed, as for any process.
_SIGN_OF_LIFE_SECONDS: Final = 1.0


class LiveSampler:
    """Looks at one command in a thread of its own.

    Args:
        labels: What its metrics are summed by.
        limits: What it may use.
        execution_id: Identifies it.
        started_ns: Its start, monotonic clock, nanoseconds.
        targets: What to look at: its pid, its cgroup.
        set_up: Makes the providers that live gauges go to.
        touch: Leaves a sign of life in the journal.
        folder: Path of the journal; None without one.
        span_id: Its span, 16 hexadecimal digits.
    """

    def __init__(
        self,
        labels: Labels,
        limits: Limits,
        *,
        execution_id: str,
        started_ns: int,
        targets: tuple[object, ...],
        set_up: Callable[[], None],
        sign_of_life: Callable[[], None],
        folder: str | None,
        span_id: str,
    ) -> None:
        self._labels = labels
        self._limits = limits
        self._execution_id = execution_id
        self._started_ns = started_ns
        self._targets = targets
        self._set_up = set_up
        self._touch = sign_of_life
        self._folder = folder
        self._span_id = span_id
        self._beats: HeartbeatWriter | None = None
        self._beating = threading.Lock()
        self._ended = threading.Event()
        self._execution: Execution | None = None
        self._ready = threading.Event()
        OwnThread(self._begin, name="otel_codomon-look").start()

    def _begin(self) -> None:
        try:
            self._set_up()
            self._execution = self._watched()
        except Exception:  # noqa: BLE001 - whatever is wrong, the command goes on unseen
            self._execution = None
        self._ready.set()
        while not self._ended.wait(_SIGN_OF_LIFE_SECONDS):
            self._touch()
            self._beat()

    def _beat(self) -> None:
        """Write a heartbeat, where there is a journal and nothing is wrong with it."""
        from otel_codomon.journal.heartbeats import HeartbeatWriter  # noqa: PLC0415 - while it runs

        if self._folder is None or self._execution is None:
            return
        try:
            with self._beating:
                if self._beats is None:
                    self._beats = HeartbeatWriter(self._folder, self._heartbeats)
                self._beats.beat()
        except Exception:  # noqa: BLE001 - as above
            self._folder = None

    def _heartbeats(self, with_curves: bool) -> list[Heartbeat]:  # noqa: FBT001 - see `Source`
        if self._execution is None or self._ended.is_set():
            return []
        return [self._execution.tracker.heartbeat(self._span_id, with_curve=with_curves)]

    def _end_beats(self) -> None:
        """Remove the heartbeats: the end of the execution tells more."""
        with self._beating:
            beats, self._beats, self._folder = self._beats, None, None
            if beats is not None:
                beats.end()

    def _watched(self) -> Execution:
        """An execution for the gauges to find; its span and totals are told by the journal."""
        from opentelemetry.metrics import NoOpMeterProvider  # noqa: PLC0415 - while it runs
        from opentelemetry.trace import NoOpTracerProvider  # noqa: PLC0415

        from otel_codomon.executions.providers import active_telemetry  # noqa: PLC0415
        from otel_codomon.executions.running import Execution  # noqa: PLC0415
        from otel_codomon.executions.telemetry import Telemetry  # noqa: PLC0415

        active_telemetry()  # has the gauges registered
        execution = Execution(
            Telemetry(NoOpTracerProvider(), NoOpMeterProvider()),
            self._labels,
            {},
            limits=self._limits,
            thread=False,
            execution_id=self._execution_id,
            started_ns=self._started_ns,
        )
        for target in self._targets:
            execution.attach(target)
        return execution

    def finish(self) -> Usage | None:
        """Stop looking; what was seen, None when nothing was."""
        self._ended.set()
        self._end_beats()
        if not self._ready.wait(_PATIENCE_SECONDS) or self._execution is None:
            return None
        self._execution.succeed()
        return self._execution.usage
