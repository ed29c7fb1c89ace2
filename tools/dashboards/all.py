"""All dashboards, and where their files are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tools.dashboards.caches import CACHES
from tools.dashboards.executions import EXECUTIONS
from tools.dashboards.host import HOST
from tools.dashboards.one_name import ONE_NAME
from tools.dashboards.pipeline import PIPELINE

if TYPE_CHECKING:
    from tools.dashboards.tables import Dashboard

DASHBOARDS = (EXECUTIONS, ONE_NAME, CACHES, HOST, PIPELINE)
FOLDER = Path(__file__).parents[2] / "collector-config" / "grafana" / "dashboards"


def file_of(dashboard: Dashboard) -> Path:
    """The file that Grafana provisions."""
    return FOLDER / f"{dashboard.uid}.json"
