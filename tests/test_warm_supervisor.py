"""The process that forks supervisors: what becomes of commands, and of it, whatever happens.

A command tells who its supervisor's parent is. Where that matters to a whole
program, such as who its children are, the program is a process of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import other_user
from support.escapees import NamedPipe, is_alive, wait_until_dead
from support.other_user import NOBODY, copy_package, run_as

from otel_codomon import Limits, Outcome, execution, run
from otel_codomon.sandbox.supervisor_process import program_of
from otel_codomon.sandbox.tree import children_of
from otel_codomon.sandbox.warm_supervisor import warm_supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon import ExecutionResult
    from otel_codomon.testing import Recorder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor is Linux's")

IS_ROOT = os.name == "posix" and os.geteuid() == 0
# The parent of the command's parent.
WHOSE = ["sh", "-c", "cut -d' ' -f4 /proc/$PPID/stat"]


@pytest.fixture
def warm() -> int:
    """The warm process of this process; a new one where tests have killed too many."""
    if warm_supervisor.pid is None:
        warm_supervisor.forget()
    assert run(["true"]).succeeded
    pid = warm_supervisor.pid
    if pid is None:
        pytest.skip("this process can have no warm one: it adopts orphans, or has no pidfds")
    return pid


def python(code: str, *words: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", f"import os, signal, sys, time\n{code}", *words]


def wait_until_stopped(pid: int) -> None:
    """Wait until process *pid*, which was sent SIGSTOP, stands still."""
    while "\nState:\tT" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8"):
        os.sched_yield()


class Held:
    """A command that runs until it is let go, and then ends with exit code 3."""

    def __init__(self, folder: Path) -> None:
        self._told, self._go = NamedPipe(folder / "told"), NamedPipe(folder / "go")
        program = "echo $$ > told; read word < go; exit 3"
        self._results: list[ExecutionResult] = []
        self._thread = threading.Thread(
            target=lambda: self._results.append(run(["sh", "-c", program], cwd=folder))
        )
        self._thread.start()
        self.pid = self._told.number()
        self._go_at = folder / "go"

    def result(self) -> ExecutionResult:
        self._go_at.write_text("go\n")
        self._thread.join()
        for pipe in (self._told, self._go):
            pipe.__exit__()
        [result] = self._results
        return result


@pytest.fixture
def held(warm: int, tmp_path: Path) -> Held:
    """A command that runs, below the warm process."""
    assert warm
    return Held(tmp_path)


# --- ordinary days ------------------------------------------------------------------


def test_one_process_forks_the_supervisors_of_all_commands(warm: int) -> None:
    first, second = run(WHOSE), run(WHOSE)

    assert (first.stdout, second.stdout) == (f"{warm}\n", f"{warm}\n")
    assert warm_supervisor.pid == warm


def test_commands_of_two_threads_have_it_in_common(warm: int) -> None:
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(run, [WHOSE] * 20))

    assert {result.stdout for result in results} == {f"{warm}\n"}


def test_five_hundred_commands_are_told_apart(warm: int) -> None:
    commands = [["sh", "-c", f"echo {n}; cat; exit {n % 100}"] for n in range(500)]

    with ThreadPoolExecutor(64) as threads:
        results = list(threads.map(lambda c: run(c, stdin="in"), commands))

    assert [r.exit_code for r in results] == [n % 100 for n in range(500)]
    assert [r.stdout for r in results] == [f"{n}\nin" for n in range(500)]
    assert warm_supervisor.pid == warm


def test_no_process_is_left_of_a_command(warm: int) -> None:
    pids = [run(["sh", "-c", "echo $PPID"]).stdout for _ in range(10)]

    assert not any(map(is_alive, map(int, pids)))
    assert children_of(warm) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to see descriptors of a supervisor")
def test_no_descriptor_is_left_of_a_command(warm: int) -> None:
    descriptors = sorted(Path(f"/proc/{warm}/fd").iterdir())

    for _ in range(10):
        run(["true"])

    assert sorted(Path(f"/proc/{warm}/fd").iterdir()) == descriptors


def test_a_command_that_cannot_be_started_says_why(warm: int, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)

    result = run([script])

    assert (result.outcome, result.reason) == (Outcome.SETUP_ERROR, "No such file or directory")
    assert warm_supervisor.pid == warm


def test_limits_hold_and_figures_are_those_of_the_command_alone(warm: int) -> None:
    burn = "while True: pass"

    idle = run(["true"])
    result = run(python(burn), limits=Limits(cpu_seconds=0.3))

    assert result.reason == "it exceeded its limit: cpu"
    assert result.usage.cpu_seconds is not None
    assert idle.usage.cpu_seconds is not None
    assert idle.usage.cpu_seconds < 0.3 <= result.usage.cpu_seconds
    assert warm_supervisor.pid == warm


def test_what_a_function_has_run_counts_as_its_own(warm: int, recorder: Recorder) -> None:
    @execution
    def work() -> None:
        run(python("while time.process_time() < 0.3: pass"))

    work()

    [usage] = (e.usage for e in recorder.executions() if e.labels.name.endswith("work"))
    assert usage.cpu_seconds is not None
    assert usage.cpu_seconds >= 0.3
    assert warm_supervisor.pid == warm


# --- what happens to it ----------------------------------------------------------------


def test_another_is_started_where_it_was_killed(warm: int) -> None:
    os.kill(warm, signal.SIGKILL)
    wait_until_dead(warm)

    result = run(WHOSE)

    assert result.succeeded
    assert int(result.stdout) == warm_supervisor.pid != warm


def test_another_is_started_where_it_was_stopped(warm: int) -> None:
    os.kill(warm, signal.SIGSTOP)
    wait_until_stopped(warm)

    result = run(WHOSE)

    assert result.succeeded
    assert int(result.stdout) == warm_supervisor.pid != warm
    wait_until_dead(warm)


def test_a_command_goes_on_where_it_is_killed(warm: int, held: Held) -> None:
    os.kill(warm, signal.SIGKILL)
    wait_until_dead(warm)

    result = held.result()

    assert (result.outcome, result.exit_code, result.pid) == (Outcome.ERROR, 3, held.pid)
    assert result.usage.cpu_seconds is not None


def test_a_command_goes_on_where_it_is_stopped(warm: int, held: Held) -> None:
    os.kill(warm, signal.SIGSTOP)
    wait_until_stopped(warm)

    result = held.result()

    assert (result.outcome, result.exit_code, result.pid) == (Outcome.ERROR, 3, held.pid)
    assert run(["true"]).succeeded
    wait_until_dead(warm)


@pytest.mark.parametrize("number", ["SIGKILL", "SIGSTOP"])
def test_a_command_attacks_it_in_vain(warm: int, number: str) -> None:
    attack = f"""
