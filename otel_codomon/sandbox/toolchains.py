"""What turns a source text into something that runs: one row a language."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.interpreter import interpreter
from otel_codomon._platform.scrubbed_values import scrubbed_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_codomon.sandbox.process_exit import ProcessExit


class UnavailableError(Exception):
    """Something on this machine is missing; the text says what, and the way out.

    Never leaves the package: it becomes outcome ``setup_error`` with a reason.
    """


@contextmanager
def refused_by_the_kernel(doing: str, way_out: str) -> Iterator[None]:
    """Make what the kernel refuses in here an `UnavailableError`.

    An `OSError` without a number is none of the kernel's: a signal handler of the
    host raised it, such as the `TimeoutError` of an alarm, and it passes.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        found = (error.strerror or type(error).__name__).lower()
        raise UnavailableError(f"cannot {doing}: {found}; {way_out}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """How source text of one language is run.

    In the command lines ``{tool}`` is the program that was found, ``{source}``
    the file with the text and ``{binary}`` where a compiler is to write.

    Attributes:
        language: Its name.
        source_name: What the file is called; Java wants the name of a class.
        tools: Programs that can do it; the first on the PATH does.
        compile: The command that makes the binary; empty when there is none.
        run: The command that runs it.
        version: The command by which the tool says its version.
        way_out: What to do when none of the tools is here.
        homes: Folders below the home folder that the tools need to find themselves.
        is_ours: Whether the interpreter we run in can do it as well.
    """

    language: str
    source_name: str
    tools: tuple[str, ...]
    compile: tuple[str, ...] = ()
    run: tuple[str, ...] = ("{binary}",)
    version: tuple[str, ...] = ("{tool}", "--version")
    way_out: str
    homes: tuple[str, ...] = ()
    is_ours: bool = False

    def find_tool(self, search_path: str | None) -> str:
        """Return the path of the first of its tools on *search_path*.

        Raises:
            UnavailableError: None of them is there.
        """
        for tool in self._tools():
            found = shutil.which(tool, path=search_path)
            if found is not None:
                return found
        raise UnavailableError(
            f"cannot run {self.language}: no {' or '.join(self.tools)} on the PATH; {self.way_out}"
        )

    def _tools(self) -> Iterator[str]:
        if self.is_ours and (ours := interpreter()) is not None:
            yield ours
        yield from self.tools

    def check_version(self, tool: str, process_exit: ProcessExit) -> None:
        """Check that *tool*, which was asked for its version and ended so, is one.

        A version manager puts stand-ins on the PATH that start the tool chosen for
        this user; where none is chosen they refuse everything, this question too.

        Raises:
            UnavailableError: It is none; its own words are in the text.
        """
        if process_exit.returncode is None or process_exit.returncode <= 0:
            return
        said = scrubbed_name(
            process_exit.errors.kept or process_exit.output.kept, default="nothing"
        )
        raise UnavailableError(
            f"cannot run {self.language}: {tool} does not work here: {said!r}; {self.way_out}"
        )


def fill(template: Iterable[str], **values: str) -> tuple[str, ...]:
    """Return a command line with its placeholders filled in."""
    return tuple(word.format(**values) for word in template)


_INTERPRETED: Final = ("{tool}", "{source}")

TOOLCHAINS: Final = (
    Toolchain(
        language="python",
        source_name="main.py",
        tools=("python3", "python"),
        is_ours=True,
        run=_INTERPRETED,
        way_out="install Python 3 from https://www.python.org",
    ),
    Toolchain(
        language="javascript",
        source_name="main.js",
        tools=("node", "nodejs"),
        run=_INTERPRETED,
        way_out="install Node.js from https://nodejs.org",
    ),
    Toolchain(
        language="bash",
        source_name="main.sh",
        tools=("bash",),
        run=_INTERPRETED,
        way_out="install the package bash",
    ),
    Toolchain(
        language="c",
        source_name="main.c",
        tools=("cc", "gcc", "clang"),
        compile=("{tool}", "-o", "{binary}", "{source}", "-lm"),
        way_out="install a C compiler, such as the package gcc",
    ),
    Toolchain(
        language="cpp",
        source_name="main.cpp",
        tools=("c++", "g++", "clang++"),
        compile=("{tool}", "-o", "{binary}", "{source}"),
        way_out="install a C++ compiler, such as the package g++",
    ),
    Toolchain(
        language="go",
        source_name="main.go",
        tools=("go",),
        compile=("{tool}", "build", "-o", "{binary}", "{source}"),
        version=("{tool}", "version"),
        way_out="install Go from https://go.dev/dl",
    ),
    Toolchain(
        language="rust",
        source_name="main.rs",
        tools=("rustc",),
        compile=("{tool}", "-o", "{binary}", "{source}"),
        way_out="install Rust from https://rustup.rs",
        homes=(".rustup/toolchains", ".rustup/settings.toml"),
    ),
    Toolchain(
        language="java",
        source_name="Main.java",
        tools=("java",),
        run=_INTERPRETED,
        way_out="install a JDK of version 11 or later, such as the package default-jdk",
    ),
)

BY_LANGUAGE: Final = {toolchain.language: toolchain for toolchain in TOOLCHAINS}
