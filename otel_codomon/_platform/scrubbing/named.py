"""Values that stand beside a name that promises a secret, in whatever notation.

``password=x``, ``"apiKey": "x"``, ``<token>x</token>``, ``--secret x``, cookies
and headers, YAML, JSON within JSON, percent-encoded. A scan from left to right:
each character is looked at a bounded number of times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_codomon._platform.scrubbing.gate import REDACTED, compiled, is_random_word, words
from otel_codomon._platform.scrubbing.secret_names import (
    is_count_name,
    is_header_name,
    is_query_name,
    is_secret_name,
)

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from otel_codomon._platform.scrubbing.gate import Span

# A quotation mark as the notations have it: plain, escaped, percent-encoded, of HTML.
_QUOTE: Final = r"(?:\\{0,16}[\"']|%5[Cc]%22|%22|%27|&quot;|&#34;|&#39;|&apos;|\\{1,8}u002[27])"
# Names, and what may stand right before one and is no part of it.
_NAME: Final = r"(?:%[0-9A-Fa-f]{2})+|\\u00[0-9a-f]{2}|\\[nrt]|\x1b\[[0-9;]{0,16}[A-Za-z]|[\w.$-]+"
_SEPARATOR: Final = (
    rf"{_QUOTE}?\]?[ \t]{{0,8}}(?:=>|->|:=|::|===?|!==?|=|:|%(?:25){{0,3}}3[dDaA])"
    r"(?:[ \t]|%20|\+(?=\S)){0,8}"
)
# {"name": "TOKEN", "value": "x"}, <add key="Token" value="x"/>, and the same in YAML.
_PAIR: Final = (
    rf"{_QUOTE}?(?:[\s,;]|\\{{1,8}}[nrt]){{0,64}}{_QUOTE}?[vV]alue{_QUOTE}?\s{{0,8}}[:=]\s{{0,8}}"
)
_TUPLE: Final = rf"{_QUOTE}\s{{0,8}},\s{{0,8}}[bru]{{0,2}}(?={_QUOTE})"
_ELEMENT: Final = r"[^<>]{0,256}>(?:<!\[CDATA\[)?"
_IN_QUERY: Final = r"(?:[?&;]|%26|%3[Ff])\Z"
_IN_PAIR: Final = r"\([bru]?[\"']\Z"
_TYPED: Final = rf"[\w<>\[\],|.&]{{1,64}}[ \t]{{0,8}}=[ \t]{{0,8}}(?={_QUOTE})"  # token: str = "x"
_KIND_OF_KEY: Final = r"(?i:\b(?:api|access|secret|private|signing|license|account)[ \t])\Z"
_OF_TAG: Final = r"<[^<>]{0,128}\b(?:name|key|id)=[\"']\Z"  # <param name="token">x</param>
_PROSE: Final = (
    r"[ \t]{1,4}(?:is[ \t]{1,4})?[\"'`]?([^\s\"'`,;=:<>()]{12,256})"  # token x, the token is x
)
_CALL: Final = r"\([ \t]{0,8}"  # setPassword("x")
_SETS: Final = ("set", "with", "use")
_IN_TAG: Final = r"(?<![\w<])<(?:[\w.-]{1,32}:)?\Z"
_GAP: Final = r"[ \t]{1,8}(?!-)"
_SETTING: Final = r"(?:\bset|\bsetx|\bENV|\bsetenv)(?:[ \t]+-{1,2}\w{1,16})?[ \t]+\Z"

_OPENING: Final = rf"[bBfFrRuU]{{0,2}}({_QUOTE})"
# After a mark that closes what stands before: "token=" + x, ("Password: ", x).
_CLOSED: Final = r"[ \t]+[+%][ \t]|[)\],](?:[\s)\],]|\Z)"
_NEXT_LINE: Final = r"[ \t]*(?:\n|\\{1,8}n)[ \t]+([^\s:\\\"']+)[ \t]*(?:[\n\\\"']|\Z)"
_AFTER_QUOTE: Final = frozenset(("", *" \t\r\n,;:)]}>\"'"))
_LIST: Final = rf"[\[({{]\s{{0,64}}(?=[bru]?{_QUOTE})"
_FLOW: Final = r"\[(?=[ \t]{0,8}[A-Za-z_])"
_CLOSING: Final = {"[": "]", "(": ")", "{": "}"}
# Texts and lists of many lines in YAML, and the same where line breaks are escaped.
_YAML_TEXT: Final = r"[|>][+-]?\d?[ \t]*\n(?:[ \t]+[^\n]*(?:\n|\Z))+"
_YAML_LIST: Final = r"[ \t]*\n(?:[ \t]*- [^\n]*(?:\n|\Z))+"
_ESCAPED_LINE: Final = r"(?:(?!\\{1,8}n)[^\n\"'])*(?:\\{1,8}n|\Z|(?=[\"']))"
_ESCAPED_TEXT: Final = rf"[|>][+-]?\d?[ \t]*\\{{1,8}}n(?:[ \t]+{_ESCAPED_LINE})+"
_ESCAPED_LIST: Final = rf"[ \t]*\\{{1,8}}n(?:[ \t]*- {_ESCAPED_LINE})+"
_BLOCKS: Final = (_YAML_TEXT, _YAML_LIST, _ESCAPED_TEXT, _ESCAPED_LIST)
_LINE: Final = r"(?:(?!\\[rn])[^\r\n<])*"
_COOKIES: Final = r"[^\s;,\"'=<>&]+=[^\s;\"'<>]*(?:;[ \t]{0,4}[^\s;\"'=<>]+(?:=[^\s;\"'<>]*)?)*"
_SCHEME: Final = (
    r"(?i:bearer|basic|token|negotiate|ntlm|apikey|api-key|key|hawk|oauth|privatetoken|dpop"
    r"|vapid|gnap|digest|aws4-hmac-sha256)(?:[ \t]|%20|\+){1,4}([^\s\"'<>;&)\]}]+)"
)
_MARKS: Final = r"\s\"'<>,;&)\]}|"
# It goes on beyond a mark, unless what follows is the next name or nothing.
_BARE: Final = (
    rf"[^{_MARKS}\\]+(?:[,;&)\]}}|\\]{{1,8}}(?![\w.%-]{{1,64}}[\"']?[=:]|[nrt]\b)[^{_MARKS}\\]+)*"
)
_ENCODED: Final = r"(?:(?!%26|%22|%2C|%7D)[^\s\"'<>&,;)\]}])+"

# What stands where a value would, and is none.
_CODE: Final = (
    r"[A-Za-z_][A-Za-z_.]*[(\[]|(?:self|cls|args|kwargs|settings|config|conf|request|os|env|environ"
    r"|process|ctx|this|options|params)[.\[]"
    r"|\[\w[\w.()]{0,64} for |\(\w{1,64}, "
)
# One short word, after which a value would not go on either: see `_BARE`.
_FIRST: Final = (
    rf"[^{_MARKS}]{{1,64}}(?=[,;:&)\]}}|]{{0,8}}(?:[\s\"'<>]|\Z|[\w.%-]{{1,64}}[\"']?[=:]))"
)
_PLACEHOLDER: Final = (
    r"(?:\$\{.*|\$[A-Z_][A-Z0-9_]*|\$\(.*|\{\{.*|\{\w*|%\(.*|%[sdr]|\*+|x{3,}|\.{2,}|…|-+)\Z"
)
_WORDS: Final = words(
    "str bytes int float bool none null nil true false yes no on off string number optional any "
    "object undefined self is are was were be been or and not no the a an for from of in to with "
    "must may can cannot could should will would has have had if when that which required missing "
    "invalid expired incorrect wrong empty unset set given option argument flag value all failed "
    "found redacted ok error default secretstr new await lambda yield function return "
    "final expected pass"
)
_SMALL_NUMBER: Final = r"-?\d{1,9}(?:\.\d+)?\Z"


def named_spans(text: str) -> Iterator[Span]:
    """Where values of secret names stand in *text*."""
    end = 0
    for match in compiled(_NAME).finditer(text):
        if match.start() < end or not _may_be_secret(text, match):
            continue
        for begin, end in _values(text, match.group(), match.start(), match.end()):
            if begin < end and not text.startswith(REDACTED, begin):
                yield begin, end


def _may_be_secret(text: str, match: re.Match[str]) -> bool:
    name, start, end = match.group().lstrip("-"), *match.span()
    if is_secret_name(name):
        # What test runners and parsers say: "PASS: test_x", "unexpected token: x".
        is_said = name == "PASS" or text.endswith("nexpected ", 0, start)
        return not (is_said and text.startswith(":", end))
    if name.lower() == "key" and compiled(_KIND_OF_KEY).search(text, max(0, start - 16), start):
        return True
    is_parameter = compiled(_IN_QUERY).search(text, max(0, start - 3), start) is not None
    return is_parameter and text.startswith(("=", "%3"), end) and is_query_name(name)


def _values(text: str, name: str, start: int, end: int) -> Iterator[Span]:
    """The value of *name*, which stands from *start* to *end*."""
    in_tag = compiled(_IN_TAG).search(text, max(0, start - 40), start) or (
        compiled(_OF_TAG).search(text, max(0, start - 160), start)
        and not compiled(_PAIR).match(text, end)
    )
    if in_tag and (span := _element_value(text, end)):
        yield span
        return
    for pattern in (_PAIR, _SEPARATOR):
        found = compiled(pattern).match(text, end)
        if found is not None:
            yield from _after(text, name, start, found)
            return
    if _is_set_apart(text, name, start) and (
        gap := compiled(_GAP).match(text, end) or compiled(_TUPLE).match(text, end)
    ):
        begin = gap.end()
        yield _quoted(text, begin) or _plain(text, name, begin, r"\S*")
    elif compiled(_IN_PAIR).search(text, max(0, start - 3), start) and (
        pair := compiled(_TUPLE).match(text, end)
    ):
        yield _quoted(text, pair.end()) or (end, end)
    else:
        yield from _beside(text, name, end)


def _beside(text: str, name: str, end: int) -> Iterator[Span]:
    """A value without a mark in between: in a call, or in a sentence, if it is no word."""
    call = compiled(_CALL).match(text, end) if name.rpartition(".")[2].startswith(_SETS) else None
    if call is not None:
        yield _quoted(text, call.end()) or (end, end)
    elif prose := compiled(_PROSE).match(text, end):
        yield prose.span(1) if is_random_word(prose[1]) else (end, end)


def _is_set_apart(text: str, name: str, start: int) -> bool:
    """Whether a space separates *name* from its value: ``--password x``, ``set TOKEN x``."""
    return (
        name.startswith("-")
        or compiled(_SETTING).search(text, max(0, start - 40), start) is not None
    )


def _after(text: str, name: str, start: int, separator: re.Match[str]) -> Iterator[Span]:
    begin = separator.end()
    if text.startswith(REDACTED, begin):
        yield begin, begin + len(REDACTED)
        return
    before = text[start - 1 : start]
    if before in ("'", '"') and text.startswith(before, begin) and before not in separator.group():
        return  # a prompt: "Password: "
    header = _header_value(text, start, separator) if is_header_name(name) else None
    typed = compiled(_TYPED).match(text, begin) if ":" in separator.group() else None
    if header is None and typed is not None and (span := _quoted(text, typed.end())):
        yield span
    elif span := header or _quoted(text, begin) or _listed(text, begin, separator.group().strip()):
        yield (begin, begin) if _is_word(text[slice(*span)]) else span
    elif scheme := compiled(_SCHEME).match(text, begin):
        yield scheme.span(1)
    elif "%" in separator.group():
        yield _plain(text, name, begin, _ENCODED)
    elif "==" in separator.group():
        return  # a comparison, with what is no literal
    else:
        yield _plain(text, name, begin, _BARE)


def _quoted(text: str, begin: int) -> Span | None:
    """What is inside the quotation marks that open at *begin*; to the end where none closes."""
    opening = compiled(_OPENING).match(text, begin)
    if opening is None:
        return None
    mark, start = opening[1], opening.end()
    if compiled(_CLOSED).match(text, start):
        return None
    if mark[-1] not in "\"'" or mark.startswith("%"):
        close = text.find(mark, start)
        return start, len(text) if close < 0 else close
    return start, _closing(text, start, mark[-1], len(mark) - 1)


def _closing(text: str, start: int, quote: str, escapes: int) -> int:
    """Where the *quote* is that closes one with so many *escapes* before it."""
    at = text.find(quote, start)
    while at >= 0:
        before = at
        while before > start and text[before - 1] == "\\":
            before -= 1
        count = at - before
        # Two escapes are an escaped one at the end, or of a text within a text.
        is_last = escapes == 0 and count % 2 == 0 and text[at + 1 : at + 2] in _AFTER_QUOTE
        if count <= escapes or is_last:
            return before if escapes else at
        at = text.find(quote, at + 1)
    return len(text)


def _listed(text: str, begin: int, separator: str) -> Span | None:
    """The items of a list: of texts on one line, or of YAML; and YAML's text of many lines."""
    for pattern in _BLOCKS:
        block = compiled(pattern).match(text, begin)
        if block is not None:
            return begin, block.end() - block.group().endswith("\n")
    if separator == ":" and (line := compiled(_NEXT_LINE).match(text, begin)):
        return line.span(1)
    opening = compiled(_LIST).match(text, begin) or (
        compiled(_FLOW).match(text, begin) if separator == ":" else None
    )
    if opening is None:
        return None
    close = text.find(_CLOSING[text[begin]], opening.end())
    return begin + 1, len(text) if close < 0 else close


