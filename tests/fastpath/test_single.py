"""One row of a log and one draw of a stream: the same in C as in Python to the last bit, and what arrays would give."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import _pure_single

try:
    from fastpath import _single

    TWINS: list[Any] = [_single, _pure_single]
except ImportError:
    TWINS = [_pure_single]

each_twin = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: str(twin.__name__))
numbers = st.floats(-1e6, 1e6) | st.just(0.0)
instants = st.integers(-(10**13), 10**13)
keys = st.integers(0, 2**64 - 1)


@dataclass(frozen=True)
class Entry:
    row: int
    t0_ns: int
    base: float
    slope: float
    amp: float
    tau_s: float
    total: float


entries = st.builds(Entry, st.integers(0, 2), instants, numbers, numbers, numbers, st.floats(1e-3, 1e4), numbers)


def curve(twin: ModuleType, log: list[Entry], rows: int = 3) -> Any:
    latest, previous = np.full(rows, -1), []
    for place, entry in enumerate(log):
        previous.append(latest[entry.row])
        latest[entry.row] = place
    columns = [np.array([getattr(one, name) for one in log], dtype=float) for name in ("base", "slope", "amp")]
    columns += [np.array([one.tau_s for one in log]), np.array([one.total for one in log])]
    return twin.Curve(latest, np.array([one.t0_ns for one in log]), np.array(previous, dtype=np.int64), *columns)


def log_of(drawn: list[Entry]) -> list[Entry]:
    """Every row has an entry, and each row's are in the order of time."""
    firsts = [Entry(row, -(10**13), 1.0, 0.0, 0.0, 1.0, 0.0) for row in range(3)]
    return firsts + sorted(drawn, key=lambda one: one.t0_ns)


@pytest.mark.skipif(len(TWINS) < 2, reason="nothing is compiled here, so there is nothing to compare")
@given(st.lists(entries, max_size=6), st.integers(0, 2), instants, instants)
def test_the_twins_read_the_same_of_any_log(drawn: list[Entry], row: int, start: int, stop: int) -> None:
    c, python = (curve(twin, log_of(drawn)) for twin in TWINS)
    assert c.entry_at(row, start) == python.entry_at(row, start)
    assert c.value(row, start) == python.value(row, start)
    assert c.between(row, start, stop) == python.between(row, start, stop)


@pytest.mark.skipif(len(TWINS) < 2, reason="nothing is compiled here, so there is nothing to compare")
@given(st.lists(entries, max_size=6), st.integers(0, 2), instants, st.floats(1e-2, 1e3))
def test_the_twins_lag_alike(drawn: list[Entry], row: int, at: int, tau_s: float) -> None:
    c, python = (curve(twin, log_of(drawn)) for twin in TWINS)
    assert c.lagged(row, at, tau_s) == python.lagged(row, at, tau_s)


@each_twin
@pytest.mark.parametrize("tau_s", [0.5, 3.0, 20.0])
def test_a_lag_is_the_convolution_with_a_decay(twin: ModuleType, tau_s: float) -> None:
    second = 10**9
    log = [
        Entry(0, 0, 100.0, 0.0, 0.0, 1.0, 0.0),
        Entry(0, 5 * second, 20.0, 8.0, 0.0, 1.0, 0.0),
        Entry(0, 15 * second, 40.0, -1.0, 60.0, 3.0, 0.0),  # a decay as quick as one of the lags
        Entry(0, 21 * second, 0.0, 0.0, 0.0, 1.0, 0.0),
    ]
    made = curve(twin, log, rows=1)
    share = (np.arange(3000) + 0.5) * 5e-3
    for at_s in (-3, 2, 6, 14, 16, 20, 22, 60):
        seen = np.array([made.value(0, round((at_s - ago) * second)) for ago in (share * tau_s).tolist()])
        near = float(np.sum(seen * np.exp(-share)) * 5e-3)  # but for where in a step of the sum a jump lies
        assert made.lagged(0, at_s * second, tau_s) == pytest.approx(near, abs=0.3)


@each_twin
@given(drawn=st.lists(entries, max_size=6), row=st.integers(0, 2), at=instants)
def test_the_entry_of_an_instant_is_the_last_one_that_has_begun(
    twin: ModuleType, drawn: list[Entry], row: int, at: int
) -> None:
    log = log_of(drawn)
    mine = [place for place, entry in enumerate(log) if entry.row == row]
    begun = [place for place in mine if log[place].t0_ns <= at] or mine[:1]
    assert curve(twin, log).entry_at(row, at) == begun[-1]


@each_twin
def test_an_integral_is_that_of_the_values(twin: ModuleType) -> None:
    log = [Entry(0, 0, 100.0, 2.0, 50.0, 3.0, 7.0)]
    made = curve(twin, log, rows=1)
    steps = np.linspace(0, 20 * 10**9, 20_001).astype(np.int64).tolist()
    values = np.array([made.value(0, at) for at in steps])
    assert made.value(0, 0) == 150.0
    assert made.between(0, 0, steps[-1]) == pytest.approx(np.trapezoid(values, dx=1e-3), rel=1e-7)
    assert made.between(0, steps[-1], 0) == -made.between(0, 0, steps[-1])


@each_twin
def test_a_row_that_is_none_and_one_without_an_entry_are_refused(twin: ModuleType) -> None:
    made = curve(twin, [Entry(0, 0, 1.0, 0.0, 0.0, 1.0, 0.0)], rows=2)
    for row in (-1, 1, 2, 10**6):
        for look in (lambda row=row: made.value(row, 0), lambda row=row: made.between(row, 0, 1)):
            with pytest.raises(IndexError, match=f"row {row} "):
                look()


@pytest.mark.skipif(len(TWINS) < 2, reason="what is not compiled takes any numbers")
def test_columns_of_another_form_are_refused() -> None:
    good = [np.array([0]), np.array([0]), np.array([-1]), *(np.zeros(1) for _ in range(5))]
    for place, wrong in (
        (0, np.zeros(1, np.int32)),
        (1, np.zeros(1)),
        (3, np.zeros(1, np.int64)),
        (7, np.zeros(4)[::2]),
    ):
        with pytest.raises(ValueError, match=r"64 bits|contiguous"):
            TWINS[0].Curve(*good[:place], wrong, *good[place + 1 :])


@each_twin
def test_arrays_a_curve_was_made_of_are_looked_into_anew(twin: ModuleType) -> None:
    latest, base = np.array([0]), np.array([1.0, 2.0])
    zeros = np.zeros(2)
    made = twin.Curve(latest, np.array([0, 5]), np.array([-1, 0]), base, zeros, zeros, np.ones(2), zeros)
    assert made.value(0, 9) == 1.0
    latest[0], base[1] = 1, 3.0
    assert (made.value(0, 9), made.value(0, 4)) == (3.0, 1.0)


@each_twin
@given(key=keys, index=st.integers(0, 2**40))
def test_a_draw_is_the_streams_own_by_definition_of_splitmix64(twin: ModuleType, key: int, index: int) -> None:
    with np.errstate(over="ignore"):
        z = np.uint64(key) + (np.uint64(index) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    assert twin.uniform(key, index) == (float(z >> np.uint64(11)) + 0.5) * 2.0**-53


@pytest.mark.skipif(len(TWINS) < 2, reason="nothing is compiled here, so there is nothing to compare")
@given(keys, keys, st.integers(0, 2**40))
def test_the_twins_draw_the_same(radius: int, angle: int, index: int) -> None:
    c, python = TWINS
    assert c.normal(radius, angle, index) == python.normal(radius, angle, index)
