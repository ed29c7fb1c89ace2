from __future__ import annotations

import pytest

from otel_codomon import InvalidArgumentError, environment_variables as env
from otel_codomon.settings import OPTIONS, Setting, read_settings
from otel_codomon.words import INSTRUMENTS

ACCEPTED = [
    (env.OTEL_PYTHON_CODOMON_JOURNAL, "/j", "journal", "/j"),
    (env.OTEL_PYTHON_CODOMON_JOURNAL, "OFF", "journal", None),
    (env.OTEL_PYTHON_CODOMON_DELIVER, "true", "deliver", True),
    (env.OTEL_PYTHON_CODOMON_DURABILITY, "Power", "durability", "power"),
    (env.OTEL_PYTHON_CODOMON_EXIT_TIMEOUT, "0", "exit_timeout", 0.0),
    (env.OTEL_PYTHON_CODOMON_SAMPLE_INTERVAL, "0.5", "sample_interval", 0.5),
    (env.OTEL_PYTHON_CODOMON_SLOTS, "1", "slots", True),
    (env.OTEL_PYTHON_CODOMON_HOST_METRICS, "no", "host_metrics", False),
    (env.OTEL_PYTHON_CODOMON_TOOL_CALLS, "true", "tool_calls", True),
    (env.OTEL_PYTHON_CODOMON_CONTROL, "clear", "control", frozenset({"clear"})),
    (env.OTEL_PYTHON_CODOMON_CAPTURE, "code, Output", "capture", frozenset({"code", "output"})),
    (env.OTEL_PYTHON_CODOMON_CAPTURE, "output:logs", "capture", frozenset({"output:logs"})),
    (env.OTEL_PYTHON_CODOMON_EXECUTION_LOGS, "true", "execution_logs", True),
    (env.OTEL_PYTHON_CODOMON_INSTRUMENT, "host, OS.Popen", "instrument", {"host", "os.popen"}),
    (env.OTEL_PYTHON_CODOMON_INSTRUMENT, "none", "instrument", frozenset()),
    (
        env.OTEL_PYTHON_CODOMON_INSTRUMENT,
        "-host,-os.popen",
        "instrument",
        {*INSTRUMENTS} - {"host", "os.popen"},
    ),
    (env.OTEL_PYTHON_CODOMON_EXCLUDED_PROGRAMS, "git*, ,/usr/*", "exclude", ("git*", "/usr/*")),
]
REFUSED = [
    (env.OTEL_PYTHON_CODOMON_JOURNAL, "a\0b"),
    (env.OTEL_PYTHON_CODOMON_DELIVER, "maybe"),
    (env.OTEL_PYTHON_CODOMON_DURABILITY, "forever"),
    (env.OTEL_PYTHON_CODOMON_EXIT_TIMEOUT, "-1"),
    (env.OTEL_PYTHON_CODOMON_EXIT_TIMEOUT, "nan"),
    (env.OTEL_PYTHON_CODOMON_SAMPLE_INTERVAL, "0"),
    (env.OTEL_PYTHON_CODOMON_SAMPLE_INTERVAL, "soon"),
    (env.OTEL_PYTHON_CODOMON_SLOTS, "2"),
    (env.OTEL_PYTHON_CODOMON_HOST_METRICS, "all"),
    (env.OTEL_PYTHON_CODOMON_TOOL_CALLS, "agents"),
    (env.OTEL_PYTHON_CODOMON_CONTROL, "clear,shutdown"),
    (env.OTEL_PYTHON_CODOMON_CAPTURE, "everything"),
    (env.OTEL_PYTHON_CODOMON_EXECUTION_LOGS, "starts"),
    (env.OTEL_PYTHON_CODOMON_INSTRUMENT, "subprocesses"),
    (env.OTEL_PYTHON_CODOMON_INSTRUMENT, "-subprocesses"),
    (env.OTEL_PYTHON_CODOMON_INSTRUMENT, "host,-caches"),
    (env.OTEL_PYTHON_CODOMON_INSTRUMENT, "host,none"),
]


@pytest.mark.parametrize(("variable", "text", "name", "value"), ACCEPTED)
def test_the_environment_sets_what_no_argument_sets(
    variable: str, text: str, name: str, value: object
) -> None:
    assert read_settings({}, {variable: text})[name] == Setting(value, variable)


@pytest.mark.parametrize(("variable", "text"), REFUSED)
def test_a_variable_that_cannot_mean_anything_is_refused_by_name(variable: str, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^invalid {variable} .*: .*; .*"):
        read_settings({}, {variable: text})


def test_an_argument_goes_before_the_environment() -> None:
    environ = {env.OTEL_PYTHON_CODOMON_EXIT_TIMEOUT: "9"}

    assert read_settings({"exit_timeout": 1}, environ)["exit_timeout"] == Setting(1.0, "argument")


def test_every_variable_has_an_option_and_every_option_a_variable() -> None:
    variables = {name for name in vars(env) if name.startswith("OTEL_")}

    assert {option.variable for option in OPTIONS} == variables


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_STATE_HOME": "/state"}, "/state/otel-codomon"),
        ({"XDG_STATE_HOME": "relative"}, "/home/someone/.local/state/otel-codomon"),
        ({}, "/home/someone/.local/state/otel-codomon"),
    ],
)
def test_the_journal_is_in_the_users_own_folder_for_state(
    environ: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")

    assert read_settings({}, environ)["journal"] == Setting(folder, "default")
