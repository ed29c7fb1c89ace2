from __future__ import annotations

import itertools
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from support.other_user import open_to_everybody

from otel_codomon import (
    CodomonError,
    ExecutionResult,
    InvalidArgumentError,
    Limits,
    Outcome,
    arun,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_codomon.testing import Recorder


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError


class Odd:
    """Raises whatever it is asked, its class included."""

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - raises
        raise RuntimeError(name)

    def __repr__(self) -> str:
        return "\ud800" * 1000


class OddText(str):
    """A text whose methods raise."""

    __slots__ = ()

    def strip(self, *_: object) -> str:
        raise RuntimeError

    encode = __eq__ = __len__ = __contains__ = strip  # type: ignore[assignment] # that is odd
    __hash__ = str.__hash__


class OddNumber(float):
    """A number that cannot be compared."""

    def __lt__(self, _: object) -> bool:
        raise RuntimeError

    __le__ = __gt__ = __ge__ = __float__ = __pos__ = __lt__  # type: ignore[assignment] # as above


class Endless(Sequence[str], Mapping[str, str]):
    """A sequence and a mapping without an end."""

    def __getitem__(self, _: object) -> str:
        return "x"

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return itertools.repeat("x")

    def items(self) -> Any:  # noqa: ANN401 - endless, too
        return itertools.repeat(("x", "y"))


class OddPath:
    def __fspath__(self) -> str:
        raise OSError("no path")


class OddLimits(Limits):
    """Limits that were given impossible values behind their back."""

    def __init__(self) -> None:
        object.__setattr__(self, "memory_bytes", 2**80)


def _closed_view() -> memoryview:
    view = memoryview(b"x")
    view.release()
    return view


BAD: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "an empty command": ([[]], {}, "command"),
    "an empty program": ([[""]], {}, "command"),
    "a program that is not there": ([["no-such-program-here"]], {}, "command"),
    "a path that is not there": ([["/no/such/program"]], {}, "command"),
    "a folder as a program": ([["/usr"]], {}, "command"),
    "a file that may not be executed": ([[__file__]], {}, "command"),
    "NUL in an argument": ([["true", "a\0b"]], {}, "command"),
    "a lone surrogate in an argument": ([["true", "\ud800"]], {}, "command"),
    "a number as an argument": ([["true", 1]], {}, "command"),
    "a number as a command": ([7], {}, "command"),
    "bytes as a command": ([b"true"], {}, "command"),
    "a command that cannot be shown": ([Unprintable()], {}, "command"),
    "text of no language": (["ls -l"], {}, "language"),
    "an unknown language": (["x"], {"language": "klingon"}, "language"),
    "a language that cannot be run": (["x"], {"language": "cobol"}, "language"),
    "a number as a language": (["x"], {"language": 3}, "language"),
    "an empty source text": ([""], {"language": "python"}, "command"),
    "a blank source text": ([" \n"], {"language": "python"}, "command"),
    "a surrogate in the source text": (["'\ud800'"], {"language": "python"}, "command"),
    "a timeout of 0": ([["true"]], {"timeout": 0}, "timeout"),
    "a negative timeout": ([["true"]], {"timeout": -1}, "timeout"),
    "a timeout of NaN": ([["true"]], {"timeout": math.nan}, "timeout"),
    "a text as a timeout": ([["true"]], {"timeout": "1"}, "timeout"),
    "limits that are none": ([["true"]], {"limits": {"memory": 1}}, "limits"),
    "a folder that is not there": ([["true"]], {"cwd": "/no/such/folder"}, "cwd"),
    "a file as a folder": ([["true"]], {"cwd": __file__}, "cwd"),
    "NUL in a folder": ([["true"]], {"cwd": "/tmp\0"}, "cwd"),  # noqa: S108 - never used
    "a number as a folder": ([["true"]], {"cwd": 3}, "cwd"),
    "an unknown isolation": ([["true"]], {"isolation": "docker"}, "isolation"),
    "an unknown propagation": ([["true"]], {"propagate": "all"}, "propagate"),
    "a list as an isolation": ([["true"]], {"isolation": ["none"]}, "isolation"),
    "a number as stdin": ([["true"]], {"stdin": 3}, "stdin"),
    "a list as an environment": ([["true"]], {"env": ["A=1"]}, "env"),
    "a number as a variable": ([["true"]], {"env": {"A": 1}}, "env"),
    "= in the name of a variable": ([["true"]], {"env": {"A=B": "1"}}, "env"),
    "no name of a variable": ([["true"]], {"env": {"": "1"}}, "env"),
    "NUL in a variable": ([["true"]], {"env": {"A": "\0"}}, "env"),
    "a text of allowed names": ([["true"]], {"allow_env": "HOME"}, "allow_env"),
    "allowed names without an end": ([["true"]], {"allow_env": Endless()}, "allow_env"),
    "an allowed name that is none": ([["true"]], {"allow_env": [1]}, "allow_env"),
    "a timeout of 1e10": ([["true"]], {"timeout": 1e10}, "timeout"),
    "a timeout of 400 digits": ([["true"]], {"timeout": 10**400}, "timeout"),
    "a timeout that is odd": ([["true"]], {"timeout": Odd()}, "timeout"),
    "a lone surrogate in stdin": ([["cat"]], {"stdin": "\ud83d"}, "stdin"),
    "a generator as stdin": ([["cat"]], {"stdin": iter([b"x"])}, "stdin"),
    "a closed view as stdin": ([["cat"]], {"stdin": _closed_view()}, "stdin"),
    "an escaped byte in the source text": (["print('\udcff')"], {"language": "python"}, "command"),
    "NUL in the source text": (["print(1)\0"], {"language": "python"}, "command"),
    "a source text that is odd": ([OddText("")], {"language": "python"}, "command"),
    "a generator as a command": ([(word for word in ("true",))], {}, "command"),
    "a command without an end": ([Endless()], {}, "command"),
    "a command that is odd": ([Odd()], {}, "command"),
    "an argument that is odd": ([["true", Odd()]], {}, "command"),
    "a path that raises": ([[OddPath()]], {}, "command"),
    "a program's name of 100,000 characters": ([["x" * 100_000]], {}, "command"),
    "a path of 100,000 characters": ([["/" + "x" * 100_000]], {}, "command"),
    "a folder of 100,000 characters": ([["true"]], {"cwd": "/" + "x" * 100_000}, "cwd"),
    "an empty folder": ([["true"]], {"cwd": ""}, "cwd"),
    "a folder that raises": ([["true"]], {"cwd": OddPath()}, "cwd"),
    "an environment without an end": ([["true"]], {"env": Endless()}, "env"),
    "an environment that is odd": ([["true"]], {"env": Odd()}, "env"),
    "a variable of bytes": ([["true"]], {"env": {b"A": b"1"}}, "env"),
    "a lone surrogate in a variable": ([["true"]], {"env": {"A": "\ud800"}}, "env"),
    "impossible limits": ([["true"]], {"limits": OddLimits()}, "limits"),
    "limits that are odd": ([["true"]], {"limits": Odd()}, "limits"),
    "an odd propagation": ([["true"]], {"propagate": Odd()}, "propagate"),
    "an odd name": ([["true"]], {"name": Odd()}, "name"),
    "bytes as a name": ([["true"]], {"name": b"x"}, "name"),
    "an odd session": ([["true"]], {"session_id": Odd()}, "session_id"),
    "attributes that are none": ([["true"]], {"attributes": [("a", 1)]}, "attributes"),
    "attributes without an end": ([["true"]], {"attributes": Endless()}, "attributes"),
    "an empty name": ([["true"]], {"name": " "}, "name"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_anything_is_started(case: str, recorder: Recorder) -> None:
    arguments, options, argument = BAD[case]

    with pytest.raises(InvalidArgumentError) as caught:
        run(*arguments, **options)

    assert caught.value.argument == argument
    message = str(caught.value)
    assert message.startswith("cannot ")
    assert ": " in message
    assert "; " in message
    assert len(message) < 500
    assert recorder.spans() == ()


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "1", True, 1e10, 10**400, Odd])
@pytest.mark.parametrize(
    "limit",
    ["cpu_seconds", "memory_bytes", "processes", "file_size_bytes", "open_files", "output_bytes"],
)
def test_a_limit_that_is_no_number_of_its_range_is_refused(limit: str, value: Any) -> None:  # noqa: ANN401 - anything at all is the point
    with pytest.raises(CodomonError, match=f"cannot limit {limit} to"):
        Limits(**{limit: value})


