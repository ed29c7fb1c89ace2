"""What the caller of `run` asks for, checked before anything is started."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_codomon.errors import InvalidArgumentError
from otel_codomon.sandbox.environment import PROPAGATION, build_environment
from otel_codomon.sandbox.isolation import ISOLATION
from otel_codomon.sandbox.toolchains import BY_LANGUAGE
from otel_codomon.values.languages import known_language
from otel_codomon.values.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_codomon.sandbox.toolchains import Toolchain

_SHOWN: Final = 80  # characters of a value that a message repeats


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be run, and how: checked, and nothing of it done yet.

    Attributes:
        name: What the execution is called.
        argv: Program and arguments; empty for a source text.
        path: Where the program is; None for a source text.
        source: The source text; None for a command.
        toolchain: What runs the source text; None for a command.
        language: As the caller says it; None when nobody did.
        timeout: Longest time, seconds.
        limits: What it may use.
        stdin: What it reads.
        cwd: Working folder; None for a private one.
        env: Its environment, but for what lets it report.
        propagate: One of `PROPAGATION`.
        isolation: One of `ISOLATION`.
    """

    name: str
    argv: tuple[str, ...] = ()
    path: str | None = None
    source: str | None = None
    toolchain: Toolchain | None = None
    language: str | None = None
    timeout: float | None = None
    limits: Limits = field(default_factory=Limits)
    stdin: bytes = b""
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    propagate: str = "none"
    isolation: str = "none"


def make_request(
    command: object,
    *,
    language: object,
    name: object,
    timeout: object,
    limits: object,
    stdin: object,
    cwd: object,
    env: object,
    allow_env: object,
    propagate: object,
    isolation: object,
) -> Request:
    """Check what the caller of `run` said; see there.

    Raises:
        InvalidArgumentError: One of the arguments cannot mean anything, or the
            program or folder is not there.
    """
    environment = build_environment(
        os.environ, given=_variables(env), allowed=tuple(_texts("allow_env", allow_env))
    )
    folder = _folder(cwd)
    toolchain = None
    argv: tuple[str, ...] = ()
    path = source = None
    if isinstance(command, str):
        source, toolchain = _source(command), _toolchain(language)
    else:
        argv = _argv(command)
        path = find_program(argv[0], search_path=environment.get("PATH"), folder=folder)
    default_name = toolchain.language if toolchain is not None else Path(argv[0]).name
    return Request(
        name=default_name if name is None else _text("name", name),
        argv=argv,
        path=path,
        source=source,
        toolchain=toolchain,
        language=None if language is None else _text("language", language),
        timeout=_timeout(timeout),
        limits=_limits(limits),
        stdin=_stdin(stdin),
        cwd=folder,
        env=environment,
        propagate=_choice("propagate", propagate, PROPAGATION),
        isolation=_choice("isolation", isolation, ISOLATION),
    )


def _refuse(argument: str, doing: str, found: str, way_out: str) -> InvalidArgumentError:
    return InvalidArgumentError(argument, f"cannot {doing}: {found}; {way_out}")


