"""Options that mean the same on every command that has them."""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

DEFAULT_INTERVAL_SECONDS = 1.0


def add_verbose(parser: argparse.ArgumentParser, /) -> None:
    """``--verbose``: print more details."""
    parser.add_argument("-v", "--verbose", action="store_true", help="print more details")


def add_interval(
    parser: argparse.ArgumentParser, /, *, default: float = DEFAULT_INTERVAL_SECONDS
) -> None:
    """``--interval``: seconds between two samples."""
    parser.add_argument(
        "-i",
        "--interval",
        type=positive_seconds,
        default=default,
        metavar="SECONDS",
        help="seconds between two samples (default: %(default)s)",
    )


def add_format(
    parser: argparse.ArgumentParser, /, *, formats: Sequence[str] = ("text", "json", "jsonl", "csv")
) -> None:
    """``--format``: how data is printed on stdout; the first of *formats* by default."""
    parser.add_argument(
        "--format",
        choices=formats,
        default=formats[0],
        help="output format (default: %(default)s)",
    )


def positive_seconds(text: str, /) -> float:
    """A time in seconds from the command line.

    Raises:
        argparse.ArgumentTypeError: It is not a finite number above zero.
    """
    seconds = _number(text)
    if not 0 < seconds < float("inf"):
        raise refusal(f"invalid number of seconds {text!r:.40}: must be more than 0")
    return seconds


def seconds_or_unlimited(text: str, /) -> float:
    """A time in seconds; infinity for 0, which means no limit.

    Raises:
        argparse.ArgumentTypeError: It is neither.
    """
    seconds = _number(text)
    if not 0 <= seconds < float("inf"):
        raise refusal(
            f"invalid number of seconds {text!r:.40}: must be 0 or more; 0 means no limit"
        )
    return seconds or float("inf")


def process_id(text: str, /) -> int:
    """A process id from the command line.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise refusal(f"invalid process id {text!r:.40}: must be a whole number above 0")
    return int(text)


def time_ago(text: str, /) -> float:
    """How long ago the time was that *text* names, seconds; see `_platform.relative_times`.

    Raises:
        argparse.ArgumentTypeError: It names none.
    """
    from datetime import datetime  # noqa: PLC0415 - only where a time is given

    from otel_codomon._platform.relative_times import ACCEPTED, seconds_ago  # noqa: PLC0415 - as above

    seconds = seconds_ago(text, now=datetime.now().astimezone())
    if seconds is None:
        raise refusal(f"invalid time {text!r:.40}: {ACCEPTED}, within the last 30 years")
    return seconds


def add_since(parser: argparse.ArgumentParser, /, *, help_line: str) -> None:
    """``--since``: start of the period, as seconds ago; None when it is not given."""
    parser.add_argument("--since", type=time_ago, metavar="TIME", help=help_line)


def add_journal(parser: argparse.ArgumentParser, /) -> None:
    """``--journal``: another directory than the environment's."""
    parser.add_argument(
        "--journal",
        metavar="DIRECTORY",
        help="the journal to read (default: OTEL_PYTHON_CODOMON_JOURNAL, or this user's own)",
    )


def _number(text: str) -> float:
    """The number that *text* is; one that no range holds where it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def refusal(message: str, /) -> Exception:
    """What the type of an option raises: argparse puts the option's name before the message."""
    from argparse import ArgumentTypeError  # noqa: PLC0415 - only where something is wrong

    return ArgumentTypeError(message)
