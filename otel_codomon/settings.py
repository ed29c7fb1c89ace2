"""What is configured, and by what: an argument, the environment, or the default."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from otel_codomon import environment_variables as env
from otel_codomon._platform.private_folder import state_folder
from otel_codomon._platform.refused_values import shown
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.words import CAPTURES, CONTROLS, DURABILITIES, INSTRUMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off", ""})


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """One value and where it comes from.

    Attributes:
        value: The value, checked.
        origin: ``argument``, the name of an environment variable, or ``default``.
    """

    value: T
    origin: str


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table of settings.

    Attributes:
        name: The argument of `configure`, or of ``CodomonInstrumentor().instrument``.
        variable: The environment variable that stands in for the argument.
        read: Turns an argument or a variable's text into the value; raises
            ValueError with what was expected.
        default: What holds where neither is given.
    """

    name: str
    variable: str
    read: Callable[[object], object]
    default: object


def read_bool(value: object) -> bool:
    """``true`` or ``false`` in the usual spellings."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise ValueError("neither true nor false; use one of these")


def read_seconds(value: object) -> float:
    """A number of seconds, zero included."""
    try:
        seconds = float(value)  # type: ignore[arg-type] # what it cannot take it refuses
    except (TypeError, ValueError):
        seconds = math.nan
    if math.isfinite(seconds) and seconds >= 0:
        return seconds
    raise ValueError("not a number of seconds; use one, such as 2 or 0.5")


def read_interval(value: object) -> float:
    """A number of seconds above zero."""
    seconds = read_seconds(value)
    if seconds > 0:
        return seconds
    raise ValueError("not more than 0; use a number of seconds, such as 0.25")


def read_durability(value: object) -> str:
    """One of `DURABILITIES`."""
    word = str(value).strip().lower()
    if word in DURABILITIES:
        return word
    raise ValueError(f"unknown; use one of {', '.join(DURABILITIES)}")


def read_journal(value: object) -> str | None:
    """A folder, None for ``off``."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if value is False or (isinstance(value, str) and value.strip().lower() == "off"):
        return None
    if isinstance(value, str) and value and "\0" not in value:
        return value
    raise ValueError("not a directory; use a path, or off")


def _words(*known: str) -> Callable[[object], frozenset[str]]:
    """A reader of words with commas in between, or of a collection of them."""

    def read(value: object) -> frozenset[str]:
        given = value.split(",") if isinstance(value, str) else value
        if isinstance(given, Iterable):
            words = frozenset(filter(None, (str(word).strip().lower() for word in given)))
            if words <= set(known):
                return words
        raise ValueError(f"unknown; use any of {', '.join(known)}")

    return read


def read_instruments(value: object) -> frozenset[str]:
    """Some of `INSTRUMENTS`, ``none``, or all but those with a minus in front."""
    words = _words(*INSTRUMENTS, *(f"-{name}" for name in INSTRUMENTS), "none")(value)
    without = frozenset(word[1:] for word in words if word.startswith("-"))
    if without and len(without) == len(words):
        return frozenset(INSTRUMENTS) - without
    if without or ("none" in words and len(words) > 1):
        raise ValueError("contradicts itself; name what is observed, or -name what is not, or none")
    return words - {"none"}


def read_globs(value: object) -> tuple[str, ...]:
    """Globs with commas in between, or a collection of them."""
    given = value.split(",") if isinstance(value, str) else value
    if isinstance(given, Iterable) and not isinstance(given, (bytes, Mapping)):
        globs = tuple(given)
        if all(isinstance(glob, str) for glob in globs):
            return tuple(filter(None, (glob.strip() for glob in globs)))
    raise ValueError("not a list of globs; use some, such as git* or /usr/sbin/*")


OPTIONS: Final = (
    Option("journal", env.OTEL_PYTHON_CODOMON_JOURNAL, read_journal, default=None),
    Option("deliver", env.OTEL_PYTHON_CODOMON_DELIVER, read_bool, default=False),
    Option("durability", env.OTEL_PYTHON_CODOMON_DURABILITY, read_durability, default="process"),
    Option("exit_timeout", env.OTEL_PYTHON_CODOMON_EXIT_TIMEOUT, read_seconds, default=2.0),
    Option("sample_interval", env.OTEL_PYTHON_CODOMON_SAMPLE_INTERVAL, read_interval, default=0.25),
    Option("slots", env.OTEL_PYTHON_CODOMON_SLOTS, read_bool, default=False),
    Option("host_metrics", env.OTEL_PYTHON_CODOMON_HOST_METRICS, read_bool, default=False),
    Option("tool_calls", env.OTEL_PYTHON_CODOMON_TOOL_CALLS, read_bool, default=False),
    Option("control", env.OTEL_PYTHON_CODOMON_CONTROL, _words(*CONTROLS), default=frozenset()),
    Option(
        "capture",
        env.OTEL_PYTHON_CODOMON_CAPTURE,
        _words(*CAPTURES),
        default=frozenset(),
    ),
    Option("execution_logs", env.OTEL_PYTHON_CODOMON_EXECUTION_LOGS, read_bool, default=False),
    Option(
        "instrument",
        env.OTEL_PYTHON_CODOMON_INSTRUMENT,
        read_instruments,
        default=frozenset(INSTRUMENTS),
    ),
    Option("exclude", env.OTEL_PYTHON_CODOMON_EXCLUDED_PROGRAMS, read_globs, default=()),
)


def read_settings(
    arguments: Mapping[str, object], environ: Mapping[str, str] | None = None
) -> dict[str, Setting[Any]]:
    """All settings by name: an argument goes before the environment, that before the default.

    Args:
        arguments: What the caller said; None means not said.
        environ: The environment; None for this process's own.

    Raises:
        InvalidArgumentError: A value cannot mean anything.
    """
    environ = os.environ if environ is None else environ
    found = {option.name: _setting(option, arguments, environ) for option in OPTIONS}
    if found["journal"].origin == "default":
        found["journal"] = Setting(state_folder(environ), "default")
    return found


def read_setting(name: str, environ: Mapping[str, str] | None = None) -> Setting[Any]:
    """One setting by name, as the environment has it.

    Raises:
        InvalidArgumentError: The variable cannot mean anything.
    """
    option = next(option for option in OPTIONS if option.name == name)
    return _setting(option, {}, os.environ if environ is None else environ)


def _setting(
    option: Option, arguments: Mapping[str, object], environ: Mapping[str, str]
) -> Setting[Any]:
    given = arguments.get(option.name)
    origin = "argument"
    if given is None:
        given, origin = environ.get(option.variable) or None, option.variable
    if given is None:
        return Setting(option.default, "default")
    try:
        return Setting(option.read(given), origin)
    except ValueError as error:
        name = option.name if origin == "argument" else origin
        raise InvalidArgumentError(name, f"invalid {name} {shown(given)}: {error}") from None
