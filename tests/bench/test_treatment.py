"""Formulas on how machines are treated: what is counted, from when to when, and what a record does not tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.boundary.site import Answer, Size, facts, occurrence, phases_of
from bench.facts import RunFacts
from bench.judge import judge
from bench.services import load_service
from bench.verdict import NotComputable, Outcome, Quantity
from emulator.catalogue import Phase

STEP = [(0.0, 0.0), (10.0, 0.0), (10.0, 1.0)]
SHED = Answer(STEP, 60.0, 90.0, release_s=60.0, conduct={"busiest_minute": 3.0, "meter_silence_s": 0.1})


def run(service: str, answer: Answer, kind: str = "dispatch") -> RunFacts:
    return facts(load_service(service), kind, answer, Size(commitment_w=500e3))


def value(service: str, check: str, one: RunFacts) -> float:
    """What the check measures on the event."""
    results = judge(one, [load_service(service)]).checks
    measured = next(result.measured for result in results if (result.id, result.event) == (check, "event"))
    assert isinstance(measured, Quantity)
    return measured.value


def lived(*entries: tuple[float, int, Phase]) -> RunFacts:
    """A run in which three miners hash but for what `entries` say, seconds after the event begins."""
    hashing = [(-5.0, row, Phase.HASHING) for row in range(3)]
    return run("site_conduct", replace(SHED, phases=phases_of([*hashing, *entries], 3)))


def test_cycles_are_those_of_the_miner_that_has_most() -> None:
    one = lived(
        (1.0, 0, Phase.OFF), (2.0, 0, Phase.BOOT), (3.0, 0, Phase.HASHING), (4.0, 0, Phase.OFF), (1.0, 1, Phase.OFF),
        (1.0, 2, Phase.SLEEP), (2.0, 2, Phase.SLEEP), (3.0, 2, Phase.WAKE), (5.0, 2, Phase.SLEEP),
    )  # fmt: skip
    assert value("site_conduct", "mains_cycles", one) == 2
    assert value("site_conduct", "sleep_cycles", one) == 2, "a second step of one sleep is no second sleep"


def test_a_hard_cut_is_one_of_a_miner_at_work_during_the_event() -> None:
    one = lived((20.0, 0, Phase.OFF), (20.0, 1, Phase.STOPPING), (22.0, 1, Phase.SLEEP), (30.0, 1, Phase.OFF))
    assert value("site_conduct", "soft_first", one) == 1
    assert value("site_conduct", "soft_first", lived((-1.0, 0, Phase.OFF))) == 0, "before the event it was nobody's"


def test_a_cut_of_an_event_on_top_of_a_dispatch_is_not_the_dispatchs() -> None:
    one = lived((20.0, 0, Phase.OFF))
    on_top = replace(one.events[1], id="on-top", kind="deployment", start_ns=one.events[1].start_ns + 15 * 10**9)
    assert value("site_conduct", "soft_first", replace(one, events=(*one.events, on_top))) == 0


def test_hard_cuts_are_a_dispatchs_alone() -> None:
    one = run("site_conduct", replace(SHED, phases=phases_of([(0.0, 0, Phase.HASHING)], 1)), "deployment")
    assert "soft_first" not in {check.id for check in judge(one, [load_service("site_conduct")]).checks}


def test_a_record_without_phases_or_conduct_is_void_and_not_zero() -> None:
    verdict = judge(run("site_conduct", Answer(STEP, 60.0, 90.0)), [load_service("site_conduct")])
    told = {check.id: check for check in verdict.checks}
    for check in ("commands", "meter_read", "mains_cycles", "sleep_cycles", "soft_first"):
        assert isinstance(told[check].measured, NotComputable)
        assert told[check].outcome is Outcome.DONE


def test_stopping_the_fans_is_counted_by_miners() -> None:
    told = (
        occurrence(1.0, "miners", script="sleep_no_cool", count=3, miners=[]),
        occurrence(2.0, "miners", script="sleep", count=9, miners=[]),
    )
    assert value("site_conduct", "cooled", run("site_conduct", replace(SHED, occurrences=told))) == 3


@pytest.mark.parametrize(
    ("moves", "off_s"),
    [
        ([], 0.0),
        ([(10.0, False), (25.0, True)], 15.0),
        ([(-8.0, False), (5.0, True)], 5.0),
        ([(10.0, False)], 80.0),
        ([(-8.0, False), (-4.0, True)], 0.0),
    ],
)
def test_a_load_that_is_off_is_counted_from_the_events_start_to_the_end(
    moves: list[tuple[float, bool]], off_s: float
) -> None:
    told = tuple(occurrence(at_s, "load", load="ai", closed=closed) for at_s, closed in moves)
    assert value("ai_last", "kept", run("ai_last", replace(SHED, occurrences=told))) == pytest.approx(off_s)


def dips(*at_s: float) -> dict[str, list[tuple[float, float]]]:
    points = [(-15.0, 1.0)]
    for at in at_s:
        points += [(at, 1.0), (at, 0.3), (at + 0.2, 0.3), (at + 0.2, 1.0)]
    return {"voltage": points}


def test_ride_through_is_the_least_consumption_two_seconds_behind_any_dip() -> None:
    share = 650.0 / 500.0
    delivery = [
        (0.0, 0.0), (5.0, 0.0), (5.0, 0.9 * share), (6.9, 0.9 * share), (6.9, 0.0),
        (20.0, 0.0), (20.0, 0.2 * share), (40.0, 0.2 * share), (40.0, 0.0),
    ]  # fmt: skip
    one = run("ercot_lel_ride_through", Answer(delivery, 60.0, 70.0, signals=dips(5.0, 20.0)), "quiet")
    assert value("ercot_lel_ride_through", "recovered", one) == pytest.approx(80.0, abs=0.1)


def test_a_voltage_that_comes_back_to_the_level_itself_is_back() -> None:
    at_level = {"voltage": [(-15.0, 1.0), (5.0, 1.0), (5.0, 0.3), (5.2, 0.3), (5.2, 0.9), (30.0, 0.9), (30.0, 1.0)]}
    one = run("ercot_lel_ride_through", Answer([(0.0, 0.0)], 60.0, 70.0, signals=at_level), "quiet")
    assert value("ercot_lel_ride_through", "recovered", one) == pytest.approx(100.0, abs=0.1)


def test_without_a_dip_there_is_nothing_to_ride_through() -> None:
    quiet = run("ercot_lel_ride_through", Answer([(0.0, 0.0)], 60.0, 70.0, signals=dips()), "quiet")
    verdict = judge(quiet, [load_service("ercot_lel_ride_through")])
    assert not verdict.checks
    assert any("never dipped" in text for text in verdict.not_judged)
