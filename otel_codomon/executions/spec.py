"""What the developer says of an execution before it starts."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from otel_codomon import names
from otel_codomon._platform.refused_values import shown
from otel_codomon._platform.scrubbed_values import scrubbed_attributes, scrubbed_name, scrubbed_text
from otel_codomon._platform.untrusted_arguments import plain_number
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.executions.arguments import BY_NAME, code_facts, session_facts, timeout_facts
from otel_codomon.executions.results import READERS
from otel_codomon.executions.running import Execution
from otel_codomon.executions.tool_calls import ToolCall, are_functions_tools, read_tool
from otel_codomon.journal.own_attributes import without_reserved
from otel_codomon.resources.labels import Kind, Labels, SandboxType
from otel_codomon.resources.limits import Limits
from otel_codomon.resources.thresholds import Thresholds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from enum import Enum

    from otel_codomon._platform.cleaning import AttributeValue
    from otel_codomon.executions.telemetry import Telemetry
    from otel_codomon.words import KindWord, ResultForm, SandboxTypeWord

E = TypeVar("E", bound="Enum")


@dataclass(frozen=True, slots=True)
class ExecutionSpec:
    """How the executions of one decorated function or one block are reported.

    Attributes:
        labels: What their metrics are summed by.
        attributes: What their spans start with, labels included.
        limits: What they may use.
        thresholds: Marks whose crossing is told.
        result: The caller's own reading of what the code returned.
        more_attributes: What the developer adds to the attributes.
        arguments: What the function calls each argument that is understood.
        command: Program and arguments, for the journal alone; empty where it is no command.
        tool: The tool call that each of them is; None where it is none.
        is_function: Whether they are the calls of a decorated function.
    """

    labels: Labels
    attributes: Mapping[str, AttributeValue]
    limits: Limits | None = None
    thresholds: Thresholds | None = None
    result: Callable[[object], object] | None = None
    more_attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=lambda: BY_NAME)
    command: Sequence[str] = ()
    tool: ToolCall | None = None
    is_function: bool = False

    def for_function(self, function: Callable[..., object], *, rename: bool) -> ExecutionSpec:
        """The plan for the calls of *function*: where it is, and by default its name."""
        labels = self.labels
        if rename:
            name = getattr(function, "__qualname__", type(function).__qualname__)
            labels = replace(labels, name=scrubbed_name(name, default=labels.name))
        attributes = {**self.attributes, **labels.attributes(), **_code_attributes(function)}
        return replace(self, labels=labels, attributes=attributes, is_function=True)

    def begin(
        self,
        telemetry: Telemetry,
        *,
        facts: Mapping[str, AttributeValue] | None = None,
        thread: bool = True,
        execution_id: str | None = None,
    ) -> Execution:
        """Start one execution.

        Args:
            telemetry: Where it goes.
            facts: What the arguments of the call told.
            thread: As for `ResourceTracker.start`.
            execution_id: The caller's own id; None for a new one.
        """
        labels, attributes = self.labels, self.attributes
        if facts:
            language = facts.get(names.EXECUTION_LANGUAGE)
            if isinstance(language, str):
                labels = replace(labels, language=language)
            attributes = {**attributes, **facts}
        tool = self.tool_call()
        if tool is not None:
            attributes = {**attributes, **tool.attributes()}
            if names.SESSION_ID in attributes:
                attributes[names.GEN_AI_CONVERSATION_ID] = attributes[names.SESSION_ID]
        return Execution(
            telemetry,
            labels,
            attributes,
            limits=self.limits,
            thresholds=self.thresholds,
            thread=thread,
            result=self.result,
            more_attributes=self.more_attributes,
            execution_id=execution_id,
            command=self.command,
            tool=tool,
        )

    def tool_call(self) -> ToolCall | None:
        """The tool call that an execution is that starts now; None where it is none."""
        if self.tool is None and self.is_function and are_functions_tools():
            return ToolCall(self.labels.name)
        return self.tool


def make_spec(
    name: str,
    *,
    kind: Kind | KindWord,
    language: str | None,
    sandbox_type: SandboxType | SandboxTypeWord,
    timeout: float | None,
    session_id: str | None,
    code: str | bytes | None,
    limits: Limits | None,
    thresholds: Thresholds | None,
    attributes: Mapping[str, object] | None,
    result: Callable[[object], object] | ResultForm | None,
    arguments: Mapping[str, str | None] | None = None,
    tool: str | ToolCall | None = None,
) -> ExecutionSpec:
    """Check what the developer said; see `otel_codomon.execution`.

    Raises:
        InvalidArgumentError: One of the arguments cannot mean anything.
    """
    labels = Labels(
        scrubbed_name(_text("name", name), default="execution"),
        _member(Kind, "kind", kind),
        None if language is None else scrubbed_name(_text("language", language), default="other"),
        _member(SandboxType, "sandbox_type", sandbox_type),
    )
    _check_timeout(timeout)
    _check_type("attributes", attributes, Mapping, "pass a mapping of names and values")
    _check_type("limits", limits, Limits, "pass Limits(memory_bytes=...)")
    _check_type("thresholds", thresholds, Thresholds, "pass Thresholds(memory_bytes=...)")
    said = {
        **labels.attributes(),
        **(limits.attributes() if limits is not None else {}),
        **code_facts(code),
        **timeout_facts(timeout),
        **session_facts(session_id),
    }
    more = without_reserved(scrubbed_attributes(attributes or {}))
    return ExecutionSpec(
        labels,
        said,
        limits,
        thresholds,
        _result_reader(result),
        more,
        _called(arguments),
        tool=read_tool(tool),
    )


def _result_reader(result: object) -> Callable[[object], object] | None:
    if result is None or callable(result):
        return result
    found = next((read for word, read in READERS.items() if word == result), None)
    if found is None:
        raise InvalidArgumentError(
            "result",
            f"cannot read results with {shown(result)}: it is neither callable nor one of "
            f"{', '.join(READERS)}; pass one of these, or a function from a result to an Outcome "
            "or to a dict with status and exit_code",
        )
    return found


def _called(arguments: object) -> Mapping[str, str]:
    """What each understood argument is called; one that is called None is not read."""
    way_out = 'pass a mapping such as {"code": "source"}'
    _check_type("arguments", arguments, Mapping, way_out)
    if not isinstance(arguments, Mapping):
        return BY_NAME
    for role, name in arguments.items():
        if role not in BY_NAME or not (name is None or isinstance(name, str)):
            raise InvalidArgumentError(
                "arguments",
                f"cannot read {shown(role)} from the argument {shown(name)}: the arguments "
                f"that are understood are {', '.join(BY_NAME)}, each by the name of a parameter; "
                f"{way_out}",
            )
    return {role: name for role, name in {**BY_NAME, **arguments}.items() if name is not None}


def _text(argument: str, value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise InvalidArgumentError(
        argument,
        f"invalid {argument} {shown(value)}: must be a non-empty string; "
        "leave it out for the default",
    )


def _check_type(argument: str, value: object, kind: type, way_out: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise InvalidArgumentError(
            argument,
            f"invalid {argument} {shown(value)}: "
            f"it is of type {type(value).__qualname__}; {way_out}",
        )


def _member(choices: type[E], argument: str, value: object) -> E:
    try:
        return choices(value)
    except ValueError:
        known = ", ".join(choice.value for choice in choices)
        raise InvalidArgumentError(
            argument,
            f"invalid {argument} {shown(value)}: use one of {known}",
        ) from None


def _check_timeout(timeout: object) -> None:
    if timeout is None:
        return
    seconds = plain_number(timeout)
    if seconds is not None and 0 < seconds <= sys.float_info.max:
        return
    raise InvalidArgumentError(
        "timeout",
        f"invalid timeout {shown(timeout)}: must be a number of seconds above 0; "
        "leave it out for none",
    )


def _innermost(function: Callable[..., object]) -> object:
    """The function that runs: below wrappers and partials, or the ``__call__`` of an object."""
    inner: Any = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    own_call = getattr(type(inner), "__call__", None)  # noqa: B004 - not whether it is callable
    return own_call if inspect.isfunction(own_call) else inner


def _code_attributes(function: Callable[..., object]) -> dict[str, AttributeValue]:
    """Where *function* is: its name in its module, its file and its line."""
    inner = _innermost(function)
    found: dict[str, AttributeValue] = {}
    name = getattr(inner, "__qualname__", None)
    if name is not None:
        module = getattr(inner, "__module__", None)
        found[names.CODE_FUNCTION_NAME] = scrubbed_text(f"{module}.{name}" if module else name)
    code = getattr(inner, "__code__", None)
    if code is not None:
        found[names.CODE_FILE_PATH] = scrubbed_text(code.co_filename)
        found[names.CODE_LINE_NUMBER] = code.co_firstlineno
    return found
