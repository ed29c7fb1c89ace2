"""``python -m tools.dashboards``: write the files that Grafana provisions."""

from __future__ import annotations

import sys

from tools.dashboards.all import DASHBOARDS, file_of
from tools.dashboards.build import to_json


def main() -> int:
    """Write each dashboard's file, and say so."""
    for dashboard in DASHBOARDS:
        file_of(dashboard).write_text(to_json(dashboard))
        sys.stdout.write(f"{file_of(dashboard)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
