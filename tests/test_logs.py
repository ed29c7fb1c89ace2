from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from support.hostile import EVIL, is_safe

import otel_codomon
from otel_codomon._platform.logs import get_logger
from otel_codomon._platform.scrubbing import REDACTED

if TYPE_CHECKING:
    import pytest

SECRET = "s3cr3t-Value-0123456789"  # noqa: S105 - planted


def test_messages_and_tracebacks_are_scrubbed_for_every_handler(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgres://me:{SECRET}@host/db")
    log = get_logger("otel_codomon.any.part")

    try:
        int(SECRET)
    except ValueError:
        log.exception("cannot read %s", f"/home/me/{SECRET}/x")

    [record] = caplog.records
    assert record.getMessage() == f"cannot read /home/me/{REDACTED}/x"
    assert record.exc_info is None
    assert SECRET not in caplog.text
    assert f"ValueError: invalid literal for int() with base 10: '{REDACTED}'" in caplog.text


def test_a_record_without_secrets_stays_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    log = get_logger("otel_codomon.any.part")

    error = None
    try:
        int("x")
    except ValueError as raised:
        error = raised
        log.exception("cannot read %s", "/home/me/x")

    [record] = caplog.records
    assert (record.msg, record.args) == ("cannot read %s", ("/home/me/x",))
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_nothing_that_is_logged_acts_on_a_terminal(caplog: pytest.LogCaptureFixture) -> None:
    log = get_logger("otel_codomon.any.part")

    for word in EVIL:
        log.error("cannot read %s", word, exc_info=OSError(word))

    for record in caplog.records:
        shown = logging.Formatter().format(record)
        assert is_safe(shown.replace("\n", "").replace("\t", "")), shown
        assert is_safe(record.getMessage())


def test_what_cannot_be_formatted_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError(SECRET)

    get_logger("otel_codomon.any.part").warning("%d seconds", UnprintableError())

    [record] = caplog.records
    assert record.getMessage() == "a message that cannot be shown: '%d seconds'"


def test_every_part_takes_its_logger_from_there() -> None:
    package = Path(otel_codomon.__file__).parent
    own = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"\bgetLogger\((?!\))", path.read_text())
    }

    assert own == {"_platform/logs.py"}
    assert get_logger("a") is logging.getLogger("a")
