"""The words that arguments and settings accept, one table for each closed set.

Each set is here twice: as a tuple, for checks and messages, and as a type, so that
a type checker finds a typo. A test holds the two together.
"""

from __future__ import annotations

# Not from typing, whose import takes as long as the start of Python itself.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Capture = Literal["arguments", "code", "exception", "output", "output:logs"]
    Durability = Literal["process", "power", "strict"]
    Isolation = Literal["none", "bubblewrap"]
    KindWord = Literal["function", "command", "snippet", "cell", "task"]
    OtlpProtocol = Literal["http/protobuf", "grpc"]
    OutcomeWord = Literal[
        "success",
        "error",
        "timeout",
        "killed",
        "oom_killed",
        "limit_exceeded",
        "cancelled",
        "setup_error",
        "unknown",
        "host_died",
    ]
    Propagation = Literal["none", "linked", "full"]
    ResultForm = Literal["exit_code", "returncode", "status", "success", "nothing"]
    SandboxTypeWord = Literal["none", "process", "bubblewrap", "container", "remote"]
    Scope = Literal["machine", "process"]

CAPTURES: tuple[Capture, ...] = ("arguments", "code", "exception", "output", "output:logs")
CONTROLS = ("clear",)
DURABILITIES: tuple[Durability, ...] = ("process", "power", "strict")
INSTRUMENTS = (
    "caches",
    "host",
    "subprocess",
    "os.system",
    "os.popen",
    "os.posix_spawn",
    "asyncio.subprocess",
)
ISOLATIONS: tuple[Isolation, ...] = ("none", "bubblewrap")
OTLP_PROTOCOLS: tuple[OtlpProtocol, ...] = ("http/protobuf", "grpc")
PROPAGATIONS: tuple[Propagation, ...] = ("none", "linked", "full")
SCOPES: tuple[Scope, ...] = ("machine", "process")
