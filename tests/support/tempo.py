"""Tempo, where there is one on PATH."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.backends import CONFIGURATIONS
from support.ports import free_ports
from support.programs import RealProgram, get, get_json, on_path

if TYPE_CHECKING:
    from pathlib import Path


class Tempo(RealProgram):
    """Tempo, where there is one on PATH.

    Attributes:
        otlp: Where it takes OTLP over gRPC, ``host:port``.
        url: Where it answers.
    """

    def __init__(self, *, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        otlp, http, grpc = free_ports(3)
        self.otlp = f"127.0.0.1:{otlp}"
        self.url = f"http://127.0.0.1:{http}"
        super().__init__(
            "tempo",
            [
                on_path("tempo"),
                "-target=all",
                "-config.expand-env=true",
                f"-config.file={CONFIGURATIONS / 'tempo' / 'tempo.yaml'}",
            ],
            folder=folder,
            ready=lambda: get(f"{self.url}/ready"),
            environment={
                "CODOMON_TEMPO_OTLP": self.otlp,
                "CODOMON_TEMPO_HTTP_ADDRESS": "127.0.0.1",
                "CODOMON_TEMPO_HTTP_PORT": str(http),
                "CODOMON_TEMPO_GRPC_PORT": str(grpc),
                "CODOMON_TEMPO_FOLDER": str(folder / "data"),
            },
        )

    def trace(self, trace_id: str) -> dict[str, Any] | None:
        """One trace, None when it is not there."""
        found: dict[str, Any] | None = get_json(f"{self.url}/api/v2/traces/{trace_id}")
        return found
