"""One event as one service sees it: from when to when something is asked, and how much."""

from __future__ import annotations

import pytest

from bench.judge import judge
from bench.services import load_service
from bench.verdict import CaseVerdict, CheckResult, Outcome, Quantity, Validity
from tests.bench.site import NOMINAL_W, Points, played

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


# ------------------------------------------------------------------------------------------------------------ dispatch


STAGED: Points = [(0, NOMINAL_W), (30, NOMINAL_W), (30, 520e3), (430, 520e3), (430, 250e3), (1200, 250e3)]
RELEASED: Points = [(0, 0), (1200, 0), (1200, 1)]


def test_a_dispatch_that_is_lowered_twice_asks_for_its_last_amount_from_its_last_instruction_on() -> None:
    follows: Points = [(0, 0), (90, 0), (90, 130 / 400), (490, 130 / 400), (490, 1), (1210, 1), (1210, 0)]
    one = played([("d", "dispatch", 30, 1200)], {"dispatch": STAGED, "recall": RELEASED}, follows, 1300)
    verdict = judge(one, [load_service("ercot_ecrs")])
    assert verdict.outcome is Outcome.PASS, verdict.reasons
    reach = check(verdict, "reach", "d").measured
    assert isinstance(reach, Quantity)
    assert reach.value == pytest.approx(1.0, abs=1e-3)
    assert "ercot_ecrs on d: what was asked before its last instruction, 400 s after its first" in verdict.not_judged


def test_a_dispatch_that_falls_as_a_ramp_asks_from_the_ramps_beginning_on() -> None:
    ramp: Points = [(0, NOMINAL_W), (30, NOMINAL_W), (130, 450e3), (230, 250e3), (1200, 250e3)]
    late: Points = [(0, 0), (620, 0), (620, 1), (1210, 1), (1210, 0)]
    one = played([("d", "dispatch", 30, 1200)], {"dispatch": ramp, "recall": RELEASED}, late, 1300)
    verdict = judge(one, [load_service("ercot_ecrs")])
    reach = check(verdict, "reach", "d").measured
    assert isinstance(reach, Quantity)
    assert reach.value == pytest.approx(590 / 60, abs=1e-3)
    assert not any("last instruction" in text for text in verdict.not_judged)


# ----------------------------------------------------------------------------------------------------------- frequency


def test_a_frequency_that_is_back_for_less_than_the_rule_asks_releases_nobody() -> None:
    bounce: Points = [
        (0, 49.9),
        (30, 49.9),
        (31.7, 49.5),
        (90, 49.5),
        (91, 49.95),
        (101, 49.95),
        (102, 49.6),
        (400, 49.6),
    ]
    signals = {"frequency": [*bounce, (401, 50)]}
    stays: Points = [(0, 0), (32, 0), (32, 1.02), (462, 1.02), (562, 0)]
    static = load_service("nordic_fcrd_static")
    verdict = judge(played([("d", "deployment", 30, 402)], signals, stays, 900, hz=50), [static])
    assert verdict.outcome is Outcome.PASS, verdict.reasons
    ready = check(verdict, "R6", "d").measured
    assert isinstance(ready, Quantity)
    assert ready.value == pytest.approx((562 - 5 - 401 - 60) / 60, abs=0.02), "counted from the return that lasts"
    hasty: Points = [(0, 0), (32, 0), (32, 1.02), (155, 1.02), (255, 0)]
    verdict = judge(played([("d", "deployment", 30, 402)], signals, hasty, 900, hz=50), [static])
    assert check(verdict, "R3_stay", "d").outcome is Outcome.FAIL


# ---------------------------------------------------------------------------------------------------- one after another


LOW_TWICE: Points = [
    (0, 60), (30, 60), (30, 59.6), (40, 59.6), (40, 60), (100, 60), (100, 59.6), (110, 59.6), (110, 60)
]  # fmt: skip
TWICE = [("a", "deployment", 30.0, 60.0), ("b", "deployment", 100.0, 160.0)]


def test_a_failure_of_a_site_that_was_not_back_from_the_call_before_is_suspect() -> None:
    signals = {"frequency": LOW_TWICE, "recall": [(0, 0), (60, 0), (60, 1), (160, 1), (160, 2)]}
    out: Points = [(0, 0), (30.3, 0), (30.3, 1), (65, 1), (65, 0.3), (100.3, 0.3), (100.3, 1), (165, 1), (165, 0)]
    verdict = judge(played(TWICE, signals, out, 300), [load_service("ercot_rrs_ufr")])
    assert (verdict.outcome, verdict.validity) == (Outcome.FAIL, Validity.SUSPECT)
    assert "Site back before b: 120.0 kW less than before a" in verdict.reasons[0]


def test_a_site_that_delivers_again_although_not_all_is_back_is_not_doubted() -> None:
    signals = {"frequency": LOW_TWICE, "recall": [(0, 0), (60, 0), (60, 1), (160, 1), (160, 2)]}
    more: Points = [(0, 0), (30.3, 0), (30.3, 1), (65, 1), (65, 0.3), (100.3, 0.3), (100.3, 1.3), (165, 1.3), (165, 0)]
    verdict = judge(played(TWICE, signals, more, 300), [load_service("ercot_rrs_ufr")])
    assert (verdict.outcome, verdict.validity) == (Outcome.PASS, Validity.VALID)


def test_the_gates_of_an_event_look_at_every_service_that_it_calls() -> None:
    small: Points = [(0, NOMINAL_W), (30, NOMINAL_W), (30, NOMINAL_W - 15e3), (900, NOMINAL_W - 15e3)]
    signals = {"dispatch": small, "recall": [(0, 0), (900, 0), (900, 1)]}
    follows: Points = [(0, 0), (90, 0), (90, 15 / 400), (905, 15 / 400), (905, 0)]
    one = played([("d", "dispatch", 30, 900)], signals, follows, 1000)
    for order in (["ercot_ecrs", "ai_last"], ["ai_last", "ercot_ecrs"]):
        verdict = judge(one, [load_service(name) for name in order])
        assert (verdict.outcome, verdict.validity) == (Outcome.PASS, Validity.VALID), verdict.reasons
