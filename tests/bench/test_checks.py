"""The formulas of market rules at their edges: late by any reading, back before it may be, cut short."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.facts import RunFacts
from bench.judge import judge
from bench.report.words import case_word
from bench.services import load_service
from bench.verdict import CaseVerdict, CheckResult, NotReached, Outcome, Quantity, Validity
from emulator.timeline import Signal
from tests.bench.site import COMMITMENT_W, NOMINAL_W, Points, played

FFR: dict[str, Points] = {"frequency": [(0, 60), (30, 60), (30, 59.8)], "recall": [(0, 0), (100, 0), (100, 1)]}
CALLED = [("call", "deployment", 30.0, 100.0)]
LOUD = 0.001 * NOMINAL_W
"""A meter's standard uncertainty: 0.23 % of what was asked, with that of the level before."""


def check(verdict: CaseVerdict, name: str) -> CheckResult:
    return next(one for one in verdict.checks if one.id == name)


def large(run: RunFacts, by: float) -> RunFacts:
    power = replace(run.power, value=run.power.value * by)
    return replace(run, power=power, nominal_w=run.nominal_w * by, commitment_w=run.commitment_w * by)


# --------------------------------------------------------------------------------------------------------------- reach


@pytest.mark.parametrize("level", [0.946, 0.948, 0.9505, 0.952])
def test_who_comes_seconds_too_late_has_failed_however_near_the_level_he_then_hovers(level: float) -> None:
    late: Points = [(0, 0), (35, 0), (35, level), (100, level), (160, 0)]
    reach = check(judge(played(CALLED, FFR, late, 300, u=LOUD), [load_service("ercot_rrs_ffr")]), "reach")
    assert reach.outcome is Outcome.FAIL
    assert "By the most favourable reading of the meter it took 5 s." in reach.sentence


@pytest.mark.parametrize("level", [0.946, 0.948, 0.9505, 0.952])
def test_who_comes_in_time_and_hovers_about_the_level_is_neither_passed_nor_failed(level: float) -> None:
    near: Points = [(0, 0), (30.2, 0), (30.2, level), (100, level), (160, 0)]
    reach = check(judge(played(CALLED, FFR, near, 300, u=LOUD), [load_service("ercot_rrs_ffr")]), "reach")
    assert reach.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("ever", [True, False])
def test_who_left_again_is_told_when_he_was_there_first(ever: bool) -> None:
    dip: Points = [(0, 0), (30.2, 0), (30.2, 1), (35, 1), (35, 0.5)]
    back: Points = [(35.5, 0.5), (35.5, 1), (101, 1)] if ever else [(101, 0.5)]
    run = played(CALLED, FFR, [*dip, *back, (150, 0)], 300)
    reach = check(judge(run, [load_service("ercot_rrs_ffr")]), "reach")
    assert reach.outcome is Outcome.FAIL
    assert "It was there after 0.2 s, but not for good." in reach.sentence


def test_who_was_there_before_the_trigger_is_told_so() -> None:
    slow: dict[str, Points] = {"frequency": [(0, 60), (30, 60), (40, 59.8)], "recall": [(0, 0), (100, 0), (100, 1)]}
    early: Points = [(0, 0), (33, 0), (33, 1), (101, 1), (150, 0)]
    reach = check(judge(played(CALLED, slow, early, 300), [load_service("ercot_rrs_ffr")]), "reach")
    assert reach.measured == Quantity(0.0, "ms")
    assert "delivered already when the clock started" in reach.sentence


# ------------------------------------------------------------------------------------------------------------- support


def test_an_uncertain_arrival_hides_no_early_end_of_the_support() -> None:
    signals: dict[str, Points] = {"frequency": [(0, 50), (30, 50), (30, 49.6), (60, 49.6), (60, 50)]}
    brief: Points = [(0, 0), (30.5, 0), (30.5, 1.001), (34.5, 1.001), (34.5, 0)]
    run = played([("call", "deployment", 30, 60)], signals, brief, 200, hz=50, u=LOUD)
    support = check(judge(run, [load_service("nordic_ffr_1_3")]), "support")
    assert isinstance(support.measured, Quantity)
    assert support.measured.value == pytest.approx(4.0, abs=0.03)
    assert support.outcome is not Outcome.PASS


# ---------------------------------------------------------------------------------------------------------- slow meters


