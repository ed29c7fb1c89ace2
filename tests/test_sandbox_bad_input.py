from __future__ import annotations

import math
import os
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from otel_codomon import CodomonError, InvalidArgumentError, Limits, arun, run

if TYPE_CHECKING:
    from pathlib import Path

    from otel_codomon.testing import Recorder


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError


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


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "1", True])
def test_a_limit_that_is_no_positive_number_is_refused(value: Any) -> None:  # noqa: ANN401 - anything at all is the point
    with pytest.raises(CodomonError, match="cannot limit cpu_seconds to"):
        Limits(cpu_seconds=value)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_folder_that_may_not_be_entered_is_refused(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # the way there is open to everybody

    assert "it may not be entered; allow it, or name another" in _refusal_of_nobody(locked)


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
