"""Options that mean the same on every command that has them."""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

DEFAULT_INTERVAL_SECONDS = 1.0


def add_verbose(parser: argparse.ArgumentParser, /) -> None:
    """``--verbose``: say more, on stderr."""
    parser.add_argument("-v", "--verbose", action="store_true", help="say more, on stderr")


def add_interval(
    parser: argparse.ArgumentParser, /, *, default: float = DEFAULT_INTERVAL_SECONDS
) -> None:
    """``--interval``: seconds between two looks."""
    parser.add_argument(
        "-i",
        "--interval",
        type=positive_seconds,
        default=default,
        metavar="SECONDS",
        help="time between two looks (default: %(default)s)",
    )


def add_format(
    parser: argparse.ArgumentParser, /, *, formats: Sequence[str] = ("text", "json", "jsonl", "csv")
) -> None:
    """``--format``: how data is printed on stdout; the first of *formats* by default."""
    parser.add_argument(
        "--format",
        choices=formats,
        default=formats[0],
        help="how data is printed (default: %(default)s)",
    )


def positive_seconds(text: str, /) -> float:
    """A time in seconds from the command line.

    Raises:
        ValueError: It is not a finite number above zero; argparse then says so.
    """
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(f"cannot wait {text} seconds: it is not a positive number; give one")
    return seconds
