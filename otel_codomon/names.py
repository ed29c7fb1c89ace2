"""Every span attribute, event and metric, with kind, unit and one sentence.

The only place that spells them. A row is made by `_attribute`, which returns
the plain string that call sites use, or is a `Metric`; the tables
`ATTRIBUTES` and `METRICS` hold them all, for documentation and tests. One file,
however long: a convention that moves a name is followed in one place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
SCOPE: Final = "otel_codomon"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the table of attributes.

    Attributes:
        key: The attribute's key.
        type: ``string``, ``int``, ``double``, ``boolean``, or ``T[]`` of one of them.
        unit: UCUM code of a number, None for what is not a quantity.
        description: One sentence.
        on_metrics: Whether its values are a closed or developer-chosen set, so
            that metrics may carry it too.
    """

    key: str
    type: str
    unit: str | None
    description: str
    on_metrics: bool = False


ATTRIBUTES: Final[dict[str, Attribute]] = {}


def _attribute(
    key: str, type_: str, unit: str | None, description: str, *, on_metrics: bool = False
) -> str:
    """Add a row to `ATTRIBUTES` and return its key."""
    if key in ATTRIBUTES:
        raise ValueError(f"cannot name attribute {key} twice: it has a row; use that one")
    ATTRIBUTES[key] = Attribute(key, type_, unit, description, on_metrics)
    return key


# --- the resource of the providers that we make ---------------------------------

RESOURCE_ATTRIBUTES: Final[dict[str, Attribute]] = {}


def _resource_attribute(key: str, description: str, *, on_metrics: bool, type_: str) -> str:
    """Add a row to `RESOURCE_ATTRIBUTES` and return its key."""
    RESOURCE_ATTRIBUTES[key] = Attribute(key, type_, None, description, on_metrics)
    return key


def _of_host(key: str, description: str) -> str:
    return _resource_attribute(key, description, on_metrics=True, type_="string")


def _of_process(key: str, description: str, type_: str = "string") -> str:
    return _resource_attribute(key, description, on_metrics=False, type_=type_)


HOST_NAME: Final = _of_host("host.name", "Name of the host; absent in a container.")
HOST_ID: Final = _of_host("host.id", "Its machine-id; absent in a container.")
HOST_ARCH: Final = _of_host("host.arch", "Its processor, as `amd64` or `arm64`.")
OS_TYPE: Final = _of_host("os.type", "Operating system, as `linux`.")
OS_VERSION: Final = _of_host("os.version", "Its version; of Linux the kernel's.")
PROCESS_PID: Final = _of_process(
    "process.pid", "Id of this process; of a forked child its own.", "int"
)
PROCESS_EXECUTABLE_NAME: Final = _of_process(
    "process.executable.name", "Base name of the file that this process runs."
)
PROCESS_RUNTIME_NAME: Final = _of_process(
    "process.runtime.name", "Implementation of Python, as `cpython`."
)
PROCESS_RUNTIME_VERSION: Final = _of_process("process.runtime.version", "Version of Python.")
PROCESS_RUNTIME_DESCRIPTION: Final = _of_process(
    "process.runtime.description", "Version of Python with its build and compiler."
)

# --- the execution -----------------------------------------------------------

