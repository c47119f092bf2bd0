"""Reduction of series for display."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bench.report.thin import decode, encode, thin
from emulator.seed import Seed

S = 1_000_000_000
values = hnp.arrays(np.float64, st.integers(1, 400), elements=st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))))


@given(values, st.integers(4, 60))
def test_every_extreme_and_both_ends_survive_and_no_point_is_invented(value: np.ndarray, budget: int) -> None:
    t_ns = np.arange(value.size, dtype=np.int64) * 1000
    kept_ns, kept = thin(t_ns, value, budget=budget)
    assert kept_ns[0] == t_ns[0]
    assert kept_ns[-1] == t_ns[-1]
    assert np.array_equal(kept, value[np.searchsorted(t_ns, kept_ns)], equal_nan=True)
    if np.isfinite(value).any():
        assert np.nanmin(kept) == np.nanmin(value)
        assert np.nanmax(kept) == np.nanmax(value)


def test_ten_minutes_at_a_kilohertz_become_8000_points_with_every_spike_and_all_samples_at_the_event() -> None:
    t_ns = np.arange(600_000, dtype=np.int64) * 1_000_000
    value = (Seed(1) / "noise").normals_at(np.arange(t_ns.size, dtype=np.uint64))
    value[444_444] = 99.0
    kept_ns, kept = thin(t_ns, value, around=[300 * S])
    assert 4000 < kept.size <= 8100
    assert kept.max() == 99.0
    event = (kept_ns >= 300 * S) & (kept_ns < 301 * S)
    assert np.count_nonzero(event) == 1000


def test_many_events_share_the_budget() -> None:
    t_ns = np.arange(600_000, dtype=np.int64) * 1_000_000
    kept_ns, _ = thin(t_ns, np.sin(t_ns / S), around=[second * S for second in range(0, 600, 10)])
    assert kept_ns.size <= 8200


def test_a_gap_stays_a_gap() -> None:
    t_ns = np.arange(100_000, dtype=np.int64) * 1_000_000
    value = np.ones(t_ns.size)
    value[40_000:40_003] = np.nan
    kept_ns, kept = thin(t_ns, value, budget=500)
    assert np.isnan(kept[np.searchsorted(kept_ns, t_ns[40_000])])
    assert kept_ns.size < 600


def test_a_series_full_of_small_holes_still_fits_the_budget() -> None:
    t_ns = np.arange(100_000, dtype=np.int64) * 1_000_000
    value = np.where(np.arange(t_ns.size) % 3 == 0, np.nan, 1.0)
    assert thin(t_ns, value, budget=500)[0].size < 700


@settings(max_examples=50)
@given(values, st.sampled_from([1e-3, 0.5, 1.0]))
def test_a_coded_series_comes_back_to_within_half_a_quantum(value: np.ndarray, quantum: float) -> None:
    assert decode(encode(value, quantum)) == pytest.approx(value, abs=0.51 * quantum, nan_ok=True)
