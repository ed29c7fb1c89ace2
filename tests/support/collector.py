"""A real OTLP peer: a server in its own process, over HTTP and gRPC, that does as it is told.

    with Collector() as collector:
        ... send to collector.http_endpoint or collector.grpc_endpoint ...
        spans = collector.wait_for_spans(3)

It decodes with `opentelemetry-proto`. What it is to do wrong is planned with
`answer` (the next requests), `answer_always` and `refuse`; `down` and `up`
take it away and bring it back on the same ports.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self

# Only guards against a hang: whoever waits is woken by what it waits for.
PATIENCE_SECONDS = 120.0

# Gives a program all the time that a slow machine takes to send what it has.
PATIENT = {"OTEL_PYTHON_CODOMON_EXIT_TIMEOUT": "100", "OTEL_EXPORTER_OTLP_TIMEOUT": "100"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What to do with one request instead of saying yes. None means as usual.

    Attributes:
        signal: Only for requests of ``traces``, ``metrics`` or ``logs``.
        status: HTTP status.
        grpc_code: Name of the gRPC status, such as ``UNAVAILABLE``.
        retry_after: The ``Retry-After`` header, as it stands.
        retry_info_seconds: The delay in gRPC's RetryInfo.
        delay_seconds: How long to wait before answering; cut short by `Collector.down`.
        headers: More headers of the answer, such as ``Location``.
        content_type: Media type of the answer.
        body: Text of the answer, instead of a response message.
        gzip_bomb_bytes: Answer with this many zeros, compressed.
        drip_seconds: Pause between two bytes of the answer.
        rejected: Items that partial success says were refused.
        message: Text in partial success.
        reset: Reset the connection ``before`` reading the body, ``in`` the
            answer, or ``after`` the body was taken and before any answer.
        keep: Whether the items count as received; by default those of a yes.
    """

    signal: str | None = None
    status: int | None = None
    grpc_code: str | None = None
    retry_after: str | None = None
    retry_info_seconds: float | None = None
    delay_seconds: float | None = None
    headers: Mapping[str, str] | None = None
    content_type: str | None = None
    body: str | None = None
    gzip_bomb_bytes: int | None = None
    drip_seconds: float | None = None
    rejected: int | None = None
    message: str | None = None
    reset: str | None = None
    keep: bool | None = None


@dataclass(frozen=True)
class ReceivedEvent:
    """An event of a span that arrived."""

    name: str
    unix_ns: int
    attributes: dict[str, Any]


@dataclass(frozen=True)
class ReceivedSpan:
    """A span that arrived."""

    name: str
    trace_id: str
    span_id: str
    parent_span_id: str | None
    kind: int
    started_unix_ns: int
    ended_unix_ns: int
    attributes: dict[str, Any]
    status_code: int
    status_message: str
    events: list[ReceivedEvent]
    links: list[str]
    resource: dict[str, Any]
    scope: str


@dataclass(frozen=True)
class ReceivedPoint:
    """A metric point that arrived; *value* is the sum of a histogram."""

    metric: str
    unit: str
    kind: str
    temporality: int
    monotonic: bool
    attributes: dict[str, Any]
    started_unix_ns: int
    unix_ns: int
    value: float
    count: int
    bucket_counts: list[int]
    boundaries: list[float]
    exemplars: list[str]
    resource: dict[str, Any]
    scope: str


@dataclass(frozen=True)
class ReceivedLog:
    """A log record that arrived."""

    trace_id: str
    span_id: str
    event: str
    severity: int
    unix_ns: int
    observed_unix_ns: int
    body: Any
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: str


@dataclass(frozen=True)
class ReceivedRequest:
    """A request that got as far as its body; *items* are its spans or points."""

    signal: str
    protocol: str
    headers: dict[str, str]
    wire_bytes: int
    unix_ns: int
    kept: bool
    corrupt: bool
    items: int


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files: the server's own, and the authority its clients must come from."""

    certificate: str
    key: str
    client_ca: str | None = None


