from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st
from support.browser import look_like, open_browser
from support.history import MIB, Past, write_history
from support.hostile import EVIL, hostile_journal, is_safe, texts_in

from otel_codomon import names
from otel_codomon._platform.json_values import plain
from otel_codomon.cli.page import render
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.report.operation import make_report
from otel_codomon.report.values import CacheProblem, Report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

HOSTILE = (
    "<img src=x onerror=document.title='taken'></script><script>document.title='taken'</script>"
)
CURVE = {
    names.USAGE_CURVE_TIME: [0.5, 1.0, 1.5, 2.0],
    names.USAGE_CURVE_CPU: [0.1, 1.0, 1.9, 0.4],
    names.USAGE_CURVE_MEMORY: [10 * MIB, 20 * MIB, 30 * MIB, 5 * MIB],
    names.USAGE_MEMORY_PEAK: 30 * MIB,
    names.USAGE_CPU_TIME: 1.5,
}
EMPTY = Report(
    journal="/nowhere",
    since_unix_ns=0,
    until_unix_ns=10**18,
    executions=0,
    running=0,
    before=0,
    unreadable=0,
    outcomes={},
    groups=(),
    findings=(),
)


def data_of(page: str) -> Any:  # noqa: ANN401 - JSON
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@given(st.text(alphabet=st.characters(), max_size=40) | st.just(HOSTILE))
def test_no_text_ends_the_block_that_holds_it(text: str) -> None:
    report = replace(EMPTY, journal=text)

    page = render(report)

    assert data_of(page) == plain(report)
    assert page.count("</script>") == 2


def test_the_page_names_nothing_on_any_network() -> None:
    page = render(EMPTY)

    assert re.findall(r"(?:src|href)=.(?!#)|@import|url\(", page) == []
    assert set(re.findall(r"https?://[^\"'\s]+", page)) == {"http://www.w3.org/2000/svg"}


@pytest.fixture
def chrome() -> Iterator[Chrome]:
    with open_browser() as chrome:
        yield chrome


@pytest.fixture(scope="module")
def report_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("page")
    past = [
        Past(name=HOSTILE, ago_seconds=30, seconds=2, attributes=CURVE, execution_id="first"),
        Past(name="nightly", ago_seconds=20, outcome=Outcome.OOM_KILLED, execution_id="second"),
        Past(name="nightly", ago_seconds=10, seconds=5, attributes=CURVE, execution_id="third"),
    ]
    write_history(folder, past).forget()
    page = folder / "report.html"
    page.write_text(render(make_report(journal=str(folder))), encoding="utf-8")
    return page.as_uri()


@pytest.fixture
def page(chrome: Chrome, report_page: str) -> Chrome:
    look_like(chrome, width=1280, scheme="light")
    chrome.get(report_page)
    assert chrome.execute_script("return document.documentElement.dataset.ready") == "yes"
    return chrome


def press(chrome: Chrome, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    for key in keys:
        ActionChains(chrome).send_keys(key).perform()


def contrast(chrome: Chrome) -> float:
    """Contrast of the page's text with its ground, as WCAG 2 counts it."""
    ratio: float = chrome.execute_script("""
        const light = (color) => color.match(/[0-9.]+/g).slice(0, 3)
            .map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0.05);
        const style = getComputedStyle(document.body);
        const soft = getComputedStyle(document.getElementById("period")).color;
        const ground = light(style.backgroundColor);
        const ratio = (color) => Math.max(light(color), ground) / Math.min(light(color), ground);
        return Math.min(ratio(style.color), ratio(soft)) * (ground < 0.2 ? -1 : 1);
    """)
    return ratio


def test_what_a_name_holds_is_text_and_nothing_of_it_runs(page: Chrome) -> None:
    shown = page.execute_script("return document.getElementById('groups').textContent")

    assert HOSTILE in shown
    assert page.title == "Executions - otel-codomon report"
    assert page.execute_script("return document.images.length") == 0
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call] # selenium's


def test_no_word_of_a_journal_becomes_more_than_text(chrome: Chrome, tmp_path: Path) -> None:
    words = [*EVIL, HOSTILE, "' onmouseover='document.title=1", '" autofocus onfocus="x', "`${x}`"]
    page = tmp_path / "report.html"
    with hostile_journal(words) as folder:
        page.write_text(render(make_report(journal=folder)), encoding="utf-8")

    chrome.get(page.as_uri())
    chrome.execute_script("document.querySelectorAll('details').forEach((d) => d.open = true)")
    chrome.execute_script("document.querySelectorAll('.row').forEach((row) => row.click())")
    handlers, tags, scripts = chrome.execute_script("""
        const all = [...document.querySelectorAll('*')];
        return [
            all.flatMap((e) => e.getAttributeNames()).filter((n) => n.startsWith('on')),
            all.filter((e) => ['IMG', 'IFRAME', 'OBJECT'].includes(e.tagName)).length,
            document.scripts.length,
        ];
    """)

    assert (handlers, tags, scripts) == ([], 0, 2)
    assert chrome.title == "Executions - otel-codomon report"
    assert all(map(is_safe, texts_in(data_of(page.read_text("utf-8")))))
    assert chrome.get_log("browser") == []  # type: ignore[no-untyped-call] # selenium's