with open(f"/proc/{{os.getppid()}}/stat") as file: whose = int(file.read().split()[3])
os.kill(whose, signal.{number})
sys.exit(5)
"""

    results = [run(python(attack)) for _ in range(6)]

    assert [(r.outcome, r.exit_code) for r in results] == [(Outcome.ERROR, 5)] * 6
    wait_until_dead(warm)


def test_nothing_hangs_while_it_is_killed_again_and_again(warm: int) -> None:
    is_over = threading.Event()

    def attack() -> None:
        while not is_over.is_set():
            pid = warm_supervisor.pid
            if pid is not None:
                killing(pid)

    def killing(pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        wait_until_dead(pid)

    attacker = threading.Thread(target=attack)
    attacker.start()
    try:
        with ThreadPoolExecutor(4) as threads:
            results = list(threads.map(run, [["sh", "-c", "exit 3"]] * 40))
    finally:
        is_over.set()
        attacker.join()

    assert [(r.exit_code, r.reason) for r in results] == [(3, "it ended with exit code 3")] * 40
    wait_until_dead(warm)


def test_another_is_started_where_other_code_has_closed_all_descriptors(tmp_path: Path) -> None:
    program = "first = whose(); os.closerange(3, 100); print(whose() != first, whose() != first)"

    assert said_by(program, tmp_path) == ["True True"]


# --- whose it is -----------------------------------------------------------------------

HOST = """
import ctypes, os, resource, signal, sys, threading, warnings
from otel_codomon import Limits, run
from otel_codomon._platform import cgroups
from otel_codomon.sandbox.warm_supervisor import warm_supervisor
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
libc = ctypes.CDLL(None, use_errno=True)

