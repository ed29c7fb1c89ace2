"""What a command is called by default: its program, and its script where an interpreter runs one.

Pure. A name is a series of metrics, so a script in a temporary directory, of
which each may have a name of its own, is left out.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_VERSION = re.compile(r"[\d.]+$")
# By the interpreter without its version: the options whose value is the next word, and the
# letters of those after which the program is a text.
_INTERPRETERS: Mapping[str, tuple[frozenset[str], str]] = {
    **dict.fromkeys(("python", "pypy"), (frozenset({"-W", "-X"}), "c")),
    **dict.fromkeys(
        ("bash", "sh", "dash", "zsh", "ksh"), (frozenset({"-o", "+o", "-O", "+O"}), "cs")
    ),
    **dict.fromkeys(("node", "nodejs"), (frozenset({"-r", "--require", "--import", "-C"}), "ep")),
    **dict.fromkeys(("perl", "ruby"), (frozenset({"-I", "-r"}), "eE")),
    **dict.fromkeys(("Rscript", "php", "lua", "julia"), (frozenset[str](), "eErR")),
}
_MODULES = frozenset({"python", "pypy"})
_TEMPORARY = ("/tmp/", "/var/tmp/", "/dev/shm/")  # noqa: S108 - nothing is written there


def default_name(words: Sequence[str], *, temporary: str | None = None) -> str:
    """The name of a command.

    >>> default_name(["/usr/bin/python3", "-u", "jobs/nightly.py", "--all"])
    'python3 nightly.py'
    >>> default_name(["python", "-m", "http.server"]), default_name(["make", "all"])
    ('python -m http.server', 'make')

    Args:
        words: Program and arguments, as they are typed.
        temporary: The directory of temporary files, besides the system's own; None for no other.
    """
    program = words[0].rpartition("/")[2]
    kind = _VERSION.sub("", program)
    if kind not in _INTERPRETERS:
        return program
    takes_value, texts = _INTERPRETERS[kind]
    rest = iter(words[1:])
    for word in rest:
        if word == "-m" and kind in _MODULES:
            return f"{program} -m {next(rest, '')}".rstrip()
        if word == "--":
            return _with_script(program, next(rest, ""), temporary)
        if not word.startswith(("-", "+")):
            return _with_script(program, word, temporary)
        if word == "-" or (not word.startswith("--") and set(texts) & set(word)):
            return program
        if word in takes_value:
            next(rest, None)
    return program


def _with_script(program: str, script: str, temporary: str | None) -> str:
    own = () if not temporary else (f"{temporary.rstrip('/')}/",)
    is_temporary = script.startswith((*_TEMPORARY, *own))
    name = "" if is_temporary else script.rpartition("/")[2]
    return f"{program} {name}".rstrip()
