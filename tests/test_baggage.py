"""The baggage that a command inherits."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from opentelemetry import baggage, context
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from otel_codomon import run
from otel_codomon.sandbox.baggage import MAX_BYTES, MAX_MEMBERS, valid_baggage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_codomon.testing import Recorder
    from otel_codomon.words import Propagation

_MANY = ",".join(f"k{number}=v" for number in range(MAX_MEMBERS + 1))


@pytest.mark.parametrize(
    ("told", "passed_on"),
    [
        ("", ""),
        ("user=amy", "user=amy"),
        (" user = amy , tier=gold;ttl=5;secure ", "user = amy,tier=gold;ttl=5;secure"),
        ("empty=", "empty="),
        ("a=b=c", "a=b=c"),
        ("user=am%C3%A9,", "user=am%C3%A9"),
        ("no value", ""),
        ("=v,;x,ok=1", "ok=1"),
        ("k=two words", ""),
        ('k="quoted"', ""),
        ("k=v;bad property", ""),
        ("k=é", ""),
        ("k=a\nINJECTED=1", ""),
        ("k=\udcff", ""),
        (_MANY, _MANY.rpartition(",")[0]),
        ("k=" + "v" * (MAX_BYTES - 2), "k=" + "v" * (MAX_BYTES - 2)),
        ("k=" + "v" * (MAX_BYTES - 1), ""),
    ],
)
def test_what_is_well_formed_is_passed_on_within_bounds(told: str, passed_on: str) -> None:
    assert valid_baggage(told) == passed_on


@given(st.text(max_size=300) | st.text(alphabet='ab=,; \t"%\\é', max_size=60))
def test_whatever_comes_in_the_result_is_bounded_and_stays_as_it_is(told: str) -> None:
    passed_on = valid_baggage(told)

    assert passed_on.isascii()
    assert passed_on.isprintable() or "\t" in passed_on
    assert len(passed_on) <= MAX_BYTES
    assert valid_baggage(passed_on) == passed_on


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=20), max_size=9))
def test_what_the_sdk_writes_is_passed_on(entries: dict[str, str]) -> None:
    whole = context.Context()
    for key, value in entries.items():
        whole = baggage.set_baggage(key, value, whole)
    carrier: dict[str, str] = {}
    W3CBaggagePropagator().inject(carrier, whole)

    assert valid_baggage(carrier.get("baggage", "")) == carrier.get("baggage", "")


@pytest.fixture
def carried() -> Iterator[None]:
    """Baggage in the context of the test."""
    token = context.attach(baggage.set_baggage("user", "amy pond"))
    yield
    context.detach(token)


@pytest.mark.usefixtures("recorder", "carried")
@pytest.mark.parametrize(
    ("propagate", "expected"), [("full", "user=amy+pond"), ("linked", ""), ("none", "")]
)
def test_only_a_trusted_command_inherits_the_baggage_of_the_context(
    propagate: Propagation, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAGGAGE", "not=ours")

    shown = run(["sh", "-c", "echo $BAGGAGE"], propagate=propagate).stdout

    assert shown.strip() == expected


def test_baggage_without_end_is_bounded_and_the_command_runs(recorder: Recorder) -> None:
    whole = context.get_current()
    for number in range(2 * MAX_MEMBERS):
        whole = baggage.set_baggage(f"key{number}", "v" * 100, whole)
    token = context.attach(whole)
    try:
        shown = run(["sh", "-c", "echo $BAGGAGE"], propagate="full").stdout.strip()
    finally:
        context.detach(token)

    assert 0 < len(shown) <= MAX_BYTES
    assert shown.startswith("key0=")
    assert len(recorder.executions()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="`run` is Linux's so far")
@pytest.mark.parametrize(
    ("option", "told", "expected"),
    [
        ("full", "user=amy,broken", "user=amy"),
        ("full", "broken", "unset"),
        ("linked", "user=amy", "unset"),
        ("none", "user=amy", "unset"),
    ],
)
def test_otel_codomon_run_passes_on_what_it_inherits(
    option: str, told: str, expected: str, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "OTEL_PYTHON_CODOMON_JOURNAL": str(tmp_path / "journal"),
        "BAGGAGE": told,
    }
    command = ["sh", "-c", "echo ${BAGGAGE-unset}"]

    done = subprocess.run(
        [sys.executable, "-m", "otel_codomon", "run", "-q", "--propagate", option, "--", *command],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == expected
