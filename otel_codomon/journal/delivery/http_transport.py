"""Requests over HTTP that can neither hang nor grow, whatever the other side does.

The standard library's client, on sockets that know the deadline of the whole
request: a timeout for each read alone would let an answer of a byte a second
go on for hours.
"""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
import ssl
import time
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_codomon._platform.verified_descriptor import VerifiedDescriptor
from otel_codomon.journal.delivery.addresses import read_address
from otel_codomon.journal.delivery.answers import (
    Answer,
    AnswerKind,
    http_answer_kind,
    is_page,
    retry_after_seconds,
)
from otel_codomon.journal.delivery.proxies import DEFAULT_PORT, proxy_for
from otel_codomon.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from otel_codomon.journal.delivery.addresses import Address
    from otel_codomon.journal.delivery.endpoints import Endpoint

MAX_ANSWER_BYTES: Final = 64 * 1024
"""Of an answer; a collector's has a few bytes."""

USER_AGENT: Final = f"otel-codomon/{__version__}"

_COMPRESS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": lambda body: gzip.compress(body, 6, mtime=0),
    "deflate": zlib.compress,
}
# How http.client says that a proxy made no tunnel; what the proxy wrote follows.
_NO_TUNNEL: Final = re.compile(r"Tunnel connection failed: (\d{3})\b")
# Field of partial success, in protobuf and in JSON.
# What a page cannot say: it is from a proxy or a login, not from a collector.
# But 413 is said by proxies about the request, in pages.
_NOT_BY_PAGES: Final = {AnswerKind.DELIVERED, AnswerKind.REFUSED}
_REJECTED: Final = {
    "traces": ("rejected_spans", "rejectedSpans"),
    "metrics": ("rejected_data_points", "rejectedDataPoints"),
    "logs": ("rejected_log_records", "rejectedLogRecords"),
}


class _DeadlineMixin:
    """Each wait of a socket ends at one deadline, however many there are.

    And nothing is done with its descriptor once other code has closed it: the
    number may be a file of the program's.
    """

    deadline = float("inf")
    _kept: VerifiedDescriptor | None = None

    def _arm(self) -> None:
        if self._kept is None:  # just connected
            self._kept = VerifiedDescriptor(self.fileno())  # type: ignore[attr-defined] # of the socket beside us
        elif not self._kept.is_ours:
            raise ConnectionAbortedError("other code closed the descriptor of the connection")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of the request has passed")
        self.settimeout(min(left, 3600.0))  # type: ignore[attr-defined] # of the socket beside us

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Receive before the deadline."""
        self._arm()
        return int(super().recv_into(*args, **kwargs))  # type: ignore[misc] # as above

    def send(self, data: Buffer, *args: Any, **kwargs: Any) -> int:
        """Send before the deadline; gevent's `sendall` calls this with a timeout of its own."""
        self._arm()
        return int(super().send(data, *args, **kwargs))  # type: ignore[misc] # as above

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        """Send everything before the deadline."""
        self._arm()
        super().sendall(data, flags)  # type: ignore[misc] # as above

    def _real_close(self, *args: Any, **kwargs: Any) -> None:
        """Close the descriptor, if it is still the connection's: the hook `socket` has for this."""
        if self._kept is None or self._kept.is_ours:
            super()._real_close(*args, **kwargs)  # type: ignore[misc] # as above
        else:
            self.detach()  # type: ignore[attr-defined] # as above


class _PlainSocket(_DeadlineMixin, socket.socket):
    pass


class _TlsSocket(_DeadlineMixin, ssl.SSLSocket):
    pass


