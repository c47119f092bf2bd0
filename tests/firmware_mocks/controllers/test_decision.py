"""The decision read as a table: at an instant, what is seen, and how many watts have to stay off.

The site has sold 100 kW of its 250 kW; targets are 102 kW unless a row says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_mocks.controllers.decision import Decider, Roster, Seen, Stages
from firmware_mocks.controllers.settings import load

SOLD_W, NOMINAL_W = 100e3, 250e3
KW = 1e3
Row: TypeAlias = tuple[float, Mapping[str, Any], float]
"""Instant in seconds, what is seen from then on, watts off at that instant."""


def decider(config: Mapping[str, Mapping[str, Any]]) -> Decider:
    return Decider(load(config), SOLD_W, NOMINAL_W)


def play(config: Mapping[str, Mapping[str, Any]], rows: Sequence[Row], tick_s: float = 0.05) -> None:
    """Step through the rows on a fixed grid; readings hold until the next row. Compares at each row's instant."""
    core = decider(config)
    seen: dict[str, Any] = {"power_w": NOMINAL_W, "recall": 0}
    index = 0
    for tick in range(round(rows[-1][0] / tick_s) + 1):
        now_s = tick * tick_s
        due = index < len(rows) and rows[index][0] <= now_s + 1e-9
        if due:
            seen |= rows[index][1]
        want = core.step(Seen(now_s, **seen))
        if due:
            total_w = want.frequency_w + want.dispatch_w
            assert total_w == pytest.approx(rows[index][2], abs=1.0), f"row {index} at {now_s:.2f} s"
            index += 1
    assert index == len(rows)


UFR: Mapping[str, Mapping[str, Any]] = {"frequency": {"trip_hz": 59.70}, "return": {"stage_share": 0.25}}
FFR_NORDIC: Mapping[str, Mapping[str, Any]] = {
    "frequency": {"trip_hz": 49.7},
    "return": {"on": "frequency", "above_hz": 49.9, "hold_off_s": 30.0, "stage_share": 0.25},
}
STATIC_FCRD: Mapping[str, Mapping[str, Any]] = {
    "frequency": {"trip_hz": 49.9, "full_hz": 49.5, "steps": 20, "full_within_s": 7.5},
    "return": {"on": "frequency", "above_hz": 49.9, "hold_off_s": 60.0, "pause_hz": 49.8, "stage_share": 0.02},
}
ECRS: Mapping[str, Mapping[str, Any]] = {"frequency": {"follow": False}, "return": {"stage_share": 0.1}}


def test_load_stays_off_after_recovery_until_recalled_and_returns_in_stages() -> None:
    play(
        UFR,
        [
            (0.0, {"frequency_hz": 60.0}, 0.0),
            (5.0, {"frequency_hz": 59.71}, 0.0),
            (6.0, {"frequency_hz": 59.70, "power_w": 250 * KW}, 102 * KW),
            (6.1, {"power_w": 148 * KW}, 102 * KW),
            (16.0, {"frequency_hz": 59.8}, 102 * KW),
            (600.0, {"frequency_hz": 60.0}, 102 * KW),
            (900.0, {"recall": 1}, 102 * KW),
            (901.0, {}, 77 * KW),
            (902.0, {}, 52 * KW),
            (905.0, {}, 0.0),
            (950.0, {"frequency_hz": 59.69, "power_w": 250 * KW}, 102 * KW),
        ],
    )


def test_a_recall_while_frequency_is_low_waits_for_the_frequency() -> None:
    play(
        UFR,
        [
            (1.0, {"frequency_hz": 59.69}, 102 * KW),
            (1.1, {"power_w": 140 * KW}, 102 * KW),
            (60.0, {"recall": 1, "frequency_hz": 59.75}, 102 * KW),
            (90.0, {"frequency_hz": 59.95}, 102 * KW),
            (91.0, {}, 77 * KW),
        ],
    )


def test_a_recall_counter_that_wraps_is_a_recall() -> None:
    play(
        UFR,
        [
            (0.0, {"recall": 65535, "frequency_hz": 60.0}, 0.0),
            (1.0, {"frequency_hz": 59.69}, 102 * KW),
            (1.1, {"power_w": 140 * KW, "frequency_hz": 60.0}, 102 * KW),
            (60.0, {"recall": 0}, 102 * KW),
            (61.0, {}, 77 * KW),
        ],
    )


def test_a_second_collapse_breaks_off_the_return_and_needs_a_recall_of_its_own() -> None:
    play(
        UFR,
        [
            (1.0, {"frequency_hz": 59.69}, 102 * KW),
            (1.1, {"power_w": 140 * KW, "frequency_hz": 60.0}, 102 * KW),
            (60.0, {"recall": 1}, 102 * KW),
            (62.0, {}, 52 * KW),
            (62.5, {"frequency_hz": 59.6}, 102 * KW),
            (70.0, {"frequency_hz": 60.0}, 102 * KW),
            (500.0, {}, 102 * KW),
            (501.0, {"recall": 2}, 102 * KW),
            (506.0, {}, 0.0),
        ],
    )