def whose():
    result = run(["sh", "-c", "cut -d' ' -f4 /proc/$PPID/stat"])
    assert result.succeeded, result
    return int(result.stdout)

def say(*words): print(*words, flush=True)

def forked(function):
    pid = os.fork()
    if pid == 0:
        function()
        os._exit(0)
    return pid
"""


def said_by(program: str, folder: Path, *, code: int = 0) -> list[str]:
    """The lines that a process of its own says, which runs *program* and ends with *code*."""
    done = subprocess.run(
        [sys.executable, "-c", f"{HOST}\n{program}"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout.splitlines()


def test_a_forked_child_has_its_own(tmp_path: Path) -> None:
    program = """
say(whose())
os.waitpid(forked(lambda: say(whose())), 0)
say(whose())
"""
    before, in_child, after = map(int, said_by(program, tmp_path))

    assert before == after != in_child
    wait_until_dead(in_child)
    wait_until_dead(after)


def test_a_child_forked_while_a_thread_starts_it_has_its_own(tmp_path: Path) -> None:
    program = """
run(["true"])  # so that nothing is left to import, during which nobody should fork
warm_supervisor.close()
thread = threading.Thread(target=lambda: run(["true"]))
thread.start()
def child():
    signal.alarm(100)  # only a hang takes so long
    if run(["sh", "-c", "exit 3"]).exit_code != 3: os._exit(1)
