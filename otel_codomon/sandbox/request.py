"""What the caller of `run` asks for, checked before anything is started."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_codomon._platform.refused_values import shown
from otel_codomon.executions.languages import known_language
from otel_codomon.resources.limits import Limits
from otel_codomon.sandbox import arguments
from otel_codomon.sandbox.arguments import choice_of, optional, read, refusal, text_of
from otel_codomon.sandbox.command_name import default_name as name_of_command
from otel_codomon.sandbox.environment import build_environment
from otel_codomon.sandbox.shown import resolve_shown
from otel_codomon.sandbox.toolchains import BY_LANGUAGE
from otel_codomon.words import ISOLATIONS, PROPAGATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_codomon.sandbox.toolchains import Toolchain
    from otel_codomon.words import Isolation, Propagation


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be run, and how: checked, and nothing of it done yet.

    Attributes:
        name: What the execution is called.
        argv: Program and arguments; empty for a source text.
        path: Where the program is; None for a source text.
        source: The source text; None for a command.
        toolchain: What runs the source text; None for a command.
        language: As the caller says it; None when nobody did.
        timeout: Longest time, seconds.
        limits: What it may use.
        stdin: What it reads.
        cwd: Working folder; None for a private one.
        env: Its environment, but for what lets it report.
        propagate: One of `PROPAGATIONS`.
        isolation: One of `ISOLATIONS`.
        session_id: The caller's session that asked for it.
        attributes: More attributes of its span.
        logs: Whether each line it writes is a log record; None for what `capture` says.
    """

    name: str
    argv: tuple[str, ...] = ()
    path: str | None = None
    source: str | None = None
    toolchain: Toolchain | None = None
    language: str | None = None
    timeout: float | None = None
    limits: Limits = field(default_factory=Limits)
    stdin: bytes = b""
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    propagate: Propagation = "none"
    isolation: Isolation = "none"
    session_id: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)
    logs: bool | None = None


# Of each argument how it is read; one that is left out is None.
_READERS: Final[Mapping[str, Callable[[object], object]]] = {
    "language": optional(text_of("language"), None),
    "name": optional(text_of("name"), None),
    "timeout": optional(arguments.seconds, None),
    "limits": optional(arguments.limits_of, Limits()),
    "stdin": optional(arguments.input_bytes, b""),
    "cwd": optional(arguments.directory, None),
    "env": optional(arguments.variables, {}),
    "allow_env": arguments.allowed_names,
    "propagate": choice_of("propagate", PROPAGATIONS),
    "isolation": choice_of("isolation", ISOLATIONS),
    "session_id": optional(text_of("session_id"), None),
    "attributes": optional(arguments.span_attributes, {}),
    "logs": optional(arguments.yes_or_no("logs"), None),
}


def make_request(command: object, **options: object) -> Request:
    """Check what the caller of `run` said; see there.

    Raises:
        InvalidArgumentError: One of the arguments cannot mean anything, the
            program or directory is not there, or it may not be shown in isolation.
    """
    said: dict[str, Any] = {
        argument: read(argument, reader, options[argument]) for argument, reader in _READERS.items()
    }
    if said["isolation"] != "none" and said["cwd"] is not None:
        said["cwd"] = resolve_shown(said["cwd"], argument="cwd", environ=os.environ)
    environment = build_environment(os.environ, given=said["env"], allowed=said.pop("allow_env"))
    said["env"] = environment
    if issubclass(type(command), str):
        said["source"] = read("command", arguments.source_text, command)
        said["toolchain"] = _toolchain(said["language"])
        default_name = said["toolchain"].language
    else:
        said["argv"] = argv = read("command", arguments.words, command)
        search_path = environment.get("PATH")
        said["path"] = find_program(argv[0], search_path=search_path, folder=said["cwd"])
        if said["cwd"] is None and said["isolation"] == "none":
            said["cwd"] = arguments.our_directory()
        default_name = name_of_command(argv, temporary=os.environ.get("TMPDIR"))
    return Request(**{**said, "name": said["name"] or default_name})


def _toolchain(language: str | None) -> Toolchain:
    known = ", ".join(sorted(BY_LANGUAGE))
    if language is None:
        raise refusal(
            "language",
            "run a single string",
            "the language of the source text is missing",
            f"pass language= (one of {known}), or pass a command as a list of words",
        )
    toolchain = BY_LANGUAGE.get(known_language(language) or "")
    if toolchain is None:
        raise refusal(
            "language",
            f"run source text in {shown(language)}",
            "unknown language",
            f"use one of {known}",
        )
    return toolchain


def find_program(name: str, *, search_path: str | None, folder: str | None) -> str:
    """Return the absolute path of the program *name*.

    Args:
        name: A path, which counts from *folder* unless absolute, or a name to
            look up on *search_path*.
        search_path: The command's own PATH; None for the system's.
        folder: The command's working directory; None for ours.

    Raises:
        InvalidArgumentError: It is not there, or cannot be executed.
    """
    doing = f"run {shown(name)}"
    if not os.path.dirname(name):
        found = shutil.which(name, path=search_path)
        if found is None:
            found_what, way_out = (
                "no program of that name is on the PATH",
                "install it, or give its path",
            )
            raise refusal("command", doing, found_what, way_out)
        return found if os.path.isabs(found) else os.path.join(arguments.our_directory(), found)
    path = name if os.path.isabs(name) else os.path.join(folder or arguments.our_directory(), name)
    if not os.path.exists(path):
        raise refusal("command", doing, "no such file", "check the path")
    if os.path.isdir(path) or not os.access(path, os.X_OK):
        kind = "is a directory" if os.path.isdir(path) else "may not be executed"
        way_out = f"name a program, or make it one with `chmod +x {shown(path)}`"
        raise refusal("command", doing, f"it {kind}", way_out)
    return path