def test_what_the_meter_misses_is_shed_on_top() -> None:
    play(
        UFR,
        [
            (1.0, {"frequency_hz": 59.69}, 102 * KW),
            (1.1, {"power_w": 170 * KW}, 102 * KW),  # 80 kW came of 100 kW sold
            (2.95, {}, 102 * KW),
            (3.05, {}, 124 * KW),  # the missing 20 kW and the margin
            (3.1, {"power_w": 149 * KW}, 124 * KW),
            (100.0, {}, 124 * KW),
        ],
    )


def test_a_meter_that_shows_nothing_gone_is_answered_with_the_whole_site_and_no_more() -> None:
    play(UFR, [(1.0, {"frequency_hz": 59.69}, 102 * KW), (60.0, {}, NOMINAL_W), (600.0, {}, NOMINAL_W)])


def test_an_oscillating_load_is_judged_by_its_mean() -> None:
    core = decider(UFR)
    core.step(Seen(0.0, frequency_hz=60.0, power_w=NOMINAL_W, recall=0))
    for tick in range(1, 400):
        power_w = 145 * KW + 20 * KW * math.sin(tick * 0.9)
        want = core.step(Seen(tick * 0.05, frequency_hz=59.6, power_w=power_w, recall=0))
        assert want.frequency_w == 102 * KW


def test_return_on_frequency_needs_the_hold_off_without_interruption() -> None:
    play(
        FFR_NORDIC,
        [
            (0.0, {"frequency_hz": 50.0}, 0.0),
            (1.0, {"frequency_hz": 49.69, "power_w": 250 * KW}, 102 * KW),
            (1.1, {"power_w": 140 * KW}, 102 * KW),
            (10.0, {"frequency_hz": 49.95}, 102 * KW),
            (35.0, {"frequency_hz": 49.88}, 102 * KW),
            (36.0, {"frequency_hz": 49.95}, 102 * KW),
            (65.0, {}, 102 * KW),
            (67.05, {}, 77 * KW),
            (71.05, {}, 0.0),
        ],
    )


def test_without_a_frequency_nothing_is_shed_and_nothing_returns() -> None:
    play(
        FFR_NORDIC,
        [
            (1.0, {"frequency_hz": None}, 0.0),
            (2.0, {"frequency_hz": 49.6}, 102 * KW),
            (2.1, {"frequency_hz": 50.0, "power_w": 140 * KW}, 102 * KW),
            (33.2, {}, 77 * KW),
            (33.25, {"frequency_hz": None}, 77 * KW),
            (60.0, {}, 77 * KW),
        ],
    )


def test_a_single_spike_is_not_believed_where_readings_must_agree() -> None:
    config = {"frequency": {"trip_hz": 59.7, "confirm_readings": 3}}
    play(
        config,
        [
            (1.0, {"frequency_hz": 59.0}, 0.0),
            (1.05, {"frequency_hz": 59.0}, 0.0),
            (1.1, {"frequency_hz": 60.0}, 0.0),
            (2.0, {"frequency_hz": 59.69}, 0.0),
            (2.05, {}, 0.0),
            (2.1, {}, 102 * KW),
        ],
    )


def test_static_fcrd_goes_down_a_staircase_and_only_comes_back_sixty_seconds_after_recovery() -> None:
    play(
        STATIC_FCRD,
        [
            (0.0, {"frequency_hz": 49.9}, 0.0),
            (1.0, {"frequency_hz": 49.8}, 25.5 * KW),
            (2.0, {"frequency_hz": 49.7}, 51 * KW),
            (2.1, {"frequency_hz": 49.85, "power_w": 195 * KW}, 51 * KW),  # a static provider does not follow back up
            (3.0, {"frequency_hz": 49.5, "power_w": 140 * KW}, 102 * KW),
            (4.0, {"frequency_hz": 49.3}, 102 * KW),
            (60.0, {"frequency_hz": 49.9}, 102 * KW),
            (119.9, {}, 102 * KW),
            (121.0, {}, 100.0 * KW),
            (130.95, {"frequency_hz": 49.79}, 82.0 * KW),  # pause
            (140.0, {}, 82.0 * KW),
            (140.05, {"frequency_hz": 49.85}, 82.0 * KW),
            (141.0, {}, 80.0 * KW),
        ],
    )


def test_dispatch_is_met_at_once_verified_by_the_meter_and_given_back_in_stages() -> None:
    play(
        ECRS,
        [
            (1.0, {"setpoint_w": math.inf}, 0.0),
            (10.0, {"setpoint_w": 150 * KW}, 102.5 * KW),  # 1 % of nominal below the set-point
            (11.0, {"power_w": 155 * KW}, 102.5 * KW),
            (29.0, {}, 102.5 * KW),
            (30.2, {}, 110.0 * KW),
            (31.0, {"power_w": 147 * KW}, 110.0 * KW),
            (600.0, {"setpoint_w": 200 * KW}, 100.0 * KW),
            (610.0, {}, 60.0 * KW),  # as far as the new set-point allows
            (700.0, {"setpoint_w": math.inf}, 50.0 * KW),
            (705.1, {}, 0.0),
        ],
    )


