"""OpenTelemetry for sandboxed code executions.

The public face: every name below, imported when it is first asked for, so
that ``import otel_codomon`` itself costs next to nothing.

PYTEST_DONT_REWRITE: a program may import this package and then start pytest,
which else warns that it was too late to rewrite the assertions of a plugin.
"""

from __future__ import annotations

from otel_codomon.version import __version__

# Not from typing, whose import takes as long as the start of Python itself:
# `otel-codomon run` comes through here before it starts its command.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_codomon.caches.adapters.adapter import (
        CacheAdapter as CacheAdapter,
        CacheTraits as CacheTraits,
    )
    from otel_codomon.caches.adapters.lookup import (
        DEFAULT_ADAPTERS as DEFAULT_ADAPTERS,
        read_cache as read_cache,
    )
    from otel_codomon.caches.counting import count_lookups as count_lookups
    from otel_codomon.caches.findings import CacheFinding as CacheFinding
    from otel_codomon.caches.observing import (
        cache_findings as cache_findings,
        observe_all as observe_all,
        observe_cache as observe_cache,
        observe_module as observe_module,
    )
    from otel_codomon.caches.statistics import CacheReading as CacheReading
    from otel_codomon.configuration import (
        Configuration as Configuration,
        configure as configure,
    )
    from otel_codomon.errors import (
        CacheNameTakenError as CacheNameTakenError,
        CodomonError as CodomonError,
        InvalidArgumentError as InvalidArgumentError,
        UnknownCacheError as UnknownCacheError,
        UnknownExecutionError as UnknownExecutionError,
    )
    from otel_codomon.executions.block import Block as Block, execution as execution
    from otel_codomon.executions.running import (
        Execution as Execution,
        current_execution as current_execution,
    )
    from otel_codomon.executions.tool_calls import ToolCall as ToolCall
    from otel_codomon.journal.execution_record import (
        ExecutionRecord as ExecutionRecord,
        Outcome as Outcome,
    )
    from otel_codomon.monitoring.monitors import (
        ExecutionMonitor as ExecutionMonitor,
        MetricsCollector as MetricsCollector,
        ResourceMonitor as ResourceMonitor,
    )
    from otel_codomon.resources.labels import Kind as Kind, SandboxType as SandboxType
    from otel_codomon.resources.limits import Limits as Limits
    from otel_codomon.resources.sample import Sample as Sample
    from otel_codomon.resources.thresholds import Thresholds as Thresholds
    from otel_codomon.resources.usage import Curve as Curve, Usage as Usage
    from otel_codomon.sandbox.result import ExecutionResult as ExecutionResult
    from otel_codomon.sandbox.runner import arun as arun, run as run

# Where each public name lives. A row here, an import above, an entry in the docs.
_HOMES = {
    "Block": "executions.block",
    "CacheAdapter": "caches.adapters.adapter",
    "CacheFinding": "caches.findings",
    "CacheNameTakenError": "errors",
    "CacheReading": "caches.statistics",
    "CacheTraits": "caches.adapters.adapter",
    "CodomonError": "errors",
    "Configuration": "configuration",
    "Curve": "resources.usage",
    "DEFAULT_ADAPTERS": "caches.adapters.lookup",
    "Execution": "executions.running",
    "ExecutionMonitor": "monitoring.monitors",
    "ExecutionRecord": "journal.execution_record",
    "ExecutionResult": "sandbox.result",
    "InvalidArgumentError": "errors",
    "Kind": "resources.labels",
    "Limits": "resources.limits",
    "MetricsCollector": "monitoring.monitors",
    "Outcome": "journal.execution_record",
    "ResourceMonitor": "monitoring.monitors",
    "Sample": "resources.sample",
    "SandboxType": "resources.labels",
    "Thresholds": "resources.thresholds",
    "ToolCall": "executions.tool_calls",
    "UnknownCacheError": "errors",
    "UnknownExecutionError": "errors",
    "Usage": "resources.usage",
    "cache_findings": "caches.observing",
    "arun": "sandbox.runner",
    "configure": "configuration",
    "count_lookups": "caches.counting",
    "current_execution": "executions.running",
    "execution": "executions.block",
    "observe_all": "caches.observing",
    "observe_cache": "caches.observing",
    "observe_module": "caches.observing",
    "read_cache": "caches.adapters.lookup",
    "run": "sandbox.runner",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only when a name is asked for

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Offer the public names before they are imported."""
    return sorted(__all__)
