"""What the instrumentor switches on: one row each, in this order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon.caches.observing import process_caches
from otel_codomon.configuration import forget_history, keep_history
from otel_codomon.executions import providers
from otel_codomon.host.metrics import report_host, report_host_no_more
from otel_codomon.instrumentation import (
    asyncio_subprocess_target,
    os_popen_target,
    os_posix_spawn_target,
    os_system_target,
    subprocess_target,
)
from otel_codomon.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


@dataclass(frozen=True, slots=True)
class Target:
    """Something that can be observed without changing the program.

    Attributes:
        name: What messages and settings call it.
        enable: Begins to observe, on the providers that are handed in; None
            stands for the global ones.
        disable: Undoes `enable` and leaves nothing behind; harmless where it
            was not enabled.
        is_chosen: Whether the setting ``instrument`` says if it is on; the others
            are what these report to, and always on.
    """

    name: str
    enable: Callable[[TracerProvider | None, MeterProvider | None], None]
    disable: Callable[[], None]
    is_chosen: bool = True


TARGETS: Final = (
    Target("executions", providers.use_providers, providers.forget_providers, is_chosen=False),
    Target("journal", keep_history, forget_history, is_chosen=False),
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
    Target("subprocess", lambda *_: subprocess_target.enable(), subprocess_target.disable),
    Target("os.system", lambda *_: os_system_target.enable(), os_system_target.disable),
    Target("os.popen", lambda *_: os_popen_target.enable(), os_popen_target.disable),
    Target(
        "os.posix_spawn", lambda *_: os_posix_spawn_target.enable(), os_posix_spawn_target.disable
    ),
    Target(
        "asyncio.subprocess",
        lambda *_: asyncio_subprocess_target.enable(),
        asyncio_subprocess_target.disable,
    ),
)
