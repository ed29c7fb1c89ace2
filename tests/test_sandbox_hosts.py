"""`run` in every kind of program that may call it, each a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.escapees import wait_until_dead

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its hosts are Linux's")

# What a host does before it runs two commands, and where it runs them.
HOSTS = {
    "an ordinary one": "",
    "SIGCHLD is ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "a handler of SIGCHLD waits for any child": """
def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]: pass
    except ChildProcessError: pass
signal.signal(signal.SIGCHLD, reap)
""",
    "SIGCHLD and all others are blocked": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"
    ),
    "it has no standard streams": "for fd in (0, 1, 2): os.close(fd)",
    "its standard output alone is closed": "os.close(1)",
    "another thread": "where = in_thread",
    "a forked child": "run(['true']); where = in_fork",
    "a forked child of a thread": "where = lambda function: in_thread(lambda: in_fork(function))",
    "its exit": "where = atexit.register",
    "it has no sys.executable": "sys.executable = None",
    "its sys.executable is empty": "sys.executable = ''",
    "its sys.executable is odd": "sys.executable = 3",
    "its sys.executable is a program that never ends": "sys.executable = '/usr/bin/yes'",
    "its sys.executable is a script": "sys.executable = script('host')",
    "its sys.executable is a script called python": "sys.executable = script('python3')",
    "its sys.executable is another program called python": (
        "os.symlink(shutil.which('yes'), 'python3'); sys.executable = os.path.abspath('python3')"
    ),
    "no Python is found": "without_python()",
    "no Python is found, and SIGCHLD has a handler": (
        "without_python(); signal.signal(signal.SIGCHLD, lambda *_: None)"
    ),
    "pidfd_open is not built in": "del os.pidfd_open",
    "pidfd_open is refused as unknown": "refuse(434, errno.ENOSYS)",
    "pidfd_open is forbidden": "refuse(434, errno.EPERM)",
    "it has few descriptors": (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))"
    ),
    "an import hook raises": "sys.meta_path.insert(0, Refusing())",
}
PROGRAM = """
import atexit, errno, os, shutil, signal, sys, tempfile, threading, warnings
from otel_codomon import arun, run
text = "import sys; sys.exit(len(sys.stdin.read()))", "python"
told = os.dup(1)

class Refusing:
    def find_spec(self, name, *_):
        if name.startswith("no_such"): raise RuntimeError
        return None

def both():
    first = run(["sh", "-c", "cat; echo out; echo err >&2; exit 3"], stdin="in ", timeout=300)
    second = run(text[0], language=text[1], timeout=300)
    for result in (first, second):
        os.write(told, f"{result.outcome.value} {result.exit_code} {result.reason}\\n".encode())
    os.write(told, f"{first.stdout!r} {first.stderr!r}\\n".encode())

def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()

def in_fork(function):
    warnings.simplefilter("ignore", DeprecationWarning)  # no thread matters to the child
    if os.fork() == 0:
        function()
        os._exit(0)
    os.wait()

def script(name):
    with open(name, "w") as file:
        file.write("#!/bin/sh\\ntouch started; exec sleep 1000\\n")
    os.chmod(name, 0o755)
    return os.path.abspath(name)

def programs(*names):
    os.mkdir("bin")
    for name in names:
        os.symlink(shutil.which(name), f"bin/{name}")
    return os.path.abspath("bin")

def without_python():
    global text
    text = "test -z $(cat)", "bash"
    sys.executable, sys.exec_prefix, sys.base_exec_prefix = None, os.getcwd(), os.getcwd()
    os.environ["PATH"] = programs("sh", "bash", "cat")

