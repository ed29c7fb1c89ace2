"""What a hostile command would try: each attempt raises where it is refused.

Runs inside the sandbox, by the system's Python, with nothing but its library:
``escapes.py FACTS``, FACTS being JSON with what the caller knows of the host.
Prints, as JSON, by name what each attempt came to.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import platform
import signal
import socket
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LIBC = ctypes.CDLL(None, use_errno=True)
IS_X86 = platform.machine() == "x86_64"
MS_REMOUNT_BIND = 32 | 4096
CLONE_NEW = {"user": 0x10000000, "mount": 0x20000, "network": 0x40000000, "pid": 0x20000000}
GIB = 1024**3
# Numbers on x86-64, and where they are the same for all.
CALLS = {"keyctl": 250, "add_key": 248, "request_key": 249} if IS_X86 else {}
CALLS |= {"io_uring_setup": 425, "openat2": 437, "fchmodat2": 452}
CALLS |= {"bpf": 321, "perf_event_open": 298, "userfaultfd": 323} if IS_X86 else {}


def check(answer: int) -> int:
    """Raise what the C library says went wrong."""
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, errno.errorcode.get(number, "?"))
    return answer


def call(name: str, *arguments: Any) -> int:
    return check(LIBC.syscall(CALLS[name], *arguments))


def mount(source: bytes, target: bytes, kind: bytes, flags: int) -> int:
    return check(LIBC.mount(source, target, kind, flags, None))


def writes(path: str) -> Callable[[], object]:
    return lambda: Path(path).write_text("escaped", encoding="ascii")


def reads(path: str) -> Callable[[], object]:
    return lambda: Path(path).read_bytes()


def appends(path: str) -> Callable[[], object]:
    """Open for writing, and write nothing: on success nothing is broken."""
    return lambda: os.close(os.open(path, os.O_WRONLY))


def unshares(what: str) -> Callable[[], object]:
    return lambda: check(LIBC.unshare(CLONE_NEW[what]))


def connects(family: int, address: str | tuple[str, int]) -> Callable[[], object]:
    def attempt() -> None:
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect(address)

    return attempt


def opens(family: int, kind: int) -> Callable[[], object]:
    return lambda: socket.socket(family, kind).close()


def set_id_file() -> None:
    Path("plain").touch()
    os.chmod("plain", 0o4755)  # noqa: PTH101, S103 - one call for one attempt, as below


def set_id_by_descriptor() -> None:
    with open("plain-2", "w", encoding="ascii") as file:  # noqa: PTH123
        os.fchmod(file.fileno(), 0o2755)


def set_id_at_creation() -> None:
    os.close(os.open("made", os.O_CREAT | os.O_WRONLY, 0o4755))


def set_id_of_a_file_without_name() -> None:
    os.close(os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o4755))


def set_id_by_a_new_call() -> None:
    Path("plain-3").touch()
    call("fchmodat2", -100, b"plain-3", 0o4755, 0)


def hard_link() -> None:
    os.link("/usr/bin/env", "env")


def push_characters() -> None:
    fcntl.ioctl(0, termios.TIOCSTI, b"x")


def take_terminal() -> None:
    os.close(os.open("/dev/tty", os.O_RDWR))


def lease() -> None:
    with open("/usr/bin/env", "rb") as file:  # noqa: PTH123
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)


def more_priority() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, -10)


def fill(path: str) -> Callable[[], object]:
    def attempt() -> None:
        with open(path, "wb") as file:  # noqa: PTH123
            os.posix_fallocate(file.fileno(), 0, GIB)

    return attempt


def kernel_files() -> None:
    """Every file of /proc that is not of a process, opened for writing; none may."""
    own = {"self", "thread-self", "net", "mounts"}
    # Anybody may ask to be told of pressure.
    found = [
        path
        for top in Path("/proc").iterdir()
        if not top.name.isdigit() and top.name not in own | {"pressure"}
        for path in ([top] if top.is_file() else top.rglob("*"))
        if path.is_file() and can_write(path)
    ]
    if not found:
        raise PermissionError(errno.EACCES, "none")
    raise AssertionError(found)  # an escape: shown as such


def can_write(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def another_abi() -> None:
    """x32, whose numbers a filter may have forgotten: here ``getpid``."""
    if IS_X86:
        check(LIBC.syscall(0x40000000 + 39))
    else:
        raise OSError(errno.ENOSYS, "no second ABI")


def key_of_the_caller(facts: Mapping[str, Any]) -> Callable[[], object]:
    buffer = ctypes.create_string_buffer(64)
    return lambda: call("keyctl", 11, facts["key"], buffer, 64)  # KEYCTL_READ


def user_keyring() -> None:
    call("keyctl", 0, -4, 0)  # KEYCTL_GET_KEYRING_ID of the user's


def attempts(facts: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    """The table."""
    host = str(facts["pid"])
    return {
        "read /etc/shadow": reads("/etc/shadow"),
        "read a file beside": reads(facts["secret"]),
        "read a file beside through /proc/1/root": reads("/proc/1/root" + facts["secret"]),
        "list the home": lambda: os.listdir(facts["home"])[0],  # noqa: PTH208
        "list /sys": lambda: os.listdir("/sys"),  # noqa: PTH208
        "read the caller's environment": reads(f"/proc/{host}/environ"),
        "read the kernel's memory": reads("/proc/kcore"),
        "read the kernel's log": reads("/proc/kmsg"),
        "read page flags": reads("/proc/kpageflags"),
        "read the list of keys": reads("/proc/keys"),
        "read the timers": reads("/proc/timer_list"),
        "write to the root": writes("/escape"),
        "write to /usr": writes("/usr/escape"),
        "write to /etc": writes("/etc/escape"),
        "write to /dev": writes("/dev/escape"),
        "set the core pattern": appends("/proc/sys/kernel/core_pattern"),
        "set modprobe": appends("/proc/sys/kernel/modprobe"),
        "set a kernel parameter": appends("/proc/sys/kernel/panic"),
        "press sysrq": appends("/proc/sysrq-trigger"),
        "write to any file of the kernel": kernel_files,
        "be spared by the OOM killer": lambda: Path("/proc/self/oom_score_adj").write_text(
            "-1000", encoding="ascii"
        ),
        "remount /usr": lambda: mount(b"/usr", b"/usr", b"", MS_REMOUNT_BIND),
        "mount a tmpfs": lambda: mount(b"x", b"/tmp", b"tmpfs", 0),
        "mount /proc": lambda: mount(b"proc", b"/tmp", b"proc", 0),
        "unmount /proc/sys": lambda: check(LIBC.umount2(b"/proc/sys", 2)),
        "unmount the home": lambda: check(LIBC.umount2(facts["home"].encode(), 2)),
        "change the root": lambda: os.chroot("/tmp"),  # noqa: S108
        "pivot the root": lambda: check(LIBC.pivot_root(b"/tmp", b"/tmp")),
        "a user namespace": unshares("user"),
        "a mount namespace": unshares("mount"),
        "a network namespace": unshares("network"),
        "a pid namespace": unshares("pid"),
        "enter a namespace": lambda: check(LIBC.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)),
        "a device": lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0)),  # noqa: S108
        "another user": lambda: os.setresuid(1234, 1234, 1234),
        "another group": lambda: os.setgroups([0, 4, 27]),
        "the host's name": lambda: check(LIBC.sethostname(b"mine", 4)),
        "the host's clock": lambda: check(LIBC.settimeofday(b"\0" * 16, None)),
        "more priority": more_priority,
        "signal the caller": lambda: os.kill(int(host), signal.SIGTERM),
        "trace the caller": lambda: check(LIBC.ptrace(16, int(host), None, None)),
        "connect to the host": connects(socket.AF_INET, ("127.0.0.1", facts["port"])),
        "connect outside": connects(socket.AF_INET, ("192.0.2.1", 80)),
        "connect to an abstract socket": connects(socket.AF_UNIX, "\0" + facts["abstract"]),
        "connect to a socket beside": connects(socket.AF_UNIX, facts["socket"]),
        "a socket to the hypervisor": opens(40, socket.SOCK_STREAM),
        "a socket to the kernel's crypto": opens(38, socket.SOCK_SEQPACKET),
        "raw packets": opens(17, socket.SOCK_RAW),
        "the user's keyring": user_keyring,
        "a key of the caller": key_of_the_caller(facts),
        "a new key": lambda: call("add_key", b"user", b"x", b"y", 1, -4),
        "a requested key": lambda: call("request_key", b"user", b"x", None, 0),
        "io_uring": lambda: call("io_uring_setup", 1, ctypes.create_string_buffer(120)),
        "openat2": lambda: call("openat2", -100, b"/tmp", ctypes.create_string_buffer(24), 24),
        "bpf": lambda: call("bpf", 0, ctypes.create_string_buffer(72), 72),
        "perf events": lambda: call("perf_event_open", ctypes.create_string_buffer(128), 0, -1, -1),
        "page faults": lambda: call("userfaultfd", 1),
        "the kernel's log by a call": lambda: check(LIBC.klogctl(3, None, 0)),
        "another ABI": another_abi,
        "a set-user-id file": set_id_file,
        "a set-group-id file": set_id_by_descriptor,
        "a file created set-user-id": set_id_at_creation,
        "a file without name, set-user-id": set_id_of_a_file_without_name,
        "a set-user-id file by mknod": lambda: os.mknod("node", 0o104755),
        "a set-user-id file by a new call": set_id_by_a_new_call,
        "a link to a program of the system": hard_link,
        "a lease on a program of the system": lease,
        "characters into the terminal": push_characters,
        "the terminal": take_terminal,
        "fill /tmp": fill("/tmp/big"),  # noqa: S108
        "fill /dev/shm": fill("/dev/shm/big"),  # noqa: S108
        "fill the home": fill(facts["home"] + "/big"),
    }


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except (OSError, KeyError, IndexError):  # refused, not of this machine, or empty
        return "refused"
    except AssertionError as error:
        return f"succeeded: {error}"
    return "succeeded"


def main() -> None:
    facts = json.loads(sys.argv[1])
    print(json.dumps({name: outcome(attempt) for name, attempt in attempts(facts).items()}))


if __name__ == "__main__":
    main()
