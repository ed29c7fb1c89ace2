"""The collector's own process: OTLP over HTTP and gRPC, told what to do over a pipe.

Started by `support.collector`. Reads one JSON command a line from standard
input and writes one JSON answer a line; ends when its input does, so it never
outlives the test that started it.
"""

from __future__ import annotations

import errno
import gzip
import json
import socket
import struct
import sys
import threading
import time
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import CERT_REQUIRED, PROTOCOL_TLS_SERVER, SSLContext
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc

sys.path.insert(0, str(Path(__file__).parents[1]))
from support import otlp_decode
from support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATHS: Final = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}
METHODS: Final = {
    f"/opentelemetry.proto.collector.{package}.v1.{service}Service/Export": signal
    for package, service, signal in (
        ("trace", "Trace", "traces"),
        ("metrics", "Metrics", "metrics"),
        ("logs", "Logs", "logs"),
    )
}
DECOMPRESS: Final[dict[str, Any]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}
_GRPC_CODES: Final = {code.name: code for code in grpc.StatusCode}
_PATIENCE_SECONDS: Final = 60.0  # only a hang takes so long


@dataclass
class Received:
    """One request that got as far as its body."""

    signal: str
    protocol: str
    headers: dict[str, str]
    body: bytes
    wire_bytes: int
    unix_ns: int
    kept: bool = False
    corrupt: bool = False
    items: int = 0


