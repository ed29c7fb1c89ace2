"""Text from elsewhere, made safe to show: on a terminal, in JSON, in a cell of CSV.

Names, reasons, attributes and paths are chosen by other programs. An escape
sequence in one would act on the terminal, a bidirectional override would show
another text than the one that is there, an invisible character would make two
names look alike, and a spreadsheet would evaluate a formula. Whatever is
printed passes through here. A character that is not shown as itself is shown
by its escape, as Python writes it; text that is printable already is unchanged.
"""

from __future__ import annotations

import re
from typing import Final

# The separators that `str.isprintable` refuses although they are only wide or narrow.
_SPACES: Final = frozenset(map(chr, (0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)))
# Letters and marks without a picture of their own (Default_Ignorable_Code_Point
# of Unicode), which `str.isprintable` lets through.
_INVISIBLE: Final = frozenset(
    chr(point)
    for first, last in (
        (0x034F, 0x034F),  # combining grapheme joiner
        (0x115F, 0x1160),  # Hangul fillers
        (0x17B4, 0x17B5),  # inherent vowels of Khmer
        (0x180B, 0x180F),  # variation selectors of Mongolian
        (0x3164, 0x3164),  # Hangul filler
        (0xFE00, 0xFE0F),  # variation selectors
        (0xFFA0, 0xFFA0),  # half-width Hangul filler
        (0xE0100, 0xE01EF),  # variation selectors supplement
    )
    for point in range(first, last + 1)
)
# What makes a spreadsheet take a cell for a formula, in ASCII and full width.
_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_IS_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII).fullmatch
# A terminal's escape sequences: CSI, those that carry a string, and the short ones.
_SEQUENCE: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)


def printable(text: str) -> str:
    """*text* on one line, each character that is not simply visible as its escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in _INVISIBLE:
        point = ord(character)
        return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"  # noqa: PLR2004 - as Python writes it
    if character.isprintable() or character in _SPACES:
        return character
    return repr(character)[1:-1]


def printable_lines(text: str) -> str:
    """The output of a program: its lines and tabs as they are, no escape sequence of a terminal.

    A sequence is left out as a whole, since what remained of it would be
    noise; any other character as in `printable`.
    """
    plain = _SEQUENCE.sub("", text.replace("\r\n", "\n"))
    return "".join(c if c in "\n\t" else _shown(c) for c in plain)


def csv_cell(text: str) -> str:
    """*text* for a cell: `printable`, and no formula to a spreadsheet.

    What would be one gets an apostrophe in front, which spreadsheets read as
    "this is text"; a number, such as ``-1``, is none.
    """
    shown = printable(text)
    if shown.lstrip().startswith(_FORMULA) and not _IS_NUMBER(shown):
        return f"'{shown}"
    return shown
