"""The arguments of a decorated function that are understood by name."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from otel_codomon import names
from otel_codomon._platform.cleaning import MAX_NAME, clean_text
from otel_codomon._platform.scrubbed_values import scrubbed_text
from otel_codomon._platform.untrusted_arguments import plain_number
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.executions.captured_texts import captured
from otel_codomon.executions.languages import known_language

if TYPE_CHECKING:
    from otel_codomon._platform.cleaning import AttributeValue

_MAX_HASHED_BYTES: Final = 16 * 1024 * 1024
"""Larger source texts are not hashed: 16 MiB take about 10 ms, more would be felt."""

Facts = dict[str, "AttributeValue"]


def code_facts(code: object) -> Facts:
    """Size and SHA-256 of a source text; the text itself only where it was asked for."""
    if isinstance(code, str):
        code = code.encode("utf-8", "surrogatepass")
    if not isinstance(code, (bytes, bytearray)):
        return {}
    facts: Facts = {names.CODE_SIZE: len(code)}
    if len(code) <= _MAX_HASHED_BYTES:
        facts[names.CODE_SHA256] = hashlib.sha256(code).hexdigest()
    text = captured("code", bytes(code))
    if text is not None:
        facts[names.CODE_TEXT] = text
    return facts


def timeout_facts(timeout: object) -> Facts:
    """A time limit in seconds; nothing for what is no such number."""
    seconds = plain_number(timeout)
    if seconds is None or not abs(seconds) <= sys.float_info.max:
        return {}
    return {names.EXECUTION_TIMEOUT: float(seconds)}


def session_facts(session_id: object) -> Facts:
    """The caller's session; nothing for None."""
    if session_id is None:
        return {}
    text = scrubbed_text(session_id, limit=MAX_NAME)
    return {names.SESSION_ID: text, names.EXECUTION_SESSION_ID: text}


def language_facts(language: object) -> Facts:
    """The language, as one of a closed set: the caller may be anybody."""
    known = known_language(language)
    return {} if known is None else {names.EXECUTION_LANGUAGE: known}


READERS: Final[Mapping[str, Callable[[object], Facts]]] = {
    "language": language_facts,
    "code": code_facts,
    "timeout": timeout_facts,
    "session_id": session_facts,
}


BY_NAME: Final[Mapping[str, str]] = {name: name for name in READERS}
"""What each understood argument is called where the developer says nothing."""


class ArgumentReader:
    """Reads the understood arguments of one function's calls.

    Where each is found is worked out once: binding a signature at each call
    would cost more than the rest of an execution.

    Args:
        function: The function.
        called: What it calls each understood argument.

    Raises:
        InvalidArgumentError: It has no argument that the developer names.
    """

    def __init__(
        self, function: Callable[..., object], called: Mapping[str, str] = BY_NAME
    ) -> None:
        self._places = tuple(_places(function, called))

    def __call__(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Facts:
        """The facts that the arguments of one call tell."""
        if not self._places:
            return {}
        facts: Facts = {}
        for read, name, position, default in self._places:
            if name in kwargs:
                value = kwargs[name]
            elif position is not None and position < len(args):
                value = args[position]
            else:
                value = default
            if value is not None:
                facts.update(read(value))
        return facts


_Place: TypeAlias = tuple[Callable[[object], Facts], str, "int | None", object]
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _places(function: Callable[..., object], called: Mapping[str, str]) -> list[_Place]:
    """Reader, name, position (None for keyword-only) and default of each understood argument."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some callables written in C have no signature
        return [(READERS[role], name, None, None) for role, name in called.items() if role != name]
    declared = {
        parameter.name: (position, parameter)
        for position, parameter in enumerate(parameters)
        if parameter.kind not in _VARIADIC
    }
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    _check_named(called, declared, takes_any=takes_any)
    return [
        (READERS[role], name, *_position_and_default(*declared[name]))
        if name in declared
        else (READERS[role], name, None, None)
        for role, name in called.items()
        if name in declared or takes_any
    ]


def _position_and_default(position: int, parameter: inspect.Parameter) -> tuple[int | None, object]:
    return (
        None if parameter.kind is parameter.KEYWORD_ONLY else position,
        None if parameter.default is parameter.empty else parameter.default,
    )


def _check_named(
    called: Mapping[str, str], declared: Mapping[str, object], *, takes_any: bool
) -> None:
    missing = [name for role, name in called.items() if name not in (role, *declared)]
    if missing and not takes_any:
        raise InvalidArgumentError(
            "arguments",
            f"cannot read the argument {clean_text(missing[0], limit=80)!r}: the function has "
            f"{', '.join(declared) or 'none'}; name one of its arguments",
        )
