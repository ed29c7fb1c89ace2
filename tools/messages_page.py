"""Write docs/messages.md: every sentence that people can read, in one list.

python -m tools.messages_page

A sentence is a string in the source with two words or more that is no docstring
and no code. Where it ends up is not followed: a list with a few strings too many
is reviewed as easily, and none is missed because it took an unusual way.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "messages.md"
_SOURCE: Final = ROOT / "otel_codomon"

_HEAD: Final = """\
# Messages

Generated from the source by `python -m tools.messages_page`.

Every sentence of the commands, their help, errors, log records and findings, so that they can be
read and compared in one place. `{name}` stands for a value. The metrics and attributes are
described in [telemetry.md](telemetry.md).
"""

_LOGGERS: Final = frozenset(
    {"debug", "info", "warning", "exception", "log_once", "never_raises", "wrong", "right"}
)
_HELP: Final = frozenset({"help", "help_line", "description", "title", "HELP"})
_KINDS: Final = ("Help", "Errors", "Log records", "Other text")
# By the name of what is called, of what kind its sentences are.
_CALLS: Final[Mapping[str, Callable[[str], bool]]] = {
    "Help": lambda name: name == "add_argument_group",
    "Errors": lambda name: name == "refusal" or name.endswith(("Error", "error")),
    "Log records": lambda name: name in _LOGGERS,
}
# Descriptions of metrics are on the page of the telemetry; examples are commands.
_LEFT_OUT_FILES: Final = frozenset({"names.py", "environment_variables.py"})
_LEFT_OUT_DIRECTORY: Final = "_platform/scrubbing"  # names of forms of tokens, and lists of words
_LEFT_OUT_NAMES: Final = frozenset({"EXAMPLES", "__all__"})
_WORDS: Final = re.compile(r"(?:^|[\s(`'\"])[A-Za-z][a-z'-]+[,;:]?\s+(?:[a-z{`'(]|[A-Z]{2})")
# A line of a program, of a file format or of a pattern: nobody reads it as a sentence.
_CODE: Final = re.compile(
    r"(^|\n)\s*(import |from \w+ import|def |class |while |#!|\W*$)|[=;{]\s*\n"
    r"|\\[dwsSAb.]|\(\?|</|=\"|\x1b"
)


def render() -> str:
    """The page."""
    found: dict[str, dict[str, list[str]]] = {kind: defaultdict(list) for kind in _KINDS}
    for path in sorted(_SOURCE.rglob("*.py")):
        place = path.relative_to(_SOURCE).as_posix()
        if path.name in _LEFT_OUT_FILES or place.startswith(_LEFT_OUT_DIRECTORY):
            continue
        for kind, text in sentences(ast.parse(path.read_text(encoding="utf-8"))):
            if text not in found[kind][place]:
                found[kind][place].append(text)
    parts = [_HEAD]
    for kind in _KINDS:
        parts.append(f"## {kind}\n")
        for place, texts in found[kind].items():
            if texts:
                parts += [f"### {place}\n", *(f"- {text}" for text in texts), ""]
    return "\n".join(parts).rstrip() + "\n"


def sentences(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Kind and text of each sentence, in the order of the source."""
    waiting: list[tuple[ast.AST, str]] = [(module, "Other text")]
    while waiting:
        node, kind = waiting.pop()
        text = _text_of(node)
        if text is not None:
            if _WORDS.search(text) and not _CODE.search(text):
                yield kind, _shown(text)
            continue
        below = [(child, _kind_below(node, child, kind)) for child in ast.iter_child_nodes(node)]
        waiting += [
            (child, its_kind)
            for child, its_kind in reversed(below)
            if not (_is_docstring(child) or _is_left_out(child))
        ]


def _text_of(node: ast.AST) -> str | None:
    """The text of a string, with names for what is put into it; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else f"{{{_name_of(part)}}}"
            for part in node.values
        )
    return None


def _name_of(node: ast.AST) -> str:
    """A word for the value of an expression."""
    match node:
        case ast.FormattedValue(value=value) | ast.Await(value=value):
            return _name_of(value)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.strip("_")
        case ast.Call(args=[first, *_]):
            return _name_of(first)
        case ast.Call(func=function) | ast.Subscript(value=function):
            return _name_of(function)
    return "…"


def _kind_below(node: ast.AST, child: ast.AST, kind: str) -> str:
    """Of what kind the sentences in *child* are, a part of *node*."""
    match node:
        case ast.Raise() | ast.ClassDef(bases=[ast.Name(id="CodomonError"), *_]):
            kind = "Errors"
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            kind = next((found for found, fits in _CALLS.items() if fits(name)), kind)
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            kind = "Help" if name in _HELP else kind
    return "Help" if isinstance(child, ast.keyword) and child.arg in _HELP else kind


def _is_docstring(node: ast.AST) -> bool:
    """Whether it is a string that nothing is done with."""
    return isinstance(node, ast.Expr) and _text_of(node.value) is not None


def _is_left_out(node: ast.AST) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name in _LEFT_OUT_NAMES
    return False


def _shown(text: str) -> str:
    return " ".join(text.split()).replace("<", "\\<").replace("*", "\\*").replace("_", "\\_")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
