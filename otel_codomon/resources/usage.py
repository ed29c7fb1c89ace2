"""The totals of an execution, and the table that puts them on a span and takes them back."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, cast

from otel_codomon import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What an execution used over time: three columns of equal length, at most 60 rows.

    Attributes:
        seconds: Instants, seconds since the start.
        cores: Cores in use since the instant before.
        memory_bytes: Memory in use at the instant, bytes.
    """

    seconds: tuple[float, ...]
    cores: tuple[float, ...]
    memory_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The totals of an execution. None means not known, never zero.

    Attributes:
        source: How they were measured: ``cgroup``, ``process_tree`` or ``thread``.
        cpu_seconds: CPU time, user and system together, seconds.
        cpu_user_seconds: CPU time in user mode, seconds.
        cpu_system_seconds: CPU time in the kernel, seconds.
        cpu_throttled_seconds: Time a CPU quota held it back, seconds; cgroup only.
        peak_memory_bytes: Most memory seen in use at one instant, bytes. Exact
            with a cgroup or for a single process; for a tree that could only
            be sampled the lower end of a bracket.
        peak_memory_upper_bytes: Sum of the peaks of its processes, bytes: the
            upper end of that bracket. None where the peak is exact.
        peak_cache_bytes: Most page cache seen in its cgroup, bytes: files it
            read or wrote, which the kernel takes back when it needs room. Not
            in `peak_memory_bytes`, but in `peak_memory_upper_bytes`.
        disk_read_bytes: Bytes fetched from storage.
        disk_write_bytes: Bytes sent to storage.
        processes: Processes that were seen.
        voluntary_context_switches: Times it gave up the CPU to wait.
        involuntary_context_switches: Times it was preempted.
        major_page_faults: Page faults that needed storage.
        minor_page_faults: Page faults that needed none.
        samples: Samples taken while it ran.
        is_final: False where the last totals could not be read, and the last
            sample stands; else None.
        absent_reason: Why CPU time, or CPU time and memory, are absent; None
            where they are known, and where there was nothing to know.
        curve: What it used over time; None when it was too short for a sample.
    """

    source: str | None = None
    cpu_seconds: float | None = None
    cpu_user_seconds: float | None = None
    cpu_system_seconds: float | None = None
    cpu_throttled_seconds: float | None = None
    peak_memory_bytes: int | None = None
    peak_memory_upper_bytes: int | None = None
    peak_cache_bytes: int | None = None
    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None
    processes: int | None = None
    voluntary_context_switches: int | None = None
    involuntary_context_switches: int | None = None
    major_page_faults: int | None = None
    minor_page_faults: int | None = None
    samples: int | None = None
    is_final: bool | None = None
    absent_reason: str | None = None
    curve: Curve | None = None

    def attributes(self) -> dict[str, str | int | float | Sequence[float] | Sequence[int]]:
        """The same as span attributes; what is not known is absent."""
        if self is NOTHING_KNOWN:
            return {}
        found: dict[str, str | int | float | Sequence[float] | Sequence[int]] = {
            key: value
            for key, value in zip(_KEYS, _values_of(self), strict=True)
            if value is not None
        }
        if self.curve is not None:
            found[names.USAGE_CURVE_TIME] = self.curve.seconds
            found[names.USAGE_CURVE_CPU] = self.curve.cores
            found[names.USAGE_CURVE_MEMORY] = self.curve.memory_bytes
        return found

    @classmethod
    def of_attributes(cls, attributes: Mapping[str, object]) -> Usage:
        """Take the totals back from the attributes of a span."""
        fields = {
            field: value
            for key, field in USAGE_FIELDS
            if (value := attributes.get(key)) is not None and _fits(field, value)
        }
        return cls(**fields, curve=_curve_of(attributes))  # type: ignore[arg-type] # as `attributes` put them


def _fits(field: str, value: object) -> bool:
    """Whether *value* can be that of *field*: what a span says may be anything."""
    kind = _OTHER_KINDS.get(field)
    return _is_figure(value) if kind is None else isinstance(value, kind)


def _is_figure(value: object) -> bool:
    """Whether *value* is a number that can be a total."""
    return type(value) in {int, float} and 0 <= value < _INT64  # type: ignore[operator] # a number


def _curve_of(attributes: Mapping[str, object]) -> Curve | None:
    columns = [
        attributes.get(key)
        for key in (names.USAGE_CURVE_TIME, names.USAGE_CURVE_CPU, names.USAGE_CURVE_MEMORY)
    ]
    if not all(isinstance(column, (tuple, list)) for column in columns):
        return None
    seconds, cores, memory = cast("list[Sequence[Any]]", columns)
    if len(seconds) > _MAX_POINTS or not len(seconds) == len(cores) == len(memory):
        return None
    if not all(map(_is_figure, (*seconds, *cores, *memory))):
        return None
    return Curve(seconds=tuple(seconds), cores=tuple(cores), memory_bytes=tuple(memory))


_OTHER_KINDS: Final[Mapping[str, type]] = {"source": str, "is_final": bool, "absent_reason": str}
_INT64: Final = 2**63
_MAX_POINTS: Final = 1024  # a curve of ours has 60; of a later version perhaps more

USAGE_FIELDS: Final[tuple[tuple[str, str], ...]] = (
    (names.USAGE_SOURCE, "source"),
    (names.USAGE_CPU_TIME, "cpu_seconds"),
    (names.USAGE_CPU_USER_TIME, "cpu_user_seconds"),
    (names.USAGE_CPU_SYSTEM_TIME, "cpu_system_seconds"),
    (names.USAGE_CPU_THROTTLED_TIME, "cpu_throttled_seconds"),
    (names.USAGE_MEMORY_PEAK, "peak_memory_bytes"),
    (names.USAGE_MEMORY_PEAK_UPPER, "peak_memory_upper_bytes"),
    (names.USAGE_MEMORY_CACHE, "peak_cache_bytes"),
    (names.USAGE_DISK_READ, "disk_read_bytes"),
    (names.USAGE_DISK_WRITE, "disk_write_bytes"),
    (names.USAGE_PROCESSES, "processes"),
    (names.USAGE_SWITCHES_VOLUNTARY, "voluntary_context_switches"),
    (names.USAGE_SWITCHES_INVOLUNTARY, "involuntary_context_switches"),
    (names.USAGE_FAULTS_MAJOR, "major_page_faults"),
    (names.USAGE_FAULTS_MINOR, "minor_page_faults"),
    (names.USAGE_SAMPLES, "samples"),
    (names.USAGE_FINAL, "is_final"),
    (names.USAGE_ABSENT_REASON, "absent_reason"),
)
_KEYS: Final = tuple(key for key, _ in USAGE_FIELDS)
_values_of: Final = attrgetter(*(field for _, field in USAGE_FIELDS))

NOTHING_KNOWN: Final = Usage()
"""The usage of an execution of which nothing could be seen; one for all, as making it costs."""


def without_work(usage: Usage, client: str) -> Usage:
    """*usage* of a client of a container engine, without what would pass for the work.

    Args:
        usage: What the client used.
        client: What it was, as ``docker run``.
    """
    return replace(
        usage,
        cpu_seconds=None,
        cpu_user_seconds=None,
        cpu_system_seconds=None,
        peak_memory_bytes=None,
        peak_memory_upper_bytes=None,
        disk_read_bytes=None,
        disk_write_bytes=None,
        voluntary_context_switches=None,
        involuntary_context_switches=None,
        major_page_faults=None,
        minor_page_faults=None,
        curve=None,
        absent_reason=f"{_CLIENT}{client} was done by another process; attach its container",
    )


_CLIENT: Final = "the work of "


def complete(told: Usage, watched: Usage) -> Usage:
    """What a caller *told*, completed by what was *watched*.

    What the caller measured goes first, except before a cgroup, which has seen
    everything. Of two peaks the larger is the truer: neither is ever too large.
    """
    first, second = (watched, told) if watched.source == "cgroup" else (told, watched)
    values = {
        field: own if (own := getattr(first, field)) is not None else getattr(second, field)
        for field in _ALL_FIELDS
    }
    if first is told:
        peaks = [p for p in (told.peak_memory_bytes, watched.peak_memory_bytes) if p is not None]
        peak, upper = max(peaks, default=None), values["peak_memory_upper_bytes"]
        values["peak_memory_bytes"] = peak
        is_above = peak is not None and upper is not None and upper > peak
        values["peak_memory_upper_bytes"] = upper if is_above else None
    usage = Usage(**values)
    if watched.absent_reason is not None and watched.absent_reason.startswith(_CLIENT):
        client = watched.absent_reason[len(_CLIENT) :].partition(" was done")[0]
        return without_work(usage, client)
    return usage


_ALL_FIELDS: Final = tuple(field.name for field in fields(Usage))
