"""Whether commands can be put inside bubblewrap here."""

from __future__ import annotations

import shutil
import subprocess


def _missing() -> str | None:
    if shutil.which("bwrap") is None:
        return "no bubblewrap here: install the package bubblewrap"
    tried = subprocess.run(
        ["bwrap", "--ro-bind", "/", "/", "--unshare-all", "true"], capture_output=True, check=False
    )
    return f"bubblewrap does not work here: {tried.stderr!r}" if tried.returncode else None


# Why not; None where they can.
MISSING = _missing()
