"""Run a module of CPython's own tests and print, as JSON, which of them failed.

python -m support.cpython_suite MODULE observed|plain [TEST...]
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import unittest

from otel_codomon.instrumentation import CodomonInstrumentor
from otel_codomon.testing import Recorder


def main(module_name: str, setting: str, wanted: list[str]) -> None:
    """Run all tests of the module, or those that are *wanted*."""
    module = importlib.import_module(module_name)
    recorder = Recorder()
    if setting == "observed":
        CodomonInstrumentor().instrument(
            tracer_provider=recorder.tracer_provider, meter_provider=recorder.meter_provider
        )
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(wanted) if wanted else loader.loadTestsFromModule(module)
    with open(os.devnull, "w") as sink:  # noqa: PTH123 - a stream
        result = unittest.TextTestRunner(stream=sink).run(suite)
    told = {
        "run": result.testsRun,
        "failed": sorted(test.id() for test, _ in result.failures + result.errors),
        "executions": len(recorder.executions()),
    }
    print(f"\n{json.dumps(told)}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
