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

from otel_codomon._platform.json_values import json_name
from otel_codomon.caches.report import CacheReport, ClearReport
from otel_codomon.doctor.operation import Diagnosis
from otel_codomon.journal.operation import JournalStatus
from otel_codomon.live.operation import Stats
from otel_codomon.report.brief import BriefList, BriefReport, DescribedExecution
from otel_codomon.report.executions import ExecutionDetail, ExecutionList
from otel_codomon.report.history import History
from otel_codomon.report.values import Report
from otel_codomon.sandbox.agent_runs import CommandReport

FOLDER: Final = Path(__file__).parent.parent / "docs" / "schemas"

# Name of the schema -> the type of what is printed, or returned by the MCP tool of that name.
SCHEMAS: Final[dict[str, Any]] = {
    "cache-info": CacheReport,
    "cache-info-cleared": ClearReport,
    "doctor": Diagnosis,
    "journal-status": JournalStatus,
    "list": ExecutionList,
    "mcp-list": BriefList,
    "mcp-report": BriefReport,
    "mcp-run": CommandReport,
    "mcp-show": DescribedExecution,
    "monitor-stats": Stats,
    "monitor-stats-history": History,
    "report": Report,
    "show": ExecutionDetail,
}


def render(name: str) -> str:
    """The schema called *name*."""
    schema = TypeAdapter(SCHEMAS[name]).json_schema(mode="serialization")
    _describe(schema, SCHEMAS[name])
    for each in (schema, *schema.get("$defs", {}).values()):
        _follow_form(each)
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


def _follow_form(schema: dict[str, Any]) -> None:
    """Describe an object as `as_json` writes it: ISO times, and no field that is not known."""
    fields_before = schema.get("properties")
    if fields_before is None:
        return
    schema["properties"] = {
        json_name(key): _known(key, each) for key, each in fields_before.items()
    }
    schema["required"] = sorted(
        json_name(key)
        for key, each in fields_before.items()
        if key == "outcome" or not _is_optional(each)
    )


_NULL: Final = {"type": "null"}


def _is_optional(field: dict[str, Any]) -> bool:
    return _NULL in field.get("anyOf", ())


def _known(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """What a field is where it is known."""
    if name.endswith("unix_ns"):
        return {"type": "string", "format": "date-time"}
    rest = {key: each for key, each in field.items() if key not in ("anyOf", "default")}
    kinds = [kind for kind in field.get("anyOf", ()) if kind != _NULL]
    return {**rest, **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})}


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in SCHEMAS:
        (FOLDER / f"{name}.json").write_text(render(name), encoding="utf-8")
    sys.stdout.write(f"{len(SCHEMAS)} schemas written\n")


if __name__ == "__main__":
    main()