EXECUTION_ID: Final = _attribute(
    "codomon.execution.id",
    "string",
    None,
    "Identifies one execution; on spans and log records, never on metrics.",
)
EXECUTION_NAME: Final = _attribute(
    "codomon.execution.name",
    "string",
    None,
    "What the developer calls this kind of execution.",
    on_metrics=True,
)
EXECUTION_KIND: Final = _attribute(
    "codomon.execution.kind",
    "string",
    None,
    "What is executed: function, command, snippet, cell or task.",
    on_metrics=True,
)
EXECUTION_LANGUAGE: Final = _attribute(
    "codomon.execution.language",
    "string",
    None,
    "Programming language of the code that runs.",
    on_metrics=True,
)
EXECUTION_OUTCOME: Final = _attribute(
    "codomon.execution.outcome",
    "string",
    None,
    "How the execution ended.",
    on_metrics=True,
)
SANDBOX_TYPE: Final = _attribute(
    "codomon.sandbox.type",
    "string",
    None,
    "What separates the code from its host: none, process, bubblewrap, container or remote.",
    on_metrics=True,
)
SESSION_ID: Final = _attribute(
    "session.id", "string", None, "The caller's session that asked for it."
)
EXECUTION_SESSION_ID: Final = _attribute(
    "codomon.execution.session.id",
    "string",
    None,
    "Copy of `session.id`, for one release: use that one.",
)
EXECUTION_TIMEOUT: Final = _attribute(
    "codomon.execution.timeout", "double", "s", "Longest time the execution was given."
)
EXECUTION_SIGNAL: Final = _attribute(
    "codomon.execution.signal", "string", None, "Name of the signal that ended the command."
)
EXECUTION_SLOT: Final = _attribute(
    "codomon.execution.slot",
    "int",
    None,
    "Small number of a running execution, used again when it ends; opt-in.",
    on_metrics=True,
)
LIMIT_MEMORY: Final = _attribute(
    "codomon.execution.limit.memory", "int", "By", "Memory the execution was allowed."
)
LIMIT_CPU: Final = _attribute(
    "codomon.execution.limit.cpu", "double", "s", "CPU time the execution was allowed."
)
LIMIT_PROCESSES: Final = _attribute(
    "codomon.execution.limit.processes", "int", "{process}", "Processes it was allowed at once."
)
LIMIT_FILE_SIZE: Final = _attribute(
    "codomon.execution.limit.file_size", "int", "By", "Largest file it was allowed to write."
)
LIMIT_OPEN_FILES: Final = _attribute(
    "codomon.execution.limit.open_files", "int", "{file}", "Files it was allowed to hold open."
)
LIMIT_DISK: Final = _attribute(
    "codomon.execution.limit.disk", "int", "By", "Disk the execution was allowed to add."
)
LIMIT_OUTPUT: Final = _attribute(
    "codomon.execution.limit.output", "int", "By", "Output that was kept of each stream."
)
CODE_SIZE: Final = _attribute("codomon.code.size", "int", "By", "Size of the source text.")
CODE_SHA256: Final = _attribute(
    "codomon.code.sha256", "string", None, "SHA-256 of the source text, hexadecimal."
)
ERROR_REASON: Final = _attribute(
    "codomon.execution.reason",
    "string",
    None,
    "Why an execution ended as it did, in words of this package.",
)
CLEANUP_LEFT: Final = _attribute(
    "codomon.cleanup.left",
    "string",
    None,
    "What remains of the private directory of an execution, and why; absent when nothing does.",
)

# --- what it used ------------------------------------------------------------

USAGE_SOURCE: Final = _attribute(
    "codomon.usage.source",
    "string",
    None,
    "How the totals were measured: cgroup, process_tree or thread.",
)
USAGE_CPU_TIME: Final = _attribute(
    "codomon.usage.cpu.time", "double", "s", "CPU time of the whole execution."
)
USAGE_CPU_USER_TIME: Final = _attribute(
    "codomon.usage.cpu.user_time", "double", "s", "CPU time in user mode."
)
USAGE_CPU_SYSTEM_TIME: Final = _attribute(
    "codomon.usage.cpu.system_time", "double", "s", "CPU time in the kernel."
)
USAGE_CPU_THROTTLED_TIME: Final = _attribute(
    "codomon.usage.cpu.throttled_time", "double", "s", "Time its cgroup was held back by a quota."
)
USAGE_MEMORY_PEAK: Final = _attribute(
    "codomon.usage.memory.peak", "int", "By", "Most memory that was seen in use at one instant."
)
USAGE_MEMORY_PEAK_UPPER: Final = _attribute(
    "codomon.usage.memory.peak.upper",
    "int",
    "By",
    "Sum of the peaks of the processes, which need not coincide: an upper bound.",
)
USAGE_MEMORY_CACHE: Final = _attribute(
    "codomon.usage.memory.cache", "int", "By", "Most page cache that was seen in its cgroup."
)
USAGE_DISK_READ: Final = _attribute(
    "codomon.usage.disk.read", "int", "By", "Bytes read from storage."
)
USAGE_DISK_WRITE: Final = _attribute(
    "codomon.usage.disk.write", "int", "By", "Bytes written to storage."
)
USAGE_PROCESSES: Final = _attribute(
    "codomon.usage.processes", "int", "{process}", "Processes that were seen."
)
USAGE_SWITCHES_VOLUNTARY: Final = _attribute(
    "codomon.usage.context_switches.voluntary", "int", "{switch}", "Times it waited."
)
USAGE_SWITCHES_INVOLUNTARY: Final = _attribute(
    "codomon.usage.context_switches.involuntary", "int", "{switch}", "Times it was preempted."
)
USAGE_FAULTS_MAJOR: Final = _attribute(
    "codomon.usage.page_faults.major", "int", "{fault}", "Page faults that needed storage."
)
USAGE_FAULTS_MINOR: Final = _attribute(
    "codomon.usage.page_faults.minor", "int", "{fault}", "Page faults that needed none."
)
USAGE_SAMPLES: Final = _attribute(
    "codomon.usage.samples", "int", "{sample}", "Samples that were taken while it ran."
)
USAGE_FINAL: Final = _attribute(
    "codomon.usage.final",
    "boolean",
    None,
    "False where the last totals could not be read, and the last sample stands.",
)
USAGE_ABSENT_REASON: Final = _attribute(
    "codomon.usage.absent.reason",
    "string",
    None,
    "Why CPU time, or CPU time and memory, are absent.",
)
USAGE_CURVE_TIME: Final = _attribute(
    "codomon.usage.curve.time", "double[]", "s", "Instants of the curve, since the start."
)
USAGE_CURVE_CPU: Final = _attribute(
    "codomon.usage.curve.cpu", "double[]", "{cpu}", "Cores in use at each instant of the curve."
)
USAGE_CURVE_MEMORY: Final = _attribute(
    "codomon.usage.curve.memory", "int[]", "By", "Memory in use at each instant of the curve."
)
STDOUT_SIZE: Final = _attribute(
    "codomon.output.stdout.size", "int", "By", "Bytes that were written to standard output."
)
STDERR_SIZE: Final = _attribute(
    "codomon.output.stderr.size", "int", "By", "Bytes that were written to standard error."
)
OUTPUT_TRUNCATED: Final = _attribute(
    "codomon.output.truncated", "boolean", None, "Whether more was written than was kept."
)

