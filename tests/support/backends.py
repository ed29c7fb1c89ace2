"""The collector and the backends, each as a real program of a test."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from support.ports import free_ports
from support.programs import RealProgram, get, get_json, installed
from tools.backends.programs import COLLECTOR, JAEGER, PROMETHEUS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REPOSITORY = Path(__file__).parents[2]
CONFIGURATIONS = REPOSITORY / "collector-config"


class Collector(RealProgram):
    """The OpenTelemetry Collector with files of ``collector-config/``.

    Attributes:
        grpc: Where it takes OTLP over gRPC, ``host:port``.
        http: Where it takes OTLP over HTTP, a URL.
        telemetry: Where Prometheus finds its own metrics, ``host:port``.

    Args:
        configurations: Names of the files.
        folder: Where it works.
        environment: More variables for it.
        settings: What goes before the files: ``path::to::setting: value``.
    """

    def __init__(
        self,
        *configurations: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        grpc, http, health, telemetry = free_ports(4)
        self.grpc = f"127.0.0.1:{grpc}"
        self.http = f"http://127.0.0.1:{http}"
        self.telemetry = f"127.0.0.1:{telemetry}"
        super().__init__(
            "otelcol",
            [*collector_command(*configurations), *(f"--config=yaml:{one}" for one in settings)],
            folder=folder,
            ready=lambda: get(f"http://127.0.0.1:{health}/"),
            environment={
                "CODOMON_GRPC_ENDPOINT": self.grpc,
                "CODOMON_HTTP_ENDPOINT": f"127.0.0.1:{http}",
                "CODOMON_HEALTH_ENDPOINT": f"127.0.0.1:{health}",
                "CODOMON_TELEMETRY_HOST": "127.0.0.1",
                "CODOMON_TELEMETRY_PORT": str(telemetry),
                "CODOMON_QUEUE_FOLDER": str(folder / "queue"),
                "CODOMON_RETRY_INTERVAL": "1s",
                **(environment or {}),
            },
        )

    def own_metric(self, name: str) -> float:
        """Sum of a metric of its own over all labels; 0 when it has none yet."""
        lines = (get(f"http://{self.telemetry}/metrics") or "").splitlines()
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.startswith((f"{name}{{", f"{name} "))
        )


def collector_command(*configurations: str, verb: str | None = None) -> list[str]:
    """The collector's command line for files of ``collector-config/``."""
    program = installed(COLLECTOR) / "otelcol"
    files = [f"--config={CONFIGURATIONS / name}" for name in configurations]
    return [str(program), *([verb] if verb else []), *files]


class Jaeger(RealProgram):
    """Jaeger, with badger on disk, as the stack has it.

    Attributes:
        otlp: Where it takes OTLP over gRPC, ``host:port``.
        url: Where its page and its queries are.
    """

    def __init__(self, *, folder: Path, prometheus: str = "http://127.0.0.1:9") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        otlp, query, query_grpc, health = free_ports(4)
        self.otlp = f"127.0.0.1:{otlp}"
        self.url = f"http://127.0.0.1:{query}"
        super().__init__(
            "jaeger",
            [
                str(installed(JAEGER) / "jaeger"),
                f"--config={CONFIGURATIONS / 'jaeger' / 'jaeger.yaml'}",
            ],
            folder=folder,
            ready=lambda: get(f"http://127.0.0.1:{health}/status"),
            environment={
                "CODOMON_JAEGER_OTLP": self.otlp,
                "CODOMON_JAEGER_HTTP": f"127.0.0.1:{query}",
                "CODOMON_JAEGER_QUERY_GRPC": f"127.0.0.1:{query_grpc}",
                "CODOMON_JAEGER_HEALTH": f"127.0.0.1:{health}",
                "CODOMON_JAEGER_FOLDER": str(folder / "data"),
                "CODOMON_JAEGER_UI": str(CONFIGURATIONS / "jaeger" / "ui.json"),
                "CODOMON_JAEGER_PROMETHEUS": prometheus,
            },
        )

    def spans(self, service: str, *, limit: int = 100_000, **tags: str) -> list[dict[str, Any]]:
        """Every span of *service* in traces that have *tags*."""
        found = get_json(
            f"{self.url}/api/traces",
            service=service,
            limit=str(limit),
            lookback="2d",
            **({"tags": json.dumps(tags)} if tags else {}),
        )
        traces = (found or {}).get("data") or []
        return [span for trace in traces for span in trace["spans"]]

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """Spans of one trace, none when there is no such trace."""
        found = get_json(f"{self.url}/api/traces/{trace_id}")
        return [span for trace in (found or {}).get("data") or [] for span in trace["spans"]]


