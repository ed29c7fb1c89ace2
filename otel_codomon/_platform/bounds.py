"""Between which numbers a limit or a time means anything.

Imports nothing: `otel-codomon run` checks them before it starts its command.
"""

from __future__ import annotations

# Thirty years. Above, the clocks and timers of some system overflow.
LONGEST_SECONDS = 1e9
# What the kernel's counters and an integer attribute of a span can hold.
LARGEST = 2**63 - 1
# No program starts with less: a smaller number was meant in another unit.
LEAST_MEMORY_BYTES = 1024**2
# As many as Linux numbers (PID_MAX_LIMIT), and as many as one process can open there.
MOST_PROCESSES = 2**22
MOST_OPEN_FILES = 2**31 - 1
