"""Send and receive descriptors through a socket (``SCM_RIGHTS``, unix(7)).

Imports only what the interpreter has loaded or built in: a command waits for it.
"""

from __future__ import annotations

import _socket
import sys

TYPE_CHECKING = False  # typing alone would double the time to start
if TYPE_CHECKING:
    from collections.abc import Sequence

_INT_BYTES = 4
MOST_DESCRIPTORS = 8
_SPACE_BYTES = _socket.CMSG_SPACE(MOST_DESCRIPTORS * _INT_BYTES)


def send_descriptors(
    end: _socket.socket, data: bytes, descriptors: Sequence[int], *, flags: int = 0
) -> None:
    """Send *data*, which is not empty, and *descriptors* in one message."""
    numbers = b"".join(number.to_bytes(_INT_BYTES, sys.byteorder) for number in descriptors)
    end.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)], flags)


def receive_descriptors(end: _socket.socket, most_bytes: int) -> tuple[bytes, list[int]]:
    """The next message and its descriptors, which no program that is started inherits."""
    data, ancillary, _, _ = end.recvmsg(most_bytes, _SPACE_BYTES, _socket.MSG_CMSG_CLOEXEC)
    found: list[int] = []
    for level, kind, numbers in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            whole = len(numbers) - len(numbers) % _INT_BYTES
            found += memoryview(numbers[:whole]).cast("i").tolist()
    return data, found
