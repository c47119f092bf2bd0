"""Contacts over time: what a contactor makes of its coil, contacts in series, and what goes through them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.contacts import History, followed, in_series, switched
from emulator.timeline import Signal

histories = st.builds(
    lambda instants, first: History(tuple(sorted(instants)), first=first),
    st.sets(st.integers(0, 200), max_size=8),
    st.booleans(),
)
delays = st.integers(0, 40)


def test_a_contact_moves_where_it_is_told_and_a_later_word_replaces_what_was_planned() -> None:
    contact = History().moved(False, 10).moved(True, 20)
    assert [contact.at(at) for at in (9, 10, 19, 20)] == [True, False, False, True]
    assert contact.moved(False, 15) == History((10,))
    assert contact.moved(True, 10) == History()
    assert list(contact.moves()) == [(10, False), (20, True)]
    assert (contact.last(9), contact.last(10), contact.next(10), contact.next(20)) == (None, 10, 20, None)


@given(histories, st.integers(-10, 220), st.integers(0, 100))
def test_times_and_closings_are_those_counted_instant_by_instant(contact: History, start: int, length: int) -> None:
    stop = start + length
    assert contact.closed_ns(start, stop) == sum(contact.at(at) for at in range(start, stop))
    rises = sum(contact.at(at) and not contact.at(at - 1) for at in range(start + 1, stop + 1))
    assert contact.closings(start, stop) == rises


@given(histories, delays, delays)
def test_contacts_move_only_after_the_coil_has_stood_still_for_the_whole_delay(
    coil: History, open_ns: int, close_ns: int
) -> None:
    contacts = followed(coil, open_ns, close_ns)
    assert contacts.at(-1000) is coil.at(-1000)
    assert contacts.at(10_000) is coil.at(10_000)
    for at, closed in contacts.moves():
        delay = close_ns if closed else open_ns
        assert all(coil.at(t) is closed for t in range(at - delay, at))
        assert delay == 0 or coil.at(at - delay - 1) is not closed


@given(histories, delays)
def test_a_pulse_shorter_than_the_delay_moves_nothing(coil: History, delay: int) -> None:
    gaps = [b - a for a, b in pairwise(coil.instants)]
    if len(coil.instants) % 2 == 0 and all(gap < delay for gap in gaps):
        assert followed(coil, delay, delay).instants == ()


def test_a_gap_in_the_coils_voltage_is_ridden_through_up_to_the_drop_out_time() -> None:
    def gap(length: int) -> History:
        return History((100, 100 + length))

    assert followed(gap(24), 25, 35) == History()
    assert followed(gap(25), 25, 35) == History((125, 160))
    assert followed(gap(60), 25, 35) == History((125, 195))


@given(histories, histories)
def test_contacts_in_series_are_closed_where_both_are(one: History, other: History) -> None:
    both = in_series(one, other)
    assert all(both.at(at) is (one.at(at) and other.at(at)) for at in range(-2, 203))


@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(-50, 50)), min_size=1, max_size=6).map(
        lambda points: sorted(points, key=lambda point: point[0])
    ),
    histories,
)
def test_what_goes_through_a_contact_is_the_signal_while_it_is_closed(
    points: list[tuple[int, int]], contact: History
) -> None:
    signal = Signal([at for at, _ in points], [float(value) for _, value in points])
    through = switched(signal, contact)
    for at in range(-3, 206):
        assert through.at(at) == pytest.approx(signal.at(at) if contact.at(at) else 0.0, abs=1e-9)
    edges = sorted({-5, 210, *contact.instants})
    closed = sum(signal.integral(a, b) for a, b in pairwise(edges) if contact.at(a))
    assert through.integral(-5, 210) == pytest.approx(closed, abs=1e-15)
