"""What commands really print holds to the schemas in the docs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.history import Past, write_history
from support.typed import typed

from otel_codomon import names
from otel_codomon.journal.execution_record import Outcome

jsonschema = pytest.importorskip("jsonschema", reason="pip install jsonschema")
schemas = pytest.importorskip("tools.schemas", reason="pip install pydantic")

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = ("--format", "json")
# Schema -> the command whose output it describes.
COMMANDS = {
    "cache-info": ("cache-info", *FORMAT),
    "doctor": ("doctor", *FORMAT),
    "journal-status": ("journal", "status", *FORMAT),
    "list": ("list", *FORMAT),
    "monitor-stats": ("monitor-stats", "-i", "0.1", "--duration", "0.1", "-v"),
    "report": ("report", *FORMAT),
    "show": ("show", "the-one", *FORMAT),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("schemas")
    curve = {
        names.USAGE_CURVE_TIME: [0.1, 0.2],
        names.USAGE_CURVE_CPU: [1.0, 0.5],
        names.USAGE_CURVE_MEMORY: [1, 2],
        names.USAGE_CPU_TIME: 0.5,
        names.USAGE_MEMORY_PEAK: 1000,
    }
    past = [
        Past(execution_id="the-one", attributes=curve),
        Past(outcome=Outcome.TIMEOUT, attributes={names.EXECUTION_TIMEOUT: 1.0}),
        Past(seconds=None),
    ]
    write_history(path, past).forget()
    return path


def validate(name: str, value: Any) -> None:  # noqa: ANN401 - JSON
    schema = json.loads((schemas.FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(value)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_prints_is_what_its_schema_says(name: str, folder: Path) -> None:
    done = typed(*COMMANDS[name], "--journal", str(folder))

    assert done.stderr == ""
    validate(name, json.loads(done.stdout))


def test_the_history_and_the_lines_hold_to_theirs(folder: Path) -> None:
    command = ("monitor-stats", "-i", "0.1", "--duration", "0.1", "--since", "1h")

    first, history, *looks = typed(*command, "--journal", str(folder)).stdout.splitlines()

    validate("monitor-stats-history", json.loads(history)["history"])
    for look in (first, *looks):
        validate("monitor-stats", json.loads(look))


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_the_schemas_are_made_from_the_types(name: str) -> None:
    written = (schemas.FOLDER / f"{name}.json").read_text(encoding="utf-8")

    assert json.loads(written) == json.loads(schemas.render(name)), "run python -m tools.schemas"


def test_a_result_that_lacks_a_field_is_refused() -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate("mcp-list", {"journal": "/somewhere", "executions": []})