CODE_TEXT: Final = _attribute(
    "codomon.code.text", "string", None, "The source text, scrubbed; only when asked for."
)
STDOUT_TEXT: Final = _attribute(
    "codomon.output.stdout.text", "string", None, "Output, scrubbed; only when asked for."
)
STDERR_TEXT: Final = _attribute(
    "codomon.output.stderr.text", "string", None, "Error output, scrubbed; only when asked for."
)

# --- calls of tools, in the words of the GenAI conventions ----------------------

GEN_AI_OPERATION_NAME: Final = _attribute(
    "gen_ai.operation.name", "string", None, "`execute_tool`: the execution is a tool call."
)
GEN_AI_TOOL_NAME: Final = _attribute(
    "gen_ai.tool.name", "string", None, "Name of the tool that an agent called."
)
GEN_AI_TOOL_CALL_ID: Final = _attribute(
    "gen_ai.tool.call.id", "string", None, "The id that the model gave the call."
)
GEN_AI_TOOL_TYPE: Final = _attribute(
    "gen_ai.tool.type", "string", None, "What the tool is: function, extension or datastore."
)
GEN_AI_TOOL_CALL_ARGUMENTS: Final = _attribute(
    "gen_ai.tool.call.arguments",
    "string",
    None,
    "Arguments of the call as JSON, scrubbed; only when asked for.",
)
GEN_AI_TOOL_CALL_RESULT: Final = _attribute(
    "gen_ai.tool.call.result",
    "string",
    None,
    "What the call returned, scrubbed; only when asked for.",
)
GEN_AI_CONVERSATION_ID: Final = _attribute(
    "gen_ai.conversation.id", "string", None, "The session of a tool call, as `session.id`."
)
LOG_IOSTREAM: Final = _attribute(
    "log.iostream",
    "string",
    None,
    "Of a log record, the stream that the line was written to: stdout or stderr.",
)
OUTPUT_LOGS_DROPPED: Final = _attribute(
    "codomon.output.logs.dropped",
    "int",
    "{line}",
    "Lines of output beyond the bounds, for which there is no log record.",
)

# --- events ------------------------------------------------------------------

EVENT_EXECUTION_STARTED: Final = "codomon.execution.started"
EVENT_EXECUTION_ENDED: Final = "codomon.execution.ended"

EVENT_LIMIT_REACHED: Final = "codomon.limit.reached"
EVENT_THRESHOLD_CROSSED: Final = "codomon.threshold.crossed"
LIMIT_TYPE: Final = _attribute(
    "codomon.limit.type",
    "string",
    None,
    "Which limit or threshold; on a span the limit that it ran into.",
    on_metrics=True,
)
LIMIT_VALUE: Final = _attribute(
    "codomon.limit.value", "double", None, "Where the limit or threshold was."
)
LIMIT_SEEN: Final = _attribute("codomon.limit.seen", "double", None, "What was seen.")

