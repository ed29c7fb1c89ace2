"""A command in our place as an execution: from what the kernel tells to the journal.

Imported while the command runs: nothing of it is needed to start one.
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from otel_codomon import names
from otel_codomon._platform.cleaning import MAX_NAME
from otel_codomon._platform.executable_name import executable_name
from otel_codomon._platform.scrubbed_values import scrubbed_name, scrubbed_text, scrubbed_words
from otel_codomon.environment_variables import OTEL_PYTHON_CODOMON_CAPTURE
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.journal.outcome_details import OutcomeDetails
from otel_codomon.resources.engine_clients import client_in
from otel_codomon.resources.labels import Kind, Labels, SandboxType
from otel_codomon.resources.limits import Limits
from otel_codomon.resources.memory_peak import without_cache
from otel_codomon.resources.usage import NOTHING_KNOWN, Usage, without_work
from otel_codomon.sandbox.command_name import default_name
from otel_codomon.sandbox.process_exit import LimitSeen, ProcessExit, classify, since, usage_of
from otel_codomon.sandbox.result import ExecutionResult, Output
from otel_codomon.sandbox.sdk_free_execution import LightExecution

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from otel_codomon._platform.cgroup_files import CgroupTotals
    from otel_codomon._platform.cgroups import Cgroup
    from otel_codomon.sandbox.apart import Apart
    from otel_codomon.sandbox.foreground import Foreground
    from otel_codomon.sandbox.foreground_live import LiveSampler
    from otel_codomon.sandbox.sdk_free_execution import Identity

_CANNOT_START = 126  # as a shell has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What the user said of the command.

    Attributes:
        executable: Name of its program.
        name: What the execution is called; None for the names of program and script.
        language: Language of its source text; None for a command.
        kind: What is executed; None for what the language says.
        session_id: The session that asked for it.
        timeout: Longest time, seconds.
        limits: What it may use; None for no limits.
        sandbox_type: What separates it from us.
        arguments: Program and arguments.
        source: File with its source text; None for a command.
        places: Where its program may be, in the order in which it was looked for.
    """

    executable: str
    name: str | None = None
    language: str | None = None
    kind: Kind | None = None
    session_id: str | None = None
    timeout: float | None = None
    limits: Limits | None = None
    sandbox_type: SandboxType = SandboxType.PROCESS
    arguments: Sequence[str] = ()
    source: str | None = None
    places: Sequence[str] = ()

    def labels(self) -> Labels:
        """What its metrics are summed by."""
        return Labels(
            scrubbed_name(self.name or self._default_name(), default="command"),
            self.kind or (Kind.COMMAND if self.language is None else Kind.SNIPPET),
            self.language,
            self.sandbox_type,
        )

    def _default_name(self) -> str:
        if self.source is not None or not self.arguments:
            return self.executable
        return default_name(self.arguments, temporary=os.environ.get("TMPDIR"))

    def command(self) -> tuple[str, ...]:
        """Its words, scrubbed, for this user alone; none of a source text."""
        return () if self.source is not None else scrubbed_words(self.arguments)

    def attributes(self, pid: int | None) -> dict[str, object]:
        """What its span starts with, besides the labels."""
        told = {
            names.PROCESS_EXECUTABLE_NAME: self._executable(pid),
            names.PROCESS_PID: pid,
            **dict.fromkeys((names.SESSION_ID, names.EXECUTION_SESSION_ID), self._session()),
            names.EXECUTION_TIMEOUT: self.timeout,
            **(self.limits or Limits()).attributes(),
            **self._texts(),
        }
        return {key: value for key, value in told.items() if value is not None}

    def _executable(self, pid: int | None) -> str | None:
        """The file that it runs; in isolation the process is bubblewrap, not the command."""
        is_itself = self.sandbox_type is not SandboxType.BUBBLEWRAP
        name = executable_name(pid if is_itself else None, self.places)
        return None if name is None else scrubbed_text(name)

    def _session(self) -> str | None:
        return scrubbed_text(self.session_id, limit=MAX_NAME) if self.session_id else None

    def _texts(self) -> Mapping[str, object]:
        """What is told of the arguments, or of the source text."""
        if self.source is not None:
            return _code_of(self.source)
        if not (self.arguments and os.environ.get(OTEL_PYTHON_CODOMON_CAPTURE)):
            return {}
        from otel_codomon.executions.captured_texts import captured_arguments  # noqa: PLC0415 - few ask for it

        return {names.PROCESS_COMMAND_ARGS: captured_arguments(self.arguments)}


