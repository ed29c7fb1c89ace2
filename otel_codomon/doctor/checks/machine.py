"""What this machine can measure, and whether its clock can be trusted."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from otel_codomon._platform import cgroups
from otel_codomon._platform.quantities import in_words
from otel_codomon.doctor.checks.result import CheckResult, State
from otel_codomon.sandbox.command import Command
from otel_codomon.sandbox.command_runner import run_to_end
from otel_codomon.sandbox.isolation import isolate
from otel_codomon.sandbox.toolchains import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.doctor.checks.result import Scene

_PR_GET_CHILD_SUBREAPER: Final = 37
# adjtimex(2): the clock is not synchronised. The struct has 208 bytes on 64-bit Linux.
_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 512
_TRY_SECONDS: Final = 10

_PACKAGES: Final = (
    "otel-codomon",
    "opentelemetry-api",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp",
    "opentelemetry-instrumentation",
    "psutil",
    "rich",
)
_EXTRAS: Final = {"mcp": "mcp", "shtab": "completion"}


def check_clock(scene: Scene) -> Iterator[CheckResult]:
    """Whether the kernel says that the clock is synchronised."""
    del scene
    state = _clock_state()
    if state is None:
        yield CheckResult(
            category="clock", name="synchronised", state=State.OFF, detail="unknown on this system"
        )
    elif state == _TIME_ERROR:
        yield CheckResult(
            category="clock",
            name="synchronised",
            state=State.WARNING,
            detail="the kernel's clock is not synchronised",
            hint="run a time service: spans of two machines are ordered by their clocks",
        )
    else:
        yield CheckResult(
            category="clock",
            name="synchronised",
            state=State.OK,
            detail="yes",
        )


def _clock_state() -> int | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    except (OSError, AttributeError):  # a C library without it
        return None


def check_machine(scene: Scene) -> Iterator[CheckResult]:
    """Cgroups, subreaper, bubblewrap, the process files."""
    cores = in_words(os.cpu_count() or 1, "core", "cores")
    system = f"{platform.system()} {platform.release()}, {cores}"
    yield _line("system", State.OK, system)
    yield _cgroup()
    yield _process_files()
    yield _subreaper()
    yield _bubblewrap(scene)


def _line(name: str, state: State, detail: str, hint: str | None = None) -> CheckResult:
    return CheckResult(category="machine", name=name, state=state, detail=detail, hint=hint)


def _cgroup() -> CheckResult:
    made = cgroups.create()
    if made is None:
        return _line(
            "cgroup",
            State.OFF,
            "cannot create one: executions are measured by their process trees",
            "delegate a cgroup to this user (systemd: Delegate=yes) for exact totals",
        )
    try:
        controllers = ", ".join(sorted(made.folders))
    finally:
        made.remove()
        made.close()
    return _line("cgroup", State.OK, f"each execution gets its own ({controllers})")


def _process_files() -> CheckResult:
    from otel_codomon.resources import process_tree  # noqa: PLC0415 - Linux alone has them

    if process_tree.is_available():
        return _line("process tree", State.OK, "read from /proc")
    return _line("process tree", State.OK, "read through psutil, which is less exact")


def _subreaper() -> CheckResult:
    answer = ctypes.c_int(0)
    try:
        failed = ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    except (OSError, AttributeError):  # no Linux
        failed = -1
    if failed:
        return _line(
            "subreaper",
            State.WARNING,
            "not available: daemonised children of commands are not counted",
        )
    return _line("subreaper", State.OK, "daemonised children of commands are counted and ended")


def _bubblewrap(scene: Scene) -> CheckResult:
    if shutil.which("bwrap", path=scene.environ.get("PATH")) is None:
        return _line(
            "bubblewrap", State.OFF, "not installed", 'install it to use isolation="bubblewrap"'
        )
    command = Command(path="/bin/true", argv=("true",), env={}, cwd="/usr")
    try:
        run_to_end(
            isolate(command, writable=()),
            deadline=time.monotonic() + _TRY_SECONDS,
            on_start=lambda _pid: None,
        )
    except UnavailableError as error:
        return _line(
            "bubblewrap", State.WARNING, str(error), 'fix this to use isolation="bubblewrap"'
        )
    return _line("bubblewrap", State.OK, "works")


def check_versions(scene: Scene) -> Iterator[CheckResult]:
    """Python and the packages that matter."""
    del scene
    yield _version("python", State.OK, platform.python_version())
    for package in _PACKAGES:
        yield _package(package, None)
    for package, extra in _EXTRAS.items():
        yield _package(package, extra)


def _package(name: str, extra: str | None) -> CheckResult:
    try:
        return _version(name, State.OK, version(name))
    except PackageNotFoundError:
        if extra is None:
            return CheckResult(
                category="versions",
                name=name,
                state=State.WARNING,
                detail="not installed as a package",
                hint="install otel-codomon again",
            )
        return _version(
            name, State.OFF, f"not installed; `pip install 'otel-codomon[{extra}]'` to use it"
        )


def _version(name: str, state: State, detail: str) -> CheckResult:
    return CheckResult(category="versions", name=name, state=state, detail=detail, is_detail=True)