# --- caches and journal ------------------------------------------------------

CACHE_NAME: Final = _attribute(
    "codomon.cache.name", "string", None, "What the developer calls the cache.", on_metrics=True
)
CACHE_KIND: Final = _attribute(
    "codomon.cache.kind", "string", None, "The adapter that reads the cache.", on_metrics=True
)
CACHE_RESULT: Final = _attribute(
    "codomon.cache.result", "string", None, "How a lookup ended: hit or miss.", on_metrics=True
)
CACHE_ESTIMATED: Final = _attribute(
    "codomon.cache.estimated",
    "boolean",
    None,
    "True where the number is a bound or an estimate; absent where it was counted.",
    on_metrics=True,
)
JOURNAL_FATE: Final = _attribute(
    "codomon.journal.fate",
    "string",
    None,
    "What became of a record: written, unwritten, delivered, rejected, evicted or quarantined.",
    on_metrics=True,
)
JOURNAL_SIGNAL: Final = _attribute(
    "codomon.journal.signal",
    "string",
    None,
    "Signal of a record: traces or metrics.",
    on_metrics=True,
)

# --- the conventions' own, spelled here so that one file spells all ----------

_attribute(PROCESS_PID, "int", None, "Process id of the command.")
_attribute(
    PROCESS_EXECUTABLE_NAME,
    "string",
    None,
    "Base name of the file that the command runs; of a script its interpreter.",
)
PROCESS_COMMAND_ARGS: Final = _attribute(
    "process.command_args", "string[]", None, "The command's arguments; only when asked for."
)
PROCESS_EXIT_CODE: Final = _attribute(
    "process.exit.code", "int", None, "Exit code of the command; 128+n for signal n."
)
CONTAINER_ID: Final = _attribute("container.id", "string", None, "The container it ran in.")
CODE_FUNCTION_NAME: Final = _attribute(
    "code.function.name", "string", None, "Fully qualified name of the function."
)
CODE_FILE_PATH: Final = _attribute("code.file.path", "string", None, "File of the function.")
CODE_LINE_NUMBER: Final = _attribute("code.line.number", "int", None, "Line of the function.")
EVENT_EXCEPTION: Final = "exception"
EXCEPTION_TYPE: Final = _attribute(
    "exception.type", "string", None, "Class of the exception it ended with."
)
EXCEPTION_MESSAGE: Final = _attribute(
    "exception.message", "string", None, "Its text, scrubbed; only when asked for."
)
EXCEPTION_STACKTRACE: Final = _attribute(
    "exception.stacktrace", "string", None, "Where it came from, scrubbed; only when asked for."
)
ERROR_TYPE: Final = _attribute(
    "error.type", "string", None, "Class of error it ended with.", on_metrics=True
)
DISK_IO_DIRECTION: Final = _attribute(
    "disk.io.direction", "string", None, "Which way: read or write.", on_metrics=True
)
CPU_MODE: Final = _attribute(
    "cpu.mode", "string", None, "What a core spent its time with.", on_metrics=True
)
NETWORK_INTERFACE_NAME: Final = _attribute(
    "network.interface.name", "string", None, "Name of a network interface.", on_metrics=True
)
NETWORK_IO_DIRECTION: Final = _attribute(
    "network.io.direction", "string", None, "Which way: receive or transmit.", on_metrics=True
)
PROCESS_CONTEXT_SWITCH_TYPE: Final = _attribute(
    "process.context_switch.type",
    "string",
    None,
    "Whether a thread waited (voluntary) or was preempted (involuntary).",
    on_metrics=True,
)
SYSTEM_DEVICE: Final = _attribute(
    "system.device", "string", None, "Name of a device.", on_metrics=True
)
SYSTEM_MEMORY_STATE: Final = _attribute(
    "system.memory.state",
    "string",
    None,
    "What memory is used for: used, free, buffers or cached.",
    on_metrics=True,
)
SYSTEM_MEMORY_SLAB_STATE: Final = _attribute(
    "system.memory.linux.slab.state",
    "string",
    None,
    "Whether the kernel can drop it: reclaimable or unreclaimable.",
    on_metrics=True,
)
SYSTEM_PAGING_STATE: Final = _attribute(
    "system.paging.state", "string", None, "Whether swap is used or free.", on_metrics=True
)
SYSTEM_PAGING_FAULT_TYPE: Final = _attribute(
    "system.paging.fault.type",
    "string",
    None,
    "Whether a page fault had to wait for storage (major) or not (minor).",
    on_metrics=True,
)
SYSTEM_PAGING_DIRECTION: Final = _attribute(
    "system.paging.direction", "string", None, "From swap (in) or to it (out).", on_metrics=True
)
SYSTEM_FILESYSTEM_STATE: Final = _attribute(
    "system.filesystem.state",
    "string",
    None,
    "What space is: used, free for every user, or reserved for root.",
    on_metrics=True,
)
SYSTEM_FILESYSTEM_TYPE: Final = _attribute(
    "system.filesystem.type", "string", None, "Kind of file system.", on_metrics=True
)
SYSTEM_FILESYSTEM_MODE: Final = _attribute(
    "system.filesystem.mode", "string", None, "How it is mounted: rw or ro.", on_metrics=True
)
SYSTEM_FILESYSTEM_MOUNTPOINT: Final = _attribute(
    "system.filesystem.mountpoint", "string", None, "Where it is mounted.", on_metrics=True
)


