"""Every command that reads, on every journal and every terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.history import MIB, Past, write_history
from support.typed import clean_environment, typed, typed_on_terminal

from otel_codomon import names
from otel_codomon.cli.every_command import parsers
from otel_codomon.journal.execution_record import Outcome

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

# The commands that read the journal, as people type them.
READING = {
    "list": ("list",),
    "show": ("show", "the-one"),
    "monitor-stats": ("monitor-stats", "-i", "0.05", "--duration", "0.1", "--since", "1h"),
    "cache-info": ("cache-info",),
    "report": ("report", "-v"),
    "doctor": ("doctor",),
    "journal": ("journal", "status"),
}
_COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-9]|4[0-9]|9[0-7])m")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]")
# Those whose tables are drawn to fit the terminal.
DRAWN = ("monitor-stats", "list")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("journal")
    curve = {
        names.USAGE_CURVE_TIME: [float(i) for i in range(30)],
        names.USAGE_CURVE_CPU: [i / 10 for i in range(30)],
        names.USAGE_CURVE_MEMORY: [i * MIB for i in range(30)],
        names.USAGE_MEMORY_PEAK: 30 * MIB,
        names.USAGE_CPU_TIME: 0.5,
    }
    past = [
        Past(execution_id="the-one", name="naïve ☃ name", attributes=curve),
        Past(name="\x1b[31mred\x1b]0;title\x07", outcome=Outcome.TIMEOUT),
        *(Past(name="a name that is much longer than forty columns are wide") for _ in range(50)),
    ]
    write_history(path, past).forget()
    return path


def at(folder: Path, name: str) -> tuple[str, ...]:
    return (*READING[name], "--journal", str(folder))


# --- journals ---


@pytest.mark.parametrize("name", READING)
def test_an_empty_journal_is_no_failure(name: str, tmp_path: Path) -> None:
    done = typed(*at(tmp_path, name))

    assert "Traceback" not in done.stderr
    assert done.returncode == (1 if name == "show" else 0)


@pytest.mark.parametrize("name", READING.keys() - {"cache-info"})
def test_of_a_damaged_journal_what_is_whole_is_shown(name: str, tmp_path: Path) -> None:
    past = [Past(execution_id="the-one"), *(Past() for _ in range(20))]
    write_history(tmp_path, past).forget()
    (segment,) = tmp_path.glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(bytes(content) + b"\xff\xff torn")
    (tmp_path / f"t-{10**18:019d}-00000000.seg").write_bytes(os.urandom(4096))

    done = typed(*at(tmp_path, name))

    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert done.stdout


def test_damage_is_counted_where_executions_are(tmp_path: Path) -> None:
    write_history(tmp_path, [Past() for _ in range(10)]).forget()
    (segment,) = tmp_path.glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)

    for name in ("list", "report", "monitor-stats"):
        done = typed(*at(tmp_path, name))
        told = done.stdout + done.stderr
        assert re.search(r'\b1\b.* could not be read|"unreadable": 1', told), name


# Writes executions until it is told to stop, in bursts, as a busy program would.
WRITER = """
import sys, threading
from support.history import Past, add, write_history
writer = write_history(sys.argv[1], [Past(name="first")])
print("ready", flush=True)
stopped = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
add(writer, Past(name=sys.argv[2], seconds=None))
while not stopped.wait(0.001):
    add(writer, Past(name=sys.argv[2]))
"""


def test_while_eight_processes_write_every_command_reads(tmp_path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), f"writer {number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_environment(PYTHONPATH="tests:."),
        )
        for number in range(8)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        done = {name: typed(*at(tmp_path, name)) for name in READING.keys() - {"show"}}
    finally:
        for child in children:
            child.communicate()

    assert {name: (d.returncode, d.stderr) for name, d in done.items()} == dict.fromkeys(
        done, (0, "")
    )


@pytest.mark.long
def test_a_hundred_thousand_executions_fit_in_200_mib(tmp_path: Path) -> None:
    write_history(tmp_path, (Past(name=f"name {i % 5}") for i in range(100_000))).forget()
    program = (
        "import sys\n"
        "from otel_codomon import cli\n"
        "from otel_codomon.sandbox.spawning import own_peak_kib\n"  # not its spawner's
        "code = cli.main(sys.argv[1:])\n"
        "sys.stderr.write(str(own_peak_kib()))\n"
        "raise SystemExit(code)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, "report", "--journal", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(),
    )

    assert "no problems found: 100,000 executions, all succeeded" in done.stdout
    assert int(done.stderr) < 200 * 1024


# --- terminals, pipes and locales ---


@pytest.mark.parametrize("name", READING)
def test_a_narrow_terminal_without_colour_has_neither_overlong_rows_nor_anybodys_controls(
    name: str, folder: Path
) -> None:
    environment = clean_environment(NO_COLOR="1")

    code, written = typed_on_terminal(*at(folder, name), columns=40, env=environment)

    assert code == 0
    assert not _COLOUR.search(written)
    assert "\x1b[31mred" not in written
    assert "\x1b]0;title" not in written
    if name in DRAWN:  # prose is folded by the terminal
        _, *rows = _CONTROL.split(written)  # the first names a folder, however long it is
        assert max(map(len, rows)) <= 40


@pytest.mark.parametrize("name", READING)
def test_the_c_locale_will_do(name: str, folder: Path) -> None:
    environment = clean_environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")

    code, written = typed_on_terminal(*at(folder, name), env=environment)
    piped = subprocess.run(
        [sys.executable, "-m", "otel_codomon", *at(folder, name)],
        capture_output=True,
        env=environment,
        check=False,
    )

    assert (code, "Traceback" in written) == (0, False)
    assert (piped.returncode, piped.stderr) == (0, b"")
    assert written.isascii()


@pytest.mark.parametrize("name", READING)
def test_a_pipe_that_closes_early_is_quiet(name: str, folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "otel_codomon", *at(folder, name)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        said = command.stderr.read()

    assert (command.returncode, said) in ((141, b""), (0, b""))


# --- wrong usage ---


def _wrong_values(action: argparse.Action) -> list[list[str]]:
    """Arguments that cannot mean anything to an option."""
    if not action.option_strings:
        return []
    option = max(action.option_strings, key=len)
    if action.nargs == 0:
        return [[f"{option}=value"]]
    if action.choices is not None or action.type is not None:
        return [[option, "¿nonsense?"], [f"{option}="]]
    return [] if action.nargs == "?" else [[option]]


# What a command needs besides its options to be whole.
_NEEDED = {"show": ["id"], "journal": ["status"], "completion": ["bash"]}

WRONG = [
    pytest.param(name, wrong, id=f"{name} {' '.join(wrong)}")
    for name, parser in parsers()
    for action in parser._actions
    if name != "run" and action.dest != "help"
    for wrong in _wrong_values(action)
]


@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_wrong_usage_of_an_option_is_one_line_that_says_what_is_accepted(
    name: str, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from otel_codomon import cli

    assert cli.main([name, *_NEEDED.get(name, []), *wrong]) == 2

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"otel-codomon {name}: ")
    # Of argparse itself: "invalid float value: 'x'" names a type, and no way out.
    assert not re.search(r"invalid \w+ value", said)


@pytest.mark.parametrize("name", [name for name, _ in parsers() if name != "run"])
def test_an_unknown_option_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from otel_codomon import cli

    assert cli.main([name, *_NEEDED.get(name, []), "--no-such-option"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