@pytest.mark.parametrize("value", [512, 1024**2 - 1, 2**63, 2**64, 1e6])
def test_memory_in_which_nothing_starts_or_that_no_counter_holds_is_refused(value: Any) -> None:  # noqa: ANN401 - as above
    with pytest.raises(InvalidArgumentError, match="from 1048576 to 9223372036854775807"):
        Limits(memory_bytes=value)


@pytest.mark.parametrize("limit", ["memory_bytes", "file_size_bytes", "output_bytes"])
def test_the_largest_limits_are_held(limit: str) -> None:
    limits = Limits(**{limit: 2**63 - 1})

    assert run(["true"], limits=limits).succeeded


def test_the_longest_times_and_limits_are_held() -> None:
    limits = Limits(cpu_seconds=1e9, processes=2**22, open_files=2**31 - 1)

    assert run(["true"], timeout=1e9, limits=limits).succeeded


def test_numbers_and_texts_of_other_classes_are_taken_as_what_they_are() -> None:
    result = run(
        [OddText("echo"), OddText("x")],
        timeout=OddNumber(60.0),
        name=OddText("odd"),
        limits=Limits(cpu_seconds=OddNumber(60.0)),
        attributes={"odd": Odd(), OddText("text"): OddNumber(1)},
    )

    assert (result.outcome, result.stdout) == (Outcome.SUCCESS, "x\n")


