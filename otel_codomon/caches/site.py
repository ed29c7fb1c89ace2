"""Where a cache was observed: whether a later call repeats an earlier one."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

_PACKAGE = __name__.partition(".")[0]
# What IPython calls the code of a cell, besides what Python calls that of a module.
_MODULE_LEVEL = ("<module>", "<cell line:")


class Site(NamedTuple):
    """The place of a call.

    Attributes:
        module: Name of the module.
        file: File of its code; each cell of a notebook has one of its own.
        line: Line of the call.
        load: What is new each time the module is loaded; None for code that no
            import has loaded.
        is_module_level: Whether it runs once each time its module or cell does.
    """

    module: str
    file: str
    line: int
    load: Any
    is_module_level: bool

    def repeats(self, earlier: Site) -> bool:
        """Whether this call is the *earlier* one again, by a cell or module that ran again.

        Two calls of the same run are two: one of them has the wrong name.
        """
        if not (self.is_module_level and earlier.is_module_level):
            return False
        if self.module != earlier.module:
            return False
        is_same_run = self.file == earlier.file and self.load is earlier.load
        return not is_same_run or self.line == earlier.line


def calling_site() -> Site:
    """The place outside of this package that called."""
    frame = sys._getframe(1)  # noqa: SLF001 - what it is for
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__")):
        frame = frame.f_back
    code = frame.f_code
    return Site(
        str(frame.f_globals.get("__name__")),
        code.co_filename,
        frame.f_lineno,
        frame.f_globals.get("__spec__"),
        code.co_name.startswith(_MODULE_LEVEL),
    )


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and (module == _PACKAGE or module.startswith(f"{_PACKAGE}."))
