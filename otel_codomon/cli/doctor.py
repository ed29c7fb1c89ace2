"""``otel-codomon doctor``: say what works here and what does not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from otel_codomon.cli import options, output
from otel_codomon.doctor.checks.result import State
from otel_codomon.doctor.operation import Diagnosis, iterate_checks, make_scene, worst_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from otel_codomon.doctor.checks.result import CheckResult

HELP: str = "check what works on this machine and what does not"
EXAMPLES: str = """\
otel-codomon doctor
otel-codomon doctor --format json | jq '.lines[] | select(.state != "ok")'
"""


def add_arguments(parser: argparse.ArgumentParser, /) -> None:
    """Where to look, and how long to wait."""
    parser.add_argument(
        "--timeout",
        type=options.positive_seconds,
        default=5.0,
        metavar="SECONDS",
        help="time limit for each endpoint (default: %(default)s)",
    )
    options.add_journal(parser)
    options.add_format(parser, formats=("text", "json", "jsonl"))
    options.add_verbose(parser)


def run(args: argparse.Namespace, /) -> int:
    """Print one line for each check; 1 when something does not work."""
    scene = make_scene(journal=args.journal, timeout_seconds=args.timeout)
    lines = tuple(_PRINTERS[args.format](iterate_checks(scene)))
    if args.format == "json":
        output.write_json(Diagnosis(state=worst_of(lines), lines=lines))
    return int(worst_of(lines) is State.FAILURE)


def _print_text(lines: Iterable[CheckResult]) -> Iterator[CheckResult]:
    """Each line as it comes: an endpoint that hangs is waited for."""
    category = ""
    for line in lines:
        if line.category != category:
            category = line.category
            output.say(category)
        output.say(f"  {line.state.value:<7} {line.name}: {line.detail}")
        if line.hint is not None:
            output.say(f"          to do: {line.hint}")
        sys.stdout.flush()
        yield line


def _print_lines(lines: Iterable[CheckResult]) -> Iterator[CheckResult]:
    for line in lines:
        output.write_json_line(line)
        yield line


_PRINTERS: Mapping[str, Callable[[Iterable[CheckResult]], Iterator[CheckResult]]] = {
    "text": _print_text,
    "jsonl": _print_lines,
    "json": iter,
}