def attributes(span: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a span as Jaeger returns it."""
    return {tag["key"]: tag["value"] for tag in span["tags"]}


class Prometheus(RealProgram):
    """Prometheus with the stack's file; its targets are what the test runs.

    Attributes:
        url: Where it answers.
        otlp: Where it takes OTLP metrics.
    """

    def __init__(self, *, folder: Path, features: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        [port] = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.otlp = f"{self.url}/api/v1/otlp"
        self._own = f"127.0.0.1:{port}"
        self._file = folder / "prometheus.yml"
        self.scrape({})
        super().__init__(
            "prometheus",
            [
                str(installed(PROMETHEUS) / "prometheus"),
                f"--config.file={self._file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                *prometheus_flags(),
                *(f"--enable-feature={feature}" for feature in features),
            ],
            folder=folder,
            ready=lambda: get(f"{self.url}/-/ready"),
        )

    def scrape(self, targets: Mapping[str, str]) -> None:
        """Write its file, with the address of each job that the test runs.

        Jobs the test does not run are left out; rules are named by their path.
        """
        source = CONFIGURATIONS / "prometheus" / "prometheus.yml"
        settings = yaml.safe_load(source.read_text())
        addresses = {"prometheus": self._own, **targets}
        settings["scrape_configs"] = [
            {**job, "static_configs": [{"targets": [addresses[job["job_name"]]]}]}
            for job in settings["scrape_configs"]
            if job["job_name"] in addresses
        ]
        settings["rule_files"] = [str(source.parent / name) for name in settings["rule_files"]]
        self._file.write_text(yaml.safe_dump(settings))

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Result of an instant query: a list of ``{metric, value}``."""
        answer = get_json(f"{self.url}/api/v1/query", query=expression)
        assert answer is not None, f"Prometheus refuses {expression}"
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        """The one number *expression* is; None when it is empty."""
        result = self.query(expression)
        assert len(result) <= 1, f"{expression} is {len(result)} series"
        return float(result[0]["value"][1]) if result else None

    def series(self, match: str) -> list[dict[str, str]]:
        """Label sets of all series that *match*, in the last two days."""
        answer = get_json(f"{self.url}/api/v1/series", **{"match[]": match})
        found: list[dict[str, str]] = answer["data"]
        return found

    def metrics_of(self, expression: str) -> set[str]:
        """Names of the metrics that *expression* selects; a pattern has none."""
        tree = get_json(f"{self.url}/api/v1/parse_query", query=expression)["data"]
        return {node["name"] for node in _nodes(tree) if node.get("name")}

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """Exemplars of *expression* of the last hour: a list of ``{labels, value, timestamp}``."""
        now = time.time()
        answer = get_json(
            f"{self.url}/api/v1/query_exemplars",
            query=expression,
            start=str(now - 3600),
            end=str(now + 60),
        )
        return [one for series in answer["data"] for one in series["exemplars"]]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - whatever JSON holds
    """Vector selectors of a parsed expression."""
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    if isinstance(tree, dict) and tree.get("type") in {"vectorSelector", "matrixSelector"}:
        yield tree
    for child in children:
        yield from _nodes(child)


def prometheus_flags() -> list[str]:
    """The flags that docker-compose.yml gives Prometheus, those of the image left out."""
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    flags: list[str] = compose["services"]["prometheus"]["command"]
    own = ("--config.file", "--storage.tsdb.path", "--web.listen-address")
    return [flag for flag in flags if not flag.startswith(own)]