def _code_of(path: str) -> Mapping[str, object]:
    from otel_codomon.executions.arguments import code_facts  # noqa: PLC0415 - for source text alone

    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes 3 ms to import
            return code_facts(file.read())
    except OSError:  # removed since it was started
        return {}


class ForegroundExecution:
    """The execution of one command that runs in our place.

    Attributes:
        doubt: Which limits may not have held, once it has ended; None where all did.
    """

    def __init__(self, identity: Identity, said: Description, pid: int | None) -> None:
        self._description = said
        self._pid = pid
        self._execution = LightExecution(
            identity, said.labels(), said.attributes(pid), said.command()
        )
        self._live: LiveSampler | None = None
        self.doubt: str | None = None

    @property
    def problem(self) -> str | None:
        """Why it is not in the journal; None when it is."""
        return self._execution.problem

    def start_sampling(self, targets: tuple[object, ...], set_up: Callable[[], None]) -> None:
        """Look at it from now on, in a thread: see `LiveSampler`."""
        from otel_codomon.sandbox.foreground_live import LiveSampler  # noqa: PLC0415 - if it lasts

        self._live = LiveSampler(
            self._description.labels(),
            self._description.limits or Limits(),
            execution_id=self._execution.identity.execution_id,
            started_ns=self._execution.identity.started_ns,
            targets=targets,
            set_up=set_up,
            sign_of_life=self._execution.sign_of_life,
            folder=self._execution.folder,
            span_id=self._execution.identity.span_id,
        )

    def end(
        self,
        foreground: Foreground,
        cgroup: Cgroup | None,
        *,
        refusal: str | None = None,
        left: str | None = None,
    ) -> ExecutionResult:
        """Tell how the command ended.

        Args:
            foreground: The command, which has ended.
            cgroup: Its own; None without one.
            refusal: Why it could not do its work here; None where it could.
            left: What remains of its private directory, and why.
        """
        seen = None if self._live is None else self._live.finish()
        totals = None if cgroup is None else cgroup.totals()
        limit = None if foreground.limit is None else LimitSeen(*foreground.limit)
        process_exit = ProcessExit(
            pid=foreground.tree.pid,
            status=foreground.tree.status,
            rusage=since(foreground.before, tuple(resource.getrusage(resource.RUSAGE_CHILDREN))),
            has_unwaited=foreground.has_unwaited,
            timed_out=foreground.timed_out,
            limit=limit,
            unmeasured=foreground.unmeasured,
            oom_kills=0 if totals is None else totals.oom_kills or 0,
            **_from_inside(foreground.apart),
        )
        self.doubt = "; ".join(process_exit.doubts) or None
        usage = with_cgroup(with_samples(usage_of(process_exit), seen), totals)
        client = client_in(self._description.arguments)
        if client is not None:
            usage = without_work(usage, client)
        details, limit = self._judge(process_exit)
        if refusal is not None:
            details = _setup_error(refusal, exit_code=details.exit_code)
        return self.finish(details, limit, usage, left=left)

    def fail(self, error: OSError) -> ExecutionResult:
        """Tell that the command could not be started."""
        details, _ = classify(ProcessExit(failure=error.errno), Limits())
        return self.finish(details)

    def refuse(self, reason: str, exit_code: int = _CANNOT_START) -> ExecutionResult:
        """Tell that the command could not be made ready, and was not started."""
        return self.finish(_setup_error(reason, exit_code=exit_code))

    def _judge(self, process_exit: ProcessExit) -> tuple[OutcomeDetails, LimitSeen | None]:
        if self._description.sandbox_type is SandboxType.BUBBLEWRAP:
            from otel_codomon.sandbox.isolation import unwrap  # noqa: PLC0415 - for who isolates
            from otel_codomon.sandbox.toolchains import UnavailableError  # noqa: PLC0415

            try:
                process_exit = unwrap(process_exit)
            except UnavailableError as error:
                return _setup_error(str(error)), None
        return classify(
            process_exit, self._description.limits or Limits(), self._description.arguments
        )

    def finish(
        self,
        details: OutcomeDetails,
        limit: LimitSeen | None = None,
        usage: Usage = NOTHING_KNOWN,
        *,
        left: str | None = None,
    ) -> ExecutionResult:
        """Tell how it ended, where that is known.

        Args:
            details: How.
            limit: The limit it ran into, if any.
            usage: Its totals.
            left: What remains of its private directory, and why.
        """
        if details.reason is not None:
            details = replace(details, reason=scrubbed_text(details.reason))
        identity = self._execution.identity
        events = [] if limit is None else [self._limit_event(limit)]
        facts: dict[str, object] = {} if left is None else {names.CLEANUP_LEFT: left}
        if limit is not None:
            facts[names.LIMIT_TYPE] = limit.limit
        seconds = self._execution.end(details, {**usage.attributes(), **facts}, events)
        return ExecutionResult(
            execution_id=identity.execution_id,
            outcome=details.outcome or Outcome.ERROR,
            exit_code=details.exit_code,
            signal=details.signal,
            reason=details.reason,
            duration_seconds=seconds,
            usage=usage,
            pid=self._pid,
            trace_id=identity.trace_id,
            span_id=identity.span_id,
            attributes=facts,
        )

    def _limit_event(self, limit: LimitSeen) -> Mapping[str, object]:
        told = {
            names.LIMIT_TYPE: limit.limit,
            names.LIMIT_VALUE: getattr(self._description.limits, limit.field),
            names.LIMIT_SEEN: limit.seen,
        }
        known = {key: value for key, value in told.items() if value is not None}
        return {
            "name": names.EVENT_LIMIT_REACHED,
            "unix_ns": time.time_ns(),
            "attributes": known,
        }


