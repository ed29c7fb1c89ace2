"""Processes whose coverage is not measured."""

from __future__ import annotations

from typing import Final

UNMEASURED: Final = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
"""Variables for a process that counts what it imports, may not write into this directory, or
has no time for a tracer."""
