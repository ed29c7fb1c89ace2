"""Whether a receiver accepts what is sent: a real, empty export for each signal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from otel_codomon._platform.otlp_variables import LOGS
from otel_codomon._platform.quantities import in_seconds
from otel_codomon.doctor.checks.result import CheckResult, State
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.executions.log_records import exception_opt_in
from otel_codomon.journal.delivery.answers import AnswerKind
from otel_codomon.journal.delivery.endpoints import GRPC, SIGNALS, endpoints
from otel_codomon.settings import read_setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.doctor.checks.result import Scene
    from otel_codomon.journal.delivery.answers import Answer
    from otel_codomon.journal.delivery.endpoints import Endpoint

CATEGORY: Final = "endpoint"
# An export request without anything in it is no bytes at all in protobuf.
_EMPTY: Final = b""

# What to do, by what the answer means. The words begin with the answer itself.
_HINTS: Final = {
    AnswerKind.RETRY: "start the collector, or correct the address; "
    "until then records stay on disk",
    AnswerKind.AMBIGUOUS: "see the collector's own log",
    AnswerKind.REFUSED: "this is not an OTLP receiver for this signal, or it uses another "
    "protocol: http/protobuf usually is on port 4318, grpc on 4317",
    AnswerKind.BLOCKED: "correct the address, the path, or the credentials in "
    "OTEL_EXPORTER_OTLP_HEADERS or of the proxy; nothing is sent until then",
}


def check(scene: Scene) -> Iterator[CheckResult]:
    """Send an empty export of each signal to where it goes."""
    try:
        named = endpoints(scene.environ)
        is_logged = _has_logs(scene)
    except InvalidArgumentError as error:
        yield CheckResult(
            category=CATEGORY,
            name=error.argument,
            state=State.FAILURE,
            detail=str(error),
            hint=None,
        )
        return
    for signal in SIGNALS:
        if signal == LOGS and not is_logged:
            continue  # a receiver of traces and metrics alone is no fault then
        endpoint = named.get(signal)
        if endpoint is None:
            yield CheckResult(
                category=CATEGORY,
                name=signal,
                state=State.OFF,
                detail="not exported: no OTLP endpoint is set",
                hint="set OTEL_EXPORTER_OTLP_ENDPOINT to export to a collector",
            )
        else:
            yield _try(endpoint, scene.timeout_seconds)


def _has_logs(scene: Scene) -> bool:
    """Whether log records are wanted here."""
    capture = read_setting("capture", scene.environ).value
    events = read_setting("execution_logs", scene.environ).value
    return "output:logs" in capture or events or bool(exception_opt_in(scene.environ))


def _try(endpoint: Endpoint, timeout_seconds: float) -> CheckResult:
    transport = _transport(endpoint)
    begin = time.monotonic()
    try:
        answer: Answer = transport.send(_EMPTY, timeout_seconds=timeout_seconds)
    finally:
        transport.close()
    where = f"{endpoint.place} ({endpoint.protocol})"
    if answer.kind is AnswerKind.DELIVERED:
        took = in_seconds(time.monotonic() - begin)
        detail = f"{where} accepted an empty export in {took}"
        return CheckResult(category=CATEGORY, name=endpoint.signal, state=State.OK, detail=detail)
    return CheckResult(
        category=CATEGORY,
        name=endpoint.signal,
        state=State.FAILURE,
        detail=f"{where} did not accept an empty export: {answer.reason}",
        hint=_HINTS[answer.kind],
    )


def _transport(endpoint: Endpoint) -> Any:  # noqa: ANN401 - two classes, no base
    if endpoint.protocol == GRPC:
        from otel_codomon.journal.delivery.grpc_transport import (  # noqa: PLC0415 - 40 ms of grpc
            GrpcTransport,
        )

        return GrpcTransport(endpoint)
    from otel_codomon.journal.delivery.http_transport import HttpTransport  # noqa: PLC0415 - as above

    return HttpTransport(endpoint)
