from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings, strategies as st
from support.secret_forms import NOTATIONS, ORDINARY, TOKENS, Notation

from otel_codomon import execution, names
from otel_codomon._platform.scrubbing import (
    REDACTED,
    gate,
    is_secret_name,
    named,
    options,
    scrub,
    scrub_words,
    secret_names,
    secret_values,
    urls,
)
from otel_codomon._platform.scrubbing.forms import FORMS
from otel_codomon.executions import captured_texts

if sys.version_info >= (3, 11):
    from re._constants import MAX_REPEAT, MAXREPEAT, MIN_REPEAT
    from re._parser import SubPattern, parse
else:
    from sre_constants import MAX_REPEAT, MAXREPEAT, MIN_REPEAT
    from sre_parse import SubPattern, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon.testing import Recorder

SECRET = "s3cr3t-Value-0123456789"  # noqa: S105 - planted
_REPEATS = (MAX_REPEAT, MIN_REPEAT)
PIECES = ("s3cr3t", "Value", "456789")
FORM = {form.name: form for form in FORMS}


def test_the_table_of_examples_has_each_row_of_the_table_of_forms() -> None:
    assert len(FORM) == len(FORMS)
    assert TOKENS.keys() == FORM.keys()


@pytest.mark.parametrize("name", sorted(TOKENS))
def test_a_token_is_taken_out_by_its_own_row_and_what_is_like_it_stays(name: str) -> None:
    token, near_miss = TOKENS[name]
    [(start, end), *_] = FORM[name].spans(token)

    scrubbed = scrub(f"before {token} after")

    assert scrubbed.startswith("before ")
    assert token[start:end] not in scrubbed
    assert REDACTED in scrubbed
    assert list(FORM[name].spans(near_miss)) == []
    assert scrub(f"see {near_miss} here") == f"see {near_miss} here"


@pytest.mark.parametrize("notation", NOTATIONS, ids=lambda notation: notation.name)
def test_a_value_is_taken_out_in_every_notation(notation: Notation) -> None:
    text = notation.text.format(SECRET)
    scrubbed = scrub(text)
    repeated = scrub(repr(text))

    assert REDACTED in scrubbed
    assert [piece for piece in PIECES if piece in scrubbed or piece in repeated] == []
    assert scrub(scrubbed) == scrubbed


@pytest.mark.parametrize("text", ORDINARY, ids=lambda text: text[:40])
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["login", "--password", SECRET], ["login", "--password", REDACTED]),
        (["login", "--password", "a b;c"], ["login", "--password", REDACTED]),
        (["login", "--password-file", "/run/x"], ["login", "--password-file", "/run/x"]),
        (["login", "--password-stdin", "host"], ["login", "--password-stdin", "host"]),
        (["login", "--token", "--quiet"], ["login", "--token", "--quiet"]),
        (["login", "--token=a,b=c d"], ["login", f"--token={REDACTED}"]),
        (["curl", "-u", f"me:{SECRET}", "url"], ["curl", "-u", REDACTED, "url"]),
        (["curl", f"-ume:{SECRET}"], ["curl", f"-u{REDACTED}"]),
        (
            ["curl", "--header", f"X-Api-Key: {SECRET} x"],
            ["curl", "--header", f"X-Api-Key: {REDACTED}"],
        ),
        (["/usr/bin/mysql", f"-p{SECRET}", "db"], ["/usr/bin/mysql", f"-p{REDACTED}", "db"]),
        (["sudo", "sshpass", "-p", SECRET, "ssh"], ["sudo", "sshpass", "-p", REDACTED, "ssh"]),
        (["mkdir", "-p", "/tmp/x"], ["mkdir", "-p", "/tmp/x"]),  # noqa: S108 - a text
        (["docker", "run", "-p", "80:80", "x"], ["docker", "run", "-p", "80:80", "x"]),
        (["docker", "login", "-p", SECRET], ["docker", "login", "-p", REDACTED]),
        (["sh", "-c", f"mysql -p{SECRET} db"], ["sh", "-c", f"mysql -p{REDACTED} db"]),
        (["env", f"DB_PASSWORD={SECRET}", "x"], ["env", f"DB_PASSWORD={REDACTED}", "x"]),
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_the_words_of_a_command_are_scrubbed_as_one_list(
    words: list[str], expected: list[str]
) -> None:
    assert scrub_words(words) == expected


# --- by value ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("STRIPE_KEY", True),
        ("DB_PASS", True),
        ("MYSQL_PWD", True),
        ("GITHUB_PAT", True),
        ("PGPASSWORD", True),
        ("SECRET_KEY_BASE", True),
        ("API_TOKEN_2", True),
        ("REDISCLI_AUTH", True),
        ("clientSecret", True),
        ("PWD", False),
        ("OLDPWD", False),
        ("SSH_AUTH_SOCK", False),
        ("TOKENIZERS_PARALLELISM", False),
        ("PUBLIC_KEY", False),
        ("SECRET_NAME", False),
        ("KEYBOARD", False),
        ("COMPASS", False),
    ],
)
def test_names_promise_secrets_or_not(name: str, is_secret: bool) -> None:  # noqa: FBT001 - a table
    assert is_secret_name(name) is is_secret


