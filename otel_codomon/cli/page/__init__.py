"""The report as one HTML file that needs no network.

The page is fixed: `page.html` with `page.css` and the scripts in it. What
differs from report to report is one block of JSON, which the script turns into
text nodes and attributes; no text of a report is ever parsed as HTML. A policy
in the page lets nothing run but that script, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from otel_codomon._platform.json_values import plain
from otel_codomon._platform.printable import printable
from otel_codomon.report.brief import verdict
from otel_codomon.report.timeline import OTHERS

if TYPE_CHECKING:
    from otel_codomon.report.values import Report

_SCRIPTS: Final = ("basics.js", "charts.js", "answer.js", "tables.js", "timeline.js")
# In a block of JSON these could end it or begin a comment; as escapes they mean the same.
_ESCAPES: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def render(report: Report) -> str:
    """The page that shows *report*."""
    css, script = _part("page.css"), "".join(map(_part, _SCRIPTS))
    policy = f"default-src 'none'; style-src {_digest(css)}; script-src {_digest(script)}"
    parts = {"POLICY": policy, "STYLE": css, "SCRIPT": script, "DATA": _data(report)}
    head, *rest = _part("page.html").split("{{")
    # Split before anything is put in: what a report holds cannot be a placeholder.
    return head + "".join(parts[name] + tail for name, _, tail in (r.partition("}}") for r in rest))


def _data(report: Report) -> str:
    told = {**plain(report), "verdict": printable(verdict(report)), "other_names": OTHERS}
    # ASCII, so that U+2028 and lone surrogates are escapes too.
    return json.dumps(told, ensure_ascii=True, separators=(",", ":")).translate(_ESCAPES)


def _part(name: str) -> str:
    return files(__name__).joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
