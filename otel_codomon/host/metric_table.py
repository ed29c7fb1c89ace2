"""The metrics of a host and of this process: one row for each, and where its values are."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from otel_codomon import names
from otel_codomon.host.sample import CPU_MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from otel_codomon.host.rates import CpuShares, OwnRates
    from otel_codomon.host.sample import HostSample, OwnSample

    Attributes = dict[str, str]
    Point = tuple[float, Attributes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All that one collection tells.

    Attributes:
        host: The host; None where another process tells it.
        shares: How its cores spent the time since the collection before; None
            the first time.
        own: This process.
        own_rates: What it used since the collection before; None the first time.
    """

    host: HostSample | None
    shares: CpuShares | None
    own: OwnSample
    own_rates: OwnRates | None


class Row:
    """One metric and where its values are.

    Args:
        metric: Name, instrument, unit and sentence.
        subjects: What it is told of: one value, or one for each device.
        values: Field of the subject -> attributes of the point it makes.
        describe: Attributes that each point of a subject has, the name of the
            device among them; None where the points' own are all.
        whole: Field that the values are divided by; None where they are not.
    """

    __slots__ = ("_attributes", "_describe", "_read", "_subjects", "_whole", "metric")

    def __init__(
        self,
        metric: names.Metric,
        subjects: Callable[[Reading], Iterable[Any]],
        values: Mapping[str, Attributes | None],
        describe: Callable[[Any], Attributes] | None = None,
        *,
        whole: str | None = None,
    ) -> None:
        self.metric = metric
        self._subjects = subjects
        self._read = tuple(attrgetter(name) for name in values)
        self._attributes = tuple(values.values())
        self._describe = describe
        self._whole = None if whole is None else attrgetter(whole)

    def points(self, reading: Reading) -> Iterator[Point]:
        """Each value that could be told, with its attributes."""
        for subject in self._subjects(reading):
            whole = 1 if self._whole is None else self._whole(subject)
            if not whole:
                continue
            common = None if self._describe is None else self._describe(subject)
            for read, own in zip(self._read, self._attributes, strict=True):
                value = read(subject)
                if value is not None:
                    attributes = {**common, **own} if common and own else common or own
                    yield value if self._whole is None else value / whole, attributes


def _one(path: str) -> Callable[[Reading], Iterable[Any]]:
    """What is at *path* of a reading, if all on the way there is known."""
    steps = path.split(".")

    def subjects(reading: Reading) -> Iterable[Any]:
        found: Any = reading
        for step in steps:
            found = getattr(found, step)
            if found is None:
                return ()
        return (found,)

    return subjects


def _each(of_host: str) -> Callable[[Reading], Iterable[Any]]:
    """The devices that are listed in that field of the host."""
    get = attrgetter(of_host)

    def subjects(reading: Reading) -> Iterable[Any]:
        found: Iterable[Any] = () if reading.host is None else get(reading.host)
        return found

    return subjects


def _linux_memory(reading: Reading) -> Iterable[Any]:
    """Memory of Linux: these metrics have its name in theirs."""
    return _MEMORY(reading) if reading.host and reading.host.platform == "linux" else ()


def _only(field_name: str) -> Mapping[str, Attributes | None]:
    """One value, which needs no attributes."""
    return {field_name: None}


def _by(key: str, **fields: str) -> Mapping[str, Attributes | None]:
    """A value for each word of an attribute: word -> field."""
    return {field_name: {key: word} for word, field_name in fields.items()}


def _named(key: str) -> Callable[[Any], Attributes]:
    """The name of a device."""
    return lambda device: {key: device.name}


def _file_system(one: Any) -> Attributes:  # noqa: ANN401 - the table's rows are of many kinds
    return {
        names.SYSTEM_DEVICE: one.device,
        names.SYSTEM_FILESYSTEM_MODE: one.mode,
        names.SYSTEM_FILESYSTEM_MOUNTPOINT: one.mountpoint,
        names.SYSTEM_FILESYSTEM_TYPE: one.type,
    }


