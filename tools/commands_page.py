"""Write docs/commands.md from the parsers of the commands.

python -m tools.commands_page

Not from `--help`: its form differs between versions of Python.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_codomon.cli import COMMANDS, PROGRAM
from otel_codomon.cli.every_command import parsers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

PAGE: Final = Path(__file__).parent.parent / "docs" / "commands.md"

_HEAD: Final = f"""\
# Commands

Generated from the command definitions by `python -m tools.commands_page`.

`{PROGRAM} COMMAND --help` prints the same text; `python -m otel_codomon` is the same
program.

Data goes to standard output, everything else to standard error. Text is formatted on a terminal
and plain elsewhere; `NO_COLOR` turns colours off. The exit code is 0 for success, 1 for a failure
that the message explains and 2 for wrong usage; commands with other exit codes say so below.
`run` has the exit code of the command.

Names, reasons and attributes come from other programs. Characters in them that are not plainly
visible (control characters, escape sequences, bidirectional overrides, invisible characters) are
printed as escapes, such as `\\x1b`, in every format; a CSV cell that a spreadsheet would
take for a formula starts with an apostrophe.

Everything is read from the journal on this machine (`OTEL_PYTHON_CODOMON_JOURNAL`, or
`$XDG_STATE_HOME/otel-codomon`); no collector is needed. Damaged records are skipped and
counted.

`-v` (more details) and `-i SECONDS` (give the answer again) may stand before the command as well as
after it; `run`, `demo`, `mcp` and `completion` have no answer to repeat. `-o FILE` writes the
answer into a file, which is replaced only when the answer is complete. `{PROGRAM}` alone
prints three lines: what was recorded, where it goes, and what to do next.

JSON output is one object for each answer. Times are ISO 8601 in UTC, numbers have their unit at the
end of their name, what is not known is left out, and the outcome of an execution that has not ended
is `running`. The schemas are in [`docs/schemas`](schemas).
"""

# What a page says of a command beyond its options.
_MORE: Final = {
    "monitor-stats": """\
Each execution that has run for a second has its own figures, taken from the heartbeats in the
journal; the figures of a younger one come from its cgroup, or else from its process tree.

On a terminal the display is refreshed in place, with curves and trends (Theil-Sen slope, where
the Mann-Kendall test finds a trend). Elsewhere each sample is one JSON object on a line. With
`--since`, the first object is a sample without rates and the second has `history`: what executions
used over that time, in 60 steps.

Exit code 3: a threshold was reached.""",
    "report": """\
Regressions are found by comparison with the preceding period of equal length: by the Mann-Whitney
test for durations, CPU time and memory, and by Fisher's exact test for failures. A finding needs
p < 0.001, a median that is at least a fifth larger, and a larger later value in two of three pairs.
A recommended memory limit is 1.5 times what 99 % of executions use, a timeout three times their
duration.

The page of `--html` is a single file that loads nothing else and in which only its own script may
run. It opens with the verdict, a timeline and a card for each problem. On the timeline arrow keys
move, Enter opens an execution, Esc closes it, + and - zoom and 0 shows the whole period; dragging
zooms too. Of more than 2,000 executions a mark stands for those of a name that began close
together. FILE's directory has to exist.""",
    "cache-info": """\
A process reports its caches once it has called `observe_cache`, `observe_module` or
`observe_all`. It empties them on request only if it was started with
`OTEL_PYTHON_CODOMON_CONTROL=clear`, and does so at its next collection of metrics.""",
    "doctor": """\
Endpoints are tried with a real but empty export of each signal. Exit code 1: something does not
work.""",
    "mcp": """\
Needs `pip install 'otel-codomon[mcp]'`. Tools: `list_executions`, `show_execution`, `report`,
`stats`, `cache_info`, `doctor`; `run` with `--allow-run`, `clear_caches` with `--allow-clear`.
Resources: `codomon://executions/recent` and `codomon://executions/{execution_id}`.
Prompts: `why_did_it_die` and `what_changed_since_yesterday`.

`report` and `list_executions` answer in at most 6 KB, unless a request sets `limit`; `more` and
`more_problems` say what was left out, and `show_execution` tells everything about one. What each
answer holds is in `docs/schemas/mcp-*.json`.

What `run` runs is an execution like any other: it is in the journal, and is exported where an
endpoint is set. The options set the maximum; a request can ask for less, and is refused if it asks
for more. Where commands cannot be isolated, `run` is not offered, and a line on
stderr says why. See [Commands of an agent](running.md#commands-of-an-agent).""",
    "completion": """\
Needs `pip install 'otel-codomon[completion]'`. Names and ids of executions are completed from this
user's journal; a name with a character that a shell could expand is left out.""",
}


def render() -> str:
    """The page."""
    index = "\n".join(f"- [`{name}`](#{name}): {line}" for name, (_, line) in COMMANDS.items())
    parts = [_HEAD, index, ""]
    for name, parser in parsers():
        parts += _command(name, parser)
    return "\n".join(parts).rstrip() + "\n"


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{parser.description}\n"
    yield f"    {_usage(name, parser)}\n"
    if name in _MORE:
        yield _MORE[name] + "\n"
    actions = [action for action in parser._actions if action.dest != "help"]  # noqa: SLF001 - argparse shows them nowhere else
    if actions:
        yield "| | |\n|---|---|"
        yield from (f"| {_names(action)} | {_help(action)} |" for action in actions)
        yield ""
    examples = getattr(import_module(COMMANDS[name][0]), "EXAMPLES", "").strip()
    yield f"```sh\n{examples}\n```\n"


def _usage(name: str, parser: argparse.ArgumentParser) -> str:
    if parser.usage is not None:
        return parser.usage.replace("%(prog)s", f"{PROGRAM} {name}")
    places = [_place(a) for a in parser._actions if not a.option_strings]  # noqa: SLF001 - as above
    return " ".join([PROGRAM, name, "[options]", *places])


def _place(action: argparse.Action) -> str:
    shown = _value(action)
    return f"[{shown}]" if action.nargs in ("?", "*") else shown


def _value(action: argparse.Action) -> str:
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper())


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{_value(action)}`".replace("|", "\\|")
    takes = "" if action.nargs == 0 else f" {_value(action)}"
    takes = f" [{takes.strip()}]" if action.nargs == "?" else takes
    shown = ", ".join(f"`{option}{takes}`" for option in action.option_strings)
    return shown.replace("|", "\\|")


def _help(action: argparse.Action) -> str:
    text = (action.help or "").replace("%%", "%")
    # Added by Python 3.10 to 3.12 itself, to options that are on or off.
    if len(action.option_strings) > 1 and action.nargs == 0:
        text = text.removesuffix(" (default: %(default)s)")
    default = action.default
    if "%(default)s" in text:
        text = text.replace(
            "%(default)s", f"{default:g}" if isinstance(default, float) else str(default)
        )
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
