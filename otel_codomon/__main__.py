"""``python -m otel_codomon``: the same as the command ``otel-codomon``."""

from __future__ import annotations

import sys

from otel_codomon.cli import main

if __name__ == "__main__":
    sys.exit(main())
