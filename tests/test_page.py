from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st
from support.browser import look_like, open_browser
from support.history import MIB, Past, write_history
from support.hostile import EVIL, hostile_journal, is_safe, texts_in
from support.two_days import two_days

from otel_codomon import names
from otel_codomon._platform.json_values import plain
from otel_codomon.cli.page import render
from otel_codomon.journal.execution_record import Outcome
from otel_codomon.report.operation import make_report
from otel_codomon.report.timeline import MOST, OTHERS
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
# Every problem and one execution after the other.
OPEN_EVERYTHING = """
    document.querySelectorAll(".more, .link").forEach((button) => button.click());
"""
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

    told = {"verdict": "no problems found: 0 executions finished", "other_names": OTHERS}
    assert data_of(page) == {**plain(report), **told}
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
    report = make_report(journal=str(folder), with_marks=True)
    page.write_text(render(report), encoding="utf-8")
    return page.as_uri()


@pytest.fixture(scope="module")
def service_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of two days, the second against the first."""
    folder: Path = tmp_path_factory.mktemp("service")
    now_unix_ns = time.time_ns()  # however long it takes until the report is made
    write_history(folder, two_days()).forget()
    report = make_report(journal=str(folder), now_unix_ns=now_unix_ns, with_marks=True)
    page = folder / "report.html"
    page.write_text(render(report), encoding="utf-8")
    return page.as_uri()


@pytest.fixture
def service(chrome: Chrome, service_page: str) -> Chrome:
    look_like(chrome, width=1280, scheme="light")
    chrome.get(service_page)
    assert chrome.execute_script("return document.documentElement.dataset.ready") == "yes"
    return chrome


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
    shown = page.execute_script("return document.getElementById('names').textContent")

    assert HOSTILE in shown
    assert page.title == "Executions - otel-codomon report"
    assert page.execute_script("return document.images.length") == 0
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call] # selenium's


def test_no_word_of_a_journal_becomes_more_than_text(chrome: Chrome, tmp_path: Path) -> None:
    words = [*EVIL, HOSTILE, "' onmouseover='document.title=1", '" autofocus onfocus="x', "`${x}`"]
    page = tmp_path / "report.html"
    with hostile_journal(words) as folder:
        page.write_text(render(make_report(journal=folder, with_marks=True)), encoding="utf-8")

    chrome.get(page.as_uri())
    chrome.execute_script(OPEN_EVERYTHING)
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
    page.execute_script(OPEN_EVERYTHING)

    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    assert contrast(page) * sign > 4.5


def opened(chrome: Chrome) -> str:
    text: str = chrome.execute_script("return document.getElementById('opened').textContent")
    return text


def test_the_verdict_comes_first_and_five_problems_are_open(service: Chrome) -> None:
    from selenium.webdriver.common.by import By

    first = service.execute_script("return document.querySelector('h1').textContent")
    shown = "[...document.querySelectorAll('.problem')].filter((card) => !card.hidden)"
    assert first.startswith("8 problems in 258 executions")
    assert service.execute_script(f"return {shown}.length") == 5
    assert "worker: 3 of " in service.execute_script(f"return {shown}[0].textContent")

    service.find_element(By.CLASS_NAME, "more").click()

    assert service.execute_script(f"return {shown}.length") == 8
    assert service.execute_script("return document.activeElement.className").startswith("card")


def test_a_problem_has_its_curve_its_limit_and_before_and_now(service: Chrome) -> None:
    limits, pairs = service.execute_script("""
        const named = (name) => [...document.querySelectorAll(".problem")]
            .find((card) => card.textContent.includes(`${name}: `));
        return [
            named("worker").querySelectorAll(".curve .limit").length,
            [...named("embed").querySelectorAll(".pair span")].map((one) => one.textContent),
        ];
    """)

    assert limits == 1
    assert pairs[::2] == ["before", "now"]
    assert pairs[1] == "80 MiB"


def test_the_timeline_has_a_lane_for_each_name_with_marks_by_outcome(service: Chrome) -> None:
    lanes, marks, shapes = service.execute_script("""
        const drawn = [...document.querySelectorAll("#timeline .mark")];
        const shapes = drawn.map((mark) => `${mark.classList[1]} ${mark.getAttribute("d")}`);
        return [
            [...document.querySelectorAll("#timeline text.name")].map((one) => one.textContent),
            drawn.length, [...new Set(shapes)].length,
        ];
    """)

    assert lanes[0] == "worker"
    assert len(lanes) == 11
    assert marks == 258
    assert shapes == 5  # success, timeout, out of memory, killed, setup error


def test_the_timeline_is_worked_with_the_keyboard_alone(service: Chrome) -> None:
    from selenium.webdriver.common.keys import Keys

    service.execute_script("document.querySelector('#timeline svg').focus()")
    press(service, Keys.HOME, Keys.ARROW_RIGHT, Keys.ENTER)

    assert "worker: success" in opened(service)
    assert service.execute_script("return document.activeElement.tagName") == "ARTICLE"

    press(service, Keys.ESCAPE)

    assert opened(service) == ""
    assert service.execute_script("return document.activeElement.tagName") == "svg"
    label = "return document.activeElement.getAttribute('aria-label')"
    assert "worker" in service.execute_script(label)
    press(service, Keys.ARROW_DOWN)
    assert "worker" not in service.execute_script(label)

    before = marks_shown(service)
    press(service, "+", "+")
    assert 0 < marks_shown(service) < before
    press(service, "0")
    assert marks_shown(service) == before


def marks_shown(chrome: Chrome) -> int:
    count: int = chrome.execute_script("return document.querySelectorAll('#timeline .mark').length")
    return count


def test_a_part_of_the_timeline_is_chosen_with_the_mouse(service: Chrome) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    before = marks_shown(service)
    picture = service.find_element(By.CSS_SELECTOR, "#timeline svg")
    drag = ActionChains(service).move_to_element_with_offset(picture, -300, 0)

    drag.click_and_hold().move_by_offset(200, 0).release().perform()

    assert 0 < marks_shown(service) < before
    service.find_element(By.ID, "whole").click()
    assert marks_shown(service) == before


def test_the_example_of_a_problem_opens_in_place_and_closes_where_one_was(page: Chrome) -> None:
    from selenium.webdriver.common.keys import Keys

    page.execute_script("document.querySelector('.problem .link').focus()")
    press(page, Keys.ENTER)

    assert "oom killed" in opened(page)
    assert "second" in opened(page)

    press(page, Keys.ESCAPE)

    assert page.execute_script("return document.activeElement.className") == "link"


def test_the_values_themselves_are_drawn(service: Chrome) -> None:
    dots = service.execute_script("""
        const strip = [...document.querySelectorAll("#strips .strip")]
            .find((one) => one.textContent.startsWith("worker"));
        return strip.querySelectorAll(".dot").length;
    """)

    assert dots == 24


def test_many_executions_are_a_page_of_bounded_size(chrome: Chrome, tmp_path: Path) -> None:
    past = [
        Past(
            name=f"name-{n % 40}",
            ago_seconds=80_000 - n,
            outcome=Outcome.ERROR if n % 50 == 0 else Outcome.SUCCESS,
        )
        for n in range(3 * MOST)
    ]
    write_history(tmp_path / "journal", past).forget()
    report = make_report(journal=str(tmp_path / "journal"), with_marks=True)
    page = tmp_path / "report.html"
    page.write_text(render(report), encoding="utf-8")

    chrome.get(page.as_uri())

    assert page.stat().st_size < 2 * MIB
    assert len(report.marks) <= MOST
    assert sum(mark.executions for mark in report.marks) == 3 * MOST
    assert sum(mark.failures for mark in report.marks) == 3 * MOST / 50
    lanes = chrome.execute_script(
        "return [...document.querySelectorAll('#timeline text.name')].map((t) => t.textContent)"
    )
    assert (len(lanes), lanes[-1]) == (12, OTHERS)
    note = chrome.execute_script("return document.getElementById('timeline-note').textContent")
    assert "A mark stands for all executions of a name that began close together" in note


def test_in_print_every_problem_is_there_and_no_button(service: Chrome) -> None:
    service.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})

    cards, buttons = service.execute_script("""
        const seen = (selector) => [...document.querySelectorAll(selector)]
            .filter((one) => one.checkVisibility()).length;
        return [seen(".problem"), seen(".controls button, .step button, .more")];
    """)

    assert (cards, buttons) == (8, 0)


def test_the_table_is_sorted_by_the_column_that_is_pressed(page: Chrome) -> None:
    def first_cells() -> list[str]:
        cells: list[str] = page.execute_script(
            "return [...document.querySelectorAll('#names td:first-child')]"
            ".map((td) => td.textContent)"
        )
        return cells

    page.execute_script("document.querySelectorAll('#names th button')[0].click()")
    ascending = first_cells()
    page.execute_script("document.querySelectorAll('#names th button')[0].click()")

    assert ascending == [HOSTILE, "nightly"]
    assert first_cells() == ["nightly", HOSTILE]
    state = "return document.querySelector('#names th').getAttribute('aria-sort')"
    assert page.execute_script(state) == "descending"


def test_the_filter_hides_the_rows_that_do_not_match(page: Chrome) -> None:
    from selenium.webdriver.common.by import By

    page.find_element(By.ID, "filter").send_keys("oom")

    rows = "document.querySelectorAll('#executions tbody tr:not([hidden])')"
    assert page.execute_script(f"return {rows}.length") == 1


def test_an_empty_report_is_a_page_too(chrome: Chrome, tmp_path: Path) -> None:
    (tmp_path / "empty.html").write_text(render(EMPTY), encoding="utf-8")

    chrome.get((tmp_path / "empty.html").as_uri())

    assert "Nothing has run." in chrome.execute_script("return document.body.innerText")
    assert chrome.get_log("browser") == []  # type: ignore[no-untyped-call] # selenium's
