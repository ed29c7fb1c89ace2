"""What compiling a source text may use, and what it means when no program came of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from otel_codomon.journal.execution_record import Outcome
from otel_codomon.resources.limits import Limits
from otel_codomon.sandbox.toolchains import fill

if TYPE_CHECKING:
    from otel_codomon.journal.outcome_details import OutcomeDetails
    from otel_codomon.sandbox.command import Command
    from otel_codomon.sandbox.process_exit import LimitSeen, ProcessExit
    from otel_codomon.sandbox.toolchains import Toolchain

# Compilers write little, and what they write is for people.
_OUTPUT_BYTES: Final = 256 * 1024


class CompilationError(Exception):
    """The compiler refused the source text, or was ended over it.

    Never leaves the package: it becomes the outcome of the execution.

    Attributes:
        process_exit: How the compiler ended; its messages are in it.
        details: What that means for the source text.
        limit: The limit that the compiler ran into, if any.
    """

    def __init__(
        self,
        compiler: str,
        process_exit: ProcessExit,
        details: OutcomeDetails,
        limit: LimitSeen | None,
    ) -> None:
        self.process_exit = process_exit
        refused = details.outcome is Outcome.ERROR
        reason = "it does not compile" if refused else f"compiler {compiler}: {details.reason}"
        self.details = replace(details, reason=reason)
        self.limit = limit
        super().__init__(reason)


def limits_of_compiler(limits: Limits) -> Limits:
    """What a compiler may use of *limits*: all of it, but for the output that is kept."""
    return replace(limits, output_bytes=_OUTPUT_BYTES)


def version_command(toolchain: Toolchain, command: Command) -> Command:
    """The command that asks the tool of *toolchain*, started as *command*, for its version."""
    return replace(
        command,
        argv=fill(toolchain.version, tool=command.path),
        stdin=b"",
        limits=Limits(output_bytes=_OUTPUT_BYTES),
    )
