from __future__ import annotations

from importlib import import_module

import pytest

from otel_codomon.cli import COMMANDS
from tools import commands_page


def test_the_page_of_commands_is_made_from_the_parsers() -> None:
    page = commands_page.PAGE.read_text(encoding="utf-8")

    assert page == commands_page.render(), "run python -m tools.commands_page"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_in_the_table_is_that_of_the_command(name: str) -> None:
    module, help_line = COMMANDS[name]

    assert help_line == import_module(module).HELP


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_of_itself(name: str) -> None:
    examples = import_module(COMMANDS[name][0]).EXAMPLES.strip().splitlines()

    assert examples
    assert all(f"otel-codomon {name}" in line for line in examples)