@pytest.mark.parametrize(
    "text",
    [
        "p@ss/w0rd&more",
        "p%40ss%2Fw0rd%26more",
        "p%40ss%2fw0rd%26more",
        "p@ss/w0rd&amp;more",
        "cEBzcy93MHJkJm1vcmU",
    ],
    ids=["plain", "percent", "percent in small letters", "HTML", "base64"],
)
def test_the_password_in_an_address_is_known_wherever_it_is_written(text: str) -> None:
    secrets = secret_values({"DATABASE_URL": "postgres://me:p@ss/w0rd&more@host/db"})

    assert scrub(f"cannot use <{text}>", secrets) == f"cannot use <{REDACTED}>"


def test_what_is_inside_other_variables_is_known_too() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "x-team=engineering,authorization=Bearer%20s3cr3t-header",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-honeycomb-team=s3cr3t-team1",
        "JAVA_TOOL_OPTIONS": "-Ddb.password=s3cr3t-java",
        "PATH": "/usr/bin:/bin",
        "PASSWORD": "short",
    }

    secrets = secret_values(environ)

    text = "s3cr3t-header s3cr3t-java s3cr3t-team1 /usr/bin short engineering"
    assert scrub(text, secrets) == (f"{REDACTED} {REDACTED} {REDACTED} /usr/bin short engineering")


_values = st.text(min_size=8, max_size=30).map(str.strip).filter(lambda value: len(value) >= 8)


@given(st.text(max_size=40), st.text(max_size=40), _values)
def test_a_secret_of_the_environment_is_in_no_text(before: str, after: str, value: str) -> None:
    secrets = secret_values({"MY_API_TOKEN": value, "PATH": "/usr/bin:/bin"})

    assert value in secrets
    assert value not in scrub(before + value + after, secrets).replace(REDACTED, "")


# --- and cut ---------------------------------------------------------------------


@given(before=st.text(max_size=60), limit=st.integers(1, 120), after=st.text(max_size=60))
def test_no_limit_leaves_half_a_secret(before: str, limit: int, after: str) -> None:
    text = f"{before} password={SECRET} {after}"

    scrubbed = scrub(text, limit=limit)

    assert len(scrubbed) <= limit
    assert "s3c" not in scrubbed.replace(before, "")


@pytest.mark.parametrize("size", range(4, 40))
def test_a_text_that_was_cut_within_a_secret_does_not_end_in_half_of_it(size: int) -> None:
    token = "ghp" + "_" + "0aB9" * 9
    secrets = frozenset({SECRET})

    assert scrub(f"it is {SECRET[:size]}", secrets, is_cut=True) == f"it is {REDACTED}"
    assert scrub(f"it is {token[: size + 1]}", is_cut=True) == f"it is {REDACTED}"


_PARTS = st.sampled_from(
    [
        *(hint for form in FORMS for hint in form.hints if hint),
        *(notation.text.partition("{}")[0] for notation in NOTATIONS),
        *("password", "=", ":", '"', "\\", "'", "%22", "@", "://", "[", "<", ">", "|\n  ", " -p"),
        *("token=next(", "authorization: is ", "\n", " ", "a", "0"),
    ]
)


@given(unit=st.lists(_PARTS, min_size=1, max_size=4).map("".join))
@settings(max_examples=60, deadline=None)
def test_four_times_the_text_takes_four_times_the_steps(unit: str) -> None:
    few, many = (_steps((unit * count)[: 200 * len(unit)]) for count in (50, 200))

    assert many <= 6 * few + 1000


def _steps(text: str) -> int:
    """Calls of Python and C that scrubbing takes, and the characters they look at one by one."""
    count = 0

    def counted(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        scrub(text)
    finally:
        sys.setprofile(before)
    return count


def test_only_patterns_that_cannot_backtrack_repeat_what_repeats_without_bound() -> None:
    nested = {name for name, pattern in _patterns() if _has_nested_repeats(parse(pattern))}

    # In each of these a mark that the inner repeat cannot match ends it.
    assert nested == {"JSON Web Token", "_BARE", "_COOKIES", "_YAML_LIST", "_YAML_TEXT"} | {
        "_ESCAPED_TEXT",
        "_ESCAPED_LIST",
    }


def _patterns() -> Iterator[tuple[str, str]]:
    for form in FORMS:
        yield form.name, form.pattern
    for module in (gate, named, options, secret_names, urls):
        for name, value in vars(module).items():
            if name[1:].isupper() and isinstance(value, str) and name != "_MARKS":
                yield name, value


def _has_nested_repeats(parsed: Any, *, is_inside: bool = False) -> bool:  # noqa: ANN401 - of re, untyped
    return any(
        (operator in _REPEATS and argument[1] == MAXREPEAT and is_inside)
        or any(
            _has_nested_repeats(
                part,
                is_inside=is_inside or (operator in _REPEATS and argument[1] == MAXREPEAT),
            )
            for part in _parts_of(argument)
        )
        for operator, argument in parsed
    )


def _parts_of(argument: Any) -> Iterator[SubPattern]:  # noqa: ANN401 - of any operator
    if isinstance(argument, SubPattern):
        yield argument
    elif isinstance(argument, (list, tuple)):
        for part in argument:
            yield from _parts_of(part)


# --- where it is used --------------------------------------------------------------


@pytest.fixture
def capturing() -> Iterator[None]:
    captured_texts.choose({"exception"})
    yield
    captured_texts.choose(None)


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