def _from_inside(apart: Apart | None) -> dict[str, Any]:
    """What bubblewrap says of the command in it, for an `ProcessExit`."""
    if apart is None:
        return {}
    return {"was_inside": apart.has_run(), "errors": Output(kept=apart.head)}


def _setup_error(reason: str, *, exit_code: int | None = _CANNOT_START) -> OutcomeDetails:
    return OutcomeDetails(
        outcome=Outcome.SETUP_ERROR,
        exit_code=exit_code,
        error_type=Outcome.SETUP_ERROR.value,
        reason=reason,
    )


# --- the totals, from whoever knows best ----------------------------------------


def with_samples(usage: Usage, seen: Usage | None) -> Usage:
    """*usage*, which the kernel told at the end, with what only looks can tell."""
    if seen is None:
        return usage
    return replace(
        usage,
        peak_memory_bytes=_largest(usage.peak_memory_bytes, seen.peak_memory_bytes),
        peak_memory_upper_bytes=seen.peak_memory_upper_bytes,
        disk_read_bytes=seen.disk_read_bytes,
        disk_write_bytes=seen.disk_write_bytes,
        processes=seen.processes,
        samples=seen.samples,
        curve=seen.curve,
    )


def with_cgroup(usage: Usage, totals: CgroupTotals | None) -> Usage:
    """*usage* with what the kernel has counted of everything in the command's own cgroup."""
    if totals is None or not totals.cpu_ns:  # the command was not let in
        return usage
    peak = without_cache(totals.peak_memory_bytes, totals.cache_bytes)
    return replace(
        usage,
        source="cgroup",
        absent_reason=None,
        cpu_seconds=totals.cpu_ns / 1e9,
        # How it splits into user and system is left as wait4 told it: of a cgroup
        # of version 1 it is counted in ticks, and 0 for what is short.
        cpu_throttled_seconds=_seconds(totals.throttled_ns),
        peak_memory_bytes=_largest(peak.bytes, None if peak.bytes else usage.peak_memory_bytes),
        peak_memory_upper_bytes=peak.upper_bytes if peak.bytes else usage.peak_memory_upper_bytes,
        disk_read_bytes=_largest(usage.disk_read_bytes, totals.read_bytes),
        disk_write_bytes=_largest(usage.disk_write_bytes, totals.write_bytes),
    )


def _largest(one: int | None, other: int | None) -> int | None:
    return max((number for number in (one, other) if number is not None), default=None)


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9
