"""Secrets of every form, in every place, whole and cut: what to plant, and how to find it again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain, cycle
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.scrubbing.forms import FORMS
from support.secret_forms import NOTATIONS, TOKENS, alnum

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WINDOW: Final = 8  # characters of a secret that are a leak
OF_OUR_ENVIRONMENT: Final = "our-0wn/Env1ronment&7Kq"
OF_THE_COMMAND: Final = "0f-the/C0mmand's-Env&7Kq"

# Place -> where a text that is there is cut, characters; None where only the form is planted.
PLACES: Final = {
    "name": 128,
    "session": 128,
    "attribute": 8192,
    "later attribute": 8192,
    "attribute of a class": 8192,
    "attribute in a list": 128,
    "event": 128,
    "event attribute": 8192,
    "reason": 8192,
    "exception": 8192,
    "argument": 128,
    "output": 8192,
    "error output": 8192,
    "cut output": 2048,
    "code": 8192,
    "log": 8192,
    "refused value": 80,
    "name of the command line": 128,
    "session of the command line": 128,
    "program of the command line": 80,
    "argument of the command line": 128,
}
OF_A_SHELL: Final = frozenset(place for place in PLACES if "line" in place)
# These make a process each, and get a few forms only.
_COSTLY: Final = OF_A_SHELL | {"argument", "output", "error output", "cut output"}
_FEW: Final = 4
# Where the environment of a command is known.
OF_A_COMMAND: Final = (
    *("name of a command", "session of a command", "attribute of a command"),
    *("argument", "output", "error output"),
)


@dataclass(frozen=True)
class Planted:
    """One secret.

    Attributes:
        form: How it is written.
        place: Where it is planted: one of `PLACES`.
        text: What is planted.
        secret: The part that must be nowhere.
        is_cut: Whether the place's limit is in the middle of the secret.
    """

    form: str
    place: str
    text: str
    secret: str
    is_cut: bool

    def is_in(self, parts: frozenset[str]) -> bool:
        """Whether any part of the secret is among *parts*: see `parts_of`."""
        return not parts.isdisjoint(_windows(self.secret))


def planted() -> list[Planted]:
    """Every form in one place, and every place with forms that are cut there."""
    return [*_whole(), *_cut()]


def _written() -> Iterator[tuple[str, str, str]]:
    """Name, text and secret of every form."""
    for notation in NOTATIONS:
        secret = alnum(24)
        yield notation.name, notation.text.format(secret), secret
    forms = {form.name: form for form in FORMS}
    for name, (token, _) in TOKENS.items():
        start, end = next(forms[name].spans(token))
        body = token[start:end].removeprefix(forms[name].prefix)
        yield name, token, max(re.findall(r"[A-Za-z0-9+/]+", body), key=len)
    for name, value in (("ours", OF_OUR_ENVIRONMENT), ("the command's", OF_THE_COMMAND)):
        yield f"value of an environment: {name}", f"it is <{value}> here", value


def _whole() -> Iterator[Planted]:
    few = [place for place in _COSTLY - OF_A_SHELL - {"cut output"} for _ in range(_FEW)]
    places = chain(few, cycle(place for place in PLACES if place not in _COSTLY))
    for name, text, secret in _written():
        if name == "value of an environment: the command's":
            yield from (Planted(name, place, text, secret, is_cut=False) for place in OF_A_COMMAND)
        else:
            yield Planted(name, next(places), text, secret, is_cut=False)


def _cut() -> Iterator[Planted]:
    written = cycle(row for row in _written() if "\n" not in row[1] and "the command" not in row[0])
    for place, limit in PLACES.items():
        for _ in range(2 if place in OF_A_SHELL else _FEW if place in _COSTLY else 8):
            name, text, secret = next(written)
            middle = text.index(secret) + len(secret) // 2
            while middle > limit - 2:  # there is no room before it
                name, text, secret = next(written)
                middle = text.index(secret) + len(secret) // 2
            yield Planted(name, place, _padding(limit - middle) + text, secret, is_cut=True)


def _padding(count: int) -> str:
    """So many characters of ordinary text."""
    return ("of " * (count // 3 + 1))[: count - 1] + " "


def parts_of(text: str) -> frozenset[str]:
    """Every part of the words of *text* that is long enough to be a leak."""
    words = set(re.findall(rf"[A-Za-z0-9+/]{{{_WINDOW},}}", text))
    return frozenset(part for word in words for part in _windows(word))


def _windows(text: str) -> Iterator[str]:
    return (text[at : at + _WINDOW] for at in range(len(text) - _WINDOW + 1))


def leaks(plants: Iterable[Planted], haystacks: dict[str, str]) -> dict[str, list[str]]:
    """Where which of *plants* are."""
    parts = {where: parts_of(text) for where, text in haystacks.items()}
    found = {
        where: [f"{plant.form} in {plant.place}" for plant in plants if plant.is_in(there)]
        for where, there in parts.items()
    }
    return {where: forms for where, forms in found.items() if forms}
