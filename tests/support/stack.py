"""The local stack of docker-compose.yml, as programs on free loopback ports."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from support.backends import Collector, Jaeger, Prometheus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

LOCAL = ("local.yaml",)


class LocalStack:
    """Collector, Jaeger and Prometheus, wired as the local stack is.

    Attributes:
        collector: Takes everything, on `Collector.grpc` and `Collector.http`.
        jaeger: Has the traces.
        prometheus: Has the metrics, and looks at the collector's own.
    """

    def __init__(
        self, folder: Path, *, traces_to: str | None = None, features: Sequence[str] = ()
    ) -> None:
        self.prometheus = Prometheus(folder=folder / "prometheus", features=features)
        self.jaeger = Jaeger(folder=folder / "jaeger", prometheus=self.prometheus.url)
        self.collector = Collector(
            *LOCAL,
            folder=folder / "collector",
            environment={
                "CODOMON_JAEGER_ENDPOINT": self.jaeger.otlp,
                "CODOMON_PROMETHEUS_ENDPOINT": self.prometheus.otlp,
                **(_also_to(traces_to) if traces_to else {}),
            },
        )
        self.prometheus.scrape({"collector": self.collector.telemetry})
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as running:
            for program in (self.prometheus, self.jaeger, self.collector):
                running.enter_context(program)
            self._running = running.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.__exit__(kind, error, traceback)


def _also_to(tempo: str) -> dict[str, str]:
    """What .env.example sets for Tempo beside Jaeger."""
    return {
        "CODOMON_TEMPO_ENDPOINT": tempo,
        "CODOMON_TRACE_EXPORTERS": "[otlp_grpc/jaeger, otlp_grpc/tempo, forward/span_metrics]",
    }
