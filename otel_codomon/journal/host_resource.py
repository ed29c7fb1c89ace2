"""The host of this process, as the attributes of a resource.

Imports only what the interpreter has loaded: `otel-codomon run` comes by here.
"""

from __future__ import annotations

import os

from otel_codomon import names

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Mapping

# Where an engine or systemd leaves a sign inside of a container.
_SIGNS = (".dockerenv", "run/.containerenv", "run/systemd/container")
_VARIABLES = ("KUBERNETES_SERVICE_HOST", "container")
# Of Linux, readable by everybody: machine-id(5).
_MACHINE_IDS = ("etc/machine-id", "var/lib/dbus/machine-id")
_MACHINE_ID_DIGITS = 32
_HEX = frozenset("0123456789abcdef")
# What uname(2) calls a processor -> what the conventions call it.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv6l": "arm32",
    "armv7l": "arm32",
    "i386": "x86",
    "i686": "x86",
    "ia64": "ia64",
    "ppc": "ppc32",
    "ppc64": "ppc64",
    "ppc64le": "ppc64",
    "s390x": "s390x",
}


def host_attributes(*, environ: Mapping[str, str] | None = None, root: str = "/") -> dict[str, str]:
    """Name, id and architecture of the host, as far as they are known.

    Inside a container there is the architecture alone: the name there is the
    container's, another one at each start, and the id is that of the image, the
    same on every host. Each would be a false host, and a series of its own.

    Args:
        environ: The environment; None for this process's own.
        root: Where the files of the system are, with a slash at the end.
    """
    if not hasattr(os, "uname"):  # Windows
        return {}
    system = os.uname()
    machine = system.machine.lower()
    found = {names.HOST_ARCH: _ARCHITECTURES.get(machine, machine)}
    if _is_in_container(os.environ if environ is None else environ, root):
        return found
    found[names.HOST_NAME] = system.nodename
    found[names.HOST_ID] = next(
        filter(None, (_machine_id(root + path) for path in _MACHINE_IDS)), ""
    )
    return {key: value for key, value in found.items() if value}


def _is_in_container(environ: Mapping[str, str], root: str) -> bool:
    is_said = any(environ.get(name) for name in _VARIABLES)
    return is_said or any(os.path.exists(root + sign) for sign in _SIGNS)  # noqa: PTH110 - slow


def _machine_id(path: str) -> str | None:
    """The id in a file; None where there is none, as before the first boot."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # another system, or not for us to read
        return None
    try:
        text = os.read(descriptor, 64).decode("ascii", "replace").strip()
    except OSError:  # of a file system that is failing
        return None
    finally:
        os.close(descriptor)
    return text if len(text) == _MACHINE_ID_DIGITS and _HEX.issuperset(text) else None
