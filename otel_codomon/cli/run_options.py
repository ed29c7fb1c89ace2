"""What can be said of a command, as a table, and two readers of it.

argparse reads anything and explains what is wrong. Its import and the making of
a parser take as long as the start of Python, and the command would wait for
them. So what is plain is read by the table alone, and argparse reads the rest.
"""

from __future__ import annotations

from otel_codomon.cli.sizes import limit_bytes, positive_number, positive_whole
from otel_codomon.words import ISOLATIONS, PROPAGATIONS

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from otel_codomon.words import Isolation, Propagation

TREE = "limits of the whole process tree"
PROCESS = "limits of each process"
ISOLATION = "isolation"
SUMMARY = "summary"


class Option:
    """One row: an option, how its value is read, and what `--help` says of it.

    Attributes:
        flags: As it is typed.
        dest: The attribute of `Options` it sets.
        convert: Makes the value of the text; None for an option without a value.
        choices: The values it may have; empty for any.
        default: Its value when it is not given.
        repeats: Whether it may be given again; the value is a list then.
        group: Heading it stands under; empty for none.
        metavar: Stands for the value in `--help`; None for its name.
        help: The line of `--help`.
    """

    def __init__(
        self,
        *flags: str,
        dest: str | None = None,
        convert: Callable[[str], object] | None = str,
        choices: tuple[str, ...] = (),
        default: object = None,
        repeats: bool = False,
        group: str = "",
        metavar: str | None = None,
        help: str,  # noqa: A002 - as argparse calls it
    ) -> None:
        self.flags = flags
        self.dest = dest or flags[-1][2:].replace("-", "_")
        self.convert = convert
        self.choices = choices
        self.default = default
        self.repeats = repeats
        self.group = group
        self.metavar = metavar
        self.help = help

    def read(self, text: str) -> object:
        """The value that *text* stands for.

        Raises:
            ValueError: It stands for none.
        """
        assert self.convert is not None  # noqa: S101 - it takes a value
        value = self.convert(text)
        if self.choices and value not in self.choices:
            raise ValueError(text)
        return value

    def _read_or_explain(self, text: str) -> object:
        """For argparse, which shows the text of its own errors only."""
        from otel_codomon.cli.options import refusal  # noqa: PLC0415 - only what is not plain

        assert self.convert is not None  # noqa: S101 - it takes a value
        try:
            return self.convert(text)
        except ValueError as error:
            raise refusal(str(error)) from None

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Declare it to argparse."""
        said = {"dest": self.dest, "default": self.default, "help": self.help}
        if self.convert is None:
            parser.add_argument(*self.flags, action="store_true", **said)  # type: ignore[arg-type] # as the table says
            return
        parser.add_argument(
            *self.flags,
            action="append" if self.repeats else "store",
            type=self._read_or_explain,
            choices=self.choices or None,
            metavar=self.metavar,
            **said,  # type: ignore[arg-type] # as the table says
        )


OPTIONS = (
    Option("--name", help="name of the execution (default: program and script)"),
    Option("--language", help="COMMAND is a source file in this language"),
    Option("--session-id", metavar="ID", help="id of the session that the execution belongs to"),
    Option(
        "--timeout",
        convert=positive_number,
        metavar="SECONDS",
        help="end the command after this long, with exit code 124",
    ),
    Option(
        "--grace",
        convert=positive_number,
        default=2.0,
        metavar="SECONDS",
        help="time between SIGTERM and SIGKILL (default: %(default)s)",
    ),
    Option(
        "--propagate",
        choices=PROPAGATIONS,
        help="the trace context that the command gets: full, this trace in TRACEPARENT, and "
        "BAGGAGE; linked, a new trace that is linked to this one; none (default: full; none in "
        "isolation)",
    ),
    Option(
        "--isolation",
        choices=ISOLATIONS,
        default="none",
        group=ISOLATION,
        help="bubblewrap: no network, a private /tmp and home, the system and the working "
        "directory read-only, its own process ids, no capabilities, no access to your terminal "
        "(default: none, which is no security boundary)",
    ),
    Option(
        "--writable",
        repeats=True,
        group=ISOLATION,
        metavar="DIRECTORY",
        help="a directory that the isolated command may write to, such as .; repeatable",
    ),
    Option(
        "--allow-env",
        repeats=True,
        group=ISOLATION,
        metavar="NAME",
        help="an environment variable to pass to the isolated command, besides the few that "
        "programs need; LC_* matches every name with that prefix; repeatable",
    ),
    Option(
        "--limit-cpu",
        dest="cpu_seconds",
        convert=positive_number,
        group=TREE,
        metavar="SECONDS",
        help="CPU time",
    ),
    Option(
        "--limit-memory",
        dest="memory_bytes",
        convert=limit_bytes,
        group=TREE,
        metavar="SIZE",
        help="memory, such as 512M",
    ),
    Option(
        "--limit-processes",
        dest="processes",
        convert=positive_whole,
        group=TREE,
        metavar="N",
        help="processes at the same time",
    ),
    Option(
        "--limit-disk",
        dest="disk_bytes",
        convert=limit_bytes,
        group=TREE,
        metavar="SIZE",
        help="disk space added to the working directory, or in isolation to the writable "
        "directories and the private tmpfs",
    ),
    Option(
        "--limit-file-size",
        dest="file_size_bytes",
        convert=limit_bytes,
        group=PROCESS,
        metavar="SIZE",
        help="size of each file written",
    ),
    Option(
        "--limit-open-files",
        dest="open_files",
        convert=positive_whole,
        group=PROCESS,
        metavar="N",
        help="open files",
    ),
    Option("-q", "--quiet", convert=None, default=False, group=SUMMARY, help="print no summary"),
    Option(
        "--format",
        choices=("text", "json"),
        default="text",
        group=SUMMARY,
        help="format of the summary",
    ),
    Option(
        "-v",
        "--verbose",
        convert=None,
        default=False,
        group=SUMMARY,
        help="print more figures in the summary",
    ),
    Option(
        "-o",
        "--output-file",
        dest="output",
        group=SUMMARY,
        metavar="FILE|FD",
        help="write the summary to this file or file descriptor instead of stderr",
    ),
)
_BY_FLAG = {flag: option for option in OPTIONS for flag in option.flags}


class Options:
    """What was said of a command: the values of `OPTIONS`, and the command as it was typed."""

    command: list[str]
    name: str | None
    language: str | None
    session_id: str | None
    timeout: float | None
    grace: float
    propagate: Propagation | None
    isolation: Isolation
    writable: list[str] | None
    allow_env: list[str] | None
    cpu_seconds: float | None
    memory_bytes: int | None
    processes: int | None
    disk_bytes: int | None
    file_size_bytes: int | None
    open_files: int | None
    quiet: bool
    verbose: bool
    format: str
    output: str | None

    def __init__(self) -> None:
        for option in OPTIONS:
            setattr(self, option.dest, option.default)


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare all of it to argparse."""
    parser.usage = "%(prog)s [options] [--] COMMAND [ARGUMENT ...]"
    groups: dict[str, argparse._ActionsContainer] = {"": parser}
    for option in OPTIONS:
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        option.add_to(groups[option.group])
    parser.add_argument(
        "command", nargs="...", metavar="COMMAND", help="the command and its arguments"
    )


def read_plainly(arguments: Sequence[str]) -> Options | None:
    """Read what is plain: options by their whole names, each with its value, up to ``--``.

    Returns:
        None for everything else, right or wrong: argparse reads it then.
    """
    options = Options()
    words = iter(arguments)
    for word in words:
        if word == "--":
            options.command = [word, *words]
            return options
        flag, equals, value = word.partition("=")
        option = _BY_FLAG.get(flag)
        if option is None or (option.convert is None and equals):
            return None
        has_value = option.convert is None or equals
        if not _take(options, option, value if has_value else next(words, None)):
            return None
    return None


def _take(options: Options, option: Option, text: str | None) -> bool:
    """Set what *option* says; whether that was plain."""
    if option.convert is None:
        setattr(options, option.dest, True)
        return True
    if text is None or text[:1] == "-":  # a value that looks like an option is argparse's to judge
        return False
    try:
        value = option.read(text)
    except ValueError:
        return False
    given = [*(getattr(options, option.dest) or ()), value] if option.repeats else value
    setattr(options, option.dest, given)
    return True
