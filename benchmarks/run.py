"""``make bench``: run every ``benchmarks/bench_*.py`` in a process of its own.

Each of them prints its tables when run; name some to run only these.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main(wanted: list[str]) -> int:
    """Run the benchmarks whose names contain one of *wanted*, or all."""
    failed = 0
    for script in sorted(Path(__file__).parent.glob("bench_*.py")):
        if not wanted or any(word in script.stem for word in wanted):
            module = f"benchmarks.{script.stem}"
            failed += subprocess.run([sys.executable, "-m", module], check=False).returncode != 0
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
