"""The figures so far of one running execution, as others read them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from otel_codomon.resources.curve import CurveBuilder, Point
from otel_codomon.resources.usage import Curve, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_PIDS: Final = 32
"""Processes that a heartbeat names; `Heartbeat.processes` counts all."""

# Of the totals those that samples know.
_TOTALS: Final = (
    *("source", "cpu_seconds", "peak_memory_bytes", "peak_cache_bytes"),
    *("disk_read_bytes", "disk_write_bytes", "processes", "samples"),
)
_NUMBERS: Final = ("cores", "memory_bytes", "processes")
_MAX_TEXT: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What one execution has used so far and uses now. None is not known, never zero.

    Attributes:
        span_id: Its span, 16 hexadecimal digits.
        age_seconds: How long it has run, seconds.
        totals: What it has used so far, by samples; `is_final` is False.
        cores: Cores in use now.
        memory_bytes: Memory in use now, bytes; see `Reading.memory_bytes`.
        processes: Living processes.
        pids: Process id and start, in clock ticks since boot, of its first processes.
        cgroup: Path of its cgroup; None without one.
    """

    span_id: str
    age_seconds: float
    totals: Usage = field(default_factory=Usage)
    cores: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    pids: tuple[tuple[int, int], ...] = ()
    cgroup: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The same for JSON, without what is not known."""
        told: dict[str, Any] = {
            "span": self.span_id,
            "age": round(self.age_seconds, 3),
            "totals": _known(self.totals, _TOTALS),
            **_known(self, _NUMBERS),
        }
        if self.pids:
            told["pids"] = self.pids
        if self.cgroup is not None:
            told["cgroup"] = self.cgroup
        curve = self.totals.curve
        if curve is not None:
            told["curve"] = [curve.seconds, curve.cores, curve.memory_bytes]
        return told

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Heartbeat:
        """Read what `as_json` made.

        Raises:
            ValueError, TypeError, KeyError: It is not that.
        """
        totals = told["totals"]
        cgroup = told.get("cgroup")
        return cls(
            span_id=bytes.fromhex(told["span"]).hex(),
            age_seconds=_number(told["age"]) or 0.0,
            totals=Usage(
                source=_text(totals.get("source")),
                is_final=False,
                curve=_curve(told.get("curve")),
                **{name: _number(totals.get(name)) for name in _TOTALS[1:]},  # type: ignore[arg-type] # numbers of their kinds
            ),
            pids=tuple((int(pid), int(start)) for pid, start in told.get("pids", ())[:MAX_PIDS]),
            cgroup=None if cgroup is None else _text(cgroup),
            **{name: _number(told.get(name)) for name in _NUMBERS},  # type: ignore[arg-type] # as above
        )


def last_usage(beats: Iterable[Heartbeat]) -> Usage:
    """The totals of an execution of which *beats*, in their order, are all that is left.

    The curve is that of the last heartbeat with one, and a point for each after it.
    """
    last, builder = Usage(), CurveBuilder()
    seconds = 0.0
    for beat in beats:
        last = beat.totals
        if beat.totals.curve is not None:
            builder = _continue(beat.totals.curve)
        elif beat.cores is not None and beat.memory_bytes is not None and beat.processes != 0:
            lasted = beat.age_seconds - seconds
            builder.add(Point(beat.age_seconds, max(lasted, 0.0), beat.cores, beat.memory_bytes))
        seconds = beat.age_seconds
    return replace(last, curve=builder.curve())


def _continue(curve: Curve) -> CurveBuilder:
    """A builder that has made *curve* so far."""
    builder = CurveBuilder()
    before = 0.0
    for seconds, cores, memory in zip(curve.seconds, curve.cores, curve.memory_bytes, strict=True):
        builder.add(Point(seconds, max(seconds - before, 0.0), cores, memory))
        before = seconds
    return builder


def _known(value: object, fields: Iterable[str]) -> dict[str, Any]:
    pairs = ((name, getattr(value, name)) for name in fields)
    return {name: found for name, found in pairs if found is not None}


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError("not a number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise TypeError("not a short string")
    return value


def _curve(columns: Any) -> Curve | None:  # noqa: ANN401 - JSON
    if columns is None:
        return None
    seconds, cores, memory = (tuple(_number(n) or 0 for n in column) for column in columns)
    if not len(seconds) == len(cores) == len(memory):
        raise ValueError("columns of different lengths")
    return Curve(seconds=seconds, cores=cores, memory_bytes=tuple(map(int, memory)))
