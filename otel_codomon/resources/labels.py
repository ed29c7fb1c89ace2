"""What figures of executions are summed by: name, kind, language and sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from otel_codomon import names

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(str, Enum):
    """What is executed."""

    FUNCTION = "function"
    COMMAND = "command"
    SNIPPET = "snippet"
    CELL = "cell"
    TASK = "task"


class SandboxType(str, Enum):
    """What separates the code that runs from its host."""

    NONE = "none"
    PROCESS = "process"
    BUBBLEWRAP = "bubblewrap"
    CONTAINER = "container"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class Labels:
    """What the metrics of an execution are summed by.

    Attributes:
        name: What the developer calls it; never chosen by the code that runs.
        kind: What is executed.
        language: Programming language in lower case; None when nobody said.
        sandbox_type: What separates it from its host.
    """

    name: str
    kind: Kind
    language: str | None = None
    sandbox_type: SandboxType = SandboxType.NONE
    _attributes: Mapping[str, str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        found = {
            names.EXECUTION_NAME: self.name,
            names.EXECUTION_KIND: self.kind.value,
            names.SANDBOX_TYPE: self.sandbox_type.value,
        }
        if self.language is not None:
            found[names.EXECUTION_LANGUAGE] = self.language
        # Made once: every execution of a name asks for them several times.
        object.__setattr__(self, "_attributes", found)

    def attributes(self) -> Mapping[str, str]:
        """The same as telemetry attributes; what is not known is absent."""
        return self._attributes
