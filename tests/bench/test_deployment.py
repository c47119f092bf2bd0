"""One event as one service sees it: from when to when something is asked, and how much."""

from __future__ import annotations

import pytest

from bench.judge import judge
from bench.services import load_service
from bench.verdict import CaseVerdict, CheckResult, Outcome
from tests.bench.site import Points, played

LOW_UNTIL_45_S: Points = [(0, 60), (30, 60), (30, 59.6), (45, 59.6), (45, 60)]
RECALLED_AT_270_S: Points = [(0, 0), (270, 0), (270, 1)]


def check(verdict: CaseVerdict, name: str, event: str) -> CheckResult:
    return next(one for one in verdict.checks if (one.id, one.event) == (name, event))


@pytest.mark.parametrize("other", ["dispatch", "quiet", "deployment"])
def test_an_event_that_begins_while_another_lasts_ends_no_obligation(other: str) -> None:
    signals = {"frequency": LOW_UNTIL_45_S, "recall": RECALLED_AT_270_S}
    early: Points = [(0, 0), (30.3, 0), (30.3, 1.02), (95, 1.02), (95, 0)]
    one = played([("a", "deployment", 30, 270), ("b", other, 90, 270)], signals, early, 300)
    verdict = judge(one, [load_service("ercot_rrs_ufr")])
    assert check(verdict, "stay_off", "a").outcome is Outcome.FAIL
    assert not any("the recording ends" in text for text in verdict.not_judged)


def test_the_trace_after_an_event_belongs_to_the_next_one() -> None:
    signals = {"frequency": LOW_UNTIL_45_S, "recall": [(0, 0), (60, 0), (60, 1)]}
    response: Points = [(0, 0), (30.3, 0), (30.3, 1.0), (65, 1.0), (65, 0), (150, 0), (150, 1.6), (180, 1.6), (180, 0)]
    one = played([("a", "deployment", 30, 60), ("b", "dispatch", 140, 200)], signals, response, 300)
    verdict = judge(one, [load_service("ercot_rrs_ufr")])
    assert verdict.outcome is Outcome.PASS
    assert check(verdict, "restored", "a").outcome is Outcome.PASS, "what the next event asks is no return undone"
