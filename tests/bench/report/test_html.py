"""The HTML page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from bench.facts import RunFacts
from bench.report import html, render_html
from bench.verdict import CaseVerdict, CheckResult, Gate, Source, Validity, Verdict

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"


class Page(HTMLParser):
    """Tags and attributes of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture
def one(run: RunFacts, make_case: Callable[..., CaseVerdict]) -> str:
    return render_html(Verdict("FFR", (make_case(),)), {"ffr_pdu": run})


def test_the_page_loads_nothing_from_anywhere(one: str) -> None:
    page = Page(one)
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:")), (tag, target)
    assert "@import" not in one
    assert not re.search(r"url\(\s*['\"]?(?!data:)", one)
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_the_plotting_script_stands_in_the_page_once_and_comes_from_the_package(one: str) -> None:
    assert one.count(html.plot_script()) == 1
    assert "BSD licence" in one


@pytest.mark.parametrize(("name", "value"), [("_PLOT_PACKAGE", "no-such-package"), ("_PLOT_SCRIPT", "no/such/file.js")])
def test_a_missing_plotting_script_is_told_with_its_remedy(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, name, value)
    with pytest.raises(html.PlotScriptError, match="install it with: pip install"):
        html.plot_script()


def test_the_verdict_line_comes_first_and_the_checks_show_limit_margin_and_grade(one: str) -> None:
    assert one.index("✓ PASS") < one.index("Was it a valid experiment?") < one.index("Checks") < one.index("Not judged")
    for part in ("x\u00a0≤\u00a00.25\u00a0s", "+0.037 s", "0.2130 ± 0.0080 s", "ERCOT Nodal Protocols 8.1.1.4.2"):
        assert part in one
    assert one.count('class="bar"') == 5
    assert re.search(r'class="grade weak"[^>]*>estimate<', one)
    assert re.search(r'class="grade"[^>]*>S<', one)
    assert "4 of 5 limits do not rest on a source that was read" in one
    assert "reserve restoration after 180 min" in one


def test_configuration_versions_and_seed_are_on_the_page(one: str) -> None:
    for part in ("versions.ramprig", "0.1.0", "yard", "17", "ab" * 32):
        assert part in one


def test_every_line_of_the_plot_is_explained_beside_it(one: str) -> None:
    page = Page(one)
    for part in ("baseline of E1", "committed level of E1", "hatched beyond", "event dip (disturbance)", "fault link"):
        assert part in page.text


def test_a_suite_has_an_index_that_leads_to_each_case(run: RunFacts, suite: Verdict) -> None:
    text = render_html(suite, {"ffr_pdu": run, "ffr_api": run})
    page = Page(text)
    anchors = {a["id"] for _, a in page.tags if a.get("id")}
    links = [a["href"] for tag, a in page.tags if tag == "a" and a.get("href") != "#"]
    assert links == ["#case-1", "#case-2", "#case-3", "#case-4"]
    assert {link[1:] for link in links if link} <= anchors
    assert page.count("figure") == 2
    assert page.text.count("This page has no recording of the run") == 2
    assert "declared to end as FAIL, and did" in page.text


def test_nothing_from_a_run_is_obeyed_as_markup_script_or_template(
    run: RunFacts, make_case: Callable[..., CaseVerdict]
) -> None:
    def poisoned(check: CheckResult) -> CheckResult:
        bands = tuple(replace(band, label=NASTY) for band in check.bands)
        source = Source(NASTY, NASTY)
        return replace(
            check, id=NASTY, service=NASTY, title=NASTY, event=NASTY, sentence=NASTY, source=source, bands=bands
        )

    case = replace(
        make_case(), id=NASTY, title=NASTY, reasons=(NASTY,), not_judged=(NASTY,), folder=NASTY, trace_sha256=NASTY,
        gates=(Gate(NASTY, NASTY, NASTY, NASTY, Validity.SUSPECT),), checks=tuple(map(poisoned, make_case().checks)),
    )  # fmt: skip
    facts = replace(
        run, run_id=NASTY, events=tuple(replace(event, id=NASTY, label=NASTY) for event in run.events),
        occurrences=tuple(replace(occ, kind=occ.kind + NASTY, data={"label": NASTY}) for occ in run.occurrences),
        info={NASTY: NASTY, "more": {NASTY: [NASTY]}}, contacts={NASTY: 1}, sut_exit=NASTY,
    )  # fmt: skip
    clean = Page(render_html(Verdict("t", (make_case(),)), {"ffr_pdu": run}))
    dirty = Page(render_html(Verdict(NASTY, (case,)), {NASTY: facts}))
    assert dirty.count("img") == 0
    assert dirty.count("script") == clean.count("script") == 2
    assert not any("onerror" in attributes for _, attributes in dirty.tags)
    assert NASTY in dirty.text


def test_json_in_a_script_survives_the_way_there_and_back() -> None:
    text = html.as_script_json({"a": NASTY, "b": [1.5, None]})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"a": NASTY, "b": [1.5, None]}


def test_the_same_verdict_gives_the_same_bytes(run: RunFacts, make_case: Callable[..., CaseVerdict], one: str) -> None:
    assert render_html(Verdict("FFR", (make_case(),)), {"ffr_pdu": run}) == one


def test_a_verdict_without_cases_is_a_page_that_says_so() -> None:
    assert "No case was run, so nothing was judged." in render_html(Verdict("none"), {})


def test_a_void_case_shows_the_condition_that_does_not_hold(void: CaseVerdict) -> None:
    text = render_html(Verdict("one", (void,)), {})
    assert "∅ VOID" in text
    assert "0 requests" in text
    assert "never reached" in text
    assert "power stayed at 650 kW" in text


def test_six_cases_stay_a_small_file(run: RunFacts, make_case: Callable[..., CaseVerdict]) -> None:
    cases = tuple(replace(make_case(), id=f"case {number}") for number in range(6))
    text = render_html(Verdict("six", cases), {case.id: run for case in cases})
    assert len(text) < 2_000_000
    assert text.count("var d3 = {") == 1
