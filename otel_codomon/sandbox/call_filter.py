"""A filter of system calls for isolated commands, as a program for the kernel.

Namespaces leave some doors open, because what is behind them belongs to none:
keys of the user's keyring, sockets to the hypervisor, set-user-id bits of files
that the command owns. The filter closes these. It is short on purpose: it
refuses what passes the other walls, and judges nothing else.

The program is classic BPF, as `seccomp(2)` takes it. A call that is refused
fails with the error that a kernel without it would give, so that programs fall
back to what they do there.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# linux/bpf_common.h: load a word, jump if equal, if any bit is set, if at least; return.
_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
# linux/seccomp.h, and where the fields of `struct seccomp_data` are.
_ALLOW: Final = 0x7FFF0000
_FAIL: Final = 0x00050000
_NUMBER, _ABI, _ARGUMENTS = 0, 4, 16
_ARGUMENT_BYTES: Final = 8
# Numbers from here on are those of x32, a second ABI under the name of x86-64.
_X32: Final = 0x40000000
# Set-user-id and set-group-id. Execution as another user would outlive the sandbox.
_SET_ID_BITS: Final = 0o6000
# Unix, IPv4, IPv6, netlink: these belong to the network namespace. Others, such as
# AF_VSOCK, reach past it.
_FAMILIES: Final = (1, 2, 10, 16)


@dataclass(frozen=True, slots=True)
class _Abi:
    """System call numbers of one ABI: ``AUDIT_ARCH`` constant, numbers by name."""

    audit: int
    numbers: dict[str, int]


def _numbers(text: str) -> dict[str, int]:
    words = text.split()
    return {name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)}


# Calls that came after numbers were made the same everywhere.
_COMMON: Final = _numbers(
    "io_uring_setup 425 io_uring_enter 426 io_uring_register 427 openat2 437 fchmodat2 452"
)
_GENERIC: Final = _COMMON | _numbers(
    "fcntl 25 mknodat 33 fchmod 52 fchmodat 53 openat 56 syslog 116 socket 198 socketpair 199 "
    "add_key 217 request_key 218 keyctl 219 perf_event_open 241 bpf 280 userfaultfd 282"
)
_X86_64: Final = _COMMON | _numbers(
    "open 2 socket 41 fcntl 72 socketpair 53 creat 85 chmod 90 fchmod 91 syslog 103 mknod 133 "
    "add_key 248 request_key 249 keyctl 250 openat 257 mknodat 259 fchmodat 268 "
    "perf_event_open 298 bpf 321 userfaultfd 323"
)
_I386: Final = _COMMON | _numbers(
    "open 5 creat 8 mknod 14 chmod 15 fcntl 55 fchmod 94 socketcall 102 syslog 103 add_key 286 "
    "request_key 287 keyctl 288 openat 295 mknodat 297 fchmodat 306 perf_event_open 336 "
    "bpf 357 socket 359 socketpair 360 userfaultfd 374 fcntl64 221"
)
# By `platform.machine()`. A call in any other ABI is refused.
_MACHINES: Final = {
    "x86_64": (_Abi(0xC000003E, _X86_64), _Abi(0x40000003, _I386)),
    "aarch64": (_Abi(0xC00000B7, _GENERIC),),
    "riscv64": (_Abi(0xC00000F3, _GENERIC),),
}

# Refused whatever the arguments are.
_REFUSED: Final = {
    # The user's keys: keyrings are looked up by user, also from inside.
    **dict.fromkeys(("add_key", "request_key", "keyctl"), errno.ENOSYS),
    # Carries out other calls, past any filter.
    **dict.fromkeys(("io_uring_setup", "io_uring_enter", "io_uring_register"), errno.ENOSYS),
    # Have their mode or family in memory, where a filter cannot read it.
    **dict.fromkeys(("openat2", "socketcall"), errno.ENOSYS),
    # About the kernel and the whole machine.
    **dict.fromkeys(("bpf", "perf_event_open", "userfaultfd", "syslog"), errno.EPERM),
}
# Refused when the argument of this index, the file's mode, has a set-id bit.
_MODES: Final = _numbers(
    "chmod 1 fchmod 1 creat 1 mknod 1 fchmodat 2 fchmodat2 2 open 2 mknodat 2 openat 3"
)
# Of these the argument before is the flags: without O_CREAT or O_TMPFILE the mode means nothing.
_OPENS: Final = ("open", "openat")
_CREATING: Final = 0o100 | 0o20000000
_SOCKETS: Final = ("socket", "socketpair")
# Root owns the files of the system, and with a lease could keep others from writing them.
_CONTROLS: Final = ("fcntl", "fcntl64")
_SET_LEASE: Final = 1024


def call_filter(machine: str | None = None) -> bytes | None:
    """Return the filter for *machine*, this one by default.

    Returns:
        An array of ``struct sock_filter``; None where the numbers of its
        system calls are not known here, or its programs are of another size.
    """
    abis = _MACHINES.get(machine or platform.machine())
    if abis is None or struct.calcsize("P") != _ARGUMENT_BYTES:
        return None
    return b"".join(_instructions(abis))


def _instructions(abis: tuple[_Abi, ...]) -> Iterator[bytes]:
    for abi in abis:
        body = b"".join(_judge(abi))
        yield _step(_LOAD, _ABI)
        yield _step(_EQUAL, abi.audit, 1, 0)
        yield _jump(len(body) // 8)
        yield body
    yield _fail(errno.ENOSYS)


def _judge(abi: _Abi) -> Iterator[bytes]:
    """What becomes of a call in *abi*; never falls through."""
    yield _step(_LOAD, _NUMBER)
    yield _when(_AT_LEAST, _X32, _fail(errno.ENOSYS))
    for name, number in abi.numbers.items():
        if name in _REFUSED:
            yield _when(_EQUAL, number, _fail(_REFUSED[name]))
        elif name in _MODES:
            yield _when(_EQUAL, number, _check_mode(_MODES[name], has_flags=name in _OPENS))
        elif name in _SOCKETS:
            yield _when(_EQUAL, number, _check_family())
        elif name in _CONTROLS:
            yield _when(_EQUAL, number, _check_lease())
    yield _step(_RETURN, _ALLOW)


def _check_mode(argument: int, *, has_flags: bool) -> bytes:
    refuse = _argument(argument) + _when(_ANY_BIT, _SET_ID_BITS, _fail(errno.EPERM))
    if has_flags:
        refuse = _argument(argument - 1) + _when(_ANY_BIT, _CREATING, refuse)
    return refuse + _step(_RETURN, _ALLOW)


def _check_family() -> bytes:
    allowed = [_when(_EQUAL, family, _step(_RETURN, _ALLOW)) for family in _FAMILIES]
    return _argument(0) + b"".join(allowed) + _fail(errno.EAFNOSUPPORT)


def _check_lease() -> bytes:
    refuse = _when(_EQUAL, _SET_LEASE, _fail(errno.EPERM))
    return _argument(1) + refuse + _step(_RETURN, _ALLOW)


def _argument(index: int) -> bytes:
    """Load the lower half of an argument: all that the kernel reads of these."""
    return _step(_LOAD, _ARGUMENTS + index * _ARGUMENT_BYTES)


def _when(condition: int, value: int, then: bytes) -> bytes:
    """*then*, stepped over unless *condition* holds for the loaded word and *value*."""
    return _step(condition, value, 0, len(then) // 8) + then


def _fail(number: int) -> bytes:
    return _step(_RETURN, _FAIL | number)


def _jump(steps: int) -> bytes:
    return _step(0x05, steps)  # unconditional; its distance has no bound of 255


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
