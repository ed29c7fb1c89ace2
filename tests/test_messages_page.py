from __future__ import annotations

import ast

import pytest

from tools import messages_page


def test_the_page_of_messages_is_made_from_the_source() -> None:
    page = messages_page.PAGE.read_text(encoding="utf-8")

    assert page == messages_page.render(), "run python -m tools.messages_page"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('write(f"cannot open {path!r}: " + why)', [("Other text", "cannot open {path}:")]),
        (
            'raise ValueError(f"{in_words(len(rows), 1)} too many")',
            [("Errors", "{rows} too many")],
        ),
        ('_log.warning("it is %s now", x)', [("Log records", "it is %s now")]),
        ('add("--all", help="show all of them")', [("Help", "show all of them")]),
        ('HELP: str = "do a thing"', [("Help", "do a thing")]),
        ('def f():\n    """Not a message at all."""', []),
        ('EXAMPLES = "otel-codomon show it"', []),
        ('PROGRAM = "import os\\nprint of it"', []),
        ('KEYS = ("word", "os.path")', []),
    ],
)
def test_a_sentence_is_found_with_its_kind(source: str, found: list[tuple[str, str]]) -> None:
    assert list(messages_page.sentences(ast.parse(source))) == found


@pytest.mark.parametrize(
    "worded", ["somebody", "meanwhile", "nobody", "is told", "a look ", "ship it"]
)
def test_no_message_has_a_word_that_is_avoided(worded: str) -> None:
    assert worded not in messages_page.render()