def _header_value(text: str, start: int, separator: re.Match[str]) -> Span | None:
    """The rest of a header's line; where the whole header is quoted, up to that mark."""
    begin = separator.end()
    if separator.group().strip()[:1] != ":":
        cookies = compiled(_COOKIES).match(text, begin)
        return cookies and cookies.span()
    quote = text[start - 1 : start]
    if quote in ('"', "'"):
        before = start - 1
        while before > 0 and text[before - 1] == "\\":
            before -= 1
        return begin, _closing(text, begin, quote, start - 1 - before)
    if compiled(_OPENING).match(text, begin):
        return None
    scheme = compiled(_SCHEME).match(text, begin)
    if scheme is not None and not scheme.group().endswith((",", "=")) and "=" not in scheme[1]:
        return scheme.span(1)
    line = None if _is_word(text[begin : begin + 32]) else compiled(_LINE).match(text, begin)
    return line and line.span()


def _element_value(text: str, end: int) -> Span | None:
    """What is inside an element of XML, whose name ends at *end*; None where it is empty."""
    element = compiled(_ELEMENT).match(text, end)
    if element is None or element.group().endswith("/>"):
        return None
    close = text.find("<", element.end())
    return element.end(), len(text) if close < 0 else close


def _plain(text: str, name: str, begin: int, pattern: str) -> Span:
    """A value without quotation marks; an empty span where it is none."""
    if pattern == _BARE and compiled(_CODE).match(text, begin):
        return begin, begin
    first = compiled(_FIRST).match(text, begin)
    if first is not None and _is_none(first.group(), name.lstrip("-").lower()):
        return begin, begin
    match = compiled(pattern).match(text, begin)
    return (begin, begin) if match is None else match.span()


def _is_none(value: str, name: str) -> bool:
    """Whether *value* only stands where the value of *name* would."""
    return (
        _is_word(value)
        or name.endswith(value.lower())  # self.token = token
        or compiled(_PLACEHOLDER).match(value) is not None
        or (is_count_name(name) and compiled(_SMALL_NUMBER).match(value) is not None)
    )


def _is_word(value: str) -> bool:
    return value.strip(" \t.,;:!?()[]{}").partition(" ")[0].rstrip(",;:.").lower() in _WORDS
