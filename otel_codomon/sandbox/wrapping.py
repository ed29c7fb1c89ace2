"""What passes between us and the bubblewrap that we start.

Imports only what the interpreter has loaded or built in: a command waits for it.
"""

from __future__ import annotations

import errno
import os

# What bubblewrap is started from where it is a copy; what it finds open: its options, its
# filter of system calls, and where it reports how the command went. Above whatever this
# process and the interpreter have open.
PROGRAM_FD, OPTIONS_FD, FILTER_FD, TOLD_FD = 97, 98, 99, 100
# Its own processes below us: itself, and process 1 of the command's namespace.
WRAPPING_PROCESSES = 2
# keyctl(2), which no C library wraps: its number, and what joins a new session keyring.
_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219}
_JOIN_SESSION_KEYRING = 1
# memfd_create(2). The last: may be run, also where memfds by default may not; unknown
# before Linux 6.3.
_MFD_CLOEXEC, _MFD_ALLOW_SEALING, _MFD_EXEC = 0x1, 0x2, 0x10


class Wrapping:
    """What bubblewrap reads from us and reports to us, by descriptors without a name.

    Its options hold the command's variables, and a command line can be read by
    every user of the machine. It reports through a pipe: a limit on the size of
    files does not apply to that.
    """

    def __init__(self, options: bytes, call_filter: bytes) -> None:
        self._told, tell = os.pipe()
        os.set_blocking(self._told, False)
        self._files = {
            OPTIONS_FD: _in_memory("options", options),
            FILTER_FD: _in_memory("filter", call_filter),
            TOLD_FD: tell,
        }

    def program(self, path: bytes) -> bytes:
        """Return where to start the bubblewrap at *path* from: a sealed copy if we could write it.

        Process 1 of the command's namespace runs it, from the host's own mount, so
        that whoever is inside could open it there as soon as it no longer runs.

        Raises:
            OSError: It cannot be copied.
        """
        is_ours = os.stat(path).st_uid == os.geteuid()  # noqa: PTH116 - pathlib costs 5 ms
        if not (is_ours or os.access(path, os.W_OK)):
            return path
        self._files[PROGRAM_FD] = _sealed_copy(path)
        return b"/proc/self/fd/%d" % PROGRAM_FD

    def prepare(self) -> None:
        """In the child: hand the files over, and leave the caller's keys behind."""
        _join_session_keyring()
        for number, descriptor in self._files.items():
            os.dup2(descriptor, number, inheritable=number != PROGRAM_FD)

    def has_run(self) -> bool:
        """Whether bubblewrap has started the command and seen it end; asked once, at the end."""
        try:
            return b'"exit-code"' in os.read(self._told, 4096)
        except BlockingIOError:  # it did not get as far as a report
            return False


def _sealed_copy(path: bytes) -> int:
    import fcntl  # noqa: PLC0415 - only where it is needed

    with open(path, "rb") as file:  # noqa: PTH123 - as above
        data = file.read()
    sealable = _MFD_CLOEXEC | _MFD_ALLOW_SEALING
    try:
        descriptor = _in_memory("bwrap", data, sealable | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        descriptor = _in_memory("bwrap", data, sealable)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def _in_memory(name: str, data: bytes, flags: int = _MFD_CLOEXEC) -> int:
    descriptor = os.memfd_create(name, flags)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _join_session_keyring() -> None:
    """Have a session keyring of one's own, so that the caller's cannot be reached by it.

    Where it is refused (a kernel without keys, a quota that is used up) the
    filter of system calls still keeps the command from every key.
    """
    import ctypes  # noqa: PLC0415 - loaded already, for `spawning.prctl`

    number = _KEYCTL.get(os.uname().machine)
    if number is not None:
        ctypes.CDLL(None).syscall(number, _JOIN_SESSION_KEYRING, None)
