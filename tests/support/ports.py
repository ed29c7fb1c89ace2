"""Ports of loopback for servers of a test."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

_LOWEST: Final = 10_000
_USUAL_END: Final = 32_768
_given: Final[set[int]] = set()


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, each given once by this process.

    They lie below those that the kernel gives to whoever asks for any, so that
    none is gone, or is a client's, before its server listens.
    """
    chance = random.SystemRandom()  # the usual one begins anew with each test
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            one = held.enter_context(socket.socket())
            with suppress(OSError):  # somebody has it
                one.bind(("127.0.0.1", chance.randrange(_LOWEST, _end())))
                port = one.getsockname()[1]
                if port not in _given:
                    found.append(port)
                    _given.add(port)
    return found


def _end() -> int:
    """The first of the ports that the kernel gives by itself (ip(7)), if there is room below."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:  # no Linux
        return _USUAL_END
    return first if first > 2 * _LOWEST else _USUAL_END
