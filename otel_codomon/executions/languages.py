"""The closed set of languages that metrics may be labelled with.

What a caller passes as ``language`` at run time is not the developer's
choice, and a metric label must never be a stranger's.
"""

from __future__ import annotations

from typing import Final

OTHER: Final = "other"

# Short forms people use -> the name that is reported.
_ALIASES: Final = {
    "c++": "cpp",
    "cc": "cpp",
    "cs": "csharp",
    "c#": "csharp",
    "golang": "go",
    "js": "javascript",
    "node": "javascript",
    "nodejs": "javascript",
    "kt": "kotlin",
    "pl": "perl",
    "ps1": "powershell",
    "py": "python",
    "python3": "python",
    "rb": "ruby",
    "rs": "rust",
    "shell": "bash",
    "ts": "typescript",
}

LANGUAGES: Final = frozenset(
    {
        *("ada", "awk", "bash", "c", "clojure", "cobol", "cpp", "crystal", "csharp", "css"),
        *("d", "dart", "elixir", "elm", "erlang", "fortran", "fsharp", "go", "groovy", "haskell"),
        *("html", "java", "javascript", "julia", "kotlin", "lisp", "lua", "matlab", "nim"),
        *("ocaml", "octave", "pascal", "perl", "php", "powershell", "prolog", "python", "r"),
        *("racket", "ruby", "rust", "scala", "scheme", "sh", "solidity", "sql", "swift", "tcl"),
        *("typescript", "v", "vb", "wasm", "zig", "zsh"),
    }
)


def known_language(value: object) -> str | None:
    """The reported name of what a caller passed as a language.

    Returns:
        A member of `LANGUAGES`, ``other`` for a text that is none, None for
        what is no text or empty.
    """
    if not isinstance(value, str) or not value:
        return None
    if len(value) > max(map(len, LANGUAGES)):
        return OTHER
    name = str.lower(value).strip()
    name = _ALIASES.get(name, name)
    return name if name in LANGUAGES else OTHER
