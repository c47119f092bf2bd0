"""Relay contacts, read as discrete inputs by pymodbus in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from emulator.clock import Clock
from emulator.faulty_readings import published
from emulator.grid import Grid, SwingResponse
from emulator.modbus.tcp import PORT
from emulator.signals.contact import Contact, ContactModule, Input
from emulator.timeline import Signal
from emulator.wire import MILLISECOND, SECOND
from tests.emulator.signals.world import ADDRESS, NOMINAL_W, live, plan, profile

ORDERED = Input("dispatch", below=NOMINAL_W, pickup_ns=0)
UNDER = Input("frequency", below=59.85)


def contact(what: Input = ORDERED, *faults: dict[str, Any], signal: Signal | None = None) -> Contact:
    grid = Grid(60.0, NOMINAL_W)
    aimed = plan(*faults)
    signals = profile() if signal is None else {what.channel: signal}
    grid.play({n: published(aimed, n, s, interface="contacts", nominal=NOMINAL_W) for n, s in signals.items()}, 0)
    chatter = [*aimed.aimed(f"signal:{what.channel}", "signal"), *aimed.aimed("contacts", "signal")]
    return Contact(what, grid, chatter)


def edges(found: Contact, until_s: float = 1000) -> list[tuple[float, bool]]:
    return [(at / SECOND, state) for at, state in found.edges(round(until_s * SECOND))]


def test_a_master_reads_the_inputs_one_by_one_or_together() -> None:
    async def during(clock: Clock) -> list[list[bool]]:
        client = AsyncModbusTcpClient(ADDRESS, port=PORT)
        await client.connect()
        found = []
        for second in (59, 61, 901):
            await clock.sleep_until(second * SECOND)
            found.append((await client.read_discrete_inputs(0, count=2, device_id=1)).bits[:2])
        assert (await client.read_discrete_inputs(1, count=2, device_id=1)).exception_code == 2
        assert (await client.read_coils(0, count=1, device_id=1)).exception_code == 1
        client.close()
        return found

    module = ContactModule([contact(ORDERED), contact(UNDER)])
    assert live(lambda _: module.device(), during) == [[False, False], [True, True], [False, False]]


def test_a_relay_picks_up_after_its_time_and_drops_out_when_it_is_over() -> None:
    crossing = profile()["frequency"].first_crossing(59.85, falling=True, start=0, stop=100 * SECOND)
    assert crossing is not None
    (closed, opened) = edges(contact(UNDER))
    assert closed == (60.6 + 0.01, True)  # the scan after the crossing, and a pick-up of 100 ms
    assert opened[0] == pytest.approx(61 + 839 / 2, abs=0.02)


def test_a_dip_shorter_than_the_pick_up_is_not_noticed() -> None:
    dip = Signal.steps([(0, 60.0), (SECOND, 59.0), (SECOND + 90 * MILLISECOND, 60.0)])
    assert edges(contact(UNDER, signal=dip)) == []
    assert edges(contact(Input("frequency", below=59.85, pickup_ns=50 * MILLISECOND), signal=dip)) == [
        (1.05, True), (1.09, False),
    ]  # fmt: skip


def test_a_drop_out_time_rides_through_a_short_recovery() -> None:
    twice = Signal.steps([(0, 60.0), (SECOND, 59.0), (2 * SECOND, 60.0), (2 * SECOND + 300 * MILLISECOND, 59.0)])
    slow = Input("frequency", below=59.85, dropout_ns=500 * MILLISECOND)
    assert edges(contact(slow, signal=twice)) == [(1.1, True)]


def test_a_price_may_close_a_contact_from_above() -> None:
    assert edges(contact(Input("price", above=1000.0, pickup_ns=0))) == [(300.0, True), (900.0, False)]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "late", "by": "20 s"}, [(80.0, True), (920.0, False)]),
        ({"kind": "stale", "start": "30 s", "stop": "99 s"}, [(99.0, True), (900.0, False)]),
        ({"kind": "cancelled", "after": "20 s"}, [(60.0, True), (80.0, False), (600.0, True), (620.0, False)]),
        ({"kind": "reordered", "wait": "10 min", "stop": "61 s"}, [(600.0, True), (900.0, False)]),
        ({"kind": "duplicate", "stop": "61 s"}, [(60.0, True), (61.0, False), (61.05, True), (900.0, False)]),
    ],
)
@pytest.mark.parametrize("where", ["signal:dispatch", "contacts"])
def test_each_variant_moves_the_contact(where: str, fault: dict[str, Any], expected: list[tuple[float, bool]]) -> None:
    assert edges(contact(ORDERED, {"where": where, **fault})) == expected


def test_an_overlapping_order_closes_a_contact_for_deep_orders() -> None:
    deep = Input("dispatch", below=3e5, pickup_ns=0)
    overlapping = {"where": "contacts", "kind": "overlapping", "after": "20 s", "lasts": "30 s", "stop": "100 s"}
    assert edges(contact(deep)) == []
    assert edges(contact(deep, overlapping)) == [(80.0, True), (110.0, False)]


def test_a_small_system_is_read_as_the_site_moves_it() -> None:
    grid = Grid(60.0, NOMINAL_W)
    grid.close_loop(SwingResponse(60.0, 1e9, 1e7, lambda start, stop: 1e7 if start >= 5 * SECOND else 0.0))
    found = Contact(UNDER, grid)
    assert not found.closed(4 * SECOND)
    assert found.closed(120 * SECOND)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from([59.0, 60.0])), min_size=1, max_size=8),
    st.lists(st.integers(0, 3500), max_size=6), st.integers(0, 40), st.integers(0, 40),
)  # fmt: skip
def test_whoever_asks_in_between_changes_nothing(
    points: list[tuple[int, float]], asked: list[int], pickup: int, dropout: int
) -> None:
    signal = Signal.steps([(at * 10 * MILLISECOND, hz) for at, hz in sorted(dict(points).items())])
    what = Input("frequency", 59.85, None, pickup * 10 * MILLISECOND, dropout * 10 * MILLISECOND)
    often, once = contact(what, signal=signal), contact(what, signal=signal)
    for moment in sorted(asked):
        often.closed(moment * MILLISECOND)
    assert often.edges(4 * SECOND) == once.edges(4 * SECOND)
    states = [state for _, state in once.edges(4 * SECOND)]
    assert all(state is (place % 2 == 0) for place, state in enumerate(states))
