"""The same trouble for the journal and for the stock pipeline: what each loses.

Three writers that are killed at random, and a collector that is down, slow,
redirects, resets and says 500 and 503. An execution counts as lost when its
call had returned and no collector has its span once all is well again.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.chaos import Chaos
from support.collector import Collector
from support.user_program import Program

SEED = 7


def main(seconds: float) -> None:
    """Print one line for each pipeline."""
    print(f"{'':<10} {'acknowledged':>12} {'lost':>8} {'':>7} {'copies':>8} {'corrupt':>8}")
    for name, journal in (("journal", {}), ("stock", {"OTEL_PYTHON_CODOMON_JOURNAL": "off"})):
        with tempfile.TemporaryDirectory() as temporary, Collector() as collector:
            environ = {**collector.environment(), **journal}
            verdict = Chaos(Program(Path(temporary), environ), collector, SEED, seconds).run()
        print(
            f"{name:<10} {verdict.acknowledged:>12} {len(verdict.lost):>8} "
            f"{len(verdict.lost) / max(1, verdict.acknowledged):>7.1%} {verdict.copies:>8} "
            f"{verdict.corrupt:>8}",
            flush=True,
        )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 25.0)