class Instrument(str, Enum):
    """Kinds of OpenTelemetry instruments that are used."""

    COUNTER = "Counter"
    GAUGE = "Gauge"
    HISTOGRAM = "Histogram"
    OBSERVABLE_COUNTER = "ObservableCounter"
    OBSERVABLE_GAUGE = "ObservableGauge"
    OBSERVABLE_UP_DOWN_COUNTER = "ObservableUpDownCounter"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table of metrics.

    Attributes:
        name: Metric name, dots between words, no unit in it.
        instrument: Kind of instrument.
        unit: UCUM code.
        description: One sentence a dashboard can show.
        attributes: Keys its points may carry.
        boundaries: Buckets of a histogram, in *unit*; empty for the rest.
    """

    name: str
    instrument: Instrument
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    boundaries: tuple[float, ...] = field(default=())


_MIB: Final = 1024 * 1024
DURATION_BOUNDARIES: Final = (
    *(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
)
# Powers of four from 1 MiB to 16 GiB.
BYTES_BOUNDARIES: Final = tuple(float(_MIB * 4**power) for power in range(8))

_EXECUTION: Final = (EXECUTION_NAME, EXECUTION_KIND, EXECUTION_LANGUAGE, SANDBOX_TYPE)
_LIVE: Final = (*_EXECUTION, EXECUTION_SLOT)
_ENDED: Final = (*_EXECUTION, EXECUTION_OUTCOME)
_CACHE: Final = (CACHE_NAME, CACHE_KIND, CACHE_ESTIMATED)

EXECUTION_DURATION: Final = Metric(
    "codomon.execution.duration",
    Instrument.HISTOGRAM,
    "s",
    "How long executions took.",
    (*_ENDED, ERROR_TYPE),
    DURATION_BOUNDARIES,
)
EXECUTION_CPU_TIME: Final = Metric(
    "codomon.execution.cpu.time",
    Instrument.HISTOGRAM,
    "s",
    "CPU time that executions used.",
    _ENDED,
    DURATION_BOUNDARIES,
)
EXECUTION_MEMORY_PEAK: Final = Metric(
    "codomon.execution.memory.peak",
    Instrument.HISTOGRAM,
    "By",
    "Most memory that executions used at one instant.",
    _ENDED,
    BYTES_BOUNDARIES,
)
EXECUTION_DISK_IO: Final = Metric(
    "codomon.execution.disk.io",
    Instrument.COUNTER,
    "By",
    "Bytes that finished executions moved from and to storage.",
    (*_EXECUTION, DISK_IO_DIRECTION),
)
EXECUTION_LIMIT_REACHED: Final = Metric(
    "codomon.execution.limit.reached",
    Instrument.COUNTER,
    "{event}",
    "Times an execution ran into one of its limits.",
    (*_EXECUTION, LIMIT_TYPE),
)
EXECUTION_ACTIVE: Final = Metric(
    "codomon.execution.active",
    Instrument.OBSERVABLE_GAUGE,
    "{execution}",
    "Executions that run now.",
    _LIVE,
)
EXECUTION_CPU_USAGE: Final = Metric(
    "codomon.execution.cpu.usage",
    Instrument.OBSERVABLE_GAUGE,
    "{cpu}",
    "Cores that running executions keep busy now.",
    _LIVE,
)
EXECUTION_CPU_UTILIZATION: Final = Metric(
    "codomon.execution.cpu.utilization",
    Instrument.OBSERVABLE_GAUGE,
    "1",
    "Share of the cores available to them that running executions keep busy.",
    _LIVE,
)
EXECUTION_MEMORY_USAGE: Final = Metric(
    "codomon.execution.memory.usage",
    Instrument.OBSERVABLE_GAUGE,
    "By",
    "Memory that running executions hold now.",
    _LIVE,
)
EXECUTION_MEMORY_UTILIZATION: Final = Metric(
    "codomon.execution.memory.utilization",
    Instrument.OBSERVABLE_GAUGE,
    "1",
    "Share of the memory limit that applies to them that running executions hold.",
    _LIVE,
)
EXECUTION_PROCESS_COUNT: Final = Metric(
    "codomon.execution.process.count",
    Instrument.OBSERVABLE_GAUGE,
    "{process}",
    "Living processes of running executions.",
    _LIVE,
)
EXECUTION_THREAD_COUNT: Final = Metric(
    "codomon.execution.thread.count",
    Instrument.OBSERVABLE_GAUGE,
    "{thread}",
    "Threads of the processes of running executions.",
    _LIVE,
)
EXECUTION_FILE_DESCRIPTOR_COUNT: Final = Metric(
    "codomon.execution.file_descriptor.count",
    Instrument.OBSERVABLE_GAUGE,
    "{file_descriptor}",
    "File descriptors that running executions hold open.",
    _LIVE,
)
EXECUTION_DISK_RATE: Final = Metric(
    "codomon.execution.disk.rate",
    Instrument.OBSERVABLE_GAUGE,
    "By/s",
    "Bytes per second that running executions move from and to storage.",
    (*_LIVE, DISK_IO_DIRECTION),
)
CACHE_REQUESTS: Final = Metric(
    "codomon.cache.requests",
    Instrument.OBSERVABLE_COUNTER,
    "{request}",
    "Lookups in a cache, by how they ended.",
    (*_CACHE, CACHE_RESULT),
)
CACHE_EVICTIONS: Final = Metric(
    "codomon.cache.evictions",
    Instrument.OBSERVABLE_COUNTER,
    "{entry}",
    "Entries a cache dropped to make room.",
    _CACHE,
)
CACHE_EXPIRATIONS: Final = Metric(
    "codomon.cache.expirations",
    Instrument.OBSERVABLE_COUNTER,
    "{entry}",
    "Entries a cache dropped because they were too old.",
    _CACHE,
)
CACHE_CLEARS: Final = Metric(
    "codomon.cache.clears",
    Instrument.OBSERVABLE_COUNTER,
    "{clear}",
    "Times a cache was emptied.",
    _CACHE,
)
CACHE_ENTRIES: Final = Metric(
    "codomon.cache.entries",
    Instrument.OBSERVABLE_GAUGE,
    "{entry}",
    "Entries in a cache now.",
    _CACHE,
)
CACHE_CAPACITY: Final = Metric(
    "codomon.cache.capacity",
    Instrument.OBSERVABLE_GAUGE,
    "{entry}",
    "Most entries a cache will hold.",
    _CACHE,
)
CACHE_SIZE: Final = Metric(
    "codomon.cache.size",
    Instrument.OBSERVABLE_GAUGE,
    "By",
    "Memory or storage the entries of a cache take.",
    _CACHE,
)
JOURNAL_RECORDS: Final = Metric(
    "codomon.journal.records",
    Instrument.OBSERVABLE_COUNTER,
    "{record}",
    "Records of the journal, by what became of them.",
    (JOURNAL_FATE,),
)
JOURNAL_BACKLOG: Final = Metric(
    "codomon.journal.backlog",
    Instrument.OBSERVABLE_GAUGE,
    "By",
    "Records of the journal that wait to be delivered.",
    (JOURNAL_SIGNAL,),
)
SAMPLER_DURATION: Final = Metric(
    "codomon.sampler.duration",
    Instrument.HISTOGRAM,
    "s",
    "How long one look at all running executions took.",
    (),
    (0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
)

# --- the conventions' own metrics of a host and of this process, opt-in ---------

_COUNTER: Final = Instrument.OBSERVABLE_COUNTER
_GAUGE: Final = Instrument.OBSERVABLE_GAUGE
_UP_DOWN: Final = Instrument.OBSERVABLE_UP_DOWN_COUNTER
_FILESYSTEM: Final = (
    SYSTEM_DEVICE,
    SYSTEM_FILESYSTEM_MODE,
    SYSTEM_FILESYSTEM_MOUNTPOINT,
    SYSTEM_FILESYSTEM_TYPE,
)

SYSTEM_UPTIME: Final = Metric("system.uptime", _GAUGE, "s", "Time since the host started.")
SYSTEM_CPU_LOGICAL_COUNT: Final = Metric(
    "system.cpu.logical.count",
    _UP_DOWN,
    "{cpu}",
    "Cores that are switched on, threads of a core counted apart.",
)
SYSTEM_CPU_PHYSICAL_COUNT: Final = Metric(
    "system.cpu.physical.count", _UP_DOWN, "{cpu}", "Cores of the hardware."
)
SYSTEM_CPU_TIME: Final = Metric(
    "system.cpu.time", _COUNTER, "s", "Time all cores together spent in each mode.", (CPU_MODE,)
)
SYSTEM_CPU_UTILIZATION: Final = Metric(
    "system.cpu.utilization",
    _GAUGE,
    "1",
    "Share of the time of all cores that went to each mode.",
    (CPU_MODE,),
)
SYSTEM_MEMORY_LIMIT: Final = Metric("system.memory.limit", _UP_DOWN, "By", "Memory the host has.")
SYSTEM_MEMORY_USAGE: Final = Metric(
    "system.memory.usage",
    _UP_DOWN,
    "By",
    "Memory of the host by what it is used for.",
    (SYSTEM_MEMORY_STATE,),
)
SYSTEM_MEMORY_UTILIZATION: Final = Metric(
    "system.memory.utilization",
    _GAUGE,
    "1",
    "Share of the memory of the host by what it is used for.",
    (SYSTEM_MEMORY_STATE,),
)
SYSTEM_MEMORY_AVAILABLE: Final = Metric(
    "system.memory.linux.available",
    _UP_DOWN,
    "By",
    "Memory that programs could still have without swapping.",
)
SYSTEM_MEMORY_SHARED: Final = Metric(
    "system.memory.linux.shared", _UP_DOWN, "By", "Shared memory and files in memory."
)
SYSTEM_MEMORY_SLAB_USAGE: Final = Metric(
    "system.memory.linux.slab.usage",
    _UP_DOWN,
    "By",
    "Memory of the kernel's own structures.",
    (SYSTEM_MEMORY_SLAB_STATE,),
)
SYSTEM_PAGING_USAGE: Final = Metric(
    "system.paging.usage",
    _UP_DOWN,
    "By",
    "Swap by whether it is used.",
    (SYSTEM_PAGING_STATE,),
)
SYSTEM_PAGING_UTILIZATION: Final = Metric(
    "system.paging.utilization",
    _GAUGE,
    "1",
    "Share of the swap by whether it is used.",
    (SYSTEM_PAGING_STATE,),
)
SYSTEM_PAGING_FAULTS: Final = Metric(
    "system.paging.faults",
    _COUNTER,
    "{fault}",
    "Page faults of all processes.",
    (SYSTEM_PAGING_FAULT_TYPE,),
)
SYSTEM_PAGING_OPERATIONS: Final = Metric(
    "system.paging.operations",
    _COUNTER,
    "{operation}",
    "Pages fetched from swap and put there.",
    (SYSTEM_PAGING_DIRECTION,),
)
SYSTEM_DISK_IO: Final = Metric(
    "system.disk.io", _COUNTER, "By", "Bytes that disks moved.", (SYSTEM_DEVICE, DISK_IO_DIRECTION)
)
SYSTEM_DISK_OPERATIONS: Final = Metric(
    "system.disk.operations",
    _COUNTER,
    "{operation}",
    "Reads and writes that disks completed.",
    (SYSTEM_DEVICE, DISK_IO_DIRECTION),
)
SYSTEM_DISK_MERGED: Final = Metric(
    "system.disk.merged",
    _COUNTER,
    "{operation}",
    "Reads and writes that went together with a neighbour.",
    (SYSTEM_DEVICE, DISK_IO_DIRECTION),
)
SYSTEM_DISK_OPERATION_TIME: Final = Metric(
    "system.disk.operation_time",
    _COUNTER,
    "s",
    "Sum of the times that reads and writes took.",
    (SYSTEM_DEVICE, DISK_IO_DIRECTION),
)
SYSTEM_DISK_IO_TIME: Final = Metric(
    "system.disk.io_time",
    _COUNTER,
    "s",
    "Time during which a disk had anything to do.",
    (SYSTEM_DEVICE,),
)
SYSTEM_FILESYSTEM_USAGE: Final = Metric(
    "system.filesystem.usage",
    _UP_DOWN,
    "By",
    "Space of a file system by what it is.",
    (*_FILESYSTEM, SYSTEM_FILESYSTEM_STATE),
)
SYSTEM_FILESYSTEM_UTILIZATION: Final = Metric(
    "system.filesystem.utilization",
    _GAUGE,
    "1",
    "Share of the space of a file system by what it is.",
    (*_FILESYSTEM, SYSTEM_FILESYSTEM_STATE),
)
SYSTEM_FILESYSTEM_LIMIT: Final = Metric(
    "system.filesystem.limit", _UP_DOWN, "By", "Size of a file system.", _FILESYSTEM
)
SYSTEM_NETWORK_IO: Final = Metric(
    "system.network.io",
    _COUNTER,
    "By",
    "Bytes that went through network interfaces.",
    (NETWORK_INTERFACE_NAME, NETWORK_IO_DIRECTION),
)
SYSTEM_NETWORK_PACKETS: Final = Metric(
    "system.network.packet.count",
    _COUNTER,
    "{packet}",
    "Packets that went through network interfaces.",
    (SYSTEM_DEVICE, NETWORK_IO_DIRECTION),
)
SYSTEM_NETWORK_DROPPED: Final = Metric(
    "system.network.packet.dropped",
    _COUNTER,
    "{packet}",
    "Packets that were thrown away without an error.",
    (NETWORK_INTERFACE_NAME, NETWORK_IO_DIRECTION),
)
SYSTEM_NETWORK_ERRORS: Final = Metric(
    "system.network.errors",
    _COUNTER,
    "{error}",
    "Packets that had an error.",
    (NETWORK_INTERFACE_NAME, NETWORK_IO_DIRECTION),
)
PROCESS_UPTIME: Final = Metric("process.uptime", _GAUGE, "s", "Time since this process started.")
PROCESS_CPU_TIME: Final = Metric(
    "process.cpu.time", _COUNTER, "s", "CPU time of this process in each mode.", (CPU_MODE,)
)
PROCESS_CPU_UTILIZATION: Final = Metric(
    "process.cpu.utilization",
    _GAUGE,
    "1",
    "CPU time of this process by time and by cores it may use.",
    (CPU_MODE,),
)
PROCESS_MEMORY_USAGE: Final = Metric(
    "process.memory.usage", _UP_DOWN, "By", "Memory of this process that is in use."
)
PROCESS_MEMORY_UTILIZATION: Final = Metric(
    "process.memory.utilization",
    _GAUGE,
    "1",
    "Share of the memory of the host that this process uses.",
)
PROCESS_MEMORY_VIRTUAL: Final = Metric(
    "process.memory.virtual", _UP_DOWN, "By", "Address space that this process has asked for."
)
PROCESS_DISK_IO: Final = Metric(
    "process.disk.io",
    _COUNTER,
    "By",
    "Bytes that this process fetched from storage and sent there.",
    (DISK_IO_DIRECTION,),
)
PROCESS_THREAD_COUNT: Final = Metric(
    "process.thread.count", _UP_DOWN, "{thread}", "Threads of this process."
)
PROCESS_FILE_DESCRIPTORS: Final = Metric(
    "process.unix.file_descriptor.count",
    _UP_DOWN,
    "{file_descriptor}",
    "File descriptors that this process holds open.",
)
PROCESS_HANDLES: Final = Metric(
    "process.windows.handle.count", _UP_DOWN, "{handle}", "Handles that this process holds."
)
PROCESS_CONTEXT_SWITCHES: Final = Metric(
    "process.context_switches",
    _COUNTER,
    "{context_switch}",
    "Times a thread of this process gave up the CPU or lost it.",
    (PROCESS_CONTEXT_SWITCH_TYPE,),
)
PROCESS_PAGING_FAULTS: Final = Metric(
    "process.paging.faults",
    _COUNTER,
    "{fault}",
    "Page faults of this process.",
    (SYSTEM_PAGING_FAULT_TYPE,),
)

METRICS: Final[dict[str, Metric]] = {
    row.name: row for row in tuple(globals().values()) if isinstance(row, Metric)
}
