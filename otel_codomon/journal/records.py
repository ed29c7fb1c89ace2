"""What a process that has not imported OpenTelemetry writes: starts and ends as JSON.

`otel-codomon run` lives for as long as its command, which may be milliseconds.
It appends a start and an end, and leaves it to whoever sends to make the span
and the histogram points of them.

Imports next to nothing, as `segments`.
"""

from __future__ import annotations

import json
import os
from zlib import adler32, crc32

from otel_codomon._platform import otlp_variables
from otel_codomon._platform.interpreter import interpreter
from otel_codomon.environment_variables import OTEL_PYTHON_CODOMON_DURABILITY
from otel_codomon.journal import folder as folders, leader, segments
from otel_codomon.journal.writer import Writer
from otel_codomon.words import DURABILITIES

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Kinds and statuses of a span, as OTLP numbers them.
KIND_INTERNAL = 1
KIND_CLIENT = 3
STATUS_UNSET = 0
STATUS_OK = 1
STATUS_ERROR = 2

# Field of a start that no span gets: program and arguments, scrubbed, for this user alone.
COMMAND = "command"

CONFIG_FILE = "OTEL_CONFIG_FILE"
_METRICS_EXPORTER = otlp_variables.exporters_of(otlp_variables.METRICS)

_ENDPOINTS = otlp_variables.forms(
    "ENDPOINT", otlp_variables.TRACES, otlp_variables.METRICS, otlp_variables.LOGS
)


def open_writer(
    folder: str | None = None, *, environ: Mapping[str, str] | None = None
) -> Writer | None:
    """Open the journal for starts and ends.

    Args:
        folder: Its path; None for what the environment says.
        environ: The environment; None for this process's own.

    Returns:
        None where the journal is switched off.

    Raises:
        JournalUnavailableError: There is no folder for it; the command runs all
            the same, and its caller says why it is not recorded.
    """
    environ = os.environ if environ is None else environ
    durability = environ.get(OTEL_PYTHON_CODOMON_DURABILITY, "").strip().lower()
    folder = folder or folders.journal_folder(environ)
    if folder is None:
        return None
    known = (word for word in DURABILITIES if word == durability)
    return Writer(folder, durability=next(known, DURABILITIES[0]))


def write_started(
    writer: Writer,
    *,
    trace_id: str,
    span_id: str,
    name: str,
    started_unix_ns: int,
    attributes: Mapping[str, object],
    resource: Mapping[str, object],
    parent_span_id: str | None = None,
    span_kind: int = KIND_INTERNAL,
    links: Sequence[tuple[str, str]] = (),
    is_sampled: bool = True,
    command: Sequence[str] = (),
) -> bool:
    """Append the start of an execution.

    Args:
        writer: Where to.
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits; what ties its end to it.
        name: Name of its span.
        started_unix_ns: Start, nanoseconds since the epoch.
        attributes: Attributes of its span, as far as they are known;
            ``codomon.execution.id`` must be among them.
        resource: Attributes of the OpenTelemetry resource: see `resource`.
        parent_span_id: The span of another process that it is a child of; None for a root.
        span_kind: `KIND_INTERNAL` or `KIND_CLIENT`.
        links: Trace id and span id of each span it is linked to.
        is_sampled: Whether its span is to be delivered.
        command: Program and arguments, scrubbed, which are never delivered; empty where it is
            no command.

    Returns:
        Whether it is on disk.
    """
    payload: dict[str, object] = {
        "trace_id": trace_id,
        "parent_span_id": parent_span_id,
        "name": name,
        "kind": span_kind,
        "started": started_unix_ns,
        "attributes": attributes,
        "links": links,
        "has_remote_parent": parent_span_id is not None,
    }
    if command:
        payload[COMMAND] = command
    return _write(writer, segments.STARTED, payload, span_id, resource, is_sampled=is_sampled)


def write_ended(
    writer: Writer,
    *,
    trace_id: str,
    span_id: str,
    name: str,
    started_unix_ns: int,
    ended_unix_ns: int,
    attributes: Mapping[str, object],
    resource: Mapping[str, object],
    parent_span_id: str | None = None,
    span_kind: int = KIND_INTERNAL,
    links: Sequence[tuple[str, str]] = (),
    is_sampled: bool = True,
    status: int = STATUS_UNSET,
    status_message: str = "",
    events: Sequence[Mapping[str, object]] = (),
) -> bool:
    """Append the end of an execution, with everything its span will have.

    Args:
        writer: As the rest down to *span_kind*, see `write_started`.
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        name: Name of its span.
        started_unix_ns: Start, nanoseconds since the epoch.
        ended_unix_ns: End, nanoseconds since the epoch.
        attributes: All attributes of its span.
        resource: Attributes of the OpenTelemetry resource.
        parent_span_id: The span it is a child of; None for a root.
        span_kind: `KIND_INTERNAL` or `KIND_CLIENT`.
        links: As `write_started`.
        is_sampled: As `write_started`.
        status: `STATUS_UNSET`, `STATUS_OK` or `STATUS_ERROR`.
        status_message: A few words, for an error.
        events: Mappings with ``name``, ``unix_ns`` and ``attributes``.

    Returns:
        Whether it is on disk.
    """
    payload: dict[str, object] = {
        "trace_id": trace_id,
        "parent_span_id": parent_span_id,
        "name": name,
        "kind": span_kind,
        "started": started_unix_ns,
        "ended": ended_unix_ns,
        "attributes": attributes,
        "links": links,
        "has_remote_parent": parent_span_id is not None,
        "status": status,
        "message": status_message,
        "events": events,
    }
    written = _write(writer, segments.ENDED, payload, span_id, resource, is_sampled=is_sampled)
    writer.sync()
    return written


