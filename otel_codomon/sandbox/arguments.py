"""Read the arguments of `run`, each as what it stands for, or refuse it.

An argument may be of any class, whose methods may do anything: what they raise
is a refusal, and what they return is taken as plain values, of bounded number.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from otel_codomon._platform.bounds import LONGEST_SECONDS
from otel_codomon._platform.refused_values import shown
from otel_codomon._platform.untrusted_arguments import plain_number, plain_text
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.resources.limits import LIMIT_FIELDS, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

# More words or variables than the kernel takes, whatever their size.
_MAX_ITEMS: Final = 2**20


def refusal(argument: str, doing: str, found: str, way_out: str) -> InvalidArgumentError:
    """What to raise where *argument* cannot mean anything."""
    return InvalidArgumentError(argument, f"cannot {doing}: {found}; {way_out}")


def read(argument: str, reader: Callable[[Any], T], value: object) -> T:
    """Return *value*, passed as *argument*, as *reader* reads it.

    Raises:
        InvalidArgumentError: The reader refuses it, or its own methods raise.
    """
    try:
        return reader(value)
    except InvalidArgumentError:
        raise
    except Exception as error:
        raise refusal(
            argument,
            f"read {argument}={shown(value)}",
            f"that raised {type(error).__name__}",
            "pass a plain value",
        ) from error


def optional(reader: Callable[[Any], T], default: T) -> Callable[[object], T]:
    """The same as *reader*, but for None, which means *default*."""
    return lambda value: default if value is None else reader(value)


def yes_or_no(argument: str) -> Callable[[object], bool]:
    """A reader of True or False."""

    def reader(value: object) -> bool:
        if value is True or value is False:
            return value is True
        raise refusal(
            argument,
            f"take {shown(value)} as {argument}",
            "must be True or False",
            "leave it out for the default",
        )

    return reader


# --- texts ---------------------------------------------------------------------


def text_of(argument: str) -> Callable[[object], str]:
    """A reader of a text with something in it."""

    def reader(value: object) -> str:
        text = plain_text(value)
        if text is not None and text.strip():
            return text
        raise refusal(
            argument,
            f"take {shown(value)} as the {argument}",
            "must be a non-empty string",
            "leave it out for the default",
        )

    return reader


def choice_of(argument: str, choices: Iterable[str]) -> Callable[[object], str]:
    """A reader of one of *choices*."""

    def reader(value: object) -> str:
        text = plain_text(value)
        if text is not None and text in choices:
            return text
        raise refusal(
            argument,
            f"take {shown(value)} as the {argument}",
            "unknown",
            f"use one of {', '.join(choices)}",
        )

    return reader


def source_text(value: object) -> str:
    """The source text that *value* is."""
    text = plain_text(value) or ""
    if not text.strip():
        raise refusal(
            "command", f"run {shown(text)}", "the source text is empty", "pass source text"
        )
    _check_text("command", "run a source text", text, str.encode)
    return text


def text_for_kernel(argument: str, doing: str, value: str | bytes | os.PathLike[str]) -> str:
    """*value* as a text that the kernel can be given."""
    text = str.__str__(os.fsdecode(value))
    _check_text(argument, doing, text, os.fsencode)
    return text


def _check_text(argument: str, doing: str, text: str, encode: Callable[[str], bytes]) -> None:
    if "\0" in text:
        raise refusal(argument, doing, "it contains a NUL character", "remove it")
    try:
        encode(text)
    except UnicodeEncodeError:
        raise refusal(
            argument, doing, "it contains a lone surrogate", "remove it, or pass bytes"
        ) from None


# --- several of them -------------------------------------------------------------


def words(command: object) -> tuple[str, ...]:
    """Program and arguments."""
    if not isinstance(command, Sequence) or isinstance(command, (bytes, bytearray)):
        raise refusal(
            "command",
            f"run {shown(command)}",
            f"it is of type {type(command).__qualname__}",
            'pass a list of words, such as ["python", "job.py"]',
        )
    found = tuple(map(_word, bounded("command", command)))
    if not found:
        raise refusal("command", "run an empty command", "it has no words", "name a program")
    if not found[0]:
        raise refusal("command", "run the program ''", "the name is empty", "name a program")
    return found


def _word(word: object) -> str:
    doing = f"pass {shown(word)} as an argument"
    if not isinstance(word, (str, bytes, os.PathLike)):
        raise refusal(
            "command",
            doing,
            f"it is of type {type(word).__qualname__}",
            "pass strings, bytes or paths",
        )
    return text_for_kernel("command", doing, word)


def variables(env: object) -> dict[str, str]:
    """Names and values of variables."""
    if not isinstance(env, Mapping):
        raise refusal(
            "env",
            f"set the environment to {shown(env)}",
            f"it is of type {type(env).__qualname__}",
            "pass a mapping of names and values",
        )
    return dict(_variable(name, value) for name, value in bounded("env", env.items()))


def _variable(name: object, value: object) -> tuple[str, str]:
    doing = f"set the variable {shown(name)}"
    if not isinstance(name, str) or not isinstance(value, str):
        raise refusal("env", doing, "name and value are not both strings", "pass strings")
    pair = text_for_kernel("env", doing, name), text_for_kernel("env", doing, value)
    if not pair[0] or "=" in pair[0]:
        raise refusal("env", doing, "not a variable name", "use one without =")
    return pair


def allowed_names(values: object) -> tuple[str, ...]:
    """Names of variables that are let through."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise refusal("allow_env", f"pass on {shown(values)}", "not a list of names", "pass a list")
    return tuple(map(text_of("allow_env"), bounded("allow_env", values)))


