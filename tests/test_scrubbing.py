from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from otel_codomon import execution, names
from otel_codomon.emit import capture
from otel_codomon.values.scrubbing import REDACTED, scrub, secret_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.testing import Recorder

SECRET = "s3cr3t-value-0123456789"  # noqa: S105 - planted
TEXTS = [
    f"password={SECRET}",
    f'{{"api_key": "{SECRET}"}}',
    f"DB_PASSWORD: '{SECRET}'",
    f"Authorization: Bearer {SECRET}",
    f"postgres://user:{SECRET}@host/db",
    f"?access_token={SECRET}&page=2",
    "ghp_" + "a" * 36,
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.abcdefghijk",
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\n{SECRET}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    scrubbed = scrub(f"before {text} after")

    assert REDACTED in scrubbed
    assert SECRET not in scrubbed
    assert scrubbed.startswith("before ")


@pytest.mark.parametrize(
    "text", ["the author wrote 3 tokens", "exit code: 3", "http://host:80/path", "a=b; c: d"]
)
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert scrub(text) == text


@given(st.text(max_size=40), st.text(max_size=40), st.text(min_size=8, max_size=30))
def test_a_secret_of_the_environment_is_in_no_text(before: str, after: str, value: str) -> None:
    secrets = secret_values({"MY_API_TOKEN": value, "PATH": "/usr/bin:/bin"})

    assert secrets == {value}
    assert value not in scrub(before + value + after, secrets).replace(REDACTED, "")


@pytest.fixture
def capturing() -> Iterator[None]:
    capture.choose({"exception"})
    yield
    capture.choose(None)


@pytest.mark.usefixtures("capturing")
def test_the_text_of_an_exception_leaves_scrubbed_when_asked_for(recorder: Recorder) -> None:
    @execution
    def fails() -> None:
        raise ValueError(f"cannot log in with password={SECRET}")

    with pytest.raises(ValueError, match=SECRET):
        fails()

    [event] = recorder.spans()[0].events
    attributes = dict(event.attributes or {})
    assert attributes[names.EXCEPTION_TYPE] == "ValueError"
    assert attributes[names.EXCEPTION_MESSAGE] == f"cannot log in with password={REDACTED}"
    assert "in fails" in str(attributes[names.EXCEPTION_STACKTRACE])
    assert SECRET not in str(attributes)


def test_the_text_of_an_exception_stays_here_unless_asked_for(recorder: Recorder) -> None:
    @execution
    def fails() -> None:
        raise ValueError(SECRET)

    with pytest.raises(ValueError, match=SECRET):
        fails()

    [event] = recorder.spans()[0].events
    assert dict(event.attributes or {}) == {names.EXCEPTION_TYPE: "ValueError"}
