"""A load behind an outlet: its own power while closed, none while open, and energy that is the integral."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator import loads
from emulator.contacts import History
from emulator.seed import Seed
from emulator.switched_load import SwitchedLoad
from emulator.timeline import Signal
from emulator.wire import SECOND

TRAINING = loads.ai_training(1000.0, 100 * SECOND, Seed(3))


def test_a_load_that_is_never_switched_is_what_it_was() -> None:
    load = SwitchedLoad(TRAINING)
    assert load.at(7 * SECOND) == TRAINING.at(7 * SECOND)
    assert load.integral(0, 50 * SECOND) == TRAINING.integral(0, 50 * SECOND)
    assert load.moves == ()


def test_it_draws_nothing_from_the_opening_to_the_closing() -> None:
    load = SwitchedLoad(Signal.constant(500.0))
    load.follow(History((10 * SECOND, 25 * SECOND)))
    assert [load.at(at * SECOND) for at in (0, 9, 10, 24, 25, 60)] == [500.0, 500.0, 0.0, 0.0, 500.0, 500.0]
    assert load.integral(0, 100 * SECOND) == pytest.approx(500.0 * 85)


def test_what_it_follows_last_counts() -> None:
    load = SwitchedLoad(Signal.constant(500.0))
    load.follow(History((30 * SECOND,)))
    load.follow(History((10 * SECOND, 20 * SECOND)))
    assert load.moves == ((10 * SECOND, False), (20 * SECOND, True))
    assert load.at(35 * SECOND) == 500.0


@given(st.lists(st.integers(1, 99), min_size=1, max_size=6, unique=True))
def test_energy_is_that_of_the_stretches_in_which_it_is_closed(instants: list[int]) -> None:
    load, energy = SwitchedLoad(TRAINING), 0.0
    moves = [at * SECOND for at in sorted(instants)]
    for number, (start, stop) in enumerate(pairwise([0, *moves, 100 * SECOND])):
        energy += TRAINING.integral(start, stop) if number % 2 == 0 else 0.0
    load.follow(History(tuple(moves)))
    assert load.integral(0, 100 * SECOND) == pytest.approx(energy, abs=1e-3)


def test_a_house_load_goes_in_straight_lines_from_point_to_point() -> None:
    load = loads.house(1.0, ((0, 100.0), (10 * SECOND, 100.0), (20 * SECOND, 300.0)))
    assert [load.at(at * SECOND) for at in (0, 10, 15, 20, 99)] == [100.0, 100.0, 200.0, 300.0, 300.0]
    assert loads.house(42.0).at(0) == 42.0