def span_attributes(attributes: object) -> dict[Any, object]:
    """More attributes of the span, which is made to be safe for any."""
    if not isinstance(attributes, Mapping):
        raise refusal(
            "attributes",
            f"take {shown(attributes)} as the attributes of an execution",
            f"it is of type {type(attributes).__qualname__}",
            "pass a mapping of names and values",
        )
    return dict(bounded("attributes", attributes.items()))


def bounded(argument: str, items: Iterable[T]) -> list[T]:
    """All of *items*, which may have no end."""
    found = list(islice(items, _MAX_ITEMS + 1))
    if len(found) > _MAX_ITEMS:
        raise refusal(
            argument, f"take the {argument}", f"it has more than {_MAX_ITEMS} items", "pass fewer"
        )
    return found


# --- the rest ----------------------------------------------------------------------


def directory(cwd: object) -> str:
    """The absolute path of a directory that can be worked in."""
    doing = f"work in {shown(cwd)}"
    if not isinstance(cwd, (str, bytes, os.PathLike)):
        raise refusal("cwd", doing, f"it is of type {type(cwd).__qualname__}", "pass a path")
    text = text_for_kernel("cwd", doing, cwd)
    if not os.path.isdir(text):
        raise refusal("cwd", doing, "not a directory", "create it first, or choose another")
    if not os.access(text, os.X_OK):
        raise refusal("cwd", doing, "permission denied", "grant access, or choose another")
    return text if os.path.isabs(text) else os.path.join(our_directory(), text)


def our_directory() -> str:
    """Our own working directory.

    Raises:
        InvalidArgumentError: It was removed.
    """
    try:
        return os.getcwd()
    except OSError:
        raise refusal(
            "cwd",
            "work in the current directory",
            "it no longer exists",
            "pass one that does, as cwd=",
        ) from None


def seconds(timeout: object) -> float:
    """A time that can be waited for."""
    number = plain_number(timeout)
    if number is not None and 0 < number <= LONGEST_SECONDS:
        return float(number)
    raise refusal(
        "timeout",
        f"set the timeout to {shown(timeout)}",
        f"must be more than 0 and at most {LONGEST_SECONDS:.0f} seconds",
        "leave it out for none",
    )


def limits_of(limits: object) -> Limits:
    """Limits, which are checked again: anything can be set in any object."""
    if isinstance(limits, Limits):
        return Limits(**{field: getattr(limits, field) for _, field in LIMIT_FIELDS})
    raise refusal(
        "limits",
        f"limit it to {shown(limits)}",
        f"it is of type {type(limits).__qualname__}",
        "pass Limits(...)",
    )


def input_bytes(stdin: object) -> bytes:
    """What a command reads."""
    text = plain_text(stdin)
    if text is not None:
        try:
            return text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise refusal(
                "stdin", "encode the input", "it contains a lone surrogate", "pass bytes"
            ) from None
    if isinstance(stdin, (bytes, bytearray, memoryview)):
        return bytes(stdin)
    raise refusal(
        "stdin",
        f"feed it {shown(stdin)}",
        f"it is of type {type(stdin).__qualname__}",
        "pass bytes or a string",
    )