def test_counts_are_written_in_full_and_a_pid_is_no_quantity(
    chrome: Chrome, tmp_path: Path
) -> None:
    problem = CacheProblem(
        name="parse", pid=1234567, rule="r", message="is never hit", advice="a", evidence={}
    )
    page = tmp_path / "report.html"
    page.write_text(render(replace(EMPTY, executions=123456, caches=(problem,))), encoding="utf-8")

    chrome.get(page.as_uri())

    text = chrome.execute_script("return document.body.textContent")
    assert "123,456" in text
    assert "of process 1234567 is never hit" in text


def test_the_policy_lets_no_other_script_run(page: Chrome) -> None:
    page.execute_script("""
        const script = document.createElement("script");
        script.textContent = "document.title = 'taken'";
        document.body.append(script);
    """)

    assert page.title == "Executions - otel-codomon report"


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize(("scheme", "sign"), [("light", 1), ("dark", -1)])
def test_it_fits_every_screen_and_can_be_read_by_day_and_by_night(
    page: Chrome, width: int, scheme: str, sign: int
) -> None:
    look_like(page, width=width, scheme=scheme)
    page.execute_script("document.querySelectorAll('details').forEach((d) => d.open = true)")
    page.execute_script("document.querySelectorAll('.row').forEach((row) => row.click())")

    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    assert contrast(page) * sign > 4.5


def test_the_waterfall_is_worked_with_the_keyboard_alone(page: Chrome) -> None:
    from selenium.webdriver.common.keys import Keys

    page.execute_script("document.getElementById('zoom-out').focus()")
    press(page, Keys.TAB, Keys.ARROW_DOWN, Keys.END, Keys.ENTER)

    focused = page.execute_script("return document.activeElement.textContent")
    detail = page.execute_script("return document.querySelector('.detail dl + .curves') !== null")
    assert focused.startswith("nightly")
    assert "5 s" in focused
    assert page.execute_script("return document.activeElement.ariaExpanded") == "true"
    assert detail

    before = page.execute_script(
        "return document.activeElement.querySelector('rect.success').outerHTML"
    )
    press(page, "+")
    after = page.execute_script(
        "return document.activeElement.querySelector('rect.success').outerHTML"
    )
    assert before != after
    press(page, "-", Keys.HOME, Keys.ENTER)
    assert "<img" in page.execute_script("return document.activeElement.textContent")


def test_a_finding_leads_to_the_execution_that_shows_it(page: Chrome) -> None:
    page.execute_script("document.querySelector('details').open = true")
    page.execute_script("document.querySelector('details .link').click()")

    opened = page.execute_script("return document.activeElement.closest('li').textContent")
    assert "oom_killed" in opened
    assert "second" in opened


def test_the_table_is_sorted_by_the_column_that_is_pressed(page: Chrome) -> None:
    def first_cells() -> list[str]:
        cells: list[str] = page.execute_script(
            "return [...document.querySelectorAll('#groups td:first-child')]"
            ".map((td) => td.textContent)"
        )
        return cells

    page.execute_script("document.querySelectorAll('#groups th button')[0].click()")
    ascending = first_cells()
    page.execute_script("document.querySelectorAll('#groups th button')[0].click()")

    assert ascending == [HOSTILE, "nightly"]
    assert first_cells() == ["nightly", HOSTILE]
    state = "return document.querySelector('#groups th').getAttribute('aria-sort')"
    assert page.execute_script(state) == "descending"


def test_the_filter_hides_the_rows_that_do_not_match(page: Chrome) -> None:
    from selenium.webdriver.common.by import By

    page.find_element(By.ID, "filter").send_keys("oom")

    assert (
        page.execute_script(
            "return document.querySelectorAll('#waterfall > li:not([hidden])').length"
        )
        == 1
    )


def test_an_empty_report_is_a_page_too(chrome: Chrome, tmp_path: Path) -> None:
    (tmp_path / "empty.html").write_text(render(EMPTY), encoding="utf-8")

    chrome.get((tmp_path / "empty.html").as_uri())

    assert "Nothing has run." in chrome.execute_script("return document.body.innerText")
    assert chrome.get_log("browser") == []  # type: ignore[no-untyped-call] # selenium's
