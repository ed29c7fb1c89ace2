"""Whether a receiver accepts what is sent: a real, empty export for each signal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from otel_codomon.errors import InvalidArgumentError
from otel_codomon.journal.answers import Verdict
from otel_codomon.journal.endpoints import GRPC, SIGNALS, endpoints
from otel_codomon.operations.checks.line import CheckLine, State
from otel_codomon.values.quantities import in_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.journal.answers import Answer
    from otel_codomon.journal.endpoints import Endpoint
    from otel_codomon.operations.checks.line import Scene

ABOUT: Final = "endpoint"
# An export request without anything in it is no bytes at all in protobuf.
_EMPTY: Final = b""

# What to do, by what the answer means. The words begin with the answer itself.
_TO_DO: Final = {
    Verdict.RETRY: "start the collector, or correct the address; until then records stay on disk",
    Verdict.DOUBTFUL: "see the collector's own log",
    Verdict.REFUSED: "this is not an OTLP receiver for this signal, or it uses another protocol: "
    "http/protobuf usually is on port 4318, grpc on 4317",
    Verdict.PARKED: "correct the address, the path, or the credentials in "
    "OTEL_EXPORTER_OTLP_HEADERS or of the proxy; nothing is sent until then",
}


def check(scene: Scene) -> Iterator[CheckLine]:
    """Send an empty export of each signal to where it goes."""
    try:
        named = endpoints(scene.environ)
    except InvalidArgumentError as error:
        yield CheckLine(
            about=ABOUT, name=error.argument, state=State.FAILURE, found=str(error), to_do=None
        )
        return
    for signal in SIGNALS:
        endpoint = named.get(signal)
        if endpoint is None:
            yield CheckLine(
                about=ABOUT,
                name=signal,
                state=State.OK,
                found="not exported: no OTLP endpoint is set",
                to_do="set OTEL_EXPORTER_OTLP_ENDPOINT to export to a collector",
            )
        else:
            yield _try(endpoint, scene.timeout_seconds)


def _try(endpoint: Endpoint, timeout_seconds: float) -> CheckLine:
    transport = _transport(endpoint)
    begin = time.monotonic()
    try:
        answer: Answer = transport.send(_EMPTY, timeout_seconds=timeout_seconds)
    finally:
        transport.close()
    where = f"{endpoint.place} ({endpoint.protocol})"
    if answer.verdict is Verdict.DELIVERED:
        took = in_seconds(time.monotonic() - begin)
        found = f"{where} took an empty export in {took}"
        return CheckLine(about=ABOUT, name=endpoint.signal, state=State.OK, found=found)
    return CheckLine(
        about=ABOUT,
        name=endpoint.signal,
        state=State.FAILURE,
        found=f"{where} did not take an empty export: {answer.reason}",
        to_do=_TO_DO[answer.verdict],
    )


def _transport(endpoint: Endpoint) -> Any:  # noqa: ANN401 - two classes, no base
    if endpoint.protocol == GRPC:
        from otel_codomon.journal.grpc_transport import (  # noqa: PLC0415 - 40 ms of grpc
            GrpcTransport,
        )

        return GrpcTransport(endpoint)
    from otel_codomon.journal.http_transport import HttpTransport  # noqa: PLC0415 - as above

    return HttpTransport(endpoint)
