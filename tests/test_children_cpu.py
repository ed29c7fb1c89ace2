"""The CPU time of what an execution starts, in every setting, against the kernel's account."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import children
from support.settings import ENDINGS, SETTINGS, RunSetting, Setting, run_setting

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROGRAM = Path(children.__file__).read_text()
_ABSOLUTE_SECONDS = 0.010
_RELATIVE = 0.01
_OWN_SECONDS = 0.008
"""What the program's own thread may take beside what it measures of itself."""


@pytest.fixture(params=[one for one in SETTINGS if one not in ENDINGS], ids=str)
def living(request: pytest.FixtureRequest) -> Iterator[RunSetting]:
    """Each setting but those that differ only in the end of the process."""
    with run_setting(request.param) as run:
        yield run


def wrong_of(setting: RunSetting, *, first: int, count: int) -> tuple[list[str], Counter[str]]:
    """What is wrong of *count* random programs, and how many figures were there or absent."""
    seen = setting(_PROGRAM, CHILDREN_SEED=str(first), CHILDREN_COUNT=str(count))
    usage = {e.name: e.attributes for e in seen.executions}
    wrong, kinds = [], Counter[str]()
    for truth in seen.value:
        told = usage[truth["name"]]
        kinds[f"{truth['shape']} {_kind(told)}"] += 1
        if (error := _error(truth, told)) is not None:
            wrong.append(error)
    return wrong, kinds


def _kind(told: Any) -> str:  # noqa: ANN401 - attributes
    if "codomon.usage.cpu.time" not in told:
        return "absent"
    return "sample" if told.get("codomon.usage.final") is False else "told"


def _error(truth: dict[str, Any], told: Any) -> str | None:  # noqa: ANN401 - attributes
    """What is wrong; None where the figure is right, absent, or said not to be final."""
    least = truth["children"] + truth["threads"]
    kind = _kind(told)
    if kind == "sample":
        return None
    if kind == "absent":
        is_due = least > _ABSOLUTE_SECONDS + _OWN_SECONDS
        has_reason = "codomon.usage.absent.reason" in told
        return f"absent without a reason: {truth}" if is_due and not has_reason else None
    cpu = told["codomon.usage.cpu.time"]
    allowed = max(_ABSOLUTE_SECONDS, _RELATIVE * least)
    most = least + truth["own"] + _OWN_SECONDS * len(truth["notes"])
    if least - allowed <= cpu <= most + allowed:
        return None
    return f"{cpu:.4f} is told of {least:.4f} s: {truth}"


def test_children_are_counted_or_absent_in_every_setting(living: RunSetting) -> None:
    wrong, _ = wrong_of(living, first=0, count=14)

    assert wrong == []


@pytest.mark.soak
def test_200_random_programs_in_every_setting(living: RunSetting) -> None:
    wrong, kinds = wrong_of(living, first=1000, count=200)

    print(f"{living.setting}: {sorted(kinds.items())}")
    assert wrong == []


def test_alone_in_its_process_an_execution_has_its_children_complete() -> None:
    """Absent would be right everywhere; here it must be known."""
    with run_setting(Setting("journal")) as run:
        seen = run(
            "import subprocess\n"
            "from otel_codomon import execution\n"
            "from support.children import Truth, burn, reap\n"
            "def behave():\n"
            "    truth = Truth()\n"
            "    with execution('alone'):\n"
            "        for _ in range(10):\n"
            "            child = subprocess.Popen(burn(30)); reap(child.pid, truth)\n"
            "            child.returncode = 0\n"
            "    return truth.children\n"
        )

    [alone] = seen.executions
    cpu = alone.attributes["codomon.usage.cpu.time"]
    assert seen.value - 0.01 <= cpu <= seen.value + 0.1
