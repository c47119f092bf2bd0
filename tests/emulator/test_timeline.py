"""Signals and the segment log: exactness against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.timeline import FIELDS, SegmentLog, Signal

S = 1_000_000_000

points = st.lists(
    st.tuples(st.integers(0, 50), st.floats(-1e6, 1e6, allow_nan=False, width=32)), min_size=1, max_size=12
).map(lambda pairs: sorted(pairs, key=lambda pair: pair[0]))


def make(pairs: list[tuple[int, float]]) -> Signal:
    return Signal([t * S for t, _ in pairs], [v for _, v in pairs])


def test_a_step_holds_the_later_value_at_its_instant() -> None:
    signal = Signal([0, 10, 10, 20], [1, 1, 3, 5])
    assert [signal.at(t) for t in (-5, 9, 10, 15, 20, 99)] == [1, 1, 3, 4, 5, 5]


@given(points, st.integers(-10 * S, 60 * S))
def test_sampling_many_instants_equals_asking_one_by_one(pairs: list[tuple[int, float]], at: int) -> None:
    signal = make(pairs)
    assert signal.sample(np.array([at]))[0] == pytest.approx(signal.at(at), rel=1e-9, abs=1e-6)


@given(points, st.integers(-5, 55), st.integers(-5, 55), st.integers(-5, 55))
def test_integrals_add_up_over_a_split(pairs: list[tuple[int, float]], a: int, b: int, c: int) -> None:
    signal = make(pairs)
    whole = signal.integral(a * S, c * S)
    assert signal.integral(a * S, b * S) + signal.integral(b * S, c * S) == pytest.approx(whole, rel=1e-9, abs=1e-3)


@given(points, st.integers(0, 40), st.integers(1, 15))
def test_the_mean_lies_between_the_extremes(pairs: list[tuple[int, float]], start: int, length: int) -> None:
    signal = make(pairs)
    assert signal.value.min() - 1e-3 <= signal.mean(start * S, (start + length) * S) <= signal.value.max() + 1e-3


@given(points)
def test_integrals_of_many_instants_equal_single_ones(pairs: list[tuple[int, float]]) -> None:
    signal = make(pairs)
    t = np.arange(-5, 60, 3, dtype=np.int64) * S
    singles = [signal.integral(int(signal.t_ns[0]), int(at)) for at in t]
    np.testing.assert_allclose(signal.integrals(t), singles, rtol=1e-9, atol=1e-3)


def test_a_crossing_on_a_slope_is_exact_and_on_a_step_is_the_step() -> None:
    slope = Signal([0, 10 * S], [50.0, 49.0])
    assert slope.first_crossing(49.7, falling=True, start=0, stop=10 * S) == pytest.approx(3 * S, abs=2)
    step = Signal([0, 5 * S, 5 * S], [60.0, 60.0, 59.8])
    assert step.first_crossing(59.85, falling=True, start=0, stop=9 * S) == 5 * S
    assert step.first_crossing(59.70, falling=True, start=0, stop=9 * S) is None


@pytest.mark.parametrize(
    ("t_ns", "value", "what"),
    [([], [], "at least one"), ([0, 1], [1.0], "same length"), ([1, 0], [1, 2], "go back"), ([0], [np.nan], "finite")],
)
def test_a_signal_that_is_none_is_refused(t_ns: list[int], value: list[float], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Signal(t_ns, value)


entry = st.tuples(
    st.integers(0, 3), st.integers(1, 40), st.floats(0, 4000), st.floats(-50, 50), st.floats(-2000, 2000),
    st.sampled_from([0.3, 2.0, 20.0]),
)  # fmt: skip


def build(entries: list[tuple[int, int, float, float, float, float]]) -> SegmentLog:
    log = SegmentLog(4, capacity=2)
    zero = np.zeros(4)
    rows = np.arange(4)
    log.append(
        rows, t0_ns=0, base_w=zero + 3000, slope_w=zero, amp_w=zero, tau_s=1.0, base_ths=zero, slope_ths=zero,
        amp_ths=zero, joules=zero, work=zero, phase=2,
    )  # fmt: skip
    when = dict.fromkeys(range(4), 0)
    for row, after, base, slope, amp, tau in entries:
        when[row] += after * S // 4
        at, r = np.array([when[row]]), np.array([row])
        joules = log.total(log.latest[r], at)
        log.append(
            r, t0_ns=at, base_w=base, slope_w=slope, amp_w=amp, tau_s=tau, base_ths=0.0, slope_ths=0.0, amp_ths=0.0,
            joules=joules, work=0.0, phase=2,
        )  # fmt: skip
    return log


@given(st.lists(entry, max_size=15))
def test_series_equal_the_sum_of_single_evaluations(entries: list[tuple[int, int, float, float, float, float]]) -> None:
    log = build(entries)
    rows = np.arange(4)
    weight = np.array([1.0, 1.02, 0.5, 2.0])
    t = np.arange(0, 60 * S, S // 7, dtype=np.int64)
    power = [float(weight @ log.evaluate(log.entries_at(rows, int(at)), int(at))) for at in t]
    energy = [float(weight @ log.total(log.entries_at(rows, int(at)), int(at))) for at in t]
    np.testing.assert_allclose(log.power_series(t, weight), power, rtol=1e-9, atol=1e-5)
    np.testing.assert_allclose(log.energy_series(t, weight), energy, rtol=1e-9, atol=1e-3)


@given(st.lists(entry, max_size=15), st.integers(0, 90), st.integers(0, 90))
def test_the_form_of_the_newest_entries_is_their_sum(
    entries: list[tuple[int, int, float, float, float, float]], after_s: int, lasts_s: int
) -> None:
    log = build(entries)
    form = log.form(log.latest)
    assert form.since_ns == int(log.column("t0_ns")[log.latest].max())
    start = form.since_ns + after_s * S
    stop = start + lasts_s * S
    first, last = (log.total(log.latest, at) for at in (start, stop))
    assert form.total(stop) == pytest.approx(float(last.sum()), rel=1e-9, abs=1e-3)
    assert form.between(start, stop) == pytest.approx(float((last - first).sum()), rel=1e-9, abs=1e-3)


@given(st.lists(entry, max_size=10))
def test_a_log_restored_from_its_columns_is_the_same_log(
    entries: list[tuple[int, int, float, float, float, float]],
) -> None:
    log = build(entries)
    again = SegmentLog.restore(4, {name: log.column(name).copy() for name in FIELDS})
    t = np.arange(0, 30 * S, S, dtype=np.int64)
    np.testing.assert_array_equal(again.power_series(t), log.power_series(t))
    np.testing.assert_array_equal(again.latest, log.latest)
