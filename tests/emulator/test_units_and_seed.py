"""Quantities as people write them, and seeds by path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.seed import Normals, Seed
from emulator.units import UnitError, duration_ns, parse


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [("250 ms", "s", 0.25), ("3.25 kW", "W", 3250), ("97 %", "fraction", 0.97), ("20 MW/min", "W/s", 20e6 / 60),
     ("-0.5 s", "s", -0.5), ("1e3 W", "W", 1000), ("59.85Hz", "Hz", 59.85)],
)  # fmt: skip
def test_a_quantity_is_read_in_its_unit(text: str, unit: str, value: float) -> None:
    assert parse(text, unit) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "unit", "what"),
    [("250", "s", "no unit"), (250, "s", "is not a quantity"), ("250 mss", "s", "did you mean 'ms'"),
     ("x W", "W", "is not a quantity"), ("1 Hz", "s", "unknown unit 'Hz'"), ("1e999 s", "s", "not a finite")],
)  # fmt: skip
def test_what_is_no_quantity_says_what_would_be(text: object, unit: str, what: str) -> None:
    with pytest.raises(UnitError, match=what):
        parse(text, unit)


def test_a_duration_is_integer_nanoseconds_and_not_negative() -> None:
    assert duration_ns("1.5 ms") == 1_500_000
    with pytest.raises(UnitError, match="cannot be negative"):
        duration_ns("-1 s")
    assert duration_ns("-1 s", negative=True) == -1_000_000_000


@pytest.mark.parametrize("text", ["1e300 s", "-1e18 s", "200000 d"])
def test_a_duration_that_64_bit_nanoseconds_do_not_hold_is_refused(text: str) -> None:
    with pytest.raises(UnitError, match=r"is too long; instants are 64 bit nanoseconds, write at most 3\.15e\+09 s"):
        duration_ns(text, negative=True)


@given(st.integers(0, 2**63), st.integers(1, 50), st.integers(1, 50))
def test_a_draw_belongs_to_its_index_whatever_the_count(root: int, few: int, many: int) -> None:
    seed = Seed(root) / "miner" / 3
    few, many = sorted((few, many))
    np.testing.assert_array_equal(seed.uniforms(few), seed.uniforms(many)[:few])
    np.testing.assert_array_equal(seed.normals(few), seed.normals(many)[:few])


@given(st.integers(0, 2**63), st.integers(0, 2**40))
def test_one_draw_is_the_array_s_draw_of_that_index(root: int, index: int) -> None:
    seed = Seed(root) / "miner" / 3
    assert seed.uniform(index) == seed.uniforms(1, start=index)[0]
    assert seed.normal(index) == pytest.approx(seed.normals(1, start=index)[0], rel=1e-12, abs=1e-12)


@given(st.integers(0, 2**64), st.lists(st.text(max_size=4), max_size=4), st.integers(0, 2**40))
def test_normals_of_kept_keys_are_the_nodes_own(root: int, names: list[str], index: int) -> None:
    seeds = [Seed(root) / name for name in names]
    kept = Normals(seeds)
    assert [kept.draw(place, index) for place in range(len(seeds))] == [seed.normal(index) for seed in seeds]


def test_children_differ_by_path_and_by_type_of_step() -> None:
    keys = {(Seed(1) / step).key for step in ("1", 1, "a", "b", 2)} | {Seed(1).key, Seed(2).key}
    assert len(keys) == 7


def test_draws_have_the_distribution_they_promise() -> None:
    seed = Seed(5) / "x"
    assert seed.uniforms(100_000).mean() == pytest.approx(0.5, abs=0.005)
    normals = seed.normals(100_000)
    assert normals.mean() == pytest.approx(0.0, abs=0.02)
    assert normals.std() == pytest.approx(1.0, abs=0.02)
    assert seed.rng().integers(0, 10**9) == (Seed(5) / "x").rng().integers(0, 10**9)
