"""Secrets of every form in every place: none on the wire, in the journal, a log or an answer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import pytest
from support.collector import Collector
from support.planted import (
    OF_A_SHELL,
    OF_OUR_ENVIRONMENT,
    OF_THE_COMMAND,
    PLACES,
    Planted,
    leaks,
    planted,
)
from support.secret_forms import NOTATIONS, TOKENS
from support.user_program import PATIENCE_SECONDS, Program

from otel_codomon._platform.scrubbing import REDACTED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.long

# Each place gets a secret of its own, so that a leak tells where it is from.
PROGRAM = """
import asyncio, logging, os, subprocess, sys, tempfile
logging.basicConfig(level=logging.DEBUG)
from otel_codomon import configure, current_execution, execution, run
configure()
numbers = iter(range(1000))
def secret():
    return f"s3cr3t-{next(numbers):03}-value"

@execution(language="python")
def snippet(code, password, *args, timeout=30, session_id=None, token=None, **rest):
    local = secret()
    print(code, file=open(os.devnull, "w"))
    return {"status": "success", "stdout": secret(), "stderr": secret(), "result": secret()}

@execution
def fails(argument):
    local = secret()
    raise ValueError(secret())

class Account:
    def __init__(self): self.key = secret()
    def __repr__(self): return secret()
    def __str__(self): return secret()
    @execution
    def use(self, argument): return secret()
    @classmethod
    @execution
    def kind(cls, argument): return secret()
    @staticmethod
    @execution
    def help(argument): return secret()

@execution
async def coroutine(argument):
    return secret()

@execution
def generator(argument):
    yield secret()
    return secret()

@execution
async def stream(argument):
    yield secret()

async def drain(source):
    return [item async for item in source]

snippet(
    f"print('{secret()}')", secret(), secret(), session_id="session", token=secret(), extra=secret()
)
snippet(code=secret(), password=Account())
for argument in (secret(), [secret()], {secret(): secret()}, Account()):
    try:
        fails(argument)
    except ValueError:
        pass
account = Account()
account.use(secret()); Account.kind(secret()); Account.help(secret())
asyncio.run(coroutine(secret()))
list(generator(secret()))
asyncio.run(drain(stream(secret())))
with execution("block") as current:
    local = secret()
    os.environ["API_TOKEN"] = secret()
    child = subprocess.Popen([sys.executable, "-c", "import sys; print(sys.argv[1])", secret()],
                             env={**os.environ, "PASSWORD": secret()}, stdout=subprocess.DEVNULL)
    current.attach(child)
    current.record(exit_code=child.wait())
try:
    with execution("raises"):
        raise RuntimeError(secret(), Account()) from KeyError(secret())
except RuntimeError:
    pass
try:
    with execution("exits"):
        sys.exit(secret())
except SystemExit:
    pass
folder = tempfile.mkdtemp(prefix=secret())
talk = "import sys; print(sys.argv[1]); sys.stderr.write(sys.argv[2])"
run(
    [sys.executable, "-c", talk, secret(), secret()],
    env={"DB_PASSWORD": secret()}, cwd=folder, stdin=secret().encode(),
)
run(f"raise ValueError('{secret()}')", language="python")
os.rmdir(folder)
assert next(numbers) >= 50, next(numbers)
print("all planted")
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


def test_secrets_planted_in_fifty_places_are_nowhere(tmp_path: Path, collector: Collector) -> None:
    environ = {
        **collector.environment(),
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20s3cr3t-header-value",
        "SECRET_KEY": "s3cr3t-environment-value",
    }
    program = Program(tmp_path, environ)

    done = program.run(PROGRAM)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "all planted\n"
    assert len(collector.spans()) >= 15
    journal = b"".join(path.read_bytes() for path in (tmp_path / "journal").rglob("*.seg"))
    assert len(journal) > 10_000
    # What a command was given as a bare word is kept for its user, in this field and nowhere else.
    journal, commands = re.subn(rb'"command":\[(?:"(?:[^"\\]|\\.)*",?)*\]', b"", journal)
    assert commands == 1
    wire = b"".join(collector.bodies())
    places = {"the journal": journal, "the wire": wire, "a log": done.stderr.encode()}
    leaks = {
        name: text[text.find(b"s3cr3t") - 200 :][:260]
        for name, text in places.items()
        if b"s3cr3t" in text
    }
    assert leaks == {}


