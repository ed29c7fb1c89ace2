"""The fixture of pytest, in runs of pytest on real test files, and what it can assert."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED

from otel_codomon import InvalidArgumentError, Outcome, execution, run
from otel_codomon.testing import Recorder

if TYPE_CHECKING:
    from pathlib import Path


def run_pytest(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on the tests in *folder*, as a user would; each warning is an error."""
    left_out = ("PYTEST_", "COV_", "OTEL_", "LOGFIRE_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=environ | {"HOME": str(folder), "XDG_STATE_HOME": str(folder)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


# What a user's test suite has.
SUITE = """
import threading

import pytest
from otel_codomon import execution, run

@execution
def job(number):
    return 1 / number

@pytest.mark.parametrize("number", range(8))
def test_a_job_is_recorded_for_this_test_alone(number, execution_recorder):
    if number:
        job(number)
    else:
        pytest.raises(ZeroDivisionError, job, number)

    execution_recorder.assert_execution("job", outcome="success" if number else "error")
    assert len(execution_recorder.executions()) == 1

def test_a_command_is_recorded(execution_recorder):
    run(["sh", "-c", "exit 3"], name="failing")

    execution_recorder.assert_execution("failing", outcome="error", exit_code=3)

def test_the_jobs_of_two_threads_are_recorded(execution_recorder):
    threads = [threading.Thread(target=job, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(execution_recorder.executions()) == 2
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_each_test_has_its_own_executions(tmp_path: Path, workers: tuple[str, ...]) -> None:
    if workers:
        pytest.importorskip("xdist", reason="needs pytest-xdist")
    (tmp_path / "test_suite.py").write_text(SUITE)

    done = run_pytest(tmp_path, *workers)

    assert "10 passed" in done.stdout, done.stdout + done.stderr


def test_a_failed_assertion_shows_the_line_of_the_test_and_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(
        "from otel_codomon import execution\n"
        "def test_job(execution_recorder):\n"
        "    with execution('job'):\n"
        "        pass\n"
        "    execution_recorder.assert_execution('job', outcome='timeout')\n"
    )

    done = run_pytest(tmp_path)

    assert "1 failed" in done.stdout, done.stdout + done.stderr
    assert "test_suite.py:5: AssertionError" in done.stdout
    assert "no execution has name='job', outcome='timeout'; 1 recorded:" in done.stdout
    assert "  name='job', outcome='success'" in done.stdout
    assert "__tracebackhide__" not in done.stdout


CONFTEST = """
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import {sampler}

tracer = TracerProvider(sampler={sampler}).get_tracer("conftest")

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    with tracer.start_as_current_span(item.nodeid):
        return (yield)
"""

PARENT = """
from opentelemetry import trace
from otel_codomon import execution

def test_a_job_is_a_child_of_the_span_of_its_test(execution_recorder):
    with execution("job"):
        pass

    test = trace.get_current_span().get_span_context()
    job = execution_recorder.assert_execution("job")
    assert test.is_valid
    assert job.trace_id == trace.format_trace_id(test.trace_id)
    assert job.parent_span_id == trace.format_span_id(test.span_id)
"""


@pytest.mark.parametrize("sampler", ["ALWAYS_ON", "ALWAYS_OFF"])
def test_executions_are_children_of_the_span_of_a_test(tmp_path: Path, sampler: str) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.format(sampler=sampler))
    (tmp_path / "test_suite.py").write_text(PARENT)

    done = run_pytest(tmp_path)

    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_executions_are_children_of_the_span_that_logfire_makes(tmp_path: Path) -> None:
    pytest.importorskip("logfire", reason="needs logfire")
    (tmp_path / "test_suite.py").write_text(PARENT)

    done = run_pytest(tmp_path, "--logfire")

    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_fixture_of_the_same_name_in_a_conftest_counts(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import pytest\n"
        "@pytest.fixture\n"
        "def execution_recorder(execution_recorder):\n"
        "    return ('of the conftest', execution_recorder)\n"
    )
    (tmp_path / "test_suite.py").write_text(
        "def test_it(execution_recorder):\n"
        "    whose, recorder = execution_recorder\n"
        "    assert (whose, recorder.executions()) == ('of the conftest', ())\n"
    )

    done = run_pytest(tmp_path)

    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(
        "import sys\n"
        "def test_nothing_of_it_is_there(request):\n"
        "    assert 'otel_codomon' not in sys.modules\n"
        "def test_with_the_fixture(execution_recorder):\n"
        "    pass\n"
    )

    done = run_pytest(tmp_path, "-p", "no:otel_codomon", "-p", "no:randomly")

    assert "1 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "fixture 'execution_recorder' not found" in done.stdout


def test_a_run_that_does_not_use_the_fixture_imports_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(
        "import sys\n"
        "def test_what_is_imported():\n"
        "    print('\\nimported:', *sorted(sys.modules))\n"
    )

    def imported(plugin: str) -> set[str]:
        # Without the plugins of others, some of which import the SDK themselves.
        done = run_pytest(tmp_path, "-s", "-p", plugin, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
        found = re.search(r"^imported: (.*)$", done.stdout, re.MULTILINE)
        assert found is not None, done.stdout + done.stderr
        return set(found[1].split())

    more = imported("otel_codomon") - imported("no:otel_codomon")

    assert more == {"otel_codomon", "otel_codomon.pytest_plugin", "otel_codomon.version"}


@execution
def job() -> int:
    return 1


def test_the_first_execution_that_is_as_described_is_returned(recorder: Recorder) -> None:
    for code in (0, 3, 3):
        run(["sh", "-c", f"exit {code}"], name="command")
    job()

    first, second, third, last = recorder.executions()
    assert recorder.assert_execution() == first
    assert recorder.assert_execution("job") == last
    assert recorder.assert_execution("command", exit_code=0) == first
    assert recorder.assert_execution(outcome=Outcome.ERROR) == second != third
    assert recorder.assert_execution(outcome="error", exit_code=3) == second


@pytest.mark.parametrize(
    ("name", "outcome", "exit_code"),
    [
        ("comman", None, None),
        ("command", Outcome.SUCCESS, None),
        ("command", Outcome.ERROR, 1),
        (None, None, 0),
    ],
)
def test_an_execution_that_differs_in_one_respect_is_not_the_one(
    recorder: Recorder, name: str | None, outcome: Outcome | None, exit_code: int | None
) -> None:
    run(["sh", "-c", "exit 3"], name="command")
    job()

    with pytest.raises(AssertionError, match=r"^no execution has ") as caught:
        recorder.assert_execution(name, outcome=outcome, exit_code=exit_code)

    assert str(caught.value).endswith(
        "; 2 recorded:\n"
        "  name='command', outcome='error', exit_code=3\n"
        "  name='job', outcome='success'"
    )


def test_the_message_is_bounded(recorder: Recorder) -> None:
    for _ in range(25):
        job()

    with pytest.raises(AssertionError) as caught:
        recorder.assert_execution("other")

    first, *listed, last = str(caught.value).splitlines()
    assert first == "no execution has name='other'; 25 recorded:"
    assert listed == ["  name='job', outcome='success'"] * 20
    assert last == "  and 5 more"


def test_an_execution_that_runs_is_not_there_yet(recorder: Recorder) -> None:
    expected = r"^no execution has name='job'; none has ended yet$"
    with execution("job"), pytest.raises(AssertionError, match=expected):
        recorder.assert_execution("job")

    recorder.assert_execution("job")


def test_a_disabled_sdk_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OTEL_SDK_DISABLED, "true")
    with Recorder() as recorder:
        job()

    with pytest.raises(AssertionError, match="while OTEL_SDK_DISABLED is true; unset it"):
        recorder.assert_execution("job")


def test_an_outcome_that_does_not_exist_is_refused(recorder: Recorder) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^invalid outcome 'sucess': use one of succ"):
        recorder.assert_execution("job", outcome="sucess")  # type: ignore[arg-type] # a typo
