"""Where records go: the standard ``OTEL_EXPORTER_OTLP_*`` settings, for each signal."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from otel_codomon._platform.otlp_variables import (
    LOGS,
    METRICS,
    PREFIX,
    TRACES,
    exporters_of,
    of_signal,
    read,
)
from otel_codomon._platform.refused_values import shown
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.journal.delivery.addresses import read_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_codomon.journal.delivery.addresses import Address

SIGNALS: Final = (TRACES, METRICS, LOGS)
HTTP: Final = "http/protobuf"
GRPC: Final = "grpc"

_TRUE: Final = frozenset({"true", "1"})
_DEFAULT_TIMEOUT_SECONDS: Final = 10.0  # the specification's


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the records of one signal go, and how.

    Attributes:
        signal: One of `SIGNALS`.
        protocol: `HTTP` or `GRPC`.
        url: The whole address for HTTP; scheme, host and port for gRPC. Without
            user and password, which are in the headers.
        headers: Sent with each request; keys in lower case. Not shown in a repr:
            they hold tokens.
        compression: ``gzip``, ``deflate`` or ``none``.
        timeout_seconds: Longest time for one request, seconds.
        certificate: File with the authorities to trust; None for the system's.
        client_certificate: File with our certificate; None for none.
        client_key: File with its key; None where the certificate's file has it.
        insecure: For gRPC, whether there is no TLS.
    """

    signal: str
    protocol: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    compression: str = "none"
    timeout_seconds: float = _DEFAULT_TIMEOUT_SECONDS
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    insecure: bool = False

    @property
    def place(self) -> str:
        """The address as it may be shown: without the query, which may hold a key."""
        return self.url.partition("?")[0]


def endpoints(
    environ: Mapping[str, str],
    *,
    endpoint: str | None = None,
    protocol: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Endpoint]:
    """The endpoints that somebody named, by signal; a signal that goes nowhere is absent.

    Args:
        environ: The environment.
        endpoint: Base address for all signals; None to take it from there.
        protocol: `HTTP` or `GRPC`; None to take it from there.
        headers: Headers of each request; None to take them from there.

    Raises:
        InvalidArgumentError: A variable cannot mean anything.
    """
    found = {}
    for signal in SIGNALS:
        url = _address(environ, signal, endpoint)
        if url is not None:
            found[signal] = _endpoint(environ, signal, url, protocol, headers)
    return found


def environment_of(named: Mapping[str, Endpoint]) -> dict[str, str]:
    """The variables that make another process send to the same places."""
    found = {}
    for signal, endpoint in named.items():
        settings = {
            "ENDPOINT": endpoint.url,
            "PROTOCOL": endpoint.protocol,
            "HEADERS": ",".join(f"{quote(k)}={quote(v)}" for k, v in endpoint.headers.items()),
            "COMPRESSION": endpoint.compression,
            "TIMEOUT": str(endpoint.timeout_seconds),
            "CERTIFICATE": endpoint.certificate or "",
            "CLIENT_CERTIFICATE": endpoint.client_certificate or "",
            "CLIENT_KEY": endpoint.client_key or "",
        }
        for name, value in settings.items():
            found[of_signal(signal, name)] = value
    return found


def _address(environ: Mapping[str, str], signal: str, base: str | None) -> str | None:
    """The address somebody named; one for all signals ends in a slash here."""
    exporters = environ.get(exporters_of(signal), "").strip().lower()
    if exporters and "otlp" not in [name.strip() for name in exporters.split(",")]:
        return None
    own = environ.get(of_signal(signal, "ENDPOINT"), "").strip()
    shared = base or environ.get(f"{PREFIX}ENDPOINT", "").strip()
    if base is None and own:
        return own
    return shared.rstrip("/") + "/" if shared else None


def _endpoint(
    environ: Mapping[str, str],
    signal: str,
    url: str,
    protocol: str | None,
    headers: Mapping[str, str] | None,
) -> Endpoint:
    protocol = protocol or read(environ, signal, "PROTOCOL") or HTTP
    address = _read(url)
    if protocol == GRPC:
        is_named = "://" in url
        insecure = address.scheme != "https" if is_named else _is_insecure(environ, signal)
        address = replace(address, scheme="http" if insecure else "https", rest="")
    else:
        insecure = False
        if url.endswith("/"):
            address = replace(address, rest=f"{address.rest}v1/{signal}")
    by_user = {} if address.authorization is None else {"authorization": address.authorization}
    own = _headers(environ, signal) if headers is None else _lower(headers)
    return Endpoint(
        signal=signal,
        protocol=protocol,
        url=address.url,
        insecure=insecure,
        headers={**by_user, **own},
        compression=(read(environ, signal, "COMPRESSION") or "none").lower(),
        timeout_seconds=_timeout(environ, signal),
        certificate=read(environ, signal, "CERTIFICATE"),
        client_certificate=read(environ, signal, "CLIENT_CERTIFICATE"),
        client_key=read(environ, signal, "CLIENT_KEY"),
    )


def _read(url: str) -> Address:
    try:
        return read_address(url)
    except ValueError as error:
        raise InvalidArgumentError(
            f"{PREFIX}ENDPOINT",
            # Not repeated: a password without the rest of its address has no form.
            f"cannot send to the address in {PREFIX}ENDPOINT: {error}; give one such as "
            "http://localhost:4318, with special characters in a password percent-encoded",
        ) from None


def _is_insecure(environ: Mapping[str, str], signal: str) -> bool:
    """Whether an address without a scheme is one without TLS."""
    return (read(environ, signal, "INSECURE") or "").lower() in _TRUE


def _timeout(environ: Mapping[str, str], signal: str) -> float:
    """Seconds, as the stock Python exporters read it."""
    value = read(environ, signal, "TIMEOUT")
    if value is None:
        return _DEFAULT_TIMEOUT_SECONDS
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidArgumentError(
            f"{PREFIX}TIMEOUT",
            f"invalid {PREFIX}TIMEOUT {shown(value)}: must be a number of seconds above 0, "
            "such as 10",
        )
    return seconds


def _headers(environ: Mapping[str, str], signal: str) -> dict[str, str]:
    """``key=value`` pairs with commas in between, percent-encoded; broken ones left out."""
    found = {}
    for item in (read(environ, signal, "HEADERS") or "").split(","):
        key, equals, value = item.partition("=")
        if equals and key.strip():
            found[unquote(key.strip()).lower()] = unquote(value.strip())
    return _lower(found)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that can be sent: no line breaks, which would begin another header."""
    return {
        str(key).lower(): str(value)
        for key, value in headers.items()
        if not any(c in f"{key}{value}" for c in "\r\n\0")
    }