# What is planted comes as a file; each place is a function that is handed the text.
PLANT = """
import functools, json, logging, sys
logging.basicConfig(level=logging.DEBUG)
from otel_codomon import Limits, configure, execution, observe_cache, run
from otel_codomon._platform.never_raises import never_raises
configure()
ENV = {"SERVICE_PASSWORD": sys.argv[2]}

class Talking:
    def __init__(self, text): self.text = text
    def __str__(self): return self.text

def block(**arguments):
    with execution("block", **arguments):
        pass

def within(tell, name="block"):
    with execution(name) as current:
        tell(current)

def fail(text):
    try:
        with execution("fails"):
            raise ValueError(text)
    except ValueError:
        pass

def log(text, number=iter(range(1000))):
    def part(): raise ValueError(text)
    never_raises(f"part {next(number)}", default=None)(part)()

def refuse(text):
    try:
        execution("refused", attributes=text)
    except ValueError as error:
        print(error)

PLACES = {
    "name": lambda text: within(lambda c: None, name=text),
    "session": lambda text: block(session_id=text),
    "attribute": lambda text: block(attributes={"note": text}),
    "name of a command": lambda text: run(["true"], name=text, env=ENV),
    "session of a command": lambda text: run(["true"], session_id=text, env=ENV),
    "attribute of a command": lambda text: run(["true"], attributes={"note": text}, env=ENV),
    "later attribute": lambda text: within(lambda c: c.set_attribute("note", text)),
    "attribute of a class": lambda text: within(lambda c: c.set_attribute("note", Talking(text))),
    "attribute in a list": lambda text: block(attributes={"notes": ["first", text]}),
    "event": lambda text: within(lambda c: c.add_event(text)),
    "event attribute": lambda text: within(lambda c: c.add_event("event", {"note": text})),
    "reason": lambda text: within(lambda c: c.record(outcome="error", reason=text)),
    "exception": fail,
    "argument": lambda text: run(["true", text], env=ENV),
    "output": lambda text: run(["cat"], stdin=text, env=ENV),
    "error output": lambda text: run(["sh", "-c", "cat >&2"], stdin=text, env=ENV),
    "cut output": lambda text: run(["cat"], stdin=text, limits=Limits(output_bytes=2048)),
    "code": lambda text: block(code=text),
    "log": log,
    "refused value": refuse,
}
for plant in json.load(open(sys.argv[1])):
    PLACES[plant["place"]](plant["text"])
print("all planted")
"""

# What is asked of the journal afterwards; none may print a secret.
QUESTIONS = (
    ("list", "--format", "json", "--limit", "1000"),
    ("report", "--format", "html"),
    ("doctor", "--verbose"),
    ("journal", "status", "--format", "json"),
)


def test_two_hundred_secrets_of_every_form_place_and_cut_are_nowhere(
    tmp_path: Path, collector: Collector
) -> None:
    plants = planted()
    assert len(plants) >= 200
    assert {plant.form for plant in plants} >= {*TOKENS, *(row.name for row in NOTATIONS)}
    assert PLACES.keys() == {plant.place for plant in plants if plant.is_cut}
    program = Program(tmp_path, _telling_environment(collector))
    sown = [asdict(plant) for plant in plants if plant.place not in OF_A_SHELL]
    (tmp_path / "plants.json").write_text(json.dumps(sown))

    done = program.run(PLANT, str(tmp_path / "plants.json"), OF_THE_COMMAND)
    with ThreadPoolExecutor() as pool:
        typed = [plant for plant in plants if plant.place in OF_A_SHELL]
        said = list(pool.map(partial(_run_in_shell, program), typed))
        answers = dict(zip(QUESTIONS, pool.map(partial(_ask, program), QUESTIONS), strict=True))

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("all planted\n")
    assert len(collector.spans()) >= 150
    segments = (tmp_path / "journal").rglob("*")
    journal = b"".join(path.read_bytes() for path in segments if path.is_file())
    haystacks = {
        "the wire": b"".join(collector.bodies()).decode("utf-8", "replace"),
        "the journal": journal.decode("utf-8", "replace"),
        "a log": done.stderr + done.stdout,
        "a command": "".join(said),
        **{" ".join(question): answer for question, answer in answers.items()},
    }
    assert all(REDACTED in haystacks[where] for where in ("the wire", "the journal", "a log"))
    assert leaks(plants, haystacks) == {}
    assert not any("s3cr3t-endpoint" in text for text in haystacks.values())


def _telling_environment(collector: Collector) -> dict[str, str]:
    endpoint = collector.http_endpoint.replace("://", "://us3r:s3cr3t-endpoint@")
    return {
        **collector.environment(),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=s3cr3t-endpoint",
        "OTEL_PYTHON_CODOMON_CAPTURE": "arguments,code,exception,output",
        "DATABASE_URL": f"postgres://me:{OF_OUR_ENVIRONMENT}@host/db",
    }


def _run_in_shell(program: Program, plant: Planted) -> str:
    """Plant with ``otel-codomon run``; what it said."""
    arguments = {
        "name of the command line": ["--name", plant.text, "--", "true"],
        "session of the command line": ["--session-id", plant.text, "--", "true"],
        "program of the command line": ["--", plant.text],
        "argument of the command line": ["--", "true", plant.text],
    }[plant.place]
    return _ask(program, ("run", *arguments))


def _ask(program: Program, arguments: tuple[str, ...]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "otel_codomon", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=program.environment(),
        timeout=PATIENCE_SECONDS,
    )
    return done.stdout + done.stderr
