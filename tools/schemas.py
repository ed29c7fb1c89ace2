"""Write docs/schemas/*.json: what the JSON of each command holds, from the types of the operations.

python -m tools.schemas
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields, is_dataclass
from inspect import getdoc
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from otel_codomon.operations.cache_report import CacheReport, ClearReport
from otel_codomon.operations.doctor import Diagnosis
from otel_codomon.operations.execution_lines import ExecutionLine
from otel_codomon.operations.executions import ExecutionDetail, ExecutionList
from otel_codomon.operations.history import History
from otel_codomon.operations.journal import JournalStatus
from otel_codomon.operations.report_values import Report
from otel_codomon.operations.running import CommandReport
from otel_codomon.operations.stats import Stats

FOLDER: Final = Path(__file__).parent.parent / "docs" / "schemas"

# Name of the schema -> the type of what is printed.
SCHEMAS: Final[dict[str, Any]] = {
    "cache-info": CacheReport,
    "cache-info-cleared": ClearReport,
    "doctor": Diagnosis,
    "journal-status": JournalStatus,
    "list": tuple[ExecutionLine, ...],
    "mcp-list": ExecutionList,
    "mcp-run": CommandReport,
    "monitor-stats": Stats,
    "monitor-stats-history": History,
    "report": Report,
    "show": ExecutionDetail,
}


def render(name: str) -> str:
    """The schema called *name*."""
    schema = TypeAdapter(SCHEMAS[name]).json_schema(mode="serialization")
    _describe(schema, SCHEMAS[name])
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**head, **schema}, indent=2, sort_keys=True) + "\n"


def _describe(schema: dict[str, Any], kind: Any) -> None:  # noqa: ANN401 - a dataclass
    """Keep the first line of a docstring: the attributes' lines are for people who read code."""
    for each in (schema, *schema.get("$defs", {}).values()):
        if "description" in each:
            each["description"] = each["description"].strip().splitlines()[0]
    if is_dataclass(kind):
        # Every field is printed, those with a default too.
        schema["required"] = sorted(field.name for field in fields(kind))
        schema["description"] = (getdoc(kind) or "").splitlines()[0]


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in SCHEMAS:
        (FOLDER / f"{name}.json").write_text(render(name), encoding="utf-8")
    sys.stdout.write(f"{len(SCHEMAS)} schemas written\n")


if __name__ == "__main__":
    main()