pids = [forked(child) for _ in range(5)]
say([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
thread.join()
"""
    assert said_by(program, tmp_path) == ["[0, 0, 0, 0, 0]"]


def test_waits_of_the_program_never_see_it(tmp_path: Path) -> None:
    program = """
def has_children():
    try: os.waitpid(-1, os.WNOHANG)
    except ChildProcessError: return False
    return True

run(["true"])
before, signals = resource.getrusage(resource.RUSAGE_CHILDREN), []
signal.signal(signal.SIGCHLD, lambda *_: signals.append(1))
os.mkfifo("told"); os.mkfifo("go")
program = "import time\\nwhile time.process_time() < 0.1: pass\\nopen('told', 'w'); open('go')"
thread = threading.Thread(target=lambda: run([sys.executable, "-c", program]))
thread.start()
open("told").close()
say(has_children())
open("go", "w").close()
thread.join()
say(has_children(), len(signals), resource.getrusage(resource.RUSAGE_CHILDREN) == before)
"""
    assert said_by(program, tmp_path) == ["False", "False 0 True"]


def test_a_program_that_adopts_orphans_does_without(tmp_path: Path) -> None:
    """It would be such an orphan."""
    program = """
assert libc.prctl(36, 1, 0, 0, 0) == 0
say([run(["sh", "-c", "exit 3"]).exit_code for _ in range(3)], whose() == os.getpid())
try: os.waitpid(-1, os.WNOHANG)
except ChildProcessError: say("no child")
"""
    assert said_by(program, tmp_path) == ["[3, 3, 3] True", "no child"]


ENDS = {
    "SIGKILL": "os.kill(os.getpid(), 9)",
    "os._exit": "os._exit(0)",
    "the end of the program": "",
    "an exception": "sys.stderr.close(); raise RuntimeError",
}
RUNNING = """
os.mkfifo("told")
command = ["sh", "-c", "echo $$ > told; exec sleep 1000"]
threading.Thread(target=run, args=[command], daemon=True).start()
with open("told") as reader: say(reader.read().strip())
"""
# It has a copy of every descriptor, also of those that Python's hooks would close.
FORKED = """
# Not by CDLL, which lets go of the interpreter's lock: a child may never get it back.
if ctypes.PyDLL(None).fork() == 0:
    os.write(1, b"child %d\\n" % os.getpid())
    os.close(1); os.close(2)
    os.kill(os.getpid(), signal.SIGSTOP)
"""
HOLDERS = {
    "alone": "",
    "a command runs": RUNNING,
    "a command runs, and a child forked without Python's knowledge goes on": f"""
{RUNNING}
{FORKED}
""",
    "it is stopped": "os.kill(warm, signal.SIGSTOP)",
    "a forked child goes on": """
if os.fork() == 0:
    say("child", os.getpid())
    os.close(1); os.close(2)
    signal.pause()
""",
    "a child forked without Python's knowledge goes on": FORKED,
}


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("end", ENDS)
def test_it_ends_with_the_program(end: str, holder: str, tmp_path: Path) -> None:
    program = f"warm = whose(); say(warm)\n{HOLDERS[holder]}\n{ENDS[end]}"

    with subprocess.Popen(
        [sys.executable, "-c", f"{HOST}\n{program}"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as host:
        said = host.communicate()[0].splitlines()

    ours = [int(line) for line in said if not line.startswith("child")]
    children = [int(line.split()[1]) for line in said if line.startswith("child")]
    try:
        for pid in ours:
            wait_until_dead(pid)
    finally:
        for pid in (*children, *filter(is_alive, ours)):
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(pid, signal.SIGKILL)
    assert len(ours) == 1 + ("command" in holder)
    assert len(children) == ("child" in holder)


def test_few_descriptors_are_enough_or_the_command_is_a_setup_error(tmp_path: Path) -> None:
    program = """
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
run(["true"])
before, warm = len(os.listdir("/proc/self/fd")), warm_supervisor.pid
results = {}
def one(n): results[n] = run(["sh", "-c", f"exit {n}"])
threads = [threading.Thread(target=one, args=(n,)) for n in range(1, 33)]
for thread in threads: thread.start()
for thread in threads: thread.join()
for n, result in results.items():
    refused = "cannot start a command: too many open files; run fewer at once"
    is_refused = result.outcome.value == "setup_error" and result.reason.startswith(refused)
    assert is_refused or result.exit_code == n, result
say(len(results), len(os.listdir("/proc/self/fd")) == before)
say([run(["sh", "-c", "exit 3"]).exit_code for _ in range(50)] == [3] * 50)
say(warm_supervisor.pid == warm)
"""
    assert said_by(program, tmp_path) == ["32 True", "True", "True"]


# --- what a command inherits ---------------------------------------------------------------

# What a child of the host, and what a command of the host says of itself.
PROBE = """
import json, os, resource
rows = open("/proc/self/status").read().splitlines()
names = ("Umask", "Uid", "Gid", "Groups", "SigIgn", "Cap", "NoNew", "Seccomp", "Cpus_allowed:")
print(json.dumps([
    [row for row in rows if row.startswith(names)],
    [resource.getrlimit(n) for n in range(16) if n not in {rlimits}],
    [os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0), os.stat("/").st_ino],
    sorted(os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")),
    [open(f"/proc/self/{name}").read() for name in ("cgroup", "oom_score_adj", "personality")],
]))
"""
INHERITING = f"""
import json, subprocess
make_cgroup, cgroups.create = cgroups.create, lambda *_: None  # the caller's own is compared
# All but those that `run` itself sets.
words = [sys.executable, "-I", "-S", "-c", {PROBE.replace("{rlimits}", "(4, 5)")!r}]
def compare():
    expected = subprocess.run(words, stdout=subprocess.PIPE, cwd="/", check=True).stdout.decode()
    seen = run(words, cwd="/")
    assert seen.succeeded, seen
    pairs = zip(json.loads(expected), json.loads(seen.stdout))
    say([pair for pair in pairs if pair[0] != pair[1]] or "same")
    return expected

def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()

def checked(result):
    if result != 0: raise OSError(ctypes.get_errno(), "refused")

def refuse(call):
    '''A filter on system calls that lets *call* fail (seccomp(2)).'''
    import struct
    rules = [(0x20, 0, 0, 0), (0x15, 0, 1, call), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    head = struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code))
    checked(libc.prctl(38, 1, 0, 0, 0))
    checked(libc.prctl(22, 2, ctypes.c_char_p(head), 0, 0))
"""
CHANGES = {
    "umask": "os.umask(0o27)",
    "niceness": "os.nice(5)",
    "policy": "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))",
    "processors": "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})",
    "soft limit": "resource.setrlimit(resource.RLIMIT_NOFILE, (99, 999))",
    "hard limit": "resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))",
    "ignored signals": "[signal.signal(n, signal.SIG_IGN) for n in (2, 10, 15)]",
    "out of memory": "open('/proc/self/oom_score_adj', 'w').write('500')",
    "address layout": "libc.personality(0x40000)",
    "no new privileges": "checked(libc.prctl(38, 1, 0, 0, 0))",
    "a filter on system calls": "refuse(1000)",
}
CHANGES_OF_ROOT = {
    "groups": "os.setgroups([1234])",
    "group": "os.setresgid(1234, 1234, 1234)",
    "a capability": "checked(libc.prctl(24, 22, 0, 0, 0))",
    "names": "checked(libc.unshare(0x04000000))",
    "mounts": "checked(libc.unshare(0x00020000))",
}


def _with_root(changes: dict[str, str]) -> list[object]:
    mark = pytest.mark.skipif(not IS_ROOT, reason="only root may do that")
    return [*changes, *(pytest.param(change, marks=mark) for change in CHANGES_OF_ROOT)]


@pytest.mark.parametrize("change", _with_root(CHANGES))
def test_a_command_inherits_what_the_caller_has_at_the_time(change: str, tmp_path: Path) -> None:
    doing = {**CHANGES, **CHANGES_OF_ROOT}[change]
    program = f"{INHERITING}\nbefore = compare()\n{doing}\nsay(compare() != before)\ncompare()"

    assert said_by(program, tmp_path) == ["same", "same", "True", "same"]


def test_a_command_inherits_what_the_calling_thread_has(tmp_path: Path) -> None:
    program = f"""{INHERITING}
compare()
in_thread(lambda: (os.nice(5), compare(), compare()))
compare()
in_thread(lambda: (refuse(1000), compare()))
compare()
"""
    assert said_by(program, tmp_path) == ["same"] * 6


def test_two_threads_with_as_many_filters_do_not_share_it(tmp_path: Path) -> None:
    """How many there are does not say that they are the same."""
    program = f"""{INHERITING}
seen = []
def one(call): refuse(call); seen.append((whose(), whose()))
threads = [threading.Thread(target=one, args=(call,)) for call in (1000, 1001)]
for thread in threads: thread.start(); thread.join()
[[first, again], [second, _]] = seen
say(first == again != second)
"""
    assert said_by(program, tmp_path) == ["True"]


@pytest.mark.skipif(not IS_ROOT, reason="only root makes cgroups everywhere")
def test_a_command_inherits_the_cgroup_that_the_caller_is_in_now(tmp_path: Path) -> None:
    program = f"""{INHERITING}
made = make_cgroup("f" * 32)
if made is None:
    say("none")
    sys.exit()
def enter(pid=0): [open(path, "w").write(str(pid)) for path in made.entrances]
def leave():
    for path in made.entrances:
        folder, name = os.path.split(path)
        open(os.path.join(os.path.dirname(folder), name), "w").write("0")
compare()
enter()
compare()
leave()
compare()
first = whose()
enter(first)  # other code moves it, and not us
compare()
say(whose() != first)
warm_supervisor.close()
made.kill(); made.remove()
"""
    said = said_by(program, tmp_path)

    if said == ["none"]:
        pytest.skip("no cgroup can be made here")
    assert said == ["same"] * 4 + ["True"]


LANDLOCK = """
CREATE, ADD, RESTRICT = 444, 445, 446
NO_LINKS = (ctypes.c_uint64 * 1)(1 << 12)  # LANDLOCK_ACCESS_FS_MAKE_SYM
run(["ln", "-s", "to", "before"], cwd=".")
ruleset = libc.syscall(CREATE, NO_LINKS, 8, 0)
if ruleset < 0:
    say("none")
    sys.exit()
assert libc.prctl(38, 1, 0, 0, 0) == 0
{before}
assert libc.syscall(RESTRICT, ruleset, 0) == 0
run(["ln", "-s", "to", "after"], cwd=".")
say(sorted(os.listdir()))
"""


@pytest.mark.parametrize("before", ["", "run(['true'])"], ids=["at once", "a command between"])
def test_landlock_of_the_caller_holds_for_its_commands(before: str, tmp_path: Path) -> None:
    said = said_by(LANDLOCK.format(before=before), tmp_path)

    if said == ["none"]:
        pytest.skip("no Landlock in this kernel")
    assert said == ["['before']"]


# --- an ordinary user ----------------------------------------------------------------------

needs_other_user = pytest.mark.skipif(
    bool(other_user.MISSING or other_user.CANNOT_SWITCH),
    reason=other_user.MISSING or other_user.CANNOT_SWITCH or "",
)


@pytest.fixture(scope="module")
def package() -> Iterator[Path]:
    """A copy of the package that every user can read.

    Not among pytest's own directories, which another run closes to them.
    """
    with tempfile.TemporaryDirectory() as directory:
        yield copy_package(Path(directory))


def said_by_user(uid: int, program: str, package: Path) -> list[str]:
    done = run_as(
        uid, ["-c", f"{HOST}\n{program}"], package=package, cwd=Path("/"), environ={"PATH": "/bin"}
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@needs_other_user
def test_a_command_of_an_ordinary_user_does_not_get_at_its_socket(package: Path) -> None:
    program = """
say(whose() == whose() == warm_supervisor.pid)
say(run(["ls", f"/proc/{warm_supervisor.pid}/fd"]).stderr.split(": ")[-1].strip())
"""
    assert said_by_user(NOBODY, program, package) == ["True", "Permission denied"]


@needs_other_user
def test_a_program_that_gives_up_its_privileges_has_its_commands_without_them(
    package: Path,
) -> None:
    program = """
first = whose()
os.setgroups([]); os.setgid(65534); os.setuid(65534)
say(run(["id", "-u"]).stdout.strip(), whose() == whose() != first)
say(first)
"""
    [said, first] = said_by_user(os.getuid(), program, package)

    assert said == "65534 True"
    wait_until_dead(int(first))


def test_bytecode_is_written_only_where_this_program_may_write_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def writes(*, dont_write: bool, prefix: str | None) -> bool:
        monkeypatch.setattr(sys, "dont_write_bytecode", dont_write)
        monkeypatch.setattr(sys, "pycache_prefix", prefix)
        return "-B" not in program_of("supervisor")

    assert writes(dont_write=False, prefix=None)
    assert not writes(dont_write=True, prefix=None)
    assert not writes(dont_write=False, prefix="/tmp/cache")  # noqa: S108 - not used