def _shown(value: object) -> str:
    """*value* for a message: bounded, and on one line."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - `__repr__` of a stranger: any failure at all
        text = f"<unprintable {type(value).__qualname__}>"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


# --- what to run -------------------------------------------------------------


def _source(text: str) -> str:
    if not text.strip():
        raise _refuse(
            "command", f"run {_shown(text)}", "there is no source text in it", "pass some"
        )
    _check_encodable("command", "run a source text", text)
    return text


def _toolchain(language: object) -> Toolchain:
    known = ", ".join(sorted(BY_LANGUAGE))
    if language is None:
        raise _refuse(
            "language",
            "run a single text",
            "it is a source text of no language",
            f"say which, as language= (one of {known}), or pass a command as a list of words",
        )
    toolchain = BY_LANGUAGE.get(known_language(language) or "")
    if toolchain is None:
        raise _refuse(
            "language",
            f"run source text in {_shown(language)}",
            "it is no language that can be run here",
            f"use one of {known}",
        )
    return toolchain


def _argv(command: object) -> tuple[str, ...]:
    if not isinstance(command, Sequence) or isinstance(command, (bytes, bytearray)):
        raise _refuse(
            "command",
            f"run {_shown(command)}",
            f"it is of type {type(command).__qualname__}",
            'pass a list of words, as ["python", "job.py"]',
        )
    if not command:
        raise _refuse("command", "run an empty command", "it has no word", "name a program")
    words = tuple(_word(word) for word in command)
    if not words[0]:
        raise _refuse("command", "run the program ''", "it has no name", "name a program")
    return words


def _word(word: object) -> str:
    if not isinstance(word, (str, bytes, os.PathLike)):
        raise _refuse(
            "command",
            f"pass {_shown(word)} as an argument",
            f"it is of type {type(word).__qualname__}",
            "pass texts, bytes or paths",
        )
    text = os.fsdecode(word)
    _check_encodable("command", f"pass {_shown(text)} as an argument", text)
    return text


def _check_encodable(argument: str, doing: str, text: str) -> None:
    """Whether the kernel can be handed *text*."""
    if "\0" in text:
        raise _refuse(argument, doing, "it has a NUL character in it", "take it out")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise _refuse(
            argument, doing, "it has a lone surrogate in it", "take it out, or pass bytes"
        ) from None


def find_program(name: str, *, search_path: str | None, folder: str | None) -> str:
    """Return the absolute path of the program *name*.

    Args:
        name: A path, which counts from *folder* unless absolute, or a name to
            look up on *search_path*.
        search_path: The command's own PATH; None for the system's.
        folder: The command's working folder; None for ours.

    Raises:
        InvalidArgumentError: It is not there, or cannot be executed.
    """
    doing = f"run {_shown(name)}"
    if os.path.dirname(name):  # noqa: PTH120 - a text with a slash in it, not a path yet
        path = str(Path(folder or Path.cwd(), name))
        if not Path(path).exists():
            raise _refuse("command", doing, "there is no such file", "check the path")
        if Path(path).is_dir() or not os.access(path, os.X_OK):
            kind = "is a folder" if Path(path).is_dir() else "may not be executed"
            way_out = f"name a program, or make it one with `chmod +x {_shown(path)}`"
            raise _refuse("command", doing, f"it {kind}", way_out)
        return path
    found = shutil.which(name, path=search_path)
    if found is None:
        raise _refuse(
            "command",
            doing,
            "no program of that name is on the PATH",
            "install it, or give its path",
        )
    return str(Path(found).absolute())


# --- how to run it -----------------------------------------------------------


def _folder(cwd: object) -> str | None:
    if cwd is None:
        return None
    if not isinstance(cwd, (str, bytes, os.PathLike)):
        raise _refuse(
            "cwd",
            f"work in {_shown(cwd)}",
            f"it is of type {type(cwd).__qualname__}",
            "pass a path",
        )
    text = os.fsdecode(cwd)
    doing = f"work in {_shown(text)}"
    _check_encodable("cwd", doing, text)
    if not Path(text).is_dir():
        raise _refuse("cwd", doing, "it is no folder", "make it first, or name another")
    if not os.access(text, os.X_OK):
        raise _refuse("cwd", doing, "it may not be entered", "allow it, or name another")
    return str(Path(text).absolute())


def _timeout(timeout: object) -> float | None:
    if timeout is None:
        return None
    is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if is_number and math.isfinite(timeout) and timeout > 0:  # type: ignore[arg-type, operator] # a number
        return float(timeout)  # type: ignore[arg-type] # as above
    raise _refuse(
        "timeout",
        f"set the timeout to {_shown(timeout)}",
        "it is not a positive number of seconds",
        "leave it out for none",
    )


def _limits(limits: object) -> Limits:
    if limits is None:
        return Limits()
    if isinstance(limits, Limits):
        return limits
    raise _refuse(
        "limits",
        f"limit it to {_shown(limits)}",
        f"it is of type {type(limits).__qualname__}",
        "pass Limits(...)",
    )


def _stdin(stdin: object) -> bytes:
    if stdin is None:
        return b""
    if isinstance(stdin, str):
        return stdin.encode("utf-8", "surrogateescape")
    if isinstance(stdin, (bytes, bytearray, memoryview)):
        return bytes(stdin)
    raise _refuse(
        "stdin",
        f"feed it {_shown(stdin)}",
        f"it is of type {type(stdin).__qualname__}",
        "pass bytes or text",
    )


def _variables(env: object) -> dict[str, str]:
    if env is None:
        return {}
    if not isinstance(env, Mapping):
        raise _refuse(
            "env",
            f"set the environment to {_shown(env)}",
            f"it is of type {type(env).__qualname__}",
            "pass a mapping of names and values",
        )
    for name, value in env.items():
        _check_variable(name, value)
    return dict(env)


def _check_variable(name: object, value: object) -> None:
    doing = f"set the variable {_shown(name)}"
    if not isinstance(name, str) or not isinstance(value, str):
        raise _refuse("env", doing, "name and value are not both texts", "pass texts")
    if not name or "=" in name:
        raise _refuse("env", doing, "it is no name of a variable", "use one without =")
    _check_encodable("env", doing, name)
    _check_encodable("env", doing, value)


def _texts(argument: str, values: object) -> Iterable[str]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise _refuse(
            argument, f"let {_shown(values)} through", "it is no list of names", "pass a list"
        )
    return [_text(argument, value) for value in values]


def _text(argument: str, value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise _refuse(
        argument,
        f"take {_shown(value)} as the {argument}",
        "it is not a text with something in it",
        "leave it out for the default",
    )


def _choice(argument: str, value: object, choices: Iterable[str]) -> str:
    if isinstance(value, str) and value in choices:
        return value
    raise _refuse(
        argument,
        f"take {_shown(value)} as the {argument}",
        "it is none of the known ones",
        f"use one of {', '.join(choices)}",
    )