@dataclass
class State:
    """What came in and what is to be answered, shared by all threads."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    received: list[Received] = field(default_factory=list)
    plan: deque[dict[str, Any]] = field(default_factory=deque)
    always: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    stop_waiting: threading.Event = field(default_factory=threading.Event)

    def next_fault(self, signal: str) -> dict[str, Any]:
        """Take the next planned fault that is meant for *signal*."""
        with self.changed:
            for index, fault in enumerate(self.plan):
                if fault.get("signal") in (None, signal):
                    del self.plan[index]
                    return fault
            return self.always if self.always.get("signal") in (None, signal) else {}

    def classify(self, request: Received, fault: dict[str, Any]) -> dict[str, Any]:
        """Apply the standing rules to a whole request, count it, and say what to answer."""
        try:
            request.items = otlp_decode.count(request.signal, request.body)
        except Exception:  # noqa: BLE001 - whatever protobuf raises, the request is corrupt
            request.corrupt = True
            fault = {"status": 400, "grpc_code": "INVALID_ARGUMENT", **fault}
        fault = self._refusal(request) or fault
        good = fault.get("status", 200) == 200 and fault.get("grpc_code") in (None, "OK")
        request.kept = bool(fault.get("keep", good)) and not request.corrupt
        with self.changed:
            self.received.append(request)
            self.changed.notify_all()
        return fault

    def _refusal(self, request: Received) -> dict[str, Any] | None:
        limit = self.rules.get("max_bytes")
        if limit is not None and len(request.body) > limit:
            return {"status": 413, "grpc_code": "RESOURCE_EXHAUSTED"}
        poison = self.rules.get("poison")
        if poison is not None and poison.encode() in request.body:
            answer: dict[str, Any] = self.rules["poison_answer"]
            return answer
        wanted = self.rules.get("authorization")
        if wanted is not None and request.headers.get("authorization") != wanted:
            return {"status": 401, "grpc_code": "UNAUTHENTICATED"}
        return None

    def counts(self) -> dict[str, int]:
        """How much came in, by what it was."""
        kept = [r for r in self.received if r.kept]
        return {
            "spans": sum(r.items for r in kept if r.signal == "traces"),
            "points": sum(r.items for r in kept if r.signal == "metrics"),
            "logs": sum(r.items for r in kept if r.signal == "logs"),
            "requests": len(kept),
            "attempts": len(self.received),
            "corrupt": sum(r.corrupt for r in self.received),
        }


class Handler(BaseHTTPRequestHandler):
    """OTLP over HTTP."""

    protocol_version = "HTTP/1.1"
    server: HttpServer

    def log_message(self, *_args: object) -> None:
        """Say nothing: standard error is the test's."""

    def do_GET(self) -> None:
        """Answer what a followed redirect would ask for."""
        self._respond({"status": 405}, b"")

    def do_POST(self) -> None:
        """Take one export request."""
        state = self.server.state
        signal = PATHS.get(self.path)
        if signal is None:
            self._respond({"status": 404}, b"")
            return
        fault = state.next_fault(signal)
        if fault.get("reset") == "before":
            self._reset()
            return
        body = self._body()
        if body is None:
            return
        state.stop_waiting.wait(fault.get("delay_seconds", 0))
        wire = int(self.headers.get("content-length") or 0)
        headers = {key.lower(): value for key, value in self.headers.items()}
        fault = state.classify(Received(signal, "http", headers, body, wire, time.time_ns()), fault)
        self._answer(signal, fault)

    def _body(self) -> bytes | None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return None
        decompress = DECOMPRESS.get(self.headers.get("content-encoding", ""))
        return body if decompress is None else decompress(body)

    def _answer(self, signal: str, fault: dict[str, Any]) -> None:
        if fault.get("reset") == "after":
            self._reset()
            return
        if "body" in fault:
            body = str(fault["body"]).encode()
        elif "gzip_bomb_bytes" in fault:
            body = gzip.compress(bytes(fault["gzip_bomb_bytes"]))
        else:
            body = otlp_decode.response(
                signal, rejected=fault.get("rejected", 0), message=fault.get("message", "")
            )
        self._respond(fault, body)

    def _respond(self, fault: dict[str, Any], body: bytes) -> None:
        self.send_response(fault.get("status", 200))
        self.send_header("Content-Type", fault.get("content_type", "application/x-protobuf"))
        if "gzip_bomb_bytes" in fault:
            self.send_header("Content-Encoding", "gzip")
        promised = len(body) + (1000 if fault.get("reset") == "in" else 0)
        self.send_header("Content-Length", str(promised))
        for key, value in fault.get("headers", {}).items():
            self.send_header(key, value)
        if "retry_after" in fault:
            self.send_header("Retry-After", fault["retry_after"])
        self.end_headers()
        if "drip_seconds" in fault:
            self._drip(body, fault["drip_seconds"])
            return
        self.wfile.write(body)
        if fault.get("reset") == "in":
            self.wfile.flush()
            self._reset()

    def _drip(self, body: bytes, pause_seconds: float) -> None:
        for byte in body:
            self.wfile.write(bytes([byte]))
            if self.server.state.stop_waiting.wait(pause_seconds):
                return

    def _reset(self) -> None:
        """Close so that the peer sees a reset, not an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self.rfile.close()
        self.connection.close()


class HttpServer(ThreadingHTTPServer):
    """HTTP, with or without TLS, that can go away with all its connections."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, state: State, tls: dict[str, str] | None) -> None:
        self.state = state
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Handler)
        self._context = None if tls is None else _tls_context(tls)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; the handshake is left to the connection's own thread."""
        connection, address = super().get_request()
        if self._context is not None:
            connection = self._context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as socketserver has it
        """Forget a connection that ended."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        """Say nothing: peers that break off are what is tested."""
        del request, client_address

    def go_away(self) -> None:
        """Stop listening and cut every connection."""
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with suppress(OSError):  # it went by itself
                connection.shutdown(socket.SHUT_RDWR)


def _tls_context(tls: dict[str, str]) -> SSLContext:
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls["certificate"], tls["key"])
    if tls.get("client_ca"):
        context.load_verify_locations(tls["client_ca"])
        context.verify_mode = CERT_REQUIRED
    return context


class GrpcHandler(grpc.GenericRpcHandler):
    """OTLP over gRPC, on the raw bytes."""

    def __init__(self, state: State) -> None:
        self._state = state

    def service(self, details: Any) -> Any:  # noqa: ANN401 - grpc has no types
        """The handler of one method, by its name."""
        signal = METHODS.get(details.method)
        if signal is None:
            return None
        return grpc.unary_unary_rpc_method_handler(
            lambda body, context: self._export(signal, body, context)
        )

    def _export(self, signal: str, body: bytes, context: Any) -> bytes:  # noqa: ANN401 - as above
        fault = self._state.next_fault(signal)
        self._state.stop_waiting.wait(fault.get("delay_seconds", 0))
        headers = {str(key): str(value) for key, value in context.invocation_metadata()}
        fault = self._state.classify(
            Received(signal, "grpc", headers, body, len(body), time.time_ns()), fault
        )
        code = fault.get("grpc_code", "OK")
        if code != "OK":
            _set_retry_info(context, code, fault.get("retry_info_seconds"))
            context.abort(_GRPC_CODES[code], "refused, as planned")
        return otlp_decode.response(
            signal, rejected=fault.get("rejected", 0), message=fault.get("message", "")
        )


def _set_retry_info(context: Any, code: str, seconds: float | None) -> None:  # noqa: ANN401 - grpc
    if seconds is None:
        return
    from google.protobuf.duration_pb2 import Duration
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    status = Status(code=_GRPC_CODES[code].value[0], message="refused, as planned")
    delay = Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))
    status.details.add().Pack(RetryInfo(retry_delay=delay))
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))


def _start_grpc(port: int, state: State, tls: dict[str, str] | None) -> Any:  # noqa: ANN401 - grpc has no types
    server = grpc.server(
        ThreadPoolExecutor(8),
        handlers=[GrpcHandler(state)],
        options=(("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)),
    )
    address = f"127.0.0.1:{port}"
    bound = (
        server.add_insecure_port(address)
        if tls is None
        else server.add_secure_port(address, _grpc_credentials(tls))
    )
    if not bound:  # older versions of grpc raise nothing
        raise OSError(errno.EADDRINUSE, address)
    server.start()
    return server


def _persistently(listen: Callable[[], T]) -> T:
    """What *listen* returns once it can: the port may be held for a moment after a `down`."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return listen()
        except (OSError, RuntimeError):  # noqa: PERF203 - that it may not work is the point
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _grpc_credentials(tls: dict[str, str]) -> Any:  # noqa: ANN401 - grpc has no types
    client_ca = tls.get("client_ca")
    return grpc.ssl_server_credentials(
        [(Path(tls["key"]).read_bytes(), Path(tls["certificate"]).read_bytes())],
        root_certificates=Path(client_ca).read_bytes() if client_ca else None,
        require_client_auth=bool(client_ca),
    )


