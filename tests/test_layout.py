"""The layout of the package: what the import contracts cannot say."""

from __future__ import annotations

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import otel_codomon

PACKAGE = Path(otel_codomon.__file__).parent


def modules() -> dict[str, Path]:
    """Every module of the package and its file."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("otel_codomon", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the package that the file at *path* imports, for types only included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "") in known:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in known else str(node.module))
    return found


def test_no_modules_import_one_another() -> None:
    known = modules()
    graph: dict[str, set[str]] = defaultdict(set)
    for name, path in known.items():
        graph[name] = imports(path, known) - {name}

    order = tuple(TopologicalSorter(graph).static_order())  # raises CycleError, with the cycle

    assert set(order) >= set(known)
    assert len(known) > 200


def test_no_module_has_the_name_of_a_public_one() -> None:
    top = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__")}

    assert not top & set(otel_codomon.__all__)