def metered(run: RunFacts, window_s: float) -> RunFacts:
    """The run as a meter tells it that says the mean of every `window_s`, stamped in its middle."""
    step = round(window_s * 10**9)
    edges = np.arange(0, run.stop_ns + 1, step, dtype=np.int64)
    truth = Signal(run.power.t_ns, run.power.value)
    means = np.diff(truth.integrals(edges)) / window_s
    return replace(run, power=replace(run.power, t_ns=edges[:-1] + step // 2, value=means, window_ns=step))


@pytest.mark.parametrize("window_s", [0.2, 0.6, 1.0])
def test_what_a_slow_meter_averages_beyond_an_event_is_not_held_against_the_site(window_s: float) -> None:
    at, low, recall = 30.3, 250e3, 900.7
    grid: dict[str, Points] = {
        "dispatch": [(0, NOMINAL_W), (at, NOMINAL_W), (at, low), (recall, low), (recall, NOMINAL_W)],
        "recall": [(0, 0), (recall, 0), (recall, 1)],
    }
    prompt: Points = [(0, 0), (at + 0.1, 0), (at + 0.1, 1.0), (recall + 0.1, 1.0), (recall + 0.1, 0)]
    run = metered(played([("call", "dispatch", at, recall)], grid, prompt, 1000), window_s)
    verdict = judge(run, [load_service("ercot_ecrs")])
    assert (verdict.outcome, verdict.validity) == (Outcome.PASS, Validity.VALID), verdict.reasons
    hold = check(verdict, "hold")
    assert isinstance(hold.measured, Quantity)
    assert hold.measured.value == pytest.approx(100.0)


# -------------------------------------------------------------------------------------------------------------- return


UFR: dict[str, Points] = {
    "frequency": [(0, 60), (30, 60), (30, 59.6), (45, 59.6), (45, 60)],
    "recall": [(0, 0), (270, 0), (270, 1)],
}


def test_a_step_back_before_the_release_is_a_step_back() -> None:
    early: Points = [(0, 0), (30.3, 0), (30.3, 1.0), (200, 1.0), (200, 0)]
    run = large(played([("call", "deployment", 30, 270)], UFR, early, 600), 100.0)
    verdict = judge(run, [load_service("return_ramp_ieso")])
    failed = {one.id: one.measured for one in verdict.checks if one.outcome is Outcome.FAIL}
    assert set(failed) == {"ramp", "short_ramp"}
    assert all(isinstance(one, Quantity) and one.value == pytest.approx(40.0) for one in failed.values())
    assert not any("did not return" in text for text in verdict.not_judged)


def test_more_than_before_is_a_rebound_before_the_release_as_well() -> None:
    early: Points = [(0, 0), (30.3, 0), (30.3, 1.0), (200, 1.0), (220, -0.1), (240, 0)]
    run = played([("call", "deployment", 30, 270)], UFR, early, 600)
    assert check(judge(run, [load_service("return_ramp")]), "rebound").outcome is Outcome.FAIL


def test_a_ramp_down_in_steps_is_no_way_back() -> None:
    steps: Points = [(0, 0), (30.3, 0), (30.3, 0.5), (60, 0.5), (60, 1.0), (275, 1.0), (575, 0)]
    run = large(played([("call", "deployment", 30, 270)], UFR, steps, 900), 100.0)
    ramp = check(judge(run, [load_service("return_ramp")]), "ramp")
    assert isinstance(ramp.measured, Quantity)
    assert ramp.measured.value == pytest.approx(8.0, rel=1e-3)


# ---------------------------------------------------------------------------------------------------------------- hold


@pytest.mark.parametrize(("before", "word"), [([("before", "quiet", 30.0, 50.0)], "PASS"), ([], "VOID")])
def test_a_site_that_is_down_already_is_measured_from_the_level_before_an_earlier_event(
    before: list[tuple[str, str, float, float]], word: str
) -> None:
    down: Points = [(0, 0), (100, 0), (100, 0.5), (1021, 0.5), (1021, 0)]
    quarter = ("quarter", "dispatch", 120.0, 1020.0)
    run = played([*before, quarter], {"frequency": [(0, 60)]}, down, 1050)
    run = replace(run, commitment_w=run.commitment_w / 2)
    assert case_word(judge(run, [load_service("ercot_4cp")])) == word


# --------------------------------------------------------------------------------------------------------------- still


def test_a_quiet_stretch_shorter_than_the_rule_says_how_much_of_it_was_seen() -> None:
    run = played([("calm", "quiet", 30, 90)], {"frequency": [(0, 60)]}, [(0, 0)], 120)
    verdict = judge(run, [load_service("no_uncommanded_step")])
    assert check(verdict, "still").outcome is Outcome.PASS
    assert any("60 s of the 600 s of the rule were seen" in text for text in verdict.not_judged)


@pytest.mark.parametrize("service", ["no_uncommanded_step", "ercot_lel_ride_through", "return_ramp"])
@pytest.mark.parametrize("level", [NOMINAL_W / COMMITMENT_W, 2.0])
def test_a_share_of_nothing_or_of_power_fed_in_is_void(service: str, level: float) -> None:
    dip: Points = [(0, 1), (60, 1), (60, 0.5), (60.2, 0.5), (60.2, 1)]
    moves: Points = [(0, level), (70, level), (70, level + 0.5), (80, level + 0.5), (80, level)]
    kind = "deployment" if service == "return_ramp" else "quiet"
    run = played([("event", kind, 30, 100)], {"frequency": [(0, 60)], "voltage": dip}, moves, 700)
    verdict = judge(run, [load_service(service)])
    assert verdict.validity is Validity.VOID
    assert all(one.outcome is not Outcome.PASS for one in verdict.checks if one.id in ("still", "recovered", "rebound"))


def test_a_site_that_never_came_near_has_failed_with_its_level_named() -> None:
    little: Points = [(0, 0), (30.2, 0), (30.2, 0.5), (100, 0.5), (160, 0)]
    reach = check(judge(played(CALLED, FFR, little, 300, u=LOUD), [load_service("ercot_rrs_ffr")]), "reach")
    assert reach.outcome is Outcome.FAIL
    assert isinstance(reach.measured, NotReached)
    assert "50.0% were delivered" in reach.measured.reason
