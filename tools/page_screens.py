"""Take pictures of the page of a report, at three widths, by day and by night.

Needs chromium and chromedriver. The widest, by day, is docs/images/report.png.

    python -m tools.page_screens [DIRECTORY]
"""

from __future__ import annotations

import base64
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.browser import look_like, open_browser
from support.history import write_history
from support.two_days import two_days

from otel_codomon.cli.page import render
from otel_codomon.report.operation import make_report

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

WIDTHS: Final = (390, 800, 1400)
SCHEMES: Final = ("light", "dark")
PICTURE: Final = Path(__file__).parent.parent / "docs" / "images" / "report.png"
_PICTURE_HEIGHT: Final = 1150
_OPEN_WORST: Final = "document.querySelector('.problem .link').click()"


def main() -> None:
    """Take all of them."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/screens")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as journal, open_browser() as chrome:
        write_history(Path(journal), two_days()).forget()
        report = make_report(journal=journal, since_seconds=2 * 86400.0, with_marks=True)
        page = Path(journal) / "report.html"
        page.write_text(render(report), encoding="utf-8")
        for width in WIDTHS:
            for scheme in SCHEMES:
                look_like(chrome, width=width, scheme=scheme)
                chrome.get(page.as_uri())
                _take(chrome, folder / f"page-{width}-{scheme}.png")
        _take_opened(chrome, folder)
        look_like(chrome, width=WIDTHS[-1], scheme="light")
        chrome.get(page.as_uri())
        PICTURE.parent.mkdir(exist_ok=True)
        _take(chrome, PICTURE, height=_PICTURE_HEIGHT)
        _print(chrome, folder / "page.pdf")
    print(f"Wrote {folder} and {os.path.relpath(PICTURE)}")  # noqa: T201 - what a script says


def _take(chrome: Chrome, path: Path, *, height: int | None = None) -> None:
    """The whole page, or its beginning."""
    size = chrome.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
    taken: dict[str, Any] = chrome.execute_cdp_cmd(
        "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
    )
    path.write_bytes(base64.b64decode(taken["data"]))


def _take_opened(chrome: Chrome, folder: Path) -> None:
    """An execution that was opened in place."""
    chrome.execute_script(_OPEN_WORST)
    _take(chrome, folder / "page-opened.png", height=1600)


def _print(chrome: Chrome, path: Path) -> None:
    taken: dict[str, Any] = chrome.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    path.write_bytes(base64.b64decode(taken["data"]))


if __name__ == "__main__":
    main()
