"""Credentials inside addresses: the user information of a URL, whatever is in the password."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_codomon._platform.scrubbing.gate import compiled, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_codomon._platform.scrubbing.gate import Span

_URL: Final = r"([A-Za-z][A-Za-z0-9+.-]{1,20})(?::|%3[Aa])(?:(?:\\{0,8}/){2}|%2[Ff]%2[Ff])"
# What ends an address. A password may have anything else in it, unencoded.
_STOP: Final = r"""[\s"'<>`\\]|%22|\Z"""
_IS_PORT: Final = r"[^/@:]*:\d{1,5}(?:[/?#]|\Z)"
_IS_USER: Final = r"[^/@:?#]+\Z"
# Without a scheme: user:password@host, where the host has a dot or a port.
_BARE: Final = (
    r"(?<![\w.:/@%+-])(?!(?i:mailto|e-?mail|sips?|xmpp|acct|from|to|by|author|contact):)"
    r"[\w.+-]{1,64}:([^\s@/:\"'<>]{3,128})@"
    r"(?!sha\d)[A-Za-z][\w-]{0,63}(?:\.[\w-]{1,63}){0,8}(?:\(|(?<=\.[A-Za-z]{3})|(?<=\.[A-Za-z]{2})|:\d)"
)
# At the end of a text that was cut before the @: what is no port, and no path.
_CUT: Final = r"://[^\s@/:]{0,64}:(?!\d{1,5}(?:/|\Z))([^\s\"'<>]+)\Z"
_LONGEST: Final = 400
# Their users are no secrets: they sign in by key, or by a password beside it.
_NAMED_USERS: Final = words(
    "ssh sftp git+ssh ssh+git svn+ssh rsync ftp ftps smb nfs file mailto sip sips xmpp "
    "ldap ldaps imap imaps smtp smtps postgres postgresql mysql mariadb mssql oracle"
)
_WEB: Final = frozenset(("http", "https", "ws", "wss"))
_GIT: Final = "git"


def url_spans(text: str) -> Iterator[Span]:
    """Where user names and passwords stand in the addresses of *text*."""
    end = 0
    for match in compiled(_URL).finditer(text):
        if match.start() < end:
            continue  # an address within the password of another
        begin, end = match.end(), _end_of(text, match.end())
        at = "%40" if "%" in match.group() else "@"
        span = _user_info(match[1].lower(), text[begin:end], at)
        if span is not None:
            yield begin + span[0], begin + span[1]
    for match in compiled(_BARE).finditer(text):
        yield match.span(1)


def cut_url_spans(text: str) -> Iterator[Span]:
    """Where *text*, which was cut, ends within the user information of an address."""
    match = compiled(_CUT).search(text, max(0, len(text) - _LONGEST))
    if match is not None:
        yield match.span(1)


def _end_of(text: str, begin: int) -> int:
    stop = compiled(_STOP).search(text, begin)
    return len(text) if stop is None else stop.start()


def _user_info(scheme: str, rest: str, at: str) -> Span | None:
    """The user information of an address that goes on as *rest* after its scheme."""
    before_query = rest.partition("?")[0]
    first, last = before_query.find(at), before_query.rfind(at)
    if first < 0 and before_query != rest and ":" in before_query:
        if compiled(_IS_PORT).match(rest):
            return None
        first, last = rest.find(at), rest.rfind(at)  # the question mark is part of the password
    if first < 0:
        return None
    user = rest[:first]
    if compiled(_IS_USER).match(user):
        # An @ further on is part of the path, where the first ends a user.
        is_named = scheme in _NAMED_USERS or user == _GIT
        return None if is_named else (0, first)
    if ":" not in user.partition("/")[0]:
        return None  # the @ is in the path: https://host/@name
    if scheme in _WEB and compiled(_IS_PORT).match(rest):
        return None  # and here too: https://host:8080/@name
    return (0, last)
