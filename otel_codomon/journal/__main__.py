"""A sender in a process of its own: ships what waits, and ends.

Started by processes that end too soon to do it themselves. Needs no terminal
and says nothing.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from otel_codomon.errors import CodomonError
from otel_codomon.journal.delivery.endpoints import endpoints
from otel_codomon.journal.delivery.sender import Sender
from otel_codomon.journal.writer import Writer

PATIENCE_SECONDS: Final = 30.0
"""How long a collector that is away is waited for; then the next process tries."""


def main(folder: str) -> int:
    """Ship the journal in *folder* to where the environment says."""
    os.chdir("/")  # nobody's folder is held by this
    try:
        writer = Writer(folder)
        sender = Sender(folder, endpoints(os.environ), writer=writer)
    except CodomonError:
        return 1
    # In its time: a thousand commands in a row must not export a thousand times.
    delivered = sender.flush(PATIENCE_SECONDS, is_urgent=False)
    sender.finish(1.0)
    writer.forget()
    return 0 if delivered else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