def test_more_arguments_than_the_kernel_takes_are_a_setup_error() -> None:
    result = run(["true"], env={f"NAME{number}": "x" * 1000 for number in range(10_000)})

    assert (result.outcome, result.exit_code) == (Outcome.SETUP_ERROR, 126)
    assert result.reason == "Argument list too long"


class Planted(Enum):
    """What would not survive being drawn: stands for what it becomes in the test."""

    ODD = "odd"
    ENDLESS = "endless"
    PATH = "path"
    TEXT = "text"
    NUMBER = "number"
    UNPRINTABLE = "unprintable"

    def grown(self) -> object:
        return {
            Planted.ODD: Odd,
            Planted.ENDLESS: Endless,
            Planted.PATH: OddPath,
            Planted.TEXT: lambda: OddText("x"),
            Planted.NUMBER: lambda: OddNumber(1),
            Planted.UNPRINTABLE: Unprintable,
        }[self]()


def _grown(value: Any) -> Any:  # noqa: ANN401 - anything
    if isinstance(value, Planted):
        return value.grown()
    if isinstance(value, dict):
        return {key: _grown(inner) for key, inner in value.items()}
    return value


# Anything at all, and things near to what each argument takes.
_ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(codec=None, categories=None), max_size=20),
    st.binary(max_size=20),
    st.sampled_from(Planted),
    st.lists(st.one_of(st.text(max_size=5), st.binary(max_size=5), st.integers()), max_size=3),
    st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=5), st.integers()), max_size=3),
)
_OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "language": st.sampled_from(["python", "bash", "c"]),
    "name": st.text(),
    "timeout": st.floats(5, 1e10),
    "limits": st.builds(Limits, open_files=st.integers(1, 100)),
    "stdin": st.text(st.characters(codec=None, categories=None)),
    "cwd": st.just("/"),
    "env": st.dictionaries(st.text(), st.text()),
    "allow_env": st.lists(st.text()),
    "propagate": st.sampled_from(["none", "linked", "full"]),
    "isolation": st.just("none"),
    "session_id": st.text(),
    "attributes": st.dictionaries(st.text(), st.one_of(st.integers(), st.sampled_from(Planted))),
}
_COMMANDS = st.sampled_from([["true"], ["cat"], ["sh", "-c", "exit 3"], "exit 4", "\ud800", ""])


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(_COMMANDS, _ANYTHING),
    st.fixed_dictionaries(
        {}, optional={name: st.one_of(near, _ANYTHING) for name, near in _OPTIONS.items()}
    ),
)
def test_any_argument_gives_a_result_or_is_refused(command: Any, options: dict[str, Any]) -> None:  # noqa: ANN401 - anything at all is the point
    try:
        result: object = run(_grown(command), **_grown(options))
    except InvalidArgumentError as error:
        result = error

    assert isinstance(result, (ExecutionResult, InvalidArgumentError))


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_folder_that_may_not_be_entered_is_refused(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    open_to_everybody(tmp_path)

    assert "permission denied; grant access, or choose another" in _refusal_of_nobody(locked)


def _refusal_of_nobody(folder: Path) -> str:
    """What `run` says of *folder* to a user who is not root."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # no thread matters to this child
        child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            run(["true"], cwd=folder)
        except InvalidArgumentError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        return pipe.read()


async def _wrong() -> None:
    await arun([])


def test_bad_input_of_arun_is_refused_alike() -> None:
    import asyncio

    with pytest.raises(InvalidArgumentError, match="cannot run an empty command"):
        asyncio.run(_wrong())