_HOST: Final = _one("host")
_CPU: Final = _one("host.cpu")
_MEMORY: Final = _one("host.memory")
_VMSTAT: Final = _one("host.vmstat")
_SWAP: Final = _one("host.swap")
_OWN: Final = _one("own")
_DISKS: Final = _each("disks")
_INTERFACES: Final = _each("interfaces")
_FILE_SYSTEMS: Final = _each("file_systems")
_DEVICE: Final = _named(names.SYSTEM_DEVICE)
_INTERFACE: Final = _named(names.NETWORK_INTERFACE_NAME)

_MEMORY_STATES: Final = _by(
    names.SYSTEM_MEMORY_STATE,
    used="used_bytes",
    free="free_bytes",
    buffers="buffers_bytes",
    cached="cached_bytes",
)
_SWAP_STATES: Final = _by(names.SYSTEM_PAGING_STATE, used="used_bytes", free="free_bytes")
_SPACE: Final = _by(
    names.SYSTEM_FILESYSTEM_STATE,
    used="used_bytes",
    free="available_bytes",
    reserved="reserved_bytes",
)
_FAULTS: Final = _by(names.SYSTEM_PAGING_FAULT_TYPE, major="major_faults", minor="minor_faults")


def _ways(**fields: str) -> Mapping[str, Attributes | None]:
    """Both ways of a disk."""
    return _by(names.DISK_IO_DIRECTION, **fields)


def _directions(what: str) -> Mapping[str, Attributes | None]:
    """Both directions of an interface."""
    return _by(names.NETWORK_IO_DIRECTION, receive=f"receive_{what}", transmit=f"transmit_{what}")