def refuse(call, number):
    '''A filter on system calls that lets *call* fail with *number* (seccomp(2)).'''
    import ctypes, struct
    rules = [(0x20, 0, 0, 0), (0x15, 0, 1, call), (0x06, 0, 0, 0x50000 | number),
             (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    head = struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.c_char_p(head), 0, 0) == 0, os.strerror(ctypes.get_errno())

where = lambda function: function()
"""
WELL = "error 3 it ended with exit code 3\nsuccess 0 None\n'in out\\n' 'err\\n'\n"


def _host(
    program: str, folder: Path, *, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-c", f"{PROGRAM}\n{program}"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("host", HOSTS)
def test_commands_run_and_end_as_they_do(host: str, tmp_path: Path) -> None:
    done = _host(f"{HOSTS[host]}\nwhere(both)", tmp_path)

    assert (done.stdout, done.stderr) == (WELL, "")
    assert not (tmp_path / "started").exists(), "a wrong program was started"


def test_a_status_that_the_kernel_has_thrown_away_is_unknown(tmp_path: Path) -> None:
    """Without a supervisor there is nobody else who could wait for it."""
    done = _host(
        "without_python(); signal.signal(signal.SIGCHLD, signal.SIG_IGN); both()", tmp_path
    )

    lost = (
        "unknown None its exit status was lost: the host ignores SIGCHLD, or waits for any child\n"
    )
    assert (done.stdout, done.stderr) == (f"{lost}{lost}'in out\\n' 'err\\n'\n", "")


def test_it_runs_as_process_1(tmp_path: Path) -> None:
    before = ["unshare", "--pid", "--fork", "--mount-proc", *(["-r"] if os.getuid() else [])]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here; install util-linux")
    able = subprocess.run([*before, "true"], capture_output=True, text=True, check=False)
    if able.returncode != 0:
        pytest.skip(f"no process namespace can be made here: {able.stderr.strip()}")

    done = _host("assert os.getpid() == 1\nboth()", tmp_path, before=before)

    assert (done.stdout, done.stderr) == (WELL, "")


def test_a_working_directory_that_is_gone_is_refused_only_where_it_is_needed(
    tmp_path: Path,
) -> None:
    program = """
os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone")
for arguments in ({}, {"cwd": "."}, {"cwd": "/"}):
    try: print(run(["pwd"], **arguments).stdout, end="")
    except Exception as error: print(type(error).__name__, error)
print(run("print(1)", language="python").stdout, end="")
try: run(["./program"])
except Exception as error: print(type(error).__name__, error.argument)
"""
    done = _host(program, tmp_path)

    refused = (
        "InvalidArgumentError cannot work in the current directory: it no longer exists; "
        "pass one that does, as cwd="
    )
    expected = f"{refused}\n{refused}\n/\n1\nInvalidArgumentError cwd\n"
    assert (done.stdout, done.stderr) == (expected, "")


def test_without_a_temporary_directory_what_needs_one_is_a_setup_error(tmp_path: Path) -> None:
    program = """
tempfile.tempdir = "/no/such/directory"
for arguments in ({}, {"isolation": "bubblewrap", "cwd": "/usr"}, {"isolation": "bubblewrap"}):
    print(run(["true"], **arguments).outcome.value)
result = run("print(1)", language="python")
print(result.outcome.value, result.reason)
"""
    done = _host(program, tmp_path)

    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "success"
    assert done.stdout.splitlines()[-1] == (
        "setup_error cannot make a private directory: no such file or directory; "
        "set TMPDIR to a directory that can be written to"
    )


def test_no_wrong_program_is_started_to_deliver(tmp_path: Path) -> None:
    """The sender is a Python too: not what an embedding program calls its own."""
    program = """
from otel_codomon.cli import main
os.environ["OTEL_PYTHON_CODOMON_JOURNAL"] = os.path.abspath("journal")
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
sys.executable, sys.exec_prefix, sys.base_exec_prefix = script("host"), "/", "/"
os.environ["PATH"] = programs("true")
sys.exit(main(["run", "-q", "--", "true"]))
"""
    done = _host(program, tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "started").exists()


# --- coroutines ------------------------------------------------------------------


def test_an_event_loop_that_is_closed_meanwhile_ends_the_command_in_silence(
    tmp_path: Path,
) -> None:
    program = """
import asyncio
os.mkfifo("told")
loop = asyncio.new_event_loop()
async def main():
    call = arun(["sh", "-c", "echo $$ > told; exec sleep 1000"])
    call.send(None)  # starts it, and leaves it
    return call
call = loop.run_until_complete(main())
with open("told") as reader: pid = int(reader.read())
loop.close()
del call
try: os.kill(pid, 0)
except ProcessLookupError: print("ended")
print([thread.name for thread in threading.enumerate()])
"""
    done = _host(program, tmp_path)

    assert (done.stdout, done.stderr) == ("ended\n['MainThread']\n", "")


def test_an_event_loop_that_closes_before_the_command_has_ended_is_not_told(tmp_path: Path) -> None:
    program = """
import asyncio
os.mkfifo("go")
loop = asyncio.new_event_loop()
async def main():
    call = arun(["sh", "-c", "cat go"])
    call.send(None)
    return call
call = loop.run_until_complete(main())
loop.close()
with open("go", "w"): pass
for thread in threading.enumerate():
    if thread.name == "otel-codomon-run": thread.join()
"""
    done = _host(program, tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("framework", ["trio", "none"])
def test_without_asyncio_the_way_out_is_told(framework: str, tmp_path: Path) -> None:
    programs = {
        "trio": """
import functools, trio
async def main():
    try: await arun(["true"])
    except RuntimeError as error: print(error)
    result = await trio.to_thread.run_sync(functools.partial(run, ["true"]))
    print(result.outcome.value)
trio.run(main)
""",
        "none": """
try: arun(["true"]).send(None)
except RuntimeError as error: print(error)
print("success")
""",
    }

    done = _host(programs[framework], tmp_path)

    assert done.stderr == ""
    said, outcome = done.stdout.splitlines()
    assert said.startswith("cannot wait for a command here: no asyncio event loop is running")
    assert "trio.to_thread.run_sync" in said
    assert outcome == "success"


# --- the end of the interpreter -----------------------------------------------------


def test_a_child_that_outlives_the_interpreter_costs_it_no_traceback(tmp_path: Path) -> None:
    program = """
import subprocess
from otel_codomon import execution
from otel_codomon.testing import Recorder
with Recorder(), execution("x") as current:
    child = subprocess.Popen(["sleep", "1000"], stdout=-3, stderr=-3)
    current.attach(child)
class Keeper: pass
Keeper.child, Keeper.itself = child, Keeper
print(child.pid)
"""
    done = _host(program, tmp_path)
    os.kill(int(done.stdout), 9)

    assert done.stderr == ""


def test_a_thread_that_waits_when_the_interpreter_ends_leaves_nothing(tmp_path: Path) -> None:
    program = """
os.mkfifo("told")
command = ["sh", "-c", "echo $$ > told; exec sleep 1000"]
threading.Thread(target=run, args=[command], daemon=True).start()
with open("told") as reader: print(reader.read(), flush=True)
"""
    done = _host(program, tmp_path)

    assert done.stderr == ""
    wait_until_dead(int(done.stdout))
