"""Messages of the operator: what a profile's signals say when they are told one by one."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.clock import VIRTUAL_EPOCH
from emulator.signals.notices import Bulletin, Notice, Order, Price, Terms, changes, day_ahead, orders, prices
from emulator.timeline import Signal
from emulator.wire import MINUTE, SECOND
from tests.emulator.signals.world import NOMINAL_W, profile, seconds, told


def orders_of(found: list[Notice]) -> list[tuple[float, str, int, float, float | None]]:
    """(arrives, id, revision, kW, end) of every order message."""
    return [
        (n.at_ns / SECOND, n.body.id, n.body.revision, n.body.setpoint_w / 1e3,
         None if n.body.stop_ns is None else n.body.stop_ns / SECOND)
        for n in found if isinstance(n.body, Order)
    ]  # fmt: skip


def test_a_step_is_an_order_and_ends_the_one_before_it() -> None:
    assert orders_of(told()) == [
        (60.0, "order-0001", 1, 400.0, None),
        (600.0, "order-0001", 2, 400.0, 600.0),
        (600.0, "order-0002", 1, 700.0, None),
        (900.0, "order-0002", 2, 700.0, 900.0),
    ]


def test_an_operator_may_speak_ahead_and_tell_the_end() -> None:
    assert orders_of(told(Terms(ahead_ns=50 * SECOND, tells_end=True))) == [
        (10.0, "order-0001", 1, 400.0, 600.0),
        (550.0, "order-0002", 1, 700.0, 900.0),
    ]
    first = told(Terms(ahead_ns=50 * SECOND))[1].body
    assert isinstance(first, Order)
    assert (first.issued_ns, first.start_ns) == (10 * SECOND, 60 * SECOND)
    assert [first.status(at * SECOND) for at in (10, 60)] == ["pending", "active"]


def test_a_slope_is_one_order_with_the_time_it_takes() -> None:
    slope = Signal([0, 100 * SECOND, 340 * SECOND, 600 * SECOND, 700 * SECOND], [1e6, 1e6, 5e5, 5e5, 1e6])
    down, ended, up = (notice.body for notice in orders(slope, NOMINAL_W, Terms()))
    assert isinstance(down, Order)
    assert isinstance(up, Order)
    assert isinstance(ended, Order)
    assert (down.start_ns, down.ramp_ns, down.setpoint_w, down.stop_ns) == (100 * SECOND, 240 * SECOND, 5e5, None)
    assert (ended.id, ended.stop_ns) == (down.id, 600 * SECOND)
    assert (up.start_ns, up.ramp_ns, up.setpoint_w, up.stop_ns) == (600 * SECOND, 100 * SECOND, 1e6, 700 * SECOND)


def test_an_order_that_stands_at_the_beginning_is_told_at_once() -> None:
    held = Signal.steps([(0, 3e5), (50 * SECOND, NOMINAL_W)])
    assert orders_of(list(orders(held, NOMINAL_W, Terms()))) == [
        (0.0, "order-0000", 1, 300.0, None),
        (50.0, "order-0000", 2, 300.0, 50.0),
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4000), st.sampled_from([1e5, 4e5, 7e5, 1e6])), max_size=12))
def test_whoever_obeys_the_messages_consumes_what_the_signal_allows(points: list[tuple[int, float]]) -> None:
    at = sorted({second: watts for second, watts in points if second}.items())
    signal = Signal.steps([(0, NOMINAL_W), *((second * SECOND, watts) for second, watts in at)])
    bulletin = Bulletin(orders(signal, NOMINAL_W, Terms()))
    for second in range(0, 4001, 37):
        now = second * SECOND
        active = [
            n.body.setpoint_w
            for n in bulletin.standing(now, "dispatch")
            if isinstance(n.body, Order) and n.body.status(now) == "active"
        ]
        assert len(active) <= 1
        assert (active or [NOMINAL_W])[0] == signal.at(now)


def test_changes_are_counted_whatever_their_form() -> None:
    assert [(c.number, c.before_w, c.after_w) for c in changes(profile()["dispatch"])] == [
        (1, 1e6, 4e5), (2, 4e5, 7e5), (3, 7e5, 1e6),
    ]  # fmt: skip


def test_prices_lie_on_the_marks_of_the_clock() -> None:
    epoch = datetime(2025, 6, 1, 13, 2, 30, tzinfo=UTC)
    found = list(prices(profile()["price"], 0, 15 * MINUTE, epoch, 5 * MINUTE))
    bodies = [notice.body for notice in found]
    assert all(isinstance(body, Price) for body in bodies)
    assert [(n.at_ns / SECOND, n.body.start_ns / SECOND) for n in found if isinstance(n.body, Price)] == [
        (0.0, -150.0), (150.0, 150.0), (450.0, 450.0), (750.0, 750.0),
    ]  # fmt: skip
    assert [body.usd_per_mwh for body in bodies if isinstance(body, Price)] == [30.0, 30.0, 2500.0, 2500.0]


def test_the_day_ahead_knows_nothing_of_the_event() -> None:
    hours = day_ahead(profile()["price"], 40 * MINUTE, VIRTUAL_EPOCH)
    assert len(hours) == 24
    assert {hour.usd_per_mwh for hour in hours} == {30.0}
    assert np.all(np.diff([hour.start_ns for hour in hours]) == 60 * MINUTE)
    assert hours[0].start_ns == 0


def test_a_bulletin_gives_what_has_come_and_when_the_next_comes() -> None:
    bulletin = Bulletin(told())
    assert seconds(bulletin.until(60 * SECOND, "dispatch")) == [(60.0, "order-0001")]
    assert bulletin.next_ns(60 * SECOND) == 300 * SECOND
    assert bulletin.count(59 * SECOND) == 1
    assert Bulletin().next_ns(0) is None


def test_the_last_message_to_come_stands_even_when_it_is_an_older_one() -> None:
    first, ended = (n for n in told() if n.body.id == "order-0001")
    swapped = Bulletin([Notice(10, "dispatch", ended.body), Notice(20, "dispatch", first.body)])
    (standing,) = swapped.standing(30, "dispatch")
    assert standing.body == first.body
