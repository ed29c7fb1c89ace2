"""What a wrapped command waits for, and how long all of it takes."""

from __future__ import annotations

import compileall
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import otel_codomon
from benchmarks.measure import Row, in_turn, print_table
from otel_codomon import run

ROUNDS = 21
# Of what takes milliseconds, beside whatever else the machine does.
RUN_ROUNDS = 101

# What one would write: import the SDK, run the command, send its span.
NAIVE = """
import subprocess, sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=0.2)))
trace.set_tracer_provider(provider)
with trace.get_tracer("naive").start_as_current_span("command"):
    code = subprocess.run(sys.argv[1:]).returncode
provider.shutdown()
"""

# What a program waits for at its first command, beyond the import.
FIRST = """
import time
from otel_codomon import run
begin = time.perf_counter()
run(["true"])
print(time.perf_counter() - begin)
"""

# A receiver that says yes: what is measured is the client.
RECEIVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def _whole(command: list[str], env: dict[str, str]) -> None:
    subprocess.run(command, env=env, stderr=subprocess.DEVNULL, check=True)


def _until_started(prefix: list[str], env: dict[str, str]) -> float:
    """Seconds from our start of *prefix* until the command it wraps says that it runs."""
    reader, writer = os.pipe()
    begin = time.perf_counter()
    with subprocess.Popen(
        [*prefix, "sh", "-c", f"echo >&{writer}"],
        env=env,
        stderr=subprocess.DEVNULL,
        pass_fds=[writer],
    ):
        os.close(writer)
        os.read(reader, 1)
        elapsed = time.perf_counter() - begin
    os.close(reader)
    return elapsed


def _start_and_peer(
    wrapped: list[str], bare: list[str], env: dict[str, str]
) -> tuple[float, float]:
    """Median seconds until *wrapped* has started its command, and of *bare*, in turn."""
    ours, peers = [], []
    for _ in range(ROUNDS):
        ours.append(_until_started(wrapped, env))
        begin = time.perf_counter()
        _whole(bare, env)
        peers.append(time.perf_counter() - begin)
    return statistics.median(ours), statistics.median(peers)


def _with_options(wrapped: list[str], bare: list[str], env: dict[str, str]) -> Row:
    said = [*wrapped[:-1], "--timeout", "60", "--limit-memory=512M", "-q", "--"]
    ours, peer = _start_and_peer(said, bare, env)
    what = "command starts after, with three options"
    return Row(what, ours * 1e3, peer * 1e3, "ms", 2.5, "python -c pass")


def main() -> None:
    """Print the tables."""
    # Peers come with their bytecode from pip; a checkout has to be given its own.
    compileall.compile_dir(Path(otel_codomon.__file__).parent, quiet=1)
    bin_folder = Path(sys.executable).parent
    wrapped = [str(bin_folder / "otel-codomon"), "run", "--"]
    bare = [sys.executable, "-c", "pass"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([sys.executable, "-c", RECEIVER], stdout=subprocess.PIPE) as receiver,
    ):
        assert receiver.stdout is not None  # noqa: S101 - asked for
        endpoint = f"http://127.0.0.1:{int(receiver.stdout.readline())}"
        env = {**os.environ, "OTEL_PYTHON_CODOMON_JOURNAL": folder}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        sending = {**env, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        naive = [sys.executable, "-c", NAIVE, "true"]
        try:
            _print(wrapped, bare, naive, env, sending, bin_folder)
        finally:
            receiver.terminate()


def _print(  # noqa: PLR0917 - all that the rows are made of
    wrapped: list[str],
    bare: list[str],
    naive: list[str],
    env: dict[str, str],
    sending: dict[str, str],
    bin_folder: Path,
) -> None:
    true = [*wrapped, "true"]
    start, pass_seconds = _start_and_peer(wrapped, bare, env)
    ours, python = in_turn(lambda: _whole(true, env), lambda: _whole(bare, env), rounds=ROUNDS)
    rows = [
        Row("command starts after", start * 1e3, pass_seconds * 1e3, "ms", 2.5, "python -c pass"),
        _with_options(wrapped, bare, env),
        Row("whole, nothing to send to", ours * 1e3, python * 1e3, "ms", None, "python -c pass"),
    ]
    sent, naively = in_turn(
        lambda: _whole(true, sending), lambda: _whole(naive, sending), rounds=ROUNDS
    )
    rows.append(Row("whole, sending", sent * 1e3, naively * 1e3, "ms", 0.6, "import, run, send"))
    duct = bin_folder / "con-duct"
    if duct.exists():
        logs = f"{env['OTEL_PYTHON_CODOMON_JOURNAL']}/duct_"
        quiet = [str(duct), "run", "-q", "-p", logs, "--clobber", "true"]
        ours, theirs = in_turn(lambda: _whole(true, env), lambda: _whole(quiet, env), rounds=ROUNDS)
        rows.append(Row("whole", ours * 1e3, theirs * 1e3, "ms", 1.0, "con-duct"))
    print_table("otel-codomon run -- true", rows)
    _print_run(env)


def _first_and_peer(env: dict[str, str]) -> tuple[float, float]:
    """Median seconds of a program's first `run`, and of the interpreter that it starts."""
    bare = [sys.executable, "-I", "-S", "-c", "pass"]
    ours, peers = [], []
    for _ in range(ROUNDS):
        said = subprocess.run([sys.executable, "-c", FIRST], env=env, stdout=-1, check=True).stdout
        ours.append(float(said))
        begin = time.perf_counter()
        _whole(bare, env)
        peers.append(time.perf_counter() - begin)
    return statistics.median(ours), statistics.median(peers)


def _print_run(env: dict[str, str]) -> None:
    in_process, popen = in_turn(
        lambda: run(["true"]),
        lambda: subprocess.run(["true"], capture_output=True, check=True),
        rounds=RUN_ROUNDS,
    )
    first, python = _first_and_peer(env)
    flood = ["head", "-c", "1000000000", "/dev/zero"]
    drained, piped = in_turn(
        lambda: run(flood),
        lambda: subprocess.run(
            ["sh", "-c", "head -c 1000000000 /dev/zero | cat > /dev/null"], check=True
        ),
        rounds=3,
    )
    print_table(
        "run()",
        [
            Row("run(['true'])", in_process * 1e3, popen * 1e3, "ms", 8.0, "subprocess.run"),
            Row("the first of a program", first * 1e3, python * 1e3, "ms", None, "python -I -S"),
            Row("1 GB of output", drained * 1e3, piped * 1e3, "ms", None, "| cat"),
        ],
    )


if __name__ == "__main__":
    main()
