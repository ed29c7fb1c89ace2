"""What a command of ``otel-codomon run`` may use, and what holds it to that."""

from __future__ import annotations

import os

from otel_codomon.sandbox.fork_bombs import bound_of_user, most_tasks
from otel_codomon.sandbox.rlimits import resource_limits

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from otel_codomon._platform.cgroups import Cgroup
    from otel_codomon.cli.run_options import Options
    from otel_codomon.sandbox.rlimits import RlimitRow
    from otel_codomon.sandbox.tree_limits import TreeMeter

LIMITS = (
    *("cpu_seconds", "memory_bytes", "processes", "disk_bytes"),
    *("file_size_bytes", "open_files"),
)
"""Fields of `otel_codomon.Limits` that have an option."""


class HeldLimits:
    """The limits that we hold: on the tree by samples, on each process by the kernel.

    `otel_codomon.Limits` is a dataclass, for whose import the command would wait.
    """

    def __init__(self, args: Options, cgroup: Cgroup | None) -> None:
        self._cgroup = cgroup
        self.cpu_seconds = args.cpu_seconds
        self.memory_bytes = args.memory_bytes
        self.processes = args.processes
        self.disk_bytes = args.disk_bytes
        self.file_size_bytes = args.file_size_bytes
        self.open_files = args.open_files
        is_open = args.isolation == "none"
        self._spare_processes = 0 if is_open else _wrapping_processes()
        self._places = [os.path.abspath(".")] if is_open else args.writable or []  # noqa: PTH100 - pathlib takes 10 ms
        self._give_to_kernel()

    @classmethod
    def of(cls, args: Options, cgroup: Cgroup | None) -> HeldLimits | None:
        """The limits that the user set; None without any."""
        return cls(args, cgroup) if any(getattr(args, field) for field in LIMITS) else None

    def _give_to_kernel(self) -> None:
        """Have the kernel hold on the whole cgroup what it can."""
        if self._cgroup is None:
            return
        if self._cgroup.limit(memory_bytes=self.memory_bytes):
            self.memory_bytes = None
        if self.processes is not None:
            self._cgroup.limit(processes=most_tasks(self.processes))

    def of_process(self) -> list[RlimitRow]:
        """What the kernel holds on each process."""
        bound = () if self._cgroup is not None else bound_of_user(self.processes)
        return [*resource_limits(self), *bound]

    def meter(self) -> TreeMeter:
        """What compares samples of the tree with them; to be made before the command starts.

        Raises:
            SetupError: Disk cannot be limited.
        """
        from otel_codomon.sandbox.counting import (  # noqa: PLC0415 - where there are limits
            TooManyFilesError,
            uncounted,
        )
        from otel_codomon.sandbox.tree_limits import TreeLimits, TreeMeter  # noqa: PLC0415

        limits = TreeLimits(
            cpu_seconds=self.cpu_seconds or 0,
            memory_bytes=self.memory_bytes or 0,
            processes=self.processes or 0,
            disk_bytes=self.disk_bytes or 0,
            places=self._places,
            spare_processes=self._spare_processes,
            cpu_counter="" if self._cgroup is None else self._cgroup.cpu_counter,
        )
        try:
            return TreeMeter(limits)
        except TooManyFilesError:
            from otel_codomon.cli.start import SetupError  # noqa: PLC0415 - it is being used

            raise SetupError(uncounted(self._places)) from None


def _wrapping_processes() -> int:
    from otel_codomon.sandbox.wrapping import WRAPPING_PROCESSES  # noqa: PLC0415 - if isolated

    return WRAPPING_PROCESSES


def unlimited_meter(cgroup: Cgroup | None) -> TreeMeter | None:
    """Samples that show whether totals leave out children; None where a cgroup counts."""
    if cgroup is not None:
        return None
    from otel_codomon.sandbox.tree_limits import TreeLimits, TreeMeter  # noqa: PLC0415

    return TreeMeter(TreeLimits())
