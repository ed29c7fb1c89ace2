"""Secrets in fifty places: none on the wire, in the journal or in a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.collector import Collector
from support.user_program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
    wire = b"".join(collector.bodies())
    places = {"the journal": journal, "the wire": wire, "a log": done.stderr.encode()}
    leaks = {
        name: text[text.find(b"s3cr3t") - 200 :][:260]
        for name, text in places.items()
        if b"s3cr3t" in text
    }
    assert leaks == {}
