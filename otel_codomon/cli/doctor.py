"""``otel-codomon doctor``: say what works here and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_codomon._platform.quantities import in_words
from otel_codomon.cli import options, output
from otel_codomon.cli.answering import add_answer_options
from otel_codomon.cli.progress import Progress
from otel_codomon.cli.wrapping import print_wrapped
from otel_codomon.doctor.checks.result import State
from otel_codomon.doctor.operation import Diagnosis, iterate_checks, make_scene, worst_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

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
    add_answer_options(parser)


def run(args: argparse.Namespace, /) -> int:
    """Print a verdict and a line for each check; 1 when something does not work."""
    scene = make_scene(journal=args.journal, timeout_seconds=args.timeout)
    lines = []
    with Progress("checks made") as progress:  # an endpoint that hangs is waited for
        for line in iterate_checks(scene):
            lines.append(line)
            progress(len(lines))
    diagnosis = Diagnosis(state=worst_of(tuple(lines)), lines=tuple(lines))
    _PRINTERS[args.format](diagnosis, verbose=args.verbose)
    return int(diagnosis.state is State.FAILURE)


def details(lines: Sequence[CheckResult]) -> str:
    """The answer in one line."""
    failures = [line for line in lines if line.state is State.FAILURE]
    warnings = [line for line in lines if line.state is State.WARNING]
    found = []
    if failures:
        count = in_words(len(failures), "thing does", "things do")
        found.append(f"{count} not work ({_names(failures)})")
    else:
        found.append("everything that is in use works")
    if warnings:
        found.append(f"{in_words(len(warnings), 'warning', 'warnings')} ({_names(warnings)})")
    return "; ".join(found)


def _names(lines: Sequence[CheckResult]) -> str:
    return ", ".join(f"{line.category} {line.name}" for line in lines)


def _print_text(diagnosis: Diagnosis, *, verbose: bool) -> None:
    print_wrapped(details(diagnosis.lines))
    category = ""
    for line in diagnosis.lines:
        if line.is_detail and not verbose:
            continue
        if line.category != category:
            category = line.category
            output.print_line(category)
        first = f"  {line.state.value:<7} "
        print_wrapped(f"{line.name}: {line.detail}", first=first, indent=" " * len(first))
        if line.hint is not None:
            print_wrapped(line.hint, first=" " * len(first) + "to do: ", indent=" " * len(first))


def _print_json(diagnosis: Diagnosis, *, verbose: bool) -> None:
    del verbose
    output.write_json(diagnosis)


def _print_lines(diagnosis: Diagnosis, *, verbose: bool) -> None:
    del verbose
    for line in diagnosis.lines:
        output.write_json_line(line)


_PRINTERS: Final = {"text": _print_text, "jsonl": _print_lines, "json": _print_json}