def _write(
    writer: Writer,
    signal: int,
    payload: dict[str, object],
    span_id: str,
    resource: Mapping[str, object],
    *,
    is_sampled: bool,
) -> bool:
    declared = to_json(resource)
    resource_key = key_of(declared)
    writer.declare(resource_key, declared)
    payload["resource"] = resource_key.hex()
    flags = 0 if is_sampled else segments.UNSAMPLED
    if os.environ.get(_METRICS_EXPORTER, "").strip().lower() == "none":
        flags |= segments.UNCOUNTED
    return writer.append(signal, to_json(payload), key=bytes.fromhex(span_id), flags=flags)


def to_json(value: object) -> bytes:
    """*value* as JSON in ASCII; what JSON does not know becomes a text."""
    return _ENCODE(value).encode()


def _plain(value: object) -> object:
    """Mappings that are no dict, and whatever else."""
    items = getattr(value, "items", None)
    return dict(items()) if callable(items) else repr(value)[:200]


# Made once: `json.dumps` makes an encoder at each call that has options.
_ENCODE = json.JSONEncoder(default=_plain, separators=(",", ":")).encode


def key_of(declared: bytes) -> bytes:
    """Key of a resource, by what is in it."""
    return crc32(declared).to_bytes(4, "little") + adler32(declared).to_bytes(4, "little")


def resource(
    *, service_name: str = "unknown_service", environ: Mapping[str, str] | None = None
) -> dict[str, object]:
    """The resource that the environment describes, as the SDK would read it.

    Args:
        service_name: For where the environment names no service.
        environ: The environment; None for this process's own.
    """
    environ = os.environ if environ is None else environ
    from otel_codomon.journal.host_resource import host_attributes  # noqa: PLC0415 - as its caller

    found: dict[str, object] = {
        **host_attributes(),
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "service.name": service_name,
    }
    for item in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, equals, value = item.partition("=")
        if equals and key.strip():
            found[key.strip()] = _unquoted(value.strip())
    if environ.get("OTEL_SERVICE_NAME"):
        found["service.name"] = environ["OTEL_SERVICE_NAME"]
    return found


def _unquoted(value: str) -> str:
    if "%" not in value:
        return value
    from urllib.parse import unquote  # noqa: PLC0415 - 5 ms, and rarely needed

    return unquote(value)


# --- the sender, from far away ---


def is_delivery_wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment names a receiver. A configuration file replaces its variables."""
    environ = os.environ if environ is None else environ
    if environ.get(CONFIG_FILE):
        return False
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    return any(environ.get(name, "").strip() for name in _ENDPOINTS)


def sender_is_running(folder: str) -> bool:
    """Whether some process ships *folder* now."""
    try:
        return leader.holder_pid(folder) is not None
    except OSError:  # no folder, so nothing to ship either
        return True


# The module is found without the current folder, which may be the observed code's.
_SENDER = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; "
    "from otel_codomon.journal.__main__ import main; main(sys.argv[1])"
)


# For a folder that is no journal, only the way from one process to the other.
_SENDER_ONCE = f"{_SENDER}; import shutil; shutil.rmtree(sys.argv[1], ignore_errors=True)"


def spawn_sender(
    folder: str, *, environ: Mapping[str, str] | None = None, once: bool = False
) -> int | None:
    """Start a process of its own that ships *folder* and ends when all is shipped.

    It has no terminal, no session and no output in common with this process.

    Args:
        folder: Path of the journal.
        environ: Its environment; None for this process's own.
        once: Whether the folder is to be removed then, shipped or not.

    Returns:
        Its process id; None where it could not be started.
    """
    python = interpreter()
    if python is None:
        return None
    devnull = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    try:
        return os.posix_spawn(
            python,
            [python, "-c", _SENDER_ONCE if once else _SENDER, folder],
            os.environ if environ is None else environ,
            file_actions=devnull,
            setsid=True,
        )
    except (OSError, NotImplementedError):  # no process left, or a libc without POSIX_SPAWN_SETSID
        return None
