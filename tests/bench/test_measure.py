"""Measurements on traces whose answer is known on paper, and the laws every measurement obeys."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench import measure
from bench.facts import Series
from bench.verdict import Measured, NotComputable, NotReached, Quantity
from emulator.seed import Seed

S = 10**9
MS = 10**6
Floats = NDArray[np.float64]


def series(*points: tuple[float, float], u: float = 0.0, u_time_ns: float = 0.0) -> Series:
    """A trace through (seconds, watts)."""
    t, value = zip(*points, strict=True)
    return Series(np.round(np.array(t) * S).astype(np.int64), np.array(value, float), u=u, u_time_ns=u_time_ns)


def sampled(shape: Callable[[Floats], Floats], rate_hz: float, duration_s: float, window_s: float = 0.0) -> Series:
    """A trace sampled at a rate; with a window, each sample is the mean over it, centred."""
    t_ns = np.round(np.arange(0, duration_s, 1 / rate_hz) * S).astype(np.int64)
    offsets = np.linspace(-window_s / 2, window_s / 2, 401) if window_s else np.zeros(1)
    value = np.mean([shape(t_ns / S + offset) for offset in offsets], axis=0)
    return Series(t_ns, value, window_ns=round(window_s * S))


def number(measured: Measured) -> float:
    assert isinstance(measured, Quantity), measured
    return measured.value


STEP = series((0, 0), (2, 0), (2 + 1e-9, 100), (10, 100))
RAMP = series((0, 0), (2, 0), (7, 100), (10, 100))
FLAT = series((0, 100), (10, 100))


# ------------------------------------------------------------------------------------------------ instants, on paper


def test_reach_of_a_step_is_the_step() -> None:
    assert number(measure.reach_time(STEP, S, 10 * S, 95.0)) == pytest.approx(1.0, abs=2e-9)


def test_reach_of_a_ramp_is_where_the_line_crosses() -> None:
    assert number(measure.reach_time(RAMP, 0, 10 * S, 95.0)) == pytest.approx(2 + 0.95 * 5)


def test_reach_of_a_first_order_lag_is_three_time_constants() -> None:
    lag = sampled(lambda t: 100 * (1 - np.exp(-t / 0.5)), 1000, 5)
    assert number(measure.reach_time(lag, 0, 4 * S, 95.0)) == pytest.approx(0.5 * math.log(20), abs=1e-6)


def test_reach_of_a_ringing_trace_is_its_last_entry_not_its_first() -> None:
    ringing = sampled(lambda t: 100 * (1 - np.exp(-t) * np.cos(10 * t)), 1000, 8)
    first = number(measure.reaction_time(ringing, 0, 7 * S, 95.0))
    final = number(measure.reach_time(ringing, 0, 7 * S, 95.0))
    t = np.arange(0, 7, 1e-4)
    below = t[100 * (1 - np.exp(-t) * np.cos(10 * t)) < 95.0]
    assert first < 0.2
    assert final == pytest.approx(below[-1], abs=1e-3)


def test_a_value_on_the_limit_is_inside() -> None:
    assert number(measure.reach_time(FLAT, 0, 10 * S, 100.0, 100.0)) == 0.0
    fraction = 0.95 * 300.0
    assert number(measure.reach_time(series((0, 300 - 15.0), (1, 300 - 15.0)), 0, S, fraction)) == 0.0


def test_never_is_a_value_of_its_own() -> None:
    assert isinstance(measure.reach_time(FLAT, 0, 10 * S, 100.1), NotReached)
    assert isinstance(measure.reaction_time(FLAT, 0, 10 * S, 100.1), NotReached)


def test_a_trace_that_leaves_the_band_at_the_end_never_reached_it() -> None:
    assert isinstance(measure.reach_time(series((0, 100), (9, 100), (10, 0)), 0, 10 * S, 95.0), NotReached)


def test_reach_respects_an_upper_bound() -> None:
    over = series((0, 0), (1, 200), (3, 200), (4, 100), (9, 100))
    assert number(measure.reach_time(over, 0, 9 * S, 95.0, 110.0)) == pytest.approx(3.9)


def test_settling_is_the_last_entry_into_the_band_about_the_target() -> None:
    assert number(measure.settle_time(RAMP, 0, 10 * S, 100.0, 10.0)) == pytest.approx(6.5)


def test_reaction_is_the_first_stay_beyond_the_threshold() -> None:
    spike = series((0, 0), (1, 0), (1.01, 10), (1.02, 0), (3, 0), (4, 10), (9, 10))
    assert number(measure.reaction_time(spike, 0, 9 * S, 5.0)) == pytest.approx(1.005)
    assert number(measure.reaction_time(spike, 0, 9 * S, 5.0, dwell_ns=50 * MS)) == pytest.approx(3.5)


# -------------------------------------------------------------------------------------- levels and windows, on paper


def test_baseline_is_the_mean_weighted_by_time_and_its_unsteadiness() -> None:
    found = measure.baseline(series((0, 90), (1, 110), (2, 90), (4, 90)), 0, 2 * S)
    assert isinstance(found, measure.Baseline)
    assert found.mean.value == pytest.approx(100.0)
    assert found.unsteadiness.value == pytest.approx(20 / math.sqrt(12))


def test_delivered_power_is_the_reduction_and_carries_both_uncertainties() -> None:
    y = measure.delivered(replace(RAMP, u=3.0), Quantity(100.0, "W", 4.0))
    assert y.value.tolist() == [100, 100, 0, 0]
    assert y.u == 5.0


def test_energy_under_a_ramp_is_a_triangle_and_a_rectangle() -> None:
    energy = measure.delivered_energy(replace(RAMP, u=1.0), 0, 10 * S)
    assert isinstance(energy, Quantity)
    assert energy.unit == "J"
    assert (energy.value, energy.u) == pytest.approx((250 + 300, 10.0))


def test_the_share_of_time_inside_a_band_counts_parts_of_segments() -> None:
    assert number(measure.share_inside(RAMP, 0, 10 * S, 20.0, 80.0)) == pytest.approx(0.3)
    assert number(measure.share_inside(FLAT, 0, 10 * S, 100.0)) == 1.0
    assert number(measure.share_inside(FLAT, 0, 10 * S, None, 99.0)) == 0.0


def test_overshoot_is_a_share_of_the_target_and_never_negative() -> None:
    over = series((0, 0), (1, 125), (2, 100))
    assert number(measure.overshoot(over, 0, 2 * S, 100.0)) == pytest.approx(0.25)
    assert number(measure.overshoot(over, 0, 2 * S, 200.0)) == 0.0


def test_rebound_is_the_highest_power_over_the_level_before() -> None:
    assert number(measure.rebound(series((0, 0), (1, 103), (2, 100)), 0, 2 * S, Quantity(100, "W"))) == 1.03
    assert isinstance(measure.rebound(FLAT, 0, S, Quantity(0.0, "W")), NotComputable)


def test_the_ramp_is_the_worst_change_over_any_window() -> None:
    stairs = series((0, 0), (10, 0), (10.5, 30), (12, 30), (12.5, 60), (30, 60))
    assert number(measure.largest_change(stairs, 0, 30 * S, S, rising=True)) == pytest.approx(30)
    assert number(measure.largest_change(stairs, 0, 30 * S, 3 * S, rising=True)) == pytest.approx(60)
    assert number(measure.ramp_rate(stairs, 0, 30 * S, 10 * S)) == pytest.approx(6.0)
    assert number(measure.largest_change(stairs, 0, 30 * S, S, rising=False)) == 0.0


def test_peak_to_peak_sees_a_spike_that_both_ends_of_a_window_miss() -> None:
    spike = series((0, 0), (5, 0), (5.2, 40), (5.4, 0), (20, 0))
    assert number(measure.peak_to_peak(spike, 0, 20 * S, S)) == 40
    assert number(measure.largest_change(spike, 0, 20 * S, S, rising=True)) == pytest.approx(40)
    assert number(measure.peak_to_peak(spike, 0, 20 * S, S // 10)) == pytest.approx(20)
    assert number(measure.peak_to_peak(RAMP, 0, 10 * S, S)) == pytest.approx(20)
    assert number(measure.peak_to_peak(RAMP, 0, 10 * S, 60 * S)) == pytest.approx(100)


def test_a_moving_mean_lags_a_ramp_by_half_its_window() -> None:
    line = series((0, 0), (100, 100))
    found = measure.moving_mean_range(line, 20 * S, 50 * S, 10 * S)
    assert isinstance(found, tuple)
    assert [quantity.value for quantity in found] == pytest.approx([15.0, 45.0])


def test_the_value_at_an_instant_is_on_the_line() -> None:
    assert number(measure.value_at(RAMP, 3 * S)) == pytest.approx(20)
    assert number(measure.mean(RAMP, 2 * S, 7 * S)) == pytest.approx(50)
    assert number(measure.minimum(RAMP, 3 * S, 7 * S)) == pytest.approx(20)
    assert number(measure.maximum(RAMP, 0, 3 * S)) == pytest.approx(20)


# ---------------------------------------------------------------------------------------- what a recording cannot tell

EVERY: dict[str, Callable[[Series], object]] = {
    "baseline": lambda s: measure.baseline(s, S, 2 * S),
    "mean": lambda s: measure.mean(s, S, 2 * S),
    "value": lambda s: measure.value_at(s, 2 * S),
    "minimum": lambda s: measure.minimum(s, S, 2 * S),
    "maximum": lambda s: measure.maximum(s, S, 2 * S),
    "energy": lambda s: measure.delivered_energy(s, S, 2 * S),
    "share": lambda s: measure.share_inside(s, S, 2 * S, 1.0),
    "overshoot": lambda s: measure.overshoot(s, S, 2 * S, 1.0),
    "rebound": lambda s: measure.rebound(s, S, 2 * S, Quantity(1.0, "W")),
    "reach": lambda s: measure.reach_time(s, S, 2 * S, 1.0),
    "reaction": lambda s: measure.reaction_time(s, S, 2 * S, 1.0),
    "settle": lambda s: measure.settle_time(s, S, 2 * S, 1.0, 0.1),
    "change": lambda s: measure.largest_change(s, S, 2 * S, MS, rising=True),
    "ramp": lambda s: measure.ramp_rate(s, S, 2 * S, MS),
    "peaks": lambda s: measure.peak_to_peak(s, S, 2 * S, MS),
    "moving": lambda s: measure.moving_mean_range(s, S, 2 * S, MS),
}
nan = float("nan")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("trace", "reason"),
    [
        (Series(np.zeros(0, np.int64), np.zeros(0)), "no samples"),
        (series((0, nan), (1, nan), (2, nan), (3, nan)), "gap"),
        (series((0, 1), (1.5, nan), (3, 1)), "gap at 1.500 s"),
        (series((0, 1)), "not in the recording"),
        (series((0, 1), (0.1, 1)), "not in the recording"),
    ],
)
def test_a_recording_that_cannot_tell_says_why(name: str, trace: Series, reason: str) -> None:
    answer = EVERY[name](trace)
    assert isinstance(answer, NotComputable)
    assert reason in answer.reason


def test_a_gap_outside_the_window_does_not_matter() -> None:
    assert number(measure.mean(series((0, nan), (1, 5), (2, 5), (3, nan)), S, 2 * S)) == 5


def test_one_sample_is_known_within_its_own_window() -> None:
    one = Series(np.array([S]), np.array([7.0]), window_ns=200 * MS)
    assert number(measure.mean(one, 900 * MS, 1100 * MS)) == 7.0
    assert number(measure.value_at(one, S)) == 7.0


def test_a_window_that_ends_before_it_begins_is_not_computable() -> None:
    assert isinstance(measure.mean(FLAT, 2 * S, S), NotComputable)


def test_a_moving_window_longer_than_the_recording_is_not_computable() -> None:
    assert isinstance(measure.largest_change(FLAT, 0, 10 * S, 20 * S, rising=True), NotComputable)


# --------------------------------------------------------------------------------------------------------------- laws

levels = st.lists(st.integers(min_value=-1000, max_value=1000), min_size=3, max_size=12)
spans = st.integers(min_value=1, max_value=5)


@st.composite
def traces(draw: st.DrawFn) -> Series:
    value = draw(levels)
    t = np.cumsum([draw(spans) for _ in value])
    return Series(t.astype(np.int64) * S, np.array(value, float))


def answers(trace: Series, shift_ns: int, scale: float) -> list[object]:
    a, b = int(trace.t_ns[0]), int(trace.t_ns[-1])
    level = 100.0 * scale
    found = [
        measure.reach_time(trace, a, b, level, 9 * level),
        measure.reaction_time(trace, a, b, level, dwell_ns=S),
        measure.share_inside(trace, a, b, level, 5 * level),
        *(measure.mean(trace, a, b), measure.minimum(trace, a, b), measure.maximum(trace, a, b)),
        measure.value_at(trace, (a + b) // 2),
        measure.delivered_energy(trace, a, b),
        measure.largest_change(trace, a, b, S, rising=True),
        measure.peak_to_peak(trace, a, b, 2 * S),
    ]
    unscaled = {"s": 1.0, "fraction": 1.0}
    return [
        type(one) if not isinstance(one, Quantity) else pytest.approx(one.value / unscaled.get(one.unit, scale))
        for one in found
    ]


def plain(measured: list[object]) -> list[object]:
    return [one.expected if hasattr(one, "expected") else one for one in measured]


@given(traces(), st.integers(min_value=-(10**15), max_value=10**15))
def test_shifting_a_trace_in_time_changes_no_answer(trace: Series, shift_ns: int) -> None:
    moved = replace(trace, t_ns=trace.t_ns + shift_ns)
    assert plain(answers(moved, 0, 1.0)) == answers(trace, 0, 1.0)


@given(traces(), st.sampled_from([1e-3, 0.5, 2.0, 1e6]))
def test_scaling_power_and_limits_together_changes_no_instant_and_scales_the_rest(trace: Series, scale: float) -> None:
    assert plain(answers(replace(trace, value=trace.value * scale), 0, scale)) == answers(trace, 0, 1.0)


@given(traces(), st.integers(min_value=0, max_value=20))
def test_more_delay_never_shortens_the_reach(trace: Series, delay_s: int) -> None:
    start, stop = int(trace.t_ns[0]), int(trace.t_ns[-1]) + 30 * S
    ends = [np.array([stop]), trace.value[-1:]]
    assume(trace.value[0] < 100)

    def reach(delay_ns: int) -> Measured:
        t = np.concatenate([[start - S], trace.t_ns + delay_ns, ends[0]])
        return measure.reach_time(
            Series(t, np.concatenate([trace.value[:1], trace.value, ends[1]])), start, stop, 100.0
        )

    prompt, late = reach(0), reach(delay_s * S)
    if isinstance(prompt, NotReached):
        assert isinstance(late, NotReached)
    else:
        assert number(late) >= number(prompt) - 1e-9


@given(traces(), st.integers(min_value=1, max_value=8))
def test_peak_to_peak_equals_brute_force_over_a_fine_grid(trace: Series, window_s: int) -> None:
    a, b = int(trace.t_ns[0]), int(trace.t_ns[-1])
    grid = np.arange(a, b + 1, S // 4)
    value = np.interp(grid, trace.t_ns, trace.value)
    width = min(window_s * 4, grid.size - 1) + 1
    brute = max(float(np.ptp(value[k : k + width])) for k in range(grid.size - width + 1))
    assert number(measure.peak_to_peak(trace, a, b, window_s * S)) == pytest.approx(brute)


@given(traces(), st.integers(min_value=1, max_value=3))
def test_the_largest_change_is_never_above_the_peak_to_peak(trace: Series, window_s: int) -> None:
    a, b = int(trace.t_ns[0]), int(trace.t_ns[-1])
    assume(b - a >= window_s * S)
    change = number(measure.largest_change(trace, a, b, window_s * S, rising=True))
    assert change <= number(measure.peak_to_peak(trace, a, b, window_s * S)) + 1e-9


# -------------------------------------------------------------------------------------------------- uncertainty budget


def u_of(measured: Measured) -> float:
    assert isinstance(measured, Quantity), measured
    return measured.u


def test_a_truth_trace_with_a_step_has_no_uncertainty_to_speak_of() -> None:
    assert u_of(measure.reach_time(STEP, 0, 10 * S, 95.0)) < 1e-8


def test_on_a_slope_the_amplitude_term_is_u_over_the_slope() -> None:
    ramp = replace(sampled(lambda t: np.clip((t - 2) * 20, 0, 100), 10, 10), u=2.0)
    assert u_of(measure.reach_time(ramp, 0, 9 * S, 50.0)) == pytest.approx(2.0 / 20.0)


def test_a_long_ramp_needs_no_allowance_for_window_or_sampling() -> None:
    ramp = sampled(lambda t: np.clip((t - 2) * 20, 0, 100), 10, 10, window_s=0.2)
    assert u_of(measure.reach_time(ramp, 0, 9 * S, 50.0)) < 1e-9


def test_the_time_stamps_own_uncertainty_is_carried_through() -> None:
    assert u_of(measure.reach_time(replace(STEP, u_time_ns=3e6), 0, 10 * S, 95.0)) == pytest.approx(3e-3, rel=1e-3)


def test_a_plateau_that_hovers_on_the_limit_has_an_uncertain_reach() -> None:
    hover = series((0, 0), (1, 0), (1.001, 95.5), (60, 95.5), u=1.0)
    assert u_of(measure.reach_time(hover, 0, 60 * S, 95.0)) > 50


@pytest.mark.parametrize("window_s", [0.0, 0.05, 0.2, 1.0])
@pytest.mark.parametrize("level", [5.0, 50.0, 95.0])
def test_the_claimed_interval_covers_the_truth_of_a_step_wherever_it_falls(window_s: float, level: float) -> None:
    phases = Seed(1) / "phase" / round(level)
    for at in 3 + phases.uniforms(40):
        trace = sampled(lambda t, at=at: np.where(t >= at, 100.0, 0.0), 50, 8, window_s)  # type: ignore[misc]
        found = measure.reach_time(trace, 2 * S, 7 * S, level)
        assert isinstance(found, Quantity)
        assert (
            abs(found.value - (at - 2)) <= 2 * found.u + 1e-6 + window_s / 400
        )  # `sampled` averages over a grid as coarse as this


@pytest.mark.parametrize("window_s", [0.05, 0.2])
def test_the_claimed_interval_covers_the_truth_of_a_value_near_a_step(window_s: float) -> None:
    for offset in np.linspace(-0.3, 0.3, 31):
        trace = sampled(lambda t, at=4 + offset: np.where(t >= at, 100.0, 0.0), 50, 8, window_s)  # type: ignore[misc]
        found = measure.value_at(trace, 4 * S)
        assert isinstance(found, Quantity)
        truth = 100.0 if offset <= 0 else 0.0
        assert abs(found.value - truth) <= 2 * found.u + 1.0


def test_a_noisy_meter_claims_intervals_that_cover_the_truth_in_most_runs() -> None:
    truth, hits, runs = 0.95 * 5, 0, 60
    for run in range(runs):
        noise = (Seed(7) / "noise" / run).normals(700) * 0.3
        trace = sampled(lambda t: np.clip((t - 1) * 20, 0, 100), 100, 7)
        trace = replace(trace, value=trace.value + noise, u=0.3)
        found = measure.reach_time(trace, S, 6_900 * MS, 95.0)
        hits += isinstance(found, Quantity) and abs(found.value - truth) <= 2 * found.u
    assert hits >= 0.9 * runs


# ------------------------------------------------------------------------------------------------------- whole samples


def test_a_sample_is_whole_where_it_averages_over_nothing_outside() -> None:
    slow = Series(np.arange(10, dtype=np.int64) * S, np.zeros(10), window_ns=S)
    assert measure.whole(slow, 2 * S, 7 * S) == (3 * S, 6 * S)
    assert measure.whole(slow, 2 * S - S // 2, 7 * S + S // 2) == (2 * S, 7 * S)
    assert measure.whole(slow, 2 * S, 2 * S + 1) == (2 * S, 2 * S + 1), "no sample lies inside"
    fast = Series(np.arange(10, dtype=np.int64) * S, np.zeros(10))
    assert measure.whole(fast, 2 * S, 7 * S) == (2 * S, 7 * S)
