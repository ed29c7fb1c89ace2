"""The environment variables of this package, as `opentelemetry-instrument` reads them.

Each constant is also a flag of that command: the name in lower case, without
the ``OTEL_PYTHON_`` in front, as ``--codomon_journal``.
"""

from __future__ import annotations

OTEL_PYTHON_CODOMON_JOURNAL = "OTEL_PYTHON_CODOMON_JOURNAL"
"""Folder of the journal, or ``off`` for the plain SDK pipeline.

Default: ``$XDG_STATE_HOME/otel-codomon``.
"""

OTEL_PYTHON_CODOMON_DELIVER = "OTEL_PYTHON_CODOMON_DELIVER"
"""``true``: the journal delivers even though the providers are somebody else's.

Default: false, their exporters deliver.
"""

OTEL_PYTHON_CODOMON_DURABILITY = "OTEL_PYTHON_CODOMON_DURABILITY"
"""What a record survives: ``process`` (default), ``power`` or ``strict``."""

OTEL_PYTHON_CODOMON_EXIT_TIMEOUT = "OTEL_PYTHON_CODOMON_EXIT_TIMEOUT"
"""How long the end of the process waits for delivery at most, seconds. Default: 2."""

OTEL_PYTHON_CODOMON_SAMPLE_INTERVAL = "OTEL_PYTHON_CODOMON_SAMPLE_INTERVAL"
"""Time between two samples of a running execution, seconds. Default: 0.25."""

OTEL_PYTHON_CODOMON_SLOTS = "OTEL_PYTHON_CODOMON_SLOTS"
"""``true``: gauges get one series for each running execution, by slot. Default: false."""

OTEL_PYTHON_CODOMON_HOST_METRICS = "OTEL_PYTHON_CODOMON_HOST_METRICS"
"""``true``: ``system.*`` and ``process.*`` too, from one process of the host. Default: false."""

OTEL_PYTHON_CODOMON_TOOL_CALLS = "OTEL_PYTHON_CODOMON_TOOL_CALLS"
"""``true``: each call of a decorated function is a tool call of an agent. Default: false."""

OTEL_PYTHON_CODOMON_CONTROL = "OTEL_PYTHON_CODOMON_CONTROL"
"""What other processes of this user may ask of this one: ``clear`` its caches, or nothing."""

OTEL_PYTHON_CODOMON_CAPTURE = "OTEL_PYTHON_CODOMON_CAPTURE"
"""Texts that may leave, scrubbed: some of ``arguments,code,exception,output,output:logs``.

``output`` is attributes of the span, ``output:logs`` a log record for each line. Default: none.
"""

OTEL_PYTHON_CODOMON_EXECUTION_LOGS = "OTEL_PYTHON_CODOMON_EXECUTION_LOGS"
"""``true``: the start and the end of each execution are log records too. Default: false."""

OTEL_PYTHON_CODOMON_INSTRUMENT = "OTEL_PYTHON_CODOMON_INSTRUMENT"
"""What is observed in programs that nobody changes: some of ``caches,host,subprocess,os.system,
os.popen,os.posix_spawn,asyncio.subprocess``, ``none``, or ``-os.system`` for all but this.

Default: all of them.
"""

OTEL_PYTHON_CODOMON_EXCLUDED_PROGRAMS = "OTEL_PYTHON_CODOMON_EXCLUDED_PROGRAMS"
"""Programs that are not observed when they are started: globs with commas in between.

A glob is of the program's base name, as ``git*``, or of its path where it has a slash.
Default: none.
"""