class HttpTransport:
    """Posts requests to one endpoint, over a connection that is kept.

    Args:
        endpoint: Where to, and how.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._connection: http.client.HTTPConnection | None = None
        self._address = read_address(endpoint.url)
        self._is_tls = self._address.scheme == "https"
        rest = self._address.rest
        self._target = rest if rest.startswith("/") else f"/{rest}"
        self._headers = _headers(endpoint)
        self._problem: str | None = None
        self._proxy: Address | None = None
        try:
            self._proxy = proxy_for(self._address)
        except ValueError as error:
            self._problem = str(error)
        if self._proxy is not None and not self._is_tls:
            # The proxy keeps its own credentials; in a tunnel they are in CONNECT.
            self._target = f"{self._address.scheme}://{self._address.place}{self._target}"
            self._headers |= _for_proxy(self._proxy)

    def send(self, body: bytes, *, timeout_seconds: float) -> Answer:
        """Post *body* and read the answer; never raises for what the other side does.

        Args:
            body: A request.
            timeout_seconds: For everything together, seconds.
        """
        if self._problem is not None:
            return Answer(kind=AnswerKind.BLOCKED, reason=self._problem, is_answer=False)
        deadline = time.monotonic() + min(timeout_seconds, self.endpoint.timeout_seconds)
        compress = _COMPRESS.get(self.endpoint.compression)
        data = body if compress is None else compress(body)
        was_kept = self._connection is not None
        try:
            return self._post(data, deadline)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self.close()
            # A connection that was kept for too long is closed by the other
            # side; one that was fresh has a fault.
            if not was_kept:
                return _no_answer(error)
        except Exception as error:  # noqa: BLE001 - what the other side sends may break the client
            self.close()
            return _no_answer(error)
        try:
            return self._post(data, deadline)
        except Exception as error:  # noqa: BLE001 - what the other side sends may break the client
            self.close()
            return _no_answer(error)

    def _post(self, data: bytes, deadline: float) -> Answer:
        connection = self._connected(deadline)
        connection.request("POST", self._target, data, self._headers)
        response = connection.getresponse()
        body = response.read(MAX_ANSWER_BYTES + 1)
        if response.will_close or not response.isclosed():
            self.close()  # more of it than anybody needs to know
        kind = http_answer_kind(response.status)
        reason = f"HTTP {response.status}"
        if response.status == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            reason += " from the proxy"
        if (
            kind in _NOT_BY_PAGES
            and response.status != http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            and is_page(response.headers.get("content-type", ""), body)
        ):
            return Answer(kind=AnswerKind.BLOCKED, reason=f"{reason} with an HTML page")
        return Answer(
            kind=kind,
            reason=reason,
            delay_seconds=retry_after_seconds(response.headers.get("retry-after")),
            rejected=(
                min(rejected_items(self.endpoint.signal, body), len(data))
                if kind is AnswerKind.DELIVERED
                else 0
            ),
        )

    def _connected(self, deadline: float) -> http.client.HTTPConnection:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._new_connection(deadline)
            connection.connect()
        if isinstance(connection.sock, _DeadlineMixin):
            connection.sock.deadline = deadline
        return connection

    def _new_connection(self, deadline: float) -> http.client.HTTPConnection:
        left = max(0.001, deadline - time.monotonic())
        host, port = self._address.host, self._address.port or (443 if self._is_tls else 80)
        server, server_port = host, port
        if self._proxy is not None:
            server, server_port = self._proxy.host, self._proxy.port or DEFAULT_PORT
        connection: http.client.HTTPConnection
        if self._is_tls:
            context = _tls_context(self.endpoint)
            connection = http.client.HTTPSConnection(
                server, server_port, timeout=left, context=context
            )
            if self._proxy is not None:
                connection.set_tunnel(host, port, _for_proxy(self._proxy))
        else:
            connection = http.client.HTTPConnection(server, server_port, timeout=left)
        connection._create_connection = partial(_connect_plainly, deadline)  # type: ignore[attr-defined]  # noqa: SLF001 - the hook http.client has for this
        return connection

    def close(self) -> None:
        """Let go of the connection; the next request makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _connect_plainly(
    deadline: float,
    address: tuple[str, int],
    timeout: float,
    source_address: tuple[str, int] | None = None,
) -> socket.socket:
    connected = socket.create_connection(address, timeout, source_address)
    armed = _PlainSocket(
        connected.family, connected.type, connected.proto, fileno=connected.detach()
    )
    armed.settimeout(timeout)
    armed.deadline = deadline  # also of what a proxy answers before there is a tunnel
    return armed


def _tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=endpoint.certificate)
    if endpoint.certificate is None and not context.get_ca_certs():
        _trust_certifi(context)
    if endpoint.client_certificate:
        context.load_cert_chain(endpoint.client_certificate, endpoint.client_key)
    context.sslsocket_class = _TlsSocket
    return context


def _trust_certifi(context: ssl.SSLContext) -> None:
    """Trust what `requests`, the stock exporter's client, trusts: a system may have no store."""
    try:
        import certifi  # noqa: PLC0415 - only where the system has none
    except ImportError:
        return
    context.load_verify_locations(certifi.where())


def _headers(endpoint: Endpoint) -> dict[str, str]:
    headers = {"content-type": "application/x-protobuf", "user-agent": USER_AGENT}
    if endpoint.compression in _COMPRESS:
        headers["content-encoding"] = endpoint.compression
    return {**headers, **endpoint.headers}


def _for_proxy(proxy: Address) -> dict[str, str]:
    """The headers that only the proxy gets."""
    return {} if proxy.authorization is None else {"Proxy-Authorization": proxy.authorization}


def _no_answer(error: Exception) -> Answer:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Answer(kind=AnswerKind.BLOCKED, reason=f"TLS: {error.verify_message}")
    refusal = _NO_TUNNEL.match(str(error))
    if refusal is None:
        return Answer(kind=AnswerKind.RETRY, reason=type(error).__name__, is_answer=False)
    is_blocked = http_answer_kind(int(refusal[1])) is AnswerKind.BLOCKED
    return Answer(
        kind=AnswerKind.BLOCKED if is_blocked else AnswerKind.RETRY,
        reason=f"HTTP {refusal[1]} from the proxy",
        is_answer=False,
    )


def rejected_items(signal: str, body: bytes) -> int:
    """How many items partial success says were not kept; 0 where it says nothing that can be."""
    if not body:
        return 0
    in_protobuf, in_json = _REJECTED[signal]
    try:
        if body[:1] == b"{":
            return max(0, int(json.loads(body).get("partialSuccess", {}).get(in_json, 0)))
        return max(0, int(getattr(_response(signal, body).partial_success, in_protobuf)))
    except Exception:  # noqa: BLE001 - it is a yes, whatever else is in it
        return 0


def _response(signal: str, body: bytes) -> Any:  # noqa: ANN401 - one of three messages of protobuf
    if signal == "traces":
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: PLC0415 - slow

        return trace_service_pb2.ExportTraceServiceResponse.FromString(body)
    if signal == "logs":
        from opentelemetry.proto.collector.logs.v1 import logs_service_pb2  # noqa: PLC0415 - slow

        return logs_service_pb2.ExportLogsServiceResponse.FromString(body)
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415 - slow

    return metrics_service_pb2.ExportMetricsServiceResponse.FromString(body)
