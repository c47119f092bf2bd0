"""The arithmetic of a measurement."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kernels.summary import NoSuchPeerError, Spread, peer_key, ratios, spread, summary

NEEDS = {"scan/shani": ("sha", "avx"), "scan/shani x2": ("sha", "avx"), "scan/avx2": ("avx2",), "scan/hashlib": ()}

rates = st.lists(st.floats(1e3, 1e9), min_size=1, max_size=30)


@given(values=rates)
def test_quartiles_stand_in_order_within_the_values(values: list[float]) -> None:
    found = spread(values)
    assert min(values) <= found.q1 <= found.median <= found.q3 <= max(values)


def test_the_spread_of_one_value_is_that_value() -> None:
    assert spread([5.0]) == Spread(5.0, 5.0, 5.0)


def test_ratios_are_taken_within_each_round_that_has_both(series: Any) -> None:
    ours = {record.round: record for record in series("shani", [10.0, 20.0, 90.0])}
    theirs = {record.round: record for record in series("hashlib", [1.0, 4.0])}
    assert ratios(ours, theirs) == pytest.approx([10.0, 5.0])


def test_a_peer_of_the_same_work_comes_before_the_one_that_stands_for_it() -> None:
    keys = ["scan/hashlib", "batch64/hashlib", "scan/avx2", "versions/avx2"]
    assert peer_key("batch64", "hashlib", keys) == "batch64/hashlib"
    assert peer_key("versions", "hashlib", keys) == "scan/hashlib"
    assert peer_key("versions", "avx2", keys) == "versions/avx2"


def test_a_peer_nobody_knows_is_told_with_those_there_are() -> None:
    with pytest.raises(NoSuchPeerError, match=r"'x' takes part for scan; there are hashlib, avx2$"):
        peer_key("scan", "x", ["scan/hashlib", "scan/avx2", "scan/avx2 x2"])


def test_a_row_has_best_median_ratio_cycles_share_and_scaling(series: Any, zen_4: Any) -> None:
    records = [
        *series("shani", [37e6, 18.5e6, 37e6]),
        *series("shani", [74e6, 37e6, 37e6], threads=2),
        *series("avx2", [15e6] * 3),
        *series("hashlib", [1e6, 0.5e6, 1.0e6]),
    ]
    rows = {row.key: row for row in summary(records, list(NEEDS), NEEDS, "hashlib", zen_4)}
    shani, two, avx2 = rows["scan/shani"], rows["scan/shani x2"], rows["scan/avx2"]
    assert (shani.best, shani.rate.median) == pytest.approx((37e6, 37e6))
    assert shani.peer_ratio.median == pytest.approx(37.0)
    assert shani.best_ratio == pytest.approx(37.0)
    assert (shani.cycles_best, shani.cycles_median) == pytest.approx((100.0, 100.0))
    assert shani.limit_share == pytest.approx(0.61)
    assert two.scaling is not None
    assert two.scaling.median == pytest.approx(2.0)
    assert two.cycles_best == pytest.approx(100.0)
    assert two.limit_share == pytest.approx(0.61)
    assert avx2.limit_share is None
    assert shani.scaling is None
    assert shani.against is None


def test_an_external_run_is_compared_with_the_rounds_around_it(series: Any, zen_4: Any) -> None:
    records = [*series("shani", [10e6, 10e6, 40e6, 40e6]), *series("hashlib", [1e6] * 4)]
    keys = ["scan/shani", "scan/hashlib"]
    rows = summary(records, keys, NEEDS, "hashlib", zen_4, [(range(2), 5e6), (range(2, 4), 20e6)])
    assert rows[0].against is not None
    assert rows[0].against.median == pytest.approx(2.0)