HOST_ROWS: Final = (
    Row(names.SYSTEM_UPTIME, _HOST, _only("uptime_seconds")),
    Row(names.SYSTEM_CPU_LOGICAL_COUNT, _HOST, _only("logical_cores")),
    Row(names.SYSTEM_CPU_PHYSICAL_COUNT, _HOST, _only("physical_cores")),
    Row(
        names.SYSTEM_CPU_TIME,
        _CPU,
        _by(names.CPU_MODE, **{mode: f"{mode}_seconds" for mode in CPU_MODES}),
    ),
    Row(
        names.SYSTEM_CPU_UTILIZATION,
        _one("shares"),
        _by(names.CPU_MODE, **{mode: mode for mode in CPU_MODES}),
    ),
    Row(names.SYSTEM_MEMORY_LIMIT, _MEMORY, _only("total_bytes")),
    Row(names.SYSTEM_MEMORY_USAGE, _MEMORY, _MEMORY_STATES),
    Row(
        names.SYSTEM_MEMORY_UTILIZATION,
        _MEMORY,
        _by(names.SYSTEM_MEMORY_STATE, used="used_bytes"),
        whole="total_bytes",
    ),
    Row(names.SYSTEM_MEMORY_AVAILABLE, _linux_memory, _only("available_bytes")),
    Row(names.SYSTEM_MEMORY_SHARED, _linux_memory, _only("shared_bytes")),
    Row(
        names.SYSTEM_MEMORY_SLAB_USAGE,
        _VMSTAT,
        _by(
            names.SYSTEM_MEMORY_SLAB_STATE,
            reclaimable="slab_reclaimable_bytes",
            unreclaimable="slab_unreclaimable_bytes",
        ),
    ),
    Row(names.SYSTEM_PAGING_USAGE, _SWAP, _SWAP_STATES),
    Row(
        names.SYSTEM_PAGING_UTILIZATION,
        _SWAP,
        _by(names.SYSTEM_PAGING_STATE, used="used_bytes"),
        whole="total_bytes",
    ),
    Row(names.SYSTEM_PAGING_FAULTS, _VMSTAT, _FAULTS),
    Row(
        names.SYSTEM_PAGING_OPERATIONS,
        _VMSTAT,
        {
            "swapped_in_pages": {names.SYSTEM_PAGING_DIRECTION: "in"},
            "swapped_out_pages": {names.SYSTEM_PAGING_DIRECTION: "out"},
        },
    ),
    Row(names.SYSTEM_DISK_IO, _DISKS, _ways(read="read_bytes", write="write_bytes"), _DEVICE),
    Row(names.SYSTEM_DISK_OPERATIONS, _DISKS, _ways(read="reads", write="writes"), _DEVICE),
    Row(
        names.SYSTEM_DISK_MERGED,
        _DISKS,
        _ways(read="merged_reads", write="merged_writes"),
        _DEVICE,
    ),
    Row(
        names.SYSTEM_DISK_OPERATION_TIME,
        _DISKS,
        _ways(read="read_seconds", write="write_seconds"),
        _DEVICE,
    ),
    Row(names.SYSTEM_DISK_IO_TIME, _DISKS, _only("busy_seconds"), _DEVICE),
    Row(names.SYSTEM_FILESYSTEM_USAGE, _FILE_SYSTEMS, _SPACE, _file_system),
    Row(
        names.SYSTEM_FILESYSTEM_UTILIZATION,
        _FILE_SYSTEMS,
        _by(names.SYSTEM_FILESYSTEM_STATE, used="used_bytes"),
        _file_system,
        whole="total_bytes",
    ),
    Row(names.SYSTEM_FILESYSTEM_LIMIT, _FILE_SYSTEMS, _only("total_bytes"), _file_system),
    Row(names.SYSTEM_NETWORK_IO, _INTERFACES, _directions("bytes"), _INTERFACE),
    # By the conventions the interface is the device here, and only here.
    Row(names.SYSTEM_NETWORK_PACKETS, _INTERFACES, _directions("packets"), _DEVICE),
    Row(names.SYSTEM_NETWORK_DROPPED, _INTERFACES, _directions("dropped"), _INTERFACE),
    Row(names.SYSTEM_NETWORK_ERRORS, _INTERFACES, _directions("errors"), _INTERFACE),
)
OWN_ROWS: Final = (
    Row(names.PROCESS_UPTIME, _OWN, _only("uptime_seconds")),
    Row(
        names.PROCESS_CPU_TIME,
        _OWN,
        _by(names.CPU_MODE, user="cpu_user_seconds", system="cpu_system_seconds"),
    ),
    Row(
        names.PROCESS_CPU_UTILIZATION,
        _one("own_rates"),
        _by(names.CPU_MODE, user="user", system="system"),
    ),
    Row(names.PROCESS_MEMORY_USAGE, _OWN, _only("memory_bytes")),
    Row(names.PROCESS_MEMORY_UTILIZATION, _OWN, _only("memory_bytes"), whole="host_memory_bytes"),
    Row(names.PROCESS_MEMORY_VIRTUAL, _OWN, _only("virtual_bytes")),
    Row(names.PROCESS_DISK_IO, _OWN, _ways(read="read_bytes", write="write_bytes")),
    Row(names.PROCESS_THREAD_COUNT, _OWN, _only("threads")),
    Row(names.PROCESS_FILE_DESCRIPTORS, _OWN, _only("file_descriptors")),
    Row(names.PROCESS_HANDLES, _OWN, _only("handles")),
    Row(
        names.PROCESS_CONTEXT_SWITCHES,
        _OWN,
        _by(
            names.PROCESS_CONTEXT_SWITCH_TYPE,
            voluntary="voluntary_context_switches",
            involuntary="involuntary_context_switches",
        ),
    ),
    Row(names.PROCESS_PAGING_FAULTS, _OWN, _FAULTS),
)
ROWS: Final = HOST_ROWS + OWN_ROWS
