"""The proxy that the environment names, as everything else honours it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from otel_codomon.journal.delivery.addresses import read_address

if TYPE_CHECKING:
    from otel_codomon.journal.delivery.addresses import Address

DEFAULT_PORT: Final = 3128
_SUPPORTED: Final = "http"


def proxy_for(address: Address, *, names: tuple[str, ...] = ()) -> Address | None:
    """The proxy between us and *address*; None where there is none.

    Args:
        address: Where requests go.
        names: Kinds of proxy to ask for before that of the address's scheme.

    Raises:
        ValueError: There is one that cannot be used; the message says why.
    """
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - slow, and rarely needed

    proxies = getproxies()
    named = (proxies.get(name) for name in (*names, address.scheme, "all"))
    text = next(filter(None, named), None)
    if text is None or proxy_bypass(address.place):
        return None
    try:
        proxy = read_address(text)
    except ValueError as error:
        raise ValueError(f"invalid proxy address: {error}") from None
    if proxy.scheme != _SUPPORTED:
        raise ValueError("not an HTTP proxy: only http:// is supported")
    return proxy