@dataclass
class Collector:
    """The server's process and the pipe to it."""

    tls: TlsFiles | None = None
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)
    http_port: int = 0
    grpc_port: int = 0

    def __enter__(self) -> Self:
        script = Path(__file__).with_name("otlp_server.py")
        tls = None if self.tls is None else asdict(self.tls)
        self._process = subprocess.Popen(
            [sys.executable, str(script), json.dumps(tls)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a signal for the test's group is not for it
        )
        ports = self._answer()
        self.http_port, self.grpc_port = ports["http_port"], ports["grpc_port"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """Process id of the server."""
        assert self._process is not None
        return self._process.pid

    @property
    def http_endpoint(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT with ``http/protobuf``."""
        return f"{self._scheme}://localhost:{self.http_port}"

    @property
    def grpc_endpoint(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT with ``grpc``."""
        return f"{self._scheme}://localhost:{self.grpc_port}"

    def environment(self, protocol: str = "http/protobuf") -> dict[str, str]:
        """What makes a program send to this collector, and wait for its answer.

        Who gives up an answer that is late sends a copy, and who ends before it
        leaves the rest for later: here only what a test plans does that, and
        not a machine that is busy.
        """
        endpoint = self.grpc_endpoint if protocol == "grpc" else self.http_endpoint
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            **PATIENT,
        }

    @property
    def _scheme(self) -> str:
        return "http" if self.tls is None else "https"

    # --- what it is to do ---

    def answer(self, *faults: Fault, times: int = 1) -> None:
        """Plan *faults* for the next requests, each *times* times."""
        for fault in faults:
            self._do("answer", fault=_stated(fault), times=times)

    def answer_always(self, fault: Fault | None) -> None:
        """Give *fault* whenever none is planned; None for a yes again."""
        self._do("always", fault={} if fault is None else _stated(fault))

    def refuse(
        self,
        *,
        poison: str | None = None,
        poison_status: int = 400,
        poison_grpc_code: str = "INVALID_ARGUMENT",
        max_bytes: int | None = None,
        authorization: str | None = None,
    ) -> None:
        """Refuse requests that hold *poison*, are too large (413) or lack the header (401).

        Each call replaces the one before.
        """
        rules = {
            "poison": poison,
            "poison_answer": {"status": poison_status, "grpc_code": poison_grpc_code},
            "max_bytes": max_bytes,
            "authorization": authorization,
        }
        self._do("rules", rules=rules)

    def down(self) -> None:
        """Refuse connections, and cut those that are open."""
        self._do("down")

    def up(self) -> None:
        """Listen again, on the same ports."""
        self._do("up")

    def clear(self) -> None:
        """Forget what came in."""
        self._do("clear")

    def reset(self) -> None:
        """Begin anew: nothing received, nothing planned, up."""
        self.clear()
        self.heal()

    def heal(self) -> None:
        """Be up, and say yes to everything."""
        self._do("forget_plan")
        self.up()

    # --- what came in ---

    def spans(self) -> list[ReceivedSpan]:
        """All spans that were kept, in the order they came in, copies included."""
        return [
            ReceivedSpan(**{**raw, "events": [ReceivedEvent(**event) for event in raw["events"]]})
            for raw in self._do("items", signal="traces")
        ]

    def points(self, metric: str | None = None) -> list[ReceivedPoint]:
        """All points that were kept, in the order they came in; of *metric* only."""
        points = _each(ReceivedPoint, self._do("items", signal="metrics"))
        return [point for point in points if metric in (None, point.metric)]

    def logs(self) -> list[ReceivedLog]:
        """All log records that were kept, in the order they came in."""
        return _each(ReceivedLog, self._do("items", signal="logs"))

    def wait_for_logs(self, count: int) -> list[ReceivedLog]:
        """Wait until *count* log records were kept, and return all."""
        self.wait_for(logs=count)
        return self.logs()

    def requests(self) -> list[ReceivedRequest]:
        """All requests whose body came in, also those that were refused."""
        return _each(ReceivedRequest, self._do("requests"))

    def bodies(self) -> list[bytes]:
        """The decompressed bodies of the same."""
        return [bytes.fromhex(body) for body in self._do("bodies")]

    def counts(self) -> dict[str, int]:
        """How many ``spans``, ``points``, ``logs``, ``requests``, ``attempts`` and ``corrupt``."""
        return self._wait({}, 0)

    def wait_for_spans(self, count: int) -> list[ReceivedSpan]:
        """Wait until *count* spans were kept, and return all."""
        self.wait_for(spans=count)
        return self.spans()

    def wait_for_points(self, count: int) -> list[ReceivedPoint]:
        """Wait until *count* metric points were kept, and return all."""
        self.wait_for(points=count)
        return self.points()

    def wait_for(self, **at_least: int) -> dict[str, int]:
        """Wait until there are this many of what `counts` tells."""
        counts = self._wait(at_least, PATIENCE_SECONDS)
        assert counts.pop("reached"), f"waited for {at_least}, there are {counts}"
        return counts

    def _wait(self, at_least: dict[str, int], timeout_seconds: float) -> dict[str, int]:
        answer: dict[str, int] = self._do(
            "wait", at_least=at_least, timeout_seconds=timeout_seconds
        )
        return answer

    def _do(self, what: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        process = self._process
        assert process is not None
        assert process.stdin is not None
        with self._turn:
            process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            process.stdin.flush()
            return self._answer()

    def _answer(self) -> Any:  # noqa: ANN401 - JSON
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the collector's process ended"
        return json.loads(line)


_T = TypeVar("_T")


def _each(kind: type[_T], raw: Iterable[dict[str, Any]]) -> list[_T]:
    return [kind(**one) for one in raw]


def _stated(fault: Fault) -> dict[str, Any]:
    """The fields of *fault* that say something."""
    stated = {f.name: getattr(fault, f.name) for f in fields(fault)}
    return {name: value for name, value in stated.items() if value is not None}
