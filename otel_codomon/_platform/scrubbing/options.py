"""Options whose names say nothing: which short option of which program is a password."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.scrubbing.gate import compiled
from otel_codomon._platform.scrubbing.secret_names import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_codomon._platform.scrubbing.gate import Span

_WORD: Final = r"[^\s\"';|&()]+|\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z)"
_MARKS: Final = "\"'"


@dataclass(frozen=True, slots=True)
class Program:
    """One row: programs that take a password by the same options.

    Attributes:
        names: Names of the programs.
        options: The options.
        separate: Whether the password may be the next word: ``-p x``.
        attached: Whether it may be in the same word: ``-px``.
        after: A word that must come before; empty for none.
    """

    names: tuple[str, ...]
    options: tuple[str, ...]
    separate: bool = True
    attached: bool = True
    after: str = ""


PROGRAMS: Final = (
    Program(
        (
            *("mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlshow", "mysqlcheck"),
            *("mariadb", "mariadb-dump", "mariadb-admin"),
        ),
        ("-p",),
        separate=False,
    ),
    Program(("sshpass", "mongo", "mongosh", "mongodump", "mongorestore", "cqlsh"), ("-p",)),
    Program(("mongoexport", "mongoimport", "rdesktop", "psexec", "rabbitmqadmin"), ("-p",)),
    Program(("7z", "7za", "7zr", "7zz", "rar", "unrar"), ("-p",), separate=False),
    Program(("zip", "unzip", "sqlcmd", "bcp", "ipmitool"), ("-P",)),
    Program(("curl",), ("-u", "-U", "--user", "--proxy-user", "-b", "--cookie")),
    Program(("http", "https", "xh"), ("-a", "--auth")),
    Program(("redis-cli",), ("-a",)),
    Program(("ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami"), ("-w",)),
    Program(("lftp", "smbclient", "rpcclient"), ("-u", "-U")),
    Program(("docker", "podman", "nerdctl", "helm", "oc", "az", "skopeo"), ("-p",), after="login"),
    Program(("xfreerdp", "xfreerdp3"), ("/p:",), separate=False),
    Program(("openssl",), ("-k", "-K"), attached=False),
    Program(("snmpwalk", "snmpget", "snmpset"), ("-A", "-X", "-c"), attached=False),
)
_BY_NAME: Final = {name: row for row in PROGRAMS for name in row.names}


# A word that names what it holds, to its end: --token=x, -Dpassword=x, "X-Key: x".
_NAMED: Final = r"-{0,2}([\w.-]{1,128})[=:][ \t]{0,8}"


def option_spans(text: str) -> Iterator[Span]:
    """Where passwords stand after the short options of known programs in *text*."""
    if not any(name in text for name in _BY_NAME):
        return
    words = list(compiled(_WORD).finditer(text))
    plain = [word.group().strip(_MARKS) for word in words]
    for index, offset in _short_options(plain):
        mark = words[index].group()[:1] in _MARKS
        yield words[index].start() + mark + offset, words[index].end() - mark
    for word in words:
        if word.group()[:1] in _MARKS and " " in word.group():  # a command line in one word
            begin = word.start() + 1
            for start, end in option_spans(word.group()[1:].rstrip(_MARKS)):
                yield begin + start, begin + end


def secret_words(words: Sequence[str]) -> dict[int, int]:
    """Which of *words*, the words of one command, are secrets: from which character on."""
    found: dict[int, int] = {}
    is_next = False
    for index, word in enumerate(words):
        named = compiled(_NAMED).match(word)
        if named is not None and is_secret_name(named[1]):
            found[index] = named.end()
        is_option = word.startswith("-")
        if is_next and not is_option:
            found[index] = 0
        is_next = is_option and named is None and is_secret_name(word.strip("-"))
    return {**found, **dict(_short_options(words))}


def _short_options(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    row: Program | None = None
    is_next = is_after = False
    for index, word in enumerate(words):
        named = _BY_NAME.get(word.rpartition("/")[2])
        if is_next and word:
            is_next = False
            yield index, 0
        elif named is not None:
            row, is_after = named, not named.after
        elif row is None:
            continue
        elif word == row.after:
            is_after = True
        elif is_after and word in row.options:
            is_next = row.separate
        elif is_after and row.attached and (option := _option_of(word, row)):
            yield index, len(option) + (word[len(option)] == "=")


def _option_of(word: str, row: Program) -> str | None:
    """The option that *word* begins with, and goes beyond."""
    for option in row.options:
        begin = f"{option}=" if option.startswith("--") else option
        if word.startswith(begin) and len(word) > len(begin):
            return option
    return None
