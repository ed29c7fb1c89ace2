"""The resources of the providers that `configure` makes: what they say of host and process."""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.sdk.resources import SERVICE_NAME, OsResourceDetector, Resource

from otel_codomon import names
from otel_codomon._platform.executable_name import executable_name
from otel_codomon.journal.host_resource import host_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.resources import Attributes


class ProcessResource(Resource):
    """A resource with the id of the process that asks for it, also after any fork.

    The SDK keeps the id of the process that made a resource unless the
    environment names a detector for it, and knows of no fork that calls no hooks.
    """

    @property
    def attributes(self) -> Attributes:
        """The attributes, with the id of this process."""
        return {**super().attributes, names.PROCESS_PID: os.getpid()}

    def merge(self, other: Resource) -> Resource:
        """As of any resource; the SDK does this in a forked child."""
        merged = super().merge(other)
        return ProcessResource(merged.attributes, merged.schema_url)


class Resources(NamedTuple):
    """What describes where telemetry comes from.

    Attributes:
        of_spans: Service, host and process.
        of_metrics: Service and host. Without the process: what differs from one
            process to the next would make new series of each of its metrics. The
            same ``service.instance.id`` as on spans leads from one to the other.
    """

    of_spans: Resource
    of_metrics: Resource


def make_resources(service_name: str | None, attributes: Mapping[str, str] | None) -> Resources:
    """The resources for providers of ours.

    What the caller says goes before the environment (``OTEL_RESOURCE_ATTRIBUTES``,
    ``OTEL_SERVICE_NAME``, ``OTEL_EXPERIMENTAL_RESOURCE_DETECTORS``), and that before
    what is found here.

    Args:
        service_name: Name of the service; None where nobody said.
        attributes: More attributes, as the caller says them.
    """
    named = {} if service_name is None else {SERVICE_NAME: service_name}
    said = Resource.create({**(attributes or {}), **named})
    host = OsResourceDetector().detect().merge(Resource(host_attributes()))
    process = Resource(_process_attributes())
    described = host.merge(process).merge(said)
    if names.PROCESS_PID not in said.attributes:
        described = ProcessResource(described.attributes, described.schema_url)
    return Resources(of_spans=described, of_metrics=host.merge(said))


def _process_attributes() -> dict[str, str]:
    """What this process runs: never its arguments, which may hold secrets."""
    executable = executable_name(os.getpid())
    runtime = {
        names.PROCESS_RUNTIME_NAME: sys.implementation.name,
        names.PROCESS_RUNTIME_VERSION: platform.python_version(),
        names.PROCESS_RUNTIME_DESCRIPTION: sys.version,
    }
    return runtime if executable is None else {**runtime, names.PROCESS_EXECUTABLE_NAME: executable}
