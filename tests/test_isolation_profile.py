"""The boundary of isolated commands, seen from inside: as root and as another user."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import escapes, other_user, profile
from support.bubblewrap import MISSING
from support.other_user import NOBODY, copy_package, open_to_everybody, run_as

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=MISSING or ""),
    pytest.mark.skipif(other_user.MISSING is not None, reason=other_user.MISSING or ""),
]

MIB = 1024**2
# As a program does it; its words are the arguments after the first.
BY_RUN = """
import json, sys
from otel_codomon import run
result = run(sys.argv[1:], isolation="bubblewrap", cwd=".", timeout=300)
sys.stdout.write(result.stdout)
sys.stderr.write(result.stderr)
print(result.reason, file=sys.stderr)
"""
DOORS = {
    "run": ["-c", BY_RUN],
    "otel-codomon run": [
        *("-m", "otel_codomon", "run", "--isolation", "bubblewrap"),
        *("--writable", ".", "--"),
    ],
}
USERS = [
    pytest.param(os.getuid(), id="this-user"),
    pytest.param(
        NOBODY,
        id="another-user",
        marks=pytest.mark.skipif(
            other_user.CANNOT_SWITCH is not None, reason=other_user.CANNOT_SWITCH or ""
        ),
    ),
]


@dataclass(frozen=True)
class Place:
    """Where commands of one user work.

    Attributes:
        uid: The user.
        work: The working directory.
        home: The home directory, with a file in it.
        package: Where the package is imported from.
    """

    uid: int
    work: Path
    home: Path
    package: Path

    def run(
        self, door: str, *command: str, stdin: str | int | None = "", **variables: str
    ) -> tuple[str, str]:
        environ = {
            "HOME": str(self.home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "OTEL_PYTHON_CODOMON_JOURNAL": str(self.home / "journal"),
            **variables,
        }
        done = run_as(
            self.uid,
            [*DOORS[door], *command],
            package=self.package,
            cwd=self.work,
            environ=environ,
            stdin=stdin,
        )
        return done.stdout, done.stderr

    def run_inside(self, door: str, program: ModuleType, *arguments: str) -> dict[str, Any]:
        """Run a module of ours inside; its JSON."""
        script = self.work / "program.py"
        script.write_text(Path(str(program.__file__)).read_text())
        out, err = self.run(door, other_user.PYTHON, "-I", str(script), *arguments)
        assert out, err
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_package(tmp_path_factory.mktemp("package"))


@pytest.fixture(params=USERS)
def place(request: pytest.FixtureRequest, tmp_path: Path, package: Path) -> Place:
    home, work = tmp_path / "home", tmp_path / "work"
    for directory in (home, work):
        directory.mkdir()
        os.chown(directory, request.param, request.param)
    (home / "secret").write_text("of the home")
    open_to_everybody(tmp_path)
    return Place(request.param, work.resolve(), home.resolve(), package)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Mapping[str, Any]]:
    """What is there to be reached: a file, sockets, a key."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = opened.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0otel-codomon-{os.getpid()}")
        abstract.listen()
        beside = opened.enter_context(socket.socket(socket.AF_UNIX))
        beside.bind(str(tmp_path / "socket"))
        beside.listen()
        (tmp_path / "socket").chmod(0o777)
        (tmp_path / "beside").write_text("secret")
        yield {
            "pid": os.getpid(),
            "secret": str(tmp_path / "beside"),
            "port": listener.getsockname()[1],
            "abstract": f"otel-codomon-{os.getpid()}",
            "socket": str(tmp_path / "socket"),
            "key": opened.enter_context(key_of_the_user()),
        }


@contextmanager
def key_of_the_user() -> Iterator[int]:
    """A key in the keyring of this user; 0 where keys have other numbers."""
    if "add_key" not in escapes.CALLS:
        yield 0
        return
    key = escapes.call("add_key", b"user", b"otel-codomon-test", b"secret", 6, -4)
    try:
        yield key
    finally:
        escapes.call("keyctl", 9, key, -4)  # KEYCTL_UNLINK


@pytest.mark.parametrize("door", DOORS)
def test_every_attempt_to_escape_is_refused(
    door: str, place: Place, host: Mapping[str, Any]
) -> None:
    facts = {**host, "home": str(place.home)}

    found = place.run_inside(door, escapes, json.dumps(facts))

    assert found == dict.fromkeys(escapes.attempts(facts), "refused")
    assert {path.name for path in place.home.iterdir()} <= {"secret", "journal"}
    assert not list(place.work.glob("env"))


