"""The breaker of a feeder: operating times, and which command it obeys when."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from emulator.breaker import Breaker, BreakerSpec

SPEC = BreakerSpec(open_ns=50, close_ns=80)


def breaker() -> tuple[Breaker, list[int]]:
    moved: list[int] = []
    return Breaker(SPEC, moved.append), moved


def test_it_opens_and_closes_after_its_own_times() -> None:
    one, moved = breaker()
    assert one.trip(1000) == 1050
    assert [one.closed(at) for at in (1000, 1049, 1050)] == [True, True, False]
    assert one.close(2000) == 2080
    assert [one.closed(at) for at in (2000, 2079, 2080)] == [False, False, True]
    assert moved == [1050, 2080]


def test_a_trip_cannot_be_called_back_and_a_close_command_meanwhile_does_nothing() -> None:
    one, _ = breaker()
    assert one.trip(1000) == 1050
    assert one.close(1020) is None
    assert one.trip(1030) == 1050
    assert not one.closed(5000)
    assert one.trip(2000) is None


def test_a_trip_while_it_closes_wins() -> None:
    one, _ = breaker()
    one.trip(0)
    assert one.close(1000) == 1080
    assert one.close(1040) == 1080
    assert one.trip(1050) is None
    assert not one.closed(5000)
    assert one.close(6000) == 6080


def test_contacts_can_be_put_at_an_instant_for_whatever_reason() -> None:
    one, moved = breaker()
    one.stand(False, 10)
    assert not one.closed(10)
    one.stand(True, 20)
    assert one.closed(20)
    assert moved == [10, 20]


@given(st.lists(st.tuples(st.integers(1, 100), st.booleans()), max_size=20))
def test_whatever_is_commanded_it_needs_its_times_between_two_moves(steps: list[tuple[int, bool]]) -> None:
    one, _ = breaker()
    now = 0
    for wait, close in steps:
        now += wait
        (one.close if close else one.trip)(now)
    instants = one.contacts.instants
    assert list(instants) == sorted(set(instants))
    assert all(b - a >= (SPEC.close_ns if n % 2 == 0 else SPEC.open_ns) for n, (a, b) in enumerate(pairwise(instants)))
