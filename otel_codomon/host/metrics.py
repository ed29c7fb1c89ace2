"""Metrics of the host and of this process, opt-in: one callback, one sample a collection."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from otel_codomon import names
from otel_codomon._platform.never_raises import log_once, never_raises
from otel_codomon._platform.private_folder import state_folder
from otel_codomon._platform.threads_and_forks import on_fork
from otel_codomon.errors import JournalUnavailableError
from otel_codomon.host.metric_table import ROWS, Reading, Row
from otel_codomon.host.rates import cpu_shares, own_rates
from otel_codomon.host.reader import read_host, read_own
from otel_codomon.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry.metrics import Meter, MeterProvider

    from otel_codomon._platform.leader_lock import LeaderLock
    from otel_codomon.host.rates import CpuShares, OwnRates
    from otel_codomon.host.sample import CpuTimes, HostSample, OwnSample
    from otel_codomon.settings import Setting

LOCK_FILE: Final = "host.lock"
# Of a shorter interval nothing can be said: the kernel counts in ticks of
# 10 ms, and two readers of one provider may collect right after each other.
MIN_INTERVAL_NS: Final = 200_000_000
# So that devices which come and go (containers' interfaces, USB sticks) stay
# far from the 2,000 series that an instrument keeps in its life.
MAX_DEVICES: Final = 100
_MAX_INT: Final = 2**63 - 1  # a larger one would stop all export of metrics
S = TypeVar("S")
R = TypeVar("R")
D = TypeVar("D")


class _Growth(Generic[S, R]):
    """What changed since the last sample that is old enough; None before there is one."""

    def __init__(self, between: Callable[[S, S], R | None]) -> None:
        self._between = between
        self._base: tuple[int, S] | None = None
        self._found: R | None = None

    def until(self, sample: S | None, *, taken_ns: int) -> R | None:
        """The growth up to *sample*; None forgets what there was."""
        if sample is None or self._base is None:
            self._base, self._found = (None if sample is None else (taken_ns, sample)), None
        elif taken_ns - self._base[0] >= MIN_INTERVAL_NS:
            self._found = self._between(self._base[1], sample)
            self._base = (taken_ns, sample)
        return self._found


def _read_host_without_cores() -> HostSample:
    return read_host(each_core=False)


class HostMetrics:
    """The instruments of a host and of this process on one meter.

    One sample feeds them all, and each is handed its part once: an instrument
    that comes a second time comes for a new collection.

    They report nothing until `begin`.

    Args:
        host: Takes a sample of the host.
        own: Takes a sample of this process.
    """

    def __init__(
        self,
        host: Callable[[], HostSample] = _read_host_without_cores,
        own: Callable[[], OwnSample] = read_own,
    ) -> None:
        self._read_host, self._read_own = host, own
        self._lock = threading.Lock()
        self._is_elected: Callable[[], bool] | None = None  # None while nothing is reported
        self._rows: tuple[Row, ...] = ()
        self._devices: set[str] = set()
        self._forget()

    def begin(self, is_elected: Callable[[], bool]) -> None:
        """Report from now on.

        Args:
            is_elected: Whether this process reports the host too; asked at each
                sample, so that another process takes over from one that died.
        """
        with self._lock:
            self._is_elected = is_elected
            self._forget()

    def end(self) -> None:
        """Report nothing from now on."""
        with self._lock:
            self._is_elected = None

    def after_fork(self) -> None:
        """Begin anew in a child, where a thread that is not there may hold the lock."""
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        """Know of no sample yet: what came before was another process's, or long ago."""
        self._left: dict[str, list[Observation]] = {}
        self._cpu: CpuTimes | None = None
        self._shares: _Growth[CpuTimes, CpuShares] = _Growth(cpu_shares)
        self._own: _Growth[OwnSample, OwnRates] = _Growth(own_rates)

    def register(self, meter: Meter, rows: tuple[Row, ...] = ROWS) -> None:
        """Make an instrument for each row."""
        self._rows = rows
        make: dict[names.Instrument, Callable[..., object]] = {
            names.Instrument.OBSERVABLE_COUNTER: meter.create_observable_counter,
            names.Instrument.OBSERVABLE_GAUGE: meter.create_observable_gauge,
            names.Instrument.OBSERVABLE_UP_DOWN_COUNTER: meter.create_observable_up_down_counter,
        }
        for row in rows:
            metric = row.metric
            make[metric.instrument](
                metric.name,
                [partial(self._hand_out, metric.name)],
                unit=metric.unit,
                description=metric.description,
            )

    def _hand_out(self, name: str, _options: CallbackOptions) -> Iterable[Observation]:
        """The callback of every instrument."""
        with self._lock:
            if self._is_elected is None:
                return ()
            if name not in self._left:
                self._left = self._collect(self._is_elected)
            return self._left.pop(name, ())

    def _collect(self, is_elected: Callable[[], bool]) -> dict[str, list[Observation]]:
        """What each instrument is to be handed; nothing, for ever, once that has failed."""
        try:
            reading = self._sample(is_elected)
            return {
                row.metric.name: [
                    Observation(min(value, _MAX_INT), attributes)
                    for value, attributes in row.points(reading)
                ]
                for row in self._rows
            }
        except Exception:  # noqa: BLE001 - any failure of ours at all
            log_once("reporting the host and this process, which stops now,")
            self._is_elected = None
            return {}

    def _sample(self, is_elected: Callable[[], bool]) -> Reading:
        own = self._read_own()
        host = self._plausible(self._read_host()) if is_elected() else None
        return Reading(
            host=host,
            shares=self._shares.until(
                None if host is None else host.cpu, taken_ns=0 if host is None else host.taken_ns
            ),
            own=own,
            own_rates=self._own.until(own, taken_ns=own.taken_ns),
        )

    def _plausible(self, host: HostSample) -> HostSample:
        """*host* with counters that never fall, and not more devices than can be reported."""
        cpu = host.cpu if host.cpu is None or self._cpu is None else host.cpu.at_least(self._cpu)
        self._cpu = cpu
        return replace(
            host,
            cpu=cpu,
            disks=self._known(host.disks, "name"),
            interfaces=self._known(host.interfaces, "name"),
            file_systems=self._known(host.file_systems, "mountpoint"),
        )

    def _known(self, devices: tuple[D, ...], key: str) -> tuple[D, ...]:
        """Those of *devices* that are among the first `MAX_DEVICES` that were ever seen."""
        new = [name for device in devices if (name := getattr(device, key)) not in self._devices]
        if not new:
            return devices
        self._devices.update(new[: MAX_DEVICES - len(self._devices)])
        return tuple(device for device in devices if getattr(device, key) in self._devices)


