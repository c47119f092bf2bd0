"""Regressions: told when they are there, not told when only the machine was busier."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels.compare import compare, interval
from emulator.seed import Seed

SEED = Seed(1)


def noisy(level: float, seed: int, rounds: int = 60) -> list[float]:
    drawn = (Seed(seed) / "noise").uniforms(rounds)
    return [level * (1.0 - 0.05 * float(share)) for share in drawn]


@settings(deadline=None, max_examples=20)
@given(scale=st.floats(0.2, 5.0), seed=st.integers(0, 100))
def test_the_interval_scales_with_the_rates(scale: float, seed: int) -> None:
    values = noisy(1.0, seed)
    low, high = interval([scale * value for value in values], values, SEED)
    assert low <= scale * (1 + 1e-9)
    assert high >= scale * (1 - 1e-9)
    same_low, same_high = interval(values, values, SEED)
    assert (low, high) == pytest.approx((scale * same_low, scale * same_high))


def test_the_interval_of_a_constant_is_its_ratio() -> None:
    assert interval([2.0] * 30, [4.0] * 20, SEED) == (0.5, 0.5)


def test_the_interval_follows_from_the_seed() -> None:
    now, then = noisy(1.0, 1), noisy(1.1, 2)
    assert interval(now, then, SEED) == interval(now, then, SEED)


def test_long_spells_of_noise_widen_the_interval() -> None:
    """The same values, but in spells: fewer independent draws, so less is known."""
    mixed, spells = [1.0, 0.6] * 32, [1.0] * 33 + [0.6] * 31
    low, high = interval(spells, [1.0] * 10, SEED)
    close = interval(mixed, [1.0] * 10, SEED)
    assert high - low >= close[1] - close[0]


def test_a_kernel_that_lost_a_fifth_is_a_regression(series: Any) -> None:
    then = [*series("shani", noisy(40e6, 1)), *series("hashlib", noisy(1e6, 2))]
    now = [*series("shani", noisy(32e6, 3)), *series("hashlib", noisy(1e6, 4))]
    (change,) = compare(now, then, "hashlib")
    assert change.regression
    assert not change.gain
    assert change.low < change.ratio < change.high < 0.95
    (back,) = compare(then, now, "hashlib")
    assert back.gain
    assert not back.regression


def test_a_busier_machine_is_no_regression_by_ratio_and_is_one_by_rate(series: Any) -> None:
    then = [*series("shani", noisy(40e6, 1)), *series("hashlib", noisy(1e6, 2))]
    now = [*series("shani", noisy(28e6, 3)), *series("hashlib", noisy(0.7e6, 4))]
    assert [change.regression for change in compare(now, then, "hashlib")] == [False]
    assert [change.regression for change in compare(now, then, "hashlib", by="rate")] == [True, True]


def test_a_kernel_whose_best_is_what_it_was_is_slower_under_load_only(series: Any) -> None:
    then = [*series("avx2", [15e6] * 60), *series("hashlib", [1e6] * 60)]
    now = [*series("avx2", [15e6] * 6 + [10e6] * 54), *series("hashlib", [1e6] * 60)]
    (change,) = compare(now, then, "hashlib")
    assert change.under_load
    assert not change.regression
    assert change.best_ratio == pytest.approx(1.0)


def test_a_loss_within_the_tolerance_is_none(series: Any) -> None:
    then = [*series("shani", [40e6] * 20), *series("hashlib", [1e6] * 20)]
    now = [*series("shani", [38.4e6] * 20), *series("hashlib", [1e6] * 20)]
    assert not compare(now, then, "hashlib")[0].regression
    assert compare(now, then, "hashlib", tolerance=0.03)[0].regression


def test_only_kernels_in_both_are_compared(series: Any) -> None:
    then = [*series("avx2", [15e6] * 5), *series("hashlib", [1e6] * 5)]
    now = [*series("shani", [40e6] * 5), *series("hashlib", [1e6] * 5)]
    assert compare(now, then, "hashlib") == []
