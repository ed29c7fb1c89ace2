"""Executions that are tool calls of an agent, in the words of the GenAI conventions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from inspect import signature
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from otel_codomon import names
from otel_codomon._platform.cleaning import (
    MAX_ITEMS,
    MAX_NAME,
    MAX_TEXT,
    clean_attribute,
    clean_text,
)
from otel_codomon._platform.never_raises import never_raises
from otel_codomon._platform.refused_values import shown
from otel_codomon._platform.scrubbed_values import scrubbed_name, scrubbed_text
from otel_codomon._platform.scrubbing import REDACTED, is_count_name, is_secret_name
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.executions.captured_texts import captured, is_captured
from otel_codomon.settings import read_setting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_codomon._platform.cleaning import AttributeValue

OPERATION: Final = "execute_tool"
# Of one text: what is cut off at the end anyway is not walked through.
_MAX_DEPTH: Final = 6
_MAX_VALUES: Final = 1000

_are_functions_tools: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by an agent, for ``execution(tool=...)``.

    Attributes:
        name: Name of the tool: one of few, as it is part of the span's name.
        call_id: The id that the model gave the call; None where there is none.
        type: What the tool is: ``function``, ``extension`` or ``datastore``;
            None where nobody said.
    """

    name: str
    call_id: str | None = None
    type: str | None = None

    def attributes(self) -> dict[str, AttributeValue]:
        """The same as span attributes; what is not known is absent."""
        facts: dict[str, AttributeValue] = {
            names.GEN_AI_OPERATION_NAME: OPERATION,
            names.GEN_AI_TOOL_NAME: self.name,
        }
        if self.call_id is not None:
            facts[names.GEN_AI_TOOL_CALL_ID] = self.call_id
        if self.type is not None:
            facts[names.GEN_AI_TOOL_TYPE] = self.type
        return facts

    @property
    def span_name(self) -> str:
        """Name of the span of the call."""
        return f"{OPERATION} {self.name}"


def read_tool(tool: object) -> ToolCall | None:
    """What the caller says of a tool call, checked and scrubbed; None for None.

    Raises:
        InvalidArgumentError: It is neither a name nor a `ToolCall` of texts.
    """
    if tool is None:
        return None
    said = ToolCall(tool) if isinstance(tool, str) else tool
    if not isinstance(said, ToolCall):
        raise _invalid(tool)
    optional = (field for field in (said.call_id, said.type) if field is not None)
    if not all(map(_is_text, (said.name, *optional))):
        raise _invalid(tool)
    return ToolCall(
        scrubbed_name(said.name, default="tool"),
        None if said.call_id is None else scrubbed_text(said.call_id, limit=MAX_NAME),
        None if said.type is None else scrubbed_name(said.type, default="function"),
    )


def _is_text(field: object) -> bool:
    return isinstance(field, str) and bool(field.strip())


def _invalid(tool: object) -> InvalidArgumentError:
    return InvalidArgumentError(
        "tool",
        f"invalid tool {shown(tool)}: must be the name of a tool, or a ToolCall of texts that are "
        "not empty; leave it out for an execution that is no tool call",
    )


# --- the switch for agents ------------------------------------------------------


def choose(*, are_functions_tools: bool | None) -> None:
    """Have the calls of decorated functions be tool calls; None for what the environment says."""
    global _are_functions_tools  # noqa: PLW0603 - one choice for the process
    _are_functions_tools = are_functions_tools


@never_raises("reading whether functions are tools", default=False)
def are_functions_tools() -> bool:
    """Whether each call of a decorated function is a tool call, of the name of its execution."""
    if _are_functions_tools is None:
        choose(are_functions_tools=False)  # `configure` is where a wrong variable is an error
        choose(are_functions_tools=read_setting("tool_calls").value)
    return bool(_are_functions_tools)


# --- arguments and result, for those who ask ------------------------------------


@never_raises("capturing the arguments of a tool call", default=None)
def call_arguments(
    function: Callable[..., object],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    *,
    code: str | None = None,
) -> str | None:
    """The arguments of one call as JSON, scrubbed and then cut, if they were asked for.

    Args:
        function: The function that is called.
        args: Its arguments by position.
        kwargs: Its arguments by name.
        code: What it calls the source text, which leaves only where that was
            asked for too; None where it has none.
    """
    if not is_captured("arguments"):
        return None
    told = _by_name(function, args, kwargs)
    left_out = {"self", "cls", None if is_captured("code") else code}
    return captured(
        "arguments", _json({name: value for name, value in told.items() if name not in left_out})
    )


@never_raises("capturing the result of a tool call", default=None)
def call_result(result: object) -> str | None:
    """What a call returned, scrubbed and then cut, if output was asked for; a text as it is."""
    if result is None or not is_captured("output"):
        return None
    return captured("output", result if type(result) in _TEXTS else _json(result))


def _by_name(
    function: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """The arguments by the names of the parameters; those of no name by their position."""
    try:
        return dict(signature(function).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):  # the call will fail, or it is written in C
        return {**{str(place): value for place, value in enumerate(args)}, **kwargs}


def _json(value: object) -> str:
    return json.dumps(_plain(value, [_MAX_VALUES], _MAX_DEPTH), ensure_ascii=False)


def _plain(value: Any, budget: list[int], depth: int) -> object:  # noqa: ANN401 - of strangers
    """*value* as JSON has it, at most so many values so deep.

    Of an object of any other type only the class is named: to ask it for its text
    may run whatever its maker wants, such as a query.
    """
    budget[0] -= 1
    kind = type(value)  # a subclass may do anything when it is walked through
    if kind is dict or kind in _COLLECTIONS:
        return _plain_items(value, budget, depth - 1) if depth and budget[0] > 0 else "…"
    if kind in _TEXTS:
        return clean_text(value, limit=2 * MAX_TEXT)
    if value is None or kind in _SCALARS:
        return value if value is None else clean_attribute(value)
    return f"<{clean_text(kind.__qualname__, limit=MAX_NAME)}>"


def _plain_items(items: Any, budget: list[int], depth: int) -> object:  # noqa: ANN401 - as above
    if type(items) is not dict:
        return [_plain(each, budget, depth) for each in _first(items, budget)]
    return {
        name: REDACTED if _is_secret(name, each) else _plain(each, budget, depth)
        for key, each in _first(items.items(), budget)
        for name in (clean_text(key, limit=MAX_NAME) if type(key) in _KEYS else "…",)
    }


_SCALARS: Final = (bool, int, float)
_TEXTS: Final = (str, bytes)
_KEYS: Final = (*_SCALARS, *_TEXTS)
_COLLECTIONS: Final = (list, tuple, set, frozenset)


def _first(items: Any, budget: list[int]) -> list[Any]:  # noqa: ANN401 - of any collection
    """The first of *items*, so many as there may still be."""
    return list(islice(items, max(0, min(MAX_ITEMS, budget[0]))))


def _is_secret(name: str, value: object) -> bool:
    """As for an attribute: what counts something, or answers a question, is no secret."""
    kind = type(value)
    is_count = kind in (int, float) and is_count_name(name)
    return is_secret_name(name) and not (kind is bool or is_count)
