"""What short commands report: each how much it added, under an id of its own."""

from __future__ import annotations

import time
import uuid
from bisect import bisect_left

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from otel_codomon import names


def one_command(*, service: str, seconds: float, outcome: str) -> bytes:
    """The request of one command that took *seconds* and has just ended."""
    request = ExportMetricsServiceRequest()
    of_process = request.resource_metrics.add()
    resource = {
        "service.name": service,
        "service.instance.id": uuid.uuid4().hex,
        "process.command": uuid.uuid4().hex,
    }
    for key, value in resource.items():
        of_process.resource.attributes.add(key=key).value.string_value = value
    row = names.EXECUTION_DURATION
    metric = of_process.scope_metrics.add().metrics.add(name=row.name, unit=row.unit)
    metric.histogram.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    buckets = [0] * (len(row.boundaries) + 1)
    buckets[bisect_left(row.boundaries, seconds)] = 1
    now = time.time_ns()
    point = metric.histogram.data_points.add(
        start_time_unix_nano=now - int(seconds * 1e9),
        time_unix_nano=now,
        count=1,
        sum=seconds,
        explicit_bounds=row.boundaries,
        bucket_counts=buckets,
    )
    labels = {names.EXECUTION_NAME: "command", names.EXECUTION_OUTCOME: outcome}
    for key, value in labels.items():
        point.attributes.add(key=key).value.string_value = value
    return request.SerializeToString()
