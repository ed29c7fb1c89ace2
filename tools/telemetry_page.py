"""Write the tables of docs/telemetry.md from `otel_codomon.names`.

python -m tools.telemetry_page           write them
python -m tools.telemetry_page --check   only say whether they are up to date
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_codomon import names

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).parent.parent / "docs" / "telemetry.md"
_BEGIN, _END = "<!-- begin: {} -->", "<!-- end: {} -->"

# Ours -> the convention that comes nearest, so that a move is one file.
NEAREST: Final = {
    "codomon.execution.duration": "`faas.invoke_duration`",
    "codomon.execution.cpu.time": "`faas.cpu_usage`",
    "codomon.execution.memory.peak": "`faas.mem_usage`",
    "codomon.execution.disk.io": "`process.disk.io`",
    "codomon.execution.cpu.usage": "`container.cpu.usage`",
    "codomon.execution.cpu.utilization": "`process.cpu.utilization`",
    "codomon.execution.memory.usage": "`container.memory.usage`",
    "codomon.execution.process.count": "`system.process.count`",
    "codomon.execution.thread.count": "`process.thread.count`",
    "codomon.execution.file_descriptor.count": "`process.unix.file_descriptor.count`",
    "codomon.cache.requests": "`nfs.server.repcache.requests`",
    "codomon.execution.language": "`telemetry.sdk.language` (of the SDK, not of the code)",
    "codomon.execution.session.id": "`session.id`",
    "codomon.usage.cpu.time": "`process.cpu.time` (of the Resource's process)",
    "codomon.usage.memory.peak": "`process.memory.usage` (of the Resource's process)",
    "codomon.usage.disk.read": "`process.disk.io` (of the Resource's process)",
    "codomon.usage.disk.write": "`process.disk.io` (of the Resource's process)",
    "codomon.usage.context_switches.voluntary": "`process.context_switches`",
    "codomon.usage.context_switches.involuntary": "`process.context_switches`",
    "codomon.usage.page_faults.major": "`process.paging.faults`",
    "codomon.usage.page_faults.minor": "`process.paging.faults`",
}


def _nearest(name: str) -> str:
    return NEAREST.get(name, "none yet" if name.startswith("codomon.") else "this is one")


def attributes() -> Iterator[str]:
    """The table of attributes."""
    yield "| attribute | type | unit | on metrics | meaning | nearest convention |"
    yield "|---|---|---|---|---|---|"
    for row in names.ATTRIBUTES.values():
        yield (
            f"| `{row.key}` | {row.type} | {row.unit or ''} | {'yes' if row.on_metrics else ''} "
            f"| {row.description} | {_nearest(row.key)} |"
        )


def resource() -> Iterator[str]:
    """The table of the attributes of the resource."""
    yield "| attribute | type | on spans | on metrics | meaning |"
    yield "|---|---|---|---|---|"
    for row in names.RESOURCE_ATTRIBUTES.values():
        on_metrics = "yes" if row.on_metrics else ""
        yield f"| `{row.key}` | {row.type} | yes | {on_metrics} | {row.description} |"


def metrics() -> Iterator[str]:
    """The table of metrics."""
    yield "| metric | instrument | unit | attributes | meaning | nearest convention |"
    yield "|---|---|---|---|---|---|"
    for row in names.METRICS.values():
        keys = ", ".join(f"`{key}`" for key in row.attributes)
        yield (
            f"| `{row.name}` | {row.instrument.value} | `{row.unit}` | {keys} "
            f"| {row.description} | {_nearest(row.name)} |"
        )


def render(page: str) -> str:
    """*page* with its tables made anew."""
    for name, rows in (("resource", resource), ("attributes", attributes), ("metrics", metrics)):
        begin, end = _BEGIN.format(name), _END.format(name)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        table = "\n".join(rows())
        page = f"{before}{begin}\n{table}\n{end}{after}"
    return page


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` compare it."""
    found = PAGE.read_text()
    made = render(found)
    if "--check" in arguments:
        return int(found != made)
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