def test_the_attempts_succeed_where_nothing_separates(
    tmp_path: Path, host: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a refusal above is the sandbox's doing."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    (home / "secret").touch()
    table = escapes.attempts({**host, "home": str(home)})
    never_raises = (
        *("read a file beside", "list the home", "list /sys", "connect to the host"),
        *("connect to an abstract socket", "connect to a socket beside", "the user's keyring"),
        *("a set-user-id file", "a set-group-id file", "a file created set-user-id"),
        *("a file without name, set-user-id", "read the caller's environment"),
        *("a key of the caller", "a new key"),
        *(["a lease on a program of the system"] if os.geteuid() == 0 else []),  # its owner's
    )

    found = {name: escapes.outcome(table[name]) for name in never_raises}

    assert found == dict.fromkeys(never_raises, "succeeded")


@pytest.mark.parametrize("door", DOORS)
def test_the_profile_is_seen_from_inside(door: str, place: Place) -> None:
    seen = place.run_inside(door, profile)

    no_capability = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16)
    assert seen["status"] == {**no_capability, "NoNewPrivs": "1", "Seccomp": "2"}
    assert 0 not in seen["unshare"]
    assert seen["hostname"] == "sandbox"
    assert seen["uid"] == place.uid
    assert seen["interfaces"] == ["lo"]
    assert max(seen["pids"]) < 100
    assert not [line for line in seen["cgroups"] if not line.endswith(":/")]
    assert not {"sys", "opt", "var", "run", "srv", "mnt"} & set(seen["root"])
    assert not {"shadow", "gshadow", "sudoers", "hosts", "ssh"} & set(seen["etc"])
    assert "sda" not in seen["dev"]
    assert seen["tmpfs"] == {
        "/tmp": 256 * MIB,  # noqa: S108 - a private one
        "/dev/shm": 64 * MIB,  # noqa: S108 - as above
        str(place.home): 256 * MIB,
    }


@pytest.mark.parametrize("door", DOORS)
def test_only_what_was_named_can_be_written_to(door: str, place: Place) -> None:
    seen = place.run_inside(door, profile)

    writable = {path for path, options in seen["mounts"].items() if "rw" in options}
    devices = {f"/dev/{name}" for name in ("full", "null", "random", "tty", "urandom", "zero")}
    own = {"/tmp", "/dev/shm", "/dev/pts", "/proc", str(place.home), str(place.work)}  # noqa: S108
    assert writable == devices | own
    with_set_id = [path for path, options in seen["mounts"].items() if "nosuid" not in options]
    assert with_set_id == []


@pytest.mark.parametrize("door", DOORS)
def test_process_1_runs_no_file_that_its_user_could_write(door: str, place: Place) -> None:
    # It can be traced and made to run another program: then the file is no longer busy.
    program = "import os; found = os.stat('/proc/1/exe'); print(found.st_dev, found.st_ino)"
    out, err = place.run(door, "/usr/bin/python3", "-c", program)

    bubblewrap = Path(shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin") or "").stat()
    is_that_of_the_host = out.split() == [str(bubblewrap.st_dev), str(bubblewrap.st_ino)]
    assert len(out.split()) == 2, err
    assert is_that_of_the_host == (place.uid not in {0, bubblewrap.st_uid})


@pytest.mark.parametrize("door", DOORS)
def test_no_descriptor_leads_to_a_file_of_the_caller(door: str, place: Place) -> None:
    inherited = os.open(place.home, os.O_RDONLY)
    os.set_inheritable(inherited, True)  # noqa: FBT003 - positional only
    given = place.work / "input"
    given.write_text("given")
    given.chmod(0o666)
    try:
        with given.open() as stdin:
            program = "ls -l /proc/self/fd; cat; echo tampered >/proc/self/fd/0"
            out, err = place.run(door, "sh", "-c", program, stdin=stdin.fileno())
    finally:
        os.close(inherited)

    leads_to = [line.split(" -> ")[1] for line in out.splitlines() if " -> " in line]
    assert [to.partition(":")[0] for to in leads_to[1:3]] == ["pipe", "pipe"], err
    assert leads_to[0].startswith(("pipe:", "/dev/null"))
    assert len(leads_to) == 4  # the last is that of the listing
    assert given.read_text() == "given"


def test_a_variable_is_on_no_command_line(place: Place) -> None:
    """Command lines can be read by every user, those of bubblewrap included."""
    secret = f"secret-{os.urandom(8).hex()}"
    program = (
        "import pathlib, subprocess, sys\n"
        "command = [sys.executable, '-m', 'otel_codomon', 'run', '-q', '--isolation',\n"
        "    'bubblewrap', '--allow-env', 'TOKEN', '--', 'sh', '-c', 'echo $TOKEN; read x']\n"
        "child = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)\n"
        "shown = child.stdout.readline().strip()\n"
        "lines = []\n"
        "for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
        "    try:\n"
        "        lines.append(path.read_bytes())\n"
        "    except OSError:\n"
        "        pass\n"
        "found = [line for line in lines if shown.encode() in line]\n"
        "wrapped = [line for line in lines if line.startswith(b'bwrap')]\n"
        "child.communicate('')\n"
        "print(shown, len(found), len(wrapped) > 0)\n"
    )
    done = run_as(
        place.uid,
        ["-c", program],
        package=place.package,
        cwd=place.work,
        environ={
            "HOME": str(place.home),
            "PATH": "/usr/bin:/bin",
            "TOKEN": secret,
            "OTEL_PYTHON_CODOMON_JOURNAL": "off",
        },
    )

    assert done.stdout == f"{secret} 0 True\n", done.stderr


def test_the_session_keyring_is_a_new_one() -> None:
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("the numbers of the calls are those of x86-64")
    program = (
        "import ctypes, os\n"
        "from otel_codomon.sandbox import wrapping\n"
        "keyring = lambda: ctypes.CDLL(None).syscall(250, 0, -3, 1)\n"
        "before = keyring()\n"
        "wrapping._join_session_keyring()\n"
        "print(before > 0, keyring() > 0, keyring() != before)\n"
    )

    done = run_as(os.getuid(), ["-c", program], package=other_user.ROOT, cwd=Path("/"), environ={})

    assert done.stdout == "True True True\n", done.stderr
