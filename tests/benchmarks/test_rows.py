"""The arithmetic of benchmark rows. No speed is asserted."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks import __main__ as command
from benchmarks.rows import Duel, Row, alternate


def test_a_rate_is_better_the_more_work_a_call_does_in_its_time() -> None:
    row = Duel(ours_s=0.5, peer_s=1.0, ratio=2.0).as_rate("scan", "hashlib", "MH/s", 3.0, peer_amount=1.5)
    assert row == Row("scan", 6.0, "MH/s", "hashlib", 1.5, 4.0)


def test_a_duration_is_better_the_shorter_it_is() -> None:
    row = Duel(ours_s=0.5, peer_s=1.0, ratio=2.0).as_duration("query", "stepping", "ms", 1e3)
    assert row == Row("query", 500.0, "ms", "stepping", 1_000.0, 2.0)


def test_the_two_sides_go_first_in_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    alternate(lambda: calls.append("ours"), lambda: calls.append("peer"), rounds=3)
    assert calls == ["ours", "peer", "ours", "peer", "peer", "ours", "ours", "peer"]


def test_the_written_row_has_the_six_documented_keys() -> None:
    keys = [field.name for field in dataclasses.fields(Row)]
    assert keys == ["name", "value", "unit", "peer", "peer_value", "ratio"]


@pytest.mark.parametrize("name", command.names())
def test_every_benchmark_module_can_hand_in_rows(name: str) -> None:
    module = command.importlib.import_module(f"benchmarks.bench_{name}")
    assert callable(module.rows)
