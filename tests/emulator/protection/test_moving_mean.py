"""Crossings of a moving mean, against the mean added up nanosecond by nanosecond in rational numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.protection.moving_mean import beyond
from emulator.seed import Seed
from emulator.timeline import Signal

S = 1_000_000_000
LEVELS = (59.0, 59.3, 59.5, 59.7, 60.0, 60.5)


def exactly(signal: Signal, at: int, window: int) -> Fraction:
    """The mean over the window before `at`; corners are whole nanoseconds, so trapezoids of one are exact."""
    knots, values = signal.t_ns.tolist(), [Fraction(v) for v in signal.value.tolist()]

    def on(index: int, t: int) -> Fraction:
        if index in (0, len(knots)):
            return values[max(0, index - 1)]
        share = Fraction(t - knots[index - 1], knots[index] - knots[index - 1])
        return values[index - 1] + (values[index] - values[index - 1]) * share

    def after(t: int) -> Fraction:
        return on(sum(k <= t for k in knots), t)

    def before(t: int) -> Fraction:
        return on(sum(k < t for k in knots), t)

    return sum((after(t) + before(t + 1) for t in range(at - window, at)), Fraction(0)) / 2 / window


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(LEVELS)), min_size=1, max_size=5),
    st.sampled_from(LEVELS),
    st.booleans(),
    st.integers(1, 6),
)
def test_every_crossing_is_the_first_whole_nanosecond_of_its_kind(
    points: list[tuple[int, float]], level: float, under: bool, window: int
) -> None:
    points = sorted(points, key=lambda point: point[0])
    signal = Signal([t for t, _ in points], [v for _, v in points])
    expected, state = [], False
    for at in range(45):
        mean = exactly(signal, at, window)
        now = mean < Fraction(level) if under else mean > Fraction(level)
        if now is not state:
            expected.append((at, now))
            state = now
    assert beyond(signal, level, under=under, window_ns=window, start=0, stop=44) == expected


def test_a_step_is_seen_when_its_share_of_the_window_has_carried_the_mean_past_the_level() -> None:
    step = Signal.steps([(0, 60.0), (10 * S, 59.0), (20 * S, 60.0)])
    window = 50_000_000
    toggles = beyond(step, 59.5, under=True, window_ns=window, start=0, stop=60 * S)
    assert toggles == [(10 * S + window // 2 + 1, True), (20 * S + window // 2, False)]


def test_a_mean_that_only_touches_the_level_is_not_beyond_it() -> None:
    flat = Signal.steps([(0, 60.0), (10 * S, 59.3)])
    assert beyond(flat, 59.3, under=True, window_ns=50_000_000, start=0, stop=60 * S) == []
    assert beyond(flat, 59.30000001, under=True, window_ns=50_000_000, start=0, stop=60 * S) != []


def test_a_dip_inside_one_window_is_found_between_the_corners() -> None:
    dip = Signal([0, 10 * S, 11 * S, 12 * S], [60.0, 60.0, 58.0, 60.0])
    (begin, _), (end, _) = beyond(dip, 58.6, under=True, window_ns=S, start=0, stop=20 * S)
    # mean over a second of that triangle is lowest, 58.5 Hz, half a second after its tip
    assert begin < 11 * S + S // 2 < end
    assert begin + end == pytest.approx(23 * S, abs=2)


def test_a_noisy_signal_gives_what_dense_sampling_gives() -> None:
    seed = Seed(5)
    t = np.cumsum((seed / "gap").uniforms(2000) * 200_000_000).astype(np.int64)
    signal = Signal(t, 60.0 + np.cumsum(0.01 * (seed / "step").normals(t.size)))
    window, stop = 60_000_000, int(t[-1])
    toggles = beyond(signal, 59.95, under=True, window_ns=window, start=0, stop=stop)
    grid = np.arange(0, stop, 3_000_000, dtype=np.int64)
    means = (signal.integrals(grid) - signal.integrals(grid - window)) / (window * 1e-9)
    states = np.zeros(grid.size, dtype=bool)
    for at, state in toggles:
        states[np.searchsorted(grid, at) :] = state
    assert len(toggles) > 4
    np.testing.assert_array_equal(states, means < 59.95)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 0"):
        beyond(Signal.constant(60.0), 59.0, under=True, window_ns=0, start=0, stop=1)
