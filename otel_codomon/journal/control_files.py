"""Requests of one process to another of the same user: files in the journal's folder.

A request is addressed to a session of the journal, so it can never reach a
process that came to the same process id later. The owner takes it away before
it acts, and leaves its answer in a file of the same name.
"""

from __future__ import annotations

import json
import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_codomon.errors import JournalUnavailableError
from otel_codomon.journal import folder as folders

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = "control"
_REQUEST: Final = ".request"
_ANSWER: Final = ".answer"
# 500 names of 255 characters, in JSON.
_MAX_BYTES: Final = 512 * 1024
# What nobody has taken or fetched by then nobody will.
_STALE_SECONDS: Final = 3600.0
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Address:
    """Which request of which process.

    Attributes:
        session: The process, by its id in the journal.
        token: The request.
    """

    session: bytes
    token: str

    @property
    def stem(self) -> str:
        """What its files are called, but for the ending."""
        return f"{self.session.hex()}-{self.token}"


def post(folder: str, session: bytes, body: dict[str, Any]) -> Address:
    """Leave a request to the process of *session*.

    Raises:
        JournalUnavailableError: The folder cannot be used.
        OSError: The file cannot be written.
    """
    address = Address(session, os.urandom(8).hex())
    descriptor = _open_control(folder)
    try:
        _sweep(descriptor)
        _write(descriptor, address.stem + _REQUEST, body)
    finally:
        os.close(descriptor)
    return address


def fetch(folder: str, address: Address) -> dict[str, Any] | None:
    """Take the answer to a request, or None while there is none."""
    descriptor = _open_control(folder)
    try:
        return _take(descriptor, address.stem + _ANSWER)
    finally:
        os.close(descriptor)


def withdraw(folder: str, address: Address) -> None:
    """Take a request back that nobody has taken."""
    descriptor = _open_control(folder)
    try:
        _remove(descriptor, address.stem + _REQUEST)
    finally:
        os.close(descriptor)


def take(folder: str, session: bytes) -> Iterator[tuple[Address, dict[str, Any] | None]]:
    """Take the requests to *session*; None for one that cannot be understood.

    A file that is not a plain one of this user, or that others may read or
    write, is no request: it is removed.
    """
    if not os.path.isdir(os.path.join(folder, FOLDER)):  # noqa: PTH112, PTH118 - at each collection
        return
    try:
        descriptor = _open_control(folder)
    except JournalUnavailableError:  # then nobody can ask
        return
    try:
        prefix = f"{session.hex()}-"
        for name in os.listdir(descriptor):  # noqa: PTH208 - of the folder that was checked
            if name.startswith(prefix) and name.endswith(_REQUEST):
                token = name[len(prefix) : -len(_REQUEST)]
                yield Address(session, token), _take(descriptor, name)
    finally:
        os.close(descriptor)


def answer(folder: str, address: Address, body: dict[str, Any]) -> None:
    """Leave the answer to a request; nothing where that is not possible."""
    try:
        descriptor = _open_control(folder)
    except JournalUnavailableError:  # whoever asked finds the folder gone too
        return
    try:
        _write(descriptor, address.stem + _ANSWER, body)
    except OSError:  # a full disk: whoever asked runs out of time
        return
    finally:
        os.close(descriptor)


def _open_control(folder: str) -> int:
    return folders.open_folder(os.path.join(folder, FOLDER))  # noqa: PTH118 - as `open_folder`


def _write(folder_fd: int, name: str, body: dict[str, Any]) -> None:
    """Write under another name first: what has its name is whole."""
    temporary = f".{name}"
    descriptor = folders.open_file(
        folder_fd, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_TRUNC
    )
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps(body).encode())
    os.rename(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)


def _take(folder_fd: int, name: str) -> dict[str, Any] | None:
    """Read and remove a file; None where there is none, or none that can be trusted."""
    try:
        descriptor = folders.open_file(folder_fd, name, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError:  # a link, a fifo, a folder, another user's
        _remove(folder_fd, name)
        return None
    with os.fdopen(descriptor, "rb") as file:
        is_private = not os.fstat(descriptor).st_mode & _OTHERS
        content = file.read(_MAX_BYTES + 1) if is_private else b""
    _remove(folder_fd, name)
    return _understood(content)


def _understood(content: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(content) if len(content) <= _MAX_BYTES else None
    except (ValueError, RecursionError):  # not from us
        return None
    return body if isinstance(body, dict) else None


def _remove(folder_fd: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder_fd)
    except OSError:  # taken by another, or a folder: then it is never taken for a request
        return


def _sweep(folder_fd: int) -> None:
    """Remove what was left behind by those who asked and did not wait."""
    for name in os.listdir(folder_fd):
        try:
            age_seconds = time.time() - os.stat(name, dir_fd=folder_fd).st_mtime
        except OSError:  # gone
            continue
        if age_seconds > _STALE_SECONDS:
            _remove(folder_fd, name)