class _Switch:
    """The one set of these metrics that a process reports, whoever asked for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: HostMetrics | None = None
        self._folder = ""
        # An instrument cannot be taken off a meter: one that was made is used again.
        self._made: WeakKeyDictionary[MeterProvider, HostMetrics] = WeakKeyDictionary()

    def on(self, provider: MeterProvider, folder: str) -> None:
        with self._lock:
            if self._running is not None:
                return
            self._folder = folder
            made = self._made.get(provider)
            if made is None:
                made = self._made[provider] = HostMetrics()
                made.register(provider.get_meter(names.SCOPE, __version__, names.SCHEMA_URL))
            made.begin(lambda: _stand(folder))
            self._running = made

    def off(self) -> None:
        with self._lock:
            running, self._running = self._running, None
            if running is not None:
                running.end()
                _release(self._folder)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        if self._running is not None:
            self._running.after_fork()


@cache
def _election() -> LeaderLock | None:
    """The one of this process, by its contract; None where there are no record locks."""
    try:
        # Imported here: there are none on Windows.
        from otel_codomon._platform.leader_lock import LeaderLock  # noqa: PLC0415
    except ImportError:
        return None
    return LeaderLock(LOCK_FILE)


@never_raises("electing the process that reports the host", default=False)
def _stand(folder: str) -> bool:
    """Whether this process reports the host; each does where none can be elected."""
    election = _election()
    try:
        return election is None or election.try_acquire(folder)
    except JournalUnavailableError:  # said by who keeps the journal, which is in the same folder
        return False


@never_raises("stepping down from reporting the host", default=None)
def _release(folder: str) -> None:
    election = _election()
    if election is not None:
        election.release(folder)


_switch = _Switch()


@never_raises("reporting metrics of the host", default=None)
def report_host(meter_provider: MeterProvider | None, settings: Mapping[str, Setting[Any]]) -> None:
    """Report this process, and from one process of a host the host, if *settings* ask for it.

    However often it is called, everything is reported once.

    Args:
        meter_provider: Where the metrics go; None for the global one.
        settings: Whether to, and the journal: in its folder, or where it
            would be, the processes of this user elect the one.
    """
    if settings["host_metrics"].value:
        folder = settings["journal"].value or state_folder(os.environ)
        _switch.on(meter_provider or metrics.get_meter_provider(), folder)


def report_host_no_more() -> None:
    """Undo `report_host`; harmless where nothing is reported."""
    _switch.off()


on_fork("host", in_child=_switch.after_fork)