def test_a_set_point_above_consumption_asks_for_nothing() -> None:
    play(ECRS, [(1.0, {"setpoint_w": 250 * KW}, 0.0), (2.0, {"setpoint_w": 251 * KW}, 0.0)])


def test_dispatch_gives_nothing_back_while_load_is_held_for_frequency() -> None:
    config = {**UFR, "dispatch": {"settle_s": 1.0}}
    play(
        config,
        [
            (1.0, {"frequency_hz": 60.0, "setpoint_w": 150 * KW}, 102.5 * KW),
            (2.0, {"power_w": 147 * KW}, 102.5 * KW),
            (10.0, {"frequency_hz": 59.6}, 204.5 * KW),
            (10.1, {"power_w": 46 * KW, "frequency_hz": 60.0}, 204.5 * KW),
            (20.0, {"setpoint_w": math.inf}, 204.5 * KW),
            (60.0, {}, 204.5 * KW),
            (61.0, {"recall": 1}, 204.5 * KW),
            (66.0, {}, 77.5 * KW),
            (70.0, {}, 0.0),
        ],
    )


@given(st.lists(st.floats(59.0, 60.2), min_size=1, max_size=60))
def test_the_staircase_never_goes_back_up_while_load_is_held(frequencies: list[float]) -> None:
    core = decider({"frequency": {"trip_hz": 59.9, "full_hz": 59.5, "steps": 8}})
    held_w = 0.0
    for tick, frequency_hz in enumerate(frequencies):
        want = core.step(Seen(tick * 0.05, frequency_hz=frequency_hz, recall=0))
        assert want.frequency_w >= held_w
        held_w = want.frequency_w


@given(st.lists(st.floats(0.0, 5.0), min_size=2, max_size=50))
def test_stages_never_lower_faster_than_one_stage_an_interval(pauses_s: list[float]) -> None:
    stages, held_w, now_s = Stages(10.0, 1.0), 1000.0, 0.0
    stages.begin(now_s)
    lowered: list[tuple[float, float]] = []
    for pause_s in pauses_s:
        now_s += pause_s
        after_w = stages.lower(now_s, held_w, 0.0)
        lowered.append((now_s, held_w - after_w))
        held_w = after_w
    for start_s, _ in lowered:
        assert sum(w for at_s, w in lowered if start_s <= at_s < start_s + 1.0) <= 20.0 + 1e-9


class Switch:
    """A unit of a fixed size."""

    def __init__(self, name: str, size_w: float) -> None:
        self.name, self.size_w, self.held_w = name, size_w, 0.0

    def watts(self) -> float:
        return self.size_w


def test_first_out_is_first_back_and_the_least_recently_shed_goes_next() -> None:
    units = [Switch(name, 10.0) for name in "abcd"]
    roster = Roster(units)

    def names(chosen: list[Switch]) -> str:
        return "".join(unit.name for unit in chosen)

    assert names(roster.hold(20.0)[0]) == "ab"
    assert names(roster.hold(10.0)[1]) == "a"
    assert names(roster.hold(30.0)[0]) == "cd"
    assert names(roster.hold(0.0)[1]) == "bcd"
    assert names(roster.hold(20.0)[0]) == "ab"


def test_a_unit_that_does_not_obey_is_replaced_and_chosen_last() -> None:
    units = [Switch(name, 10.0) for name in "abc"]
    roster = Roster(units)
    roster.hold(20.0)
    assert roster.drop(units[0])
    assert not roster.drop(units[0])
    assert [unit.name for unit in roster.hold(20.0)[0]] == ["c"]
    assert [unit.name for unit in roster.hold(30.0)[0]] == ["a"]


def test_watts_no_unit_is_left_for_are_reported() -> None:
    shed, back, missing_w = Roster([Switch("a", 10.0), Switch("b", 0.0)]).hold(25.0)
    assert ([unit.name for unit in shed], back, missing_w) == (["a"], [], 15.0)


@given(
    st.lists(st.floats(1.0, 20.0), min_size=1, max_size=30), st.lists(st.floats(0.0, 300.0), min_size=1, max_size=20)
)
def test_a_roster_holds_what_is_asked_and_less_than_one_unit_more(sizes_w: list[float], asked_w: list[float]) -> None:
    units = [Switch(str(index), size_w) for index, size_w in enumerate(sizes_w)]
    roster = Roster(units)
    for reduction_w in asked_w:
        _, _, missing_w = roster.hold(reduction_w)
        held_w = sum(unit.held_w for unit in units)
        assert held_w + missing_w >= reduction_w - 1e-2
        assert held_w < reduction_w + max(sizes_w) + 1e-2
