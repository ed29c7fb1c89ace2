from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, get_args

import pytest

from otel_codomon import (
    ExecutionMonitor,
    MetricsCollector,
    Outcome,
    configure,
    execution,
    run,
    words,
)
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.executions.results import READERS
from otel_codomon.resources.labels import Kind, SandboxType
from otel_codomon.sandbox.isolation import SANDBOX_TYPES
from otel_codomon.sandbox.propagation import _PROPAGATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from enum import Enum


def as_a_type_checker_reads_it() -> ModuleType:
    """The module with its types, which do not exist at run time."""
    source = (
        Path(words.__file__).read_text().replace("TYPE_CHECKING = False", "TYPE_CHECKING = True")
    )
    module = ModuleType("typed_words")
    exec(source, module.__dict__)  # noqa: S102 - our own module
    return module


def values(enumeration: type[Enum]) -> list[object]:
    return [member.value for member in enumeration]


@pytest.mark.parametrize(
    ("type_name", "accepted"),
    [
        ("Capture", words.CAPTURES),
        ("Durability", words.DURABILITIES),
        ("Isolation", words.ISOLATIONS),
        ("Isolation", SANDBOX_TYPES),
        ("KindWord", values(Kind)),
        ("OtlpProtocol", words.OTLP_PROTOCOLS),
        ("OutcomeWord", values(Outcome)),
        ("Propagation", words.PROPAGATIONS),
        ("Propagation", _PROPAGATE),
        ("ResultForm", READERS),
        ("SandboxTypeWord", values(SandboxType)),
        ("Scope", words.SCOPES),
    ],
)
def test_a_type_has_the_words_that_are_accepted(type_name: str, accepted: Iterable[object]) -> None:
    assert list(get_args(getattr(as_a_type_checker_reads_it(), type_name))) == list(accepted)


# Each is a typo that mypy finds: it would report an ignore that is not needed.
TYPOS: dict[str, Callable[[], object]] = {
    "capture": lambda: configure(capture=["codes"]),  # type: ignore[list-item]
    "durability": lambda: configure(durability="proces"),  # type: ignore[arg-type]
    "isolation": lambda: run(["true"], isolation="bubble"),  # type: ignore[arg-type]
    "kind": lambda: execution("x", kind="task "),  # type: ignore[call-overload]
    "kind of a finished one": lambda: ExecutionMonitor().record_finished(
        "x",
        1,
        2,
        "success",
        kind="tusk",  # type: ignore[arg-type]
    ),
    "propagate": lambda: run(["true"], propagate="link"),  # type: ignore[arg-type]
    "protocol": lambda: configure(protocol="http"),  # type: ignore[arg-type]
    "result": lambda: execution("x", result="exitcode"),  # type: ignore[call-overload]
    "sandbox_type": lambda: execution("x", sandbox_type="docker"),  # type: ignore[call-overload]
    "scope": lambda: MetricsCollector().get_metrics_summary(scope="host"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("typo", TYPOS)
def test_a_typo_is_an_error_to_a_type_checker_and_at_run_time(typo: str) -> None:
    with pytest.raises(InvalidArgumentError):
        TYPOS[typo]()
