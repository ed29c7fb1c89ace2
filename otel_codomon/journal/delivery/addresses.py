"""Addresses of collectors and proxies, taken apart: where to, and with which credentials.

Credentials are kept apart from the address from here on, so that none is in a
request line, a log or a message.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

_PATH: Final = "/?#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address without credentials, and the header that has them.

    Attributes:
        scheme: As ``http``, in lower case.
        host: Name or number, without the brackets of IPv6.
        port: None for the scheme's own.
        rest: Path and query.
        authorization: Value of an Authorization header; None without a user.
    """

    scheme: str
    host: str
    port: int | None
    rest: str
    authorization: str | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """Host and port, as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole address."""
        return f"{self.scheme}://{self.place}{self.rest}"


def read_address(text: str, *, scheme: str = "http") -> Address:
    """Take *text* apart.

    A password may hold a slash or an at sign that nobody has encoded: what
    comes before the last at sign is the user then.

    Args:
        text: An address.
        scheme: For an address without one.

    Raises:
        ValueError: It has no host, or a port that is no number; the message
            holds nothing of the address.
    """
    named, separator, rest = text.partition("://")
    if not separator:
        named, rest = scheme, text
    authority, beyond = _split_authority(rest)
    user, at, _ = authority.rpartition("@")
    if not at and _has_bad_port(authority) and "@" in beyond.partition("?")[0]:
        before_query, mark, query = rest.partition("?")
        user, at, server = before_query.rpartition("@")
        authority, beyond = _split_authority(f"{server}{mark}{query}")
    host, port = _host_and_port(authority.rpartition("@")[2])
    return Address(
        scheme=named.lower(),
        host=host,
        port=port,
        rest=beyond,
        authorization=basic_authorization(user) if at else None,
    )


def basic_authorization(user_info: str) -> str:
    """The header's value for ``user:password``, percent-encoded as in an address."""
    user, _, password = user_info.partition(":")
    pair = f"{unquote(user)}:{unquote(password)}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def _split_authority(rest: str) -> tuple[str, str]:
    end = min((at for at in map(rest.find, _PATH) if at >= 0), default=len(rest))
    return rest[:end], rest[end:]


def _has_bad_port(authority: str) -> bool:
    try:
        _host_and_port(authority)
    except ValueError:
        return True
    return False


def _host_and_port(server: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(f"//{server}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("its host or port is invalid") from None
    if not host or any(c.isspace() for c in host):
        raise ValueError("it has no host")
    return host, port
