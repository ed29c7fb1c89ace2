"""Requests over gRPC, on the raw bytes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_codomon.journal.delivery.addresses import read_address
from otel_codomon.journal.delivery.answers import (
    MAX_DELAY_SECONDS,
    Answer,
    AnswerKind,
    grpc_answer_kind,
)
from otel_codomon.journal.delivery.http_transport import (
    MAX_ANSWER_BYTES,
    USER_AGENT,
    rejected_items,
)
from otel_codomon.journal.delivery.proxies import proxy_for

# gRPC tells of every fork on standard error, which is the program's. It looks
# at this variable of the process once, now; `os.environ` is left as it is, and
# so is a choice of the program's.
_IS_OURS_TO_HUSH: Final = "grpc" not in sys.modules and "GRPC_VERBOSITY" not in os.environ
if _IS_OURS_TO_HUSH:
    os.putenv("GRPC_VERBOSITY", "ERROR")
import grpc  # noqa: E402 - see above

if _IS_OURS_TO_HUSH:
    os.unsetenv("GRPC_VERBOSITY")

if TYPE_CHECKING:
    from otel_codomon.journal.delivery.endpoints import Endpoint

# gRPC asks for these before the others, whatever the scheme.
_PROXIES: Final = ("grpc", "https", "http")
_METHODS: Final = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_COMPRESSION: Final = {
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
}
_OPTIONS: Final = (
    ("grpc.primary_user_agent", USER_AGENT),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    # By default the pause between two attempts to connect grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.enable_retries", 0),  # the journal does that
)


class GrpcTransport:
    """Calls the export method of one endpoint, over a channel that is kept.

    Args:
        endpoint: Where to, and how.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._channel: grpc.Channel | None = None
        self._call: Any = None
        self._metadata = tuple(endpoint.headers.items())
        self._problem: str | None = None
        try:
            proxy_for(read_address(endpoint.url), names=_PROXIES)
        except ValueError as error:  # gRPC would print the address of such a proxy
            self._problem = str(error)

    def send(self, body: bytes, *, timeout_seconds: float) -> Answer:
        """Send *body* and read the answer; never raises for what the other side does.

        Args:
            body: A request.
            timeout_seconds: For everything together, seconds.
        """
        if self._problem is not None:
            return Answer(kind=AnswerKind.BLOCKED, reason=self._problem, is_answer=False)
        try:
            call = self._connected()
            answer = call(
                body,
                timeout=min(timeout_seconds, self.endpoint.timeout_seconds),
                metadata=self._metadata,
            )
        except grpc.RpcError as error:
            return _refusal(error)
        except (OSError, ValueError) as error:  # a certificate's file, a channel that was closed
            self.close()
            return Answer(kind=AnswerKind.RETRY, reason=type(error).__name__)
        return Answer(
            kind=AnswerKind.DELIVERED, rejected=rejected_items(self.endpoint.signal, answer)
        )

    def _connected(self) -> Any:  # noqa: ANN401 - grpc's callable has no public type
        if self._channel is None:
            self._channel = _channel(self.endpoint)
            self._call = self._channel.unary_unary(
                _METHODS[self.endpoint.signal], request_serializer=None, response_deserializer=None
            )
        return self._call

    def close(self) -> None:
        """Let go of the channel; the next request makes another."""
        channel, self._channel, self._call = self._channel, None, None
        if channel is not None:
            channel.close()


def _channel(endpoint: Endpoint) -> grpc.Channel:
    address = read_address(endpoint.url).place
    compression = _COMPRESSION.get(endpoint.compression, grpc.Compression.NoCompression)
    if endpoint.insecure:
        return grpc.insecure_channel(address, options=_OPTIONS, compression=compression)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_content(endpoint.certificate),
        private_key=_content(endpoint.client_key),
        certificate_chain=_content(endpoint.client_certificate),
    )
    return grpc.secure_channel(address, credentials, options=_OPTIONS, compression=compression)


def _content(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def _refusal(error: Any) -> Answer:  # noqa: ANN401 - an RpcError that is also a Call
    code = error.code().name if hasattr(error, "code") else "UNKNOWN"
    delay_seconds = _retry_delay_seconds(error)
    return Answer(
        kind=grpc_answer_kind(code, has_retry_info=delay_seconds is not None),
        reason=f"gRPC {code}",
        delay_seconds=delay_seconds,
        # gRPC says UNAVAILABLE and DEADLINE_EXCEEDED itself where nobody does.
        is_answer=code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"),
    )


def _retry_delay_seconds(error: Any) -> float | None:  # noqa: ANN401 - as above
    """What RetryInfo asks for, seconds; None where there is none."""
    metadata = error.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    for key, value in metadata or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return _read_retry_info(value)
    return None


def _read_retry_info(details: bytes) -> float | None:
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - rare
    from google.rpc.error_details_pb2 import RetryInfo  # noqa: PLC0415 - rare
    from google.rpc.status_pb2 import Status  # noqa: PLC0415 - rare

    try:
        for detail in Status.FromString(details).details:
            info = RetryInfo()
            if detail.Unpack(info):
                seconds = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
                return float(min(max(0.0, seconds), MAX_DELAY_SECONDS))
    except DecodeError:
        return None
    return None
