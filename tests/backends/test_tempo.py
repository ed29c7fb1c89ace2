from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.programs import wait_for
from support.spans import SentSpan, send
from support.stack import LocalStack
from support.tempo import Tempo

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.backends


def test_an_execution_is_in_tempo_and_in_jaeger(tmp_path: Path) -> None:
    span = SentSpan()
    with (
        Tempo(folder=tmp_path / "tempo") as tempo,
        LocalStack(tmp_path, traces_to=tempo.otlp) as stack,
    ):
        send([span], http=stack.collector.http, service="both")

        wait_for(lambda: tempo.trace(span.trace_id), what="the trace in Tempo")
        wait_for(lambda: stack.jaeger.trace(span.trace_id), what="the trace in Jaeger")
