"""What the instrumentor switches on: one row each, in this order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon.caches.observing import process_caches
from otel_codomon.configuration import forget_history, keep_history
from otel_codomon.executions import providers
from otel_codomon.host.metrics import report_host, report_host_no_more
from otel_codomon.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


@dataclass(frozen=True, slots=True)
class Target:
    """Something that can be observed without changing the program.

    Attributes:
        name: What messages call it.
        enable: Begins to observe, on the providers that are handed in; None
            stands for the global ones.
        disable: Undoes `enable` and leaves nothing behind; harmless where it
            was not enabled.
    """

    name: str
    enable: Callable[[TracerProvider | None, MeterProvider | None], None]
    disable: Callable[[], None]


TARGETS: Final = (
    Target("executions", providers.use_providers, providers.forget_providers),
    Target("journal", keep_history, forget_history),
    Target(
        "caches",
        lambda _, meter_provider: process_caches.use_meter_provider(meter_provider),
        process_caches.forget_meter_provider,
    ),
    Target(
        "host",
        lambda _, meter_provider: report_host(meter_provider, read_settings({})),
        report_host_no_more,
    ),
)
