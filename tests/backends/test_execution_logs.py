from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.backends import Collector
from support.collector import PATIENT
from support.programs import wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.backends

_PROGRAM = """
from otel_codomon import configure, run
configure(capture=["output:logs"], execution_logs=True)
assert run(["sh", "-c", "echo a line of output; echo another >&2"]).succeeded
"""


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_the_collector_takes_log_records_and_prints_them(tmp_path: Path, protocol: str) -> None:
    with Collector("local.yaml", folder=tmp_path / "collector") as collector:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        endpoint = f"http://{collector.grpc}" if protocol == "grpc" else collector.http
        environment = {
            **clean,
            **PATIENT,
            "XDG_STATE_HOME": str(tmp_path),
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": (
                endpoint if protocol == "grpc" else f"{endpoint}/v1/logs"
            ),
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": protocol,
        }

        subprocess.run([sys.executable, "-c", _PROGRAM], env=environment, check=True)

        wait_for(
            lambda: collector.own_metric("otelcol_receiver_accepted_log_records") == 4,
            what="two lines, a start and an end in the collector",
        )
        log = tmp_path / "collector" / "otelcol.log"
        wait_for(lambda: "a line of output" in log.read_text(), what="the line, printed")
        assert collector.own_metric("otelcol_receiver_refused_log_records") == 0
