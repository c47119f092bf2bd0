"""The garbage collector and a rig."""

from __future__ import annotations

import gc

import pytest

from bench.collection import keep, let_go, standing


def test_what_is_built_inside_is_not_looked_at_until_it_is_let_go() -> None:
    gc.collect()
    with standing():
        assert not gc.isenabled()
        built = [[number] for number in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(built)
    let_go()
    assert gc.get_freeze_count() == 0


def test_a_build_that_fails_leaves_the_collector_as_it_was() -> None:
    with pytest.raises(ValueError, match="no rig"), standing():
        raise ValueError("no rig")
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_where_lateness_counts_the_collector_looks_often_and_what_has_come_to_stay_is_kept_out_of_it() -> None:
    before = gc.get_threshold()
    with standing(prompt=True):
        pass
    assert gc.get_threshold()[0] <= 1000
    come = [[number] for number in range(1000)]
    keep()
    assert gc.get_freeze_count() >= len(come)
    let_go()
    assert gc.get_threshold() == before
