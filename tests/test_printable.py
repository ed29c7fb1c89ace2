"""Whatever a journal holds, nothing that any command prints acts on a terminal or a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings, strategies as st
from support.hostile import EVIL, hostile_journal, is_safe, texts_in
from support.typed import typed_on_terminal
from test_page import data_of

from otel_codomon._platform.json_values import plain
from otel_codomon._platform.printable import csv_cell, printable, printable_lines
from otel_codomon.cli import main
from otel_codomon.cli.run_summary import as_json
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.sandbox.result import ExecutionResult

if TYPE_CHECKING:
    from collections.abc import Callable

hostile = st.sampled_from(EVIL) | st.text(st.characters(), max_size=20)


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet would evaluate *cell*."""
    try:
        float(cell)
    except ValueError:
        return cell.lstrip()[:1] in tuple("=+-@\uff1d\uff0b\uff0d\uff20") and cell.strip() != ""
    return False


@given(hostile)
def test_what_is_shown_is_visible_and_stays_so(text: str) -> None:
    shown = printable(text)

    assert is_safe(shown)
    assert printable(shown) == shown


@given(st.text(st.sampled_from("abc ÄŁ漢字\u3000\u00a0-=😀"), max_size=20))
def test_visible_text_is_unchanged(text: str) -> None:
    assert printable(text) == text


@given(hostile)
def test_the_output_of_a_program_keeps_its_lines_and_nothing_else_that_moves(text: str) -> None:
    assert is_safe(printable_lines(text).replace("\n", "").replace("\t", ""))


def test_sequences_of_a_terminal_are_left_out_as_a_whole() -> None:
    text = (
        "\x1b[1;31mred\x1b[0m\r\n\x1b]8;;http://127.0.0.1\x07link\x1b]8;;\x1b\\\t\x9b2Jend\x1bc\r"
    )

    assert printable_lines(text) == "red\nlink\tend\\r"


def test_a_sequence_that_does_not_end_hides_no_other_line() -> None:
    assert printable_lines("\x1b]0;unfinished\nsecond") == "\nsecond"


@given(hostile)
def test_no_cell_is_a_formula(text: str) -> None:
    cell = csv_cell(text)

    assert not is_formula(cell)
    assert cell.removeprefix("'") == printable(text).removeprefix("'")


@pytest.mark.parametrize("number", ["-1", "+2.5", "-1e-9", "7"])
def test_a_number_stays_a_number(number: str) -> None:
    assert csv_cell(number) == number


def test_keys_are_cleaned_like_values() -> None:
    assert plain({"\x1b": ["\u202e", Outcome.SUCCESS, -1, float("nan")]}) == {
        "\\x1b": ["\\u202e", "success", -1, None]
    }


# --- every command, in every format ---

COMMANDS = [
    *(("list", form) for form in ("text", "json", "jsonl", "csv")),
    *(("show", form) for form in ("text", "json")),
    *(("report", form) for form in ("text", "json", "html")),
    *(("monitor-stats", form) for form in ("text", "jsonl")),
    *(("cache-info", form) for form in ("text", "json", "jsonl", "csv")),
    *(("journal", form) for form in ("text", "json")),
    *(("doctor", form) for form in ("text", "json", "jsonl")),
]
ARGUMENTS = {
    "list": ("--all",),
    "show": ("the-0-", "--verbose"),
    "report": ("--verbose",),
    "monitor-stats": ("--duration", "0.01", "--interval", "0.01", "--since", "1h", "--verbose"),
    "journal": ("status",),
}
PARSED: dict[str, Callable[[str], Any]] = {
    "text": lambda text: text.split("\n"),
    "json": json.loads,
    "jsonl": lambda text: [json.loads(line) for line in text.splitlines()],
    "csv": lambda text: list(csv.reader(io.StringIO(text))),
    "html": data_of,
}


def printed(command: str, form: str, folder: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    more = ARGUMENTS.get(command, ())
    with redirect_stdout(out), redirect_stderr(err):
        main([command, *more, "--journal", folder, "--format", form])
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize(("command", "form"), COMMANDS)
@settings(max_examples=8)
@given(words=st.lists(hostile, min_size=1, max_size=6))
def test_no_command_prints_what_acts(command: str, form: str, words: list[str]) -> None:
    with hostile_journal(words, suffix="\x1b[31m\u202e") as folder:
        out, err = printed(command, form, folder)

    found = list(texts_in(PARSED[form](out)))
    assert found, out
    assert all(map(is_safe, found)), found
    assert all(map(is_safe, err.split("\n"))), err
    if form != "html":  # of ours but for its data
        assert is_safe(out.replace("\n", ""))


@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_every_evil_word_is_listed_and_can_be_told(form: str) -> None:
    with hostile_journal(EVIL) as folder:
        out, _ = printed("list", form, folder)

    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert not any(is_formula(cell) for row in rows for cell in row.values())
        shown = [row["name"] for row in rows]
    elif form == "json":
        shown = [row["name"] for row in json.loads(out)["executions"]]
    else:
        shown = [out]
    assert len(shown) in (1, len(EVIL))
    # A lone surrogate is no text: it is replaced where the journal is read.
    words = [printable(word.encode("utf-8", "replace").decode()) for word in EVIL]
    assert all(any(word in each for each in shown) for word in words)


@pytest.mark.parametrize(
    ("command", "form"), [row for row in COMMANDS if row[0] in ("cache-info", "monitor-stats")]
)
def test_what_runs_now_is_shown_by_its_escaped_name(command: str, form: str) -> None:
    with hostile_journal(EVIL) as folder:
        out, _ = printed(command, form, folder)

    shown = list(texts_in(PARSED[form](out)))
    assert any(printable(EVIL[2]) in text for text in shown), out


def test_caches_in_csv_hold_no_formula_and_numbers_stay() -> None:
    with hostile_journal(EVIL) as folder:
        out, _ = printed("cache-info", "csv", folder)

    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == len(EVIL)
    assert not any(is_formula(cell) for row in rows for cell in row.values())
    assert {row["misses"] for row in rows} == {"10000"}


@given(hostile)
def test_the_summary_of_run_is_clean(word: str) -> None:
    result = ExecutionResult(
        execution_id=word, outcome=Outcome.ERROR, reason=word, signal=word, duration_seconds=0.0
    )

    assert all(map(is_safe, texts_in(json.loads(as_json(result)))))


@pytest.mark.parametrize(
    "command", ["list", "report", "show", "cache-info", "monitor-stats", "top"]
)
def test_on_a_terminal_no_name_acts(command: str) -> None:
    keys = b"q" if command == "top" else b""
    with hostile_journal(EVIL) as folder:
        last = f"the-{len(EVIL) - 1}-"
        more = [last if word == "the-0-" else word for word in ARGUMENTS.get(command, ())]
        _, written = typed_on_terminal(command, *more, "--journal", folder, columns=200, keys=keys)

    # What remains is of the terminal's own drawing: colours, and the cursor of the live view.
    drawn = re.sub(r"\x1b\[[0-9;?]*[mAKHhlJ]|\r|\n", "", written)
    assert not any(word in written for word in EVIL[:6])
    assert all(map(is_safe, drawn)), drawn
    assert "DATA" in drawn or "\\x9b31m" in drawn


def test_a_path_in_a_message_reaches_no_terminal(tmp_path: Any) -> None:  # noqa: ANN401 - a path
    folder = os.fspath(tmp_path / "\x1b[31mred")
    err = io.StringIO()

    with redirect_stderr(err):
        code = main(["show", "nothing", "--journal", folder])

    assert code == 1
    assert is_safe(err.getvalue().rstrip("\n"))