class Server:
    """Both servers, and the commands that rule them."""

    def __init__(self, tls: dict[str, str] | None) -> None:
        self.state = State()
        self._tls = tls
        self._http_port, self._grpc_port = free_ports(2)
        self._http: HttpServer | None = None
        self._grpc: Any = None
        self.up()

    def up(self) -> dict[str, int]:
        """Listen, on the same ports as before."""
        if self._http is None:
            self.state.stop_waiting.clear()
            http = self._http = _persistently(
                lambda: HttpServer(self._http_port, self.state, self._tls)
            )
            threading.Thread(
                target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
            ).start()
            self._grpc = _persistently(lambda: _start_grpc(self._grpc_port, self.state, self._tls))
        return {"http_port": self._http_port, "grpc_port": self._grpc_port}

    def down(self) -> dict[str, int]:
        """Refuse connections and cut those that are open."""
        if self._http is not None:
            self.state.stop_waiting.set()
            self._http.go_away()
            self._grpc.stop(0).wait()
            self._http = None
        return {}

    def answer(self, *, fault: dict[str, Any], times: int) -> dict[str, int]:
        """Plan *fault* for the next *times* requests."""
        with self.state.changed:
            self.state.plan.extend([fault] * times)
        return {}

    def always(self, *, fault: dict[str, Any]) -> dict[str, int]:
        """Give *fault* whenever nothing is planned."""
        self.state.always = fault
        return {}

    def rules(self, *, rules: dict[str, Any]) -> dict[str, int]:
        """Refuse what breaks one of *rules*."""
        self.state.rules = rules
        return {}

    def forget_plan(self) -> dict[str, int]:
        """Say yes to everything from now on."""
        with self.state.changed:
            self.state.plan.clear()
            self.state.always, self.state.rules = {}, {}
        return {}

    def wait(self, *, at_least: dict[str, int], timeout_seconds: float) -> dict[str, Any]:
        """Wait until as much came in as *at_least* says."""

        def enough() -> bool:
            counts = self.state.counts()
            return all(counts[what] >= wanted for what, wanted in at_least.items())

        with self.state.changed:
            reached = self.state.changed.wait_for(enough, timeout_seconds)
            return {"reached": reached, **self.state.counts()}

    def items(self, *, signal: str) -> list[dict[str, Any]]:
        """Everything of *signal* that was kept, in the order it came in."""
        kept = [r for r in self.state.received if r.kept and r.signal == signal]
        return [item for r in kept for item in otlp_decode.items(signal, r.body)]

    def requests(self) -> list[dict[str, Any]]:
        """Every request that got as far as its body, without it."""
        return [
            {key: value for key, value in vars(r).items() if key != "body"}
            for r in self.state.received
        ]

    def bodies(self) -> list[str]:
        """The bodies of all requests, as hexadecimal digits."""
        return [r.body.hex() for r in self.state.received]

    def clear(self) -> dict[str, int]:
        """Forget what came in."""
        self.state.received.clear()
        return {}


def main() -> None:
    """Serve until standard input ends."""
    server = Server(json.loads(sys.argv[1]))
    print(json.dumps(server.up()), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        result = getattr(server, command.pop("do"))(**command)
        print(json.dumps(result), flush=True)
    server.down()


if __name__ == "__main__":
    main()
