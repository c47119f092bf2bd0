"""The feeder relay: when it trips by itself, what it obeys, and what its registers say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.breaker import Breaker, BreakerSpec
from emulator.grid import Grid, SwingResponse
from emulator.modbus.pdu import Responder
from emulator.modbus.products import ProductError
from emulator.protection.product import load_product
from emulator.protection.relay import ElementSetting, FeederRelay, Trip
from emulator.timeline import Signal
from emulator.wire import MILLISECOND as MS
from emulator.wire import SECOND as S
from emulator.wire import Instant

SEL = load_product("sel_751a")
OPEN_NS, CLOSE_NS = 50 * MS, 80 * MS
WINDOW_NS = 50 * MS
"""Three cycles at 60 Hz."""
UNDER = ElementSetting(59.5, 200 * MS)


class Feeder:
    """A feeder with 300 kW behind its breaker."""

    def __init__(self) -> None:
        self.breaker = Breaker(BreakerSpec(OPEN_NS, CLOSE_NS), lambda _since: None)

    def power_w(self, at: Instant) -> float:
        return 300_000.0 if self.breaker.closed(at) else 0.0

    def energy_j(self, start: Instant, stop: Instant) -> float:
        return 300_000.0 * self.breaker.contacts.closed_ns(max(0, start), stop) * 1e-9

    def voltage_v(self, at: Instant) -> float:
        return 240.0


def steps(*points: tuple[float, float]) -> Signal:
    """A staircase in seconds and hertz, 60 Hz at first."""
    return Signal.steps([(0, 60.0), *((round(at * S), hz) for at, hz in points)])


def relay(frequency: Signal, *elements: ElementSetting, voltage: Signal | None = None) -> tuple[FeederRelay, Feeder]:
    grid, feeder = Grid(60.0, 1e6), Feeder()
    one = FeederRelay(SEL, feeder, grid, elements or (UNDER,))
    grid.play({"frequency": frequency, **({} if voltage is None else {"voltage": voltage})}, 0)
    one.foresee(0)
    return one, feeder


def live(one: FeederRelay, until: Instant = 100 * S) -> list[Trip]:
    """Wake it when it wants to be, as a clock does."""
    for _ in range(20_000):
        wake = one.wake_ns()
        if wake is None or wake > until:
            return one.trips
        one.woken(wake)
    raise AssertionError("it never rests")


def ask(one: FeederRelay, request: str, now: Instant) -> str:
    return Responder(one).answer(bytes.fromhex(request), now).hex(" ")


# ---- by itself -----------------------------------------------------------------------------------------------------


def test_it_trips_at_pick_up_plus_delay_and_the_breaker_parts_its_own_time_later() -> None:
    one, feeder = relay(steps((10, 59.0)))
    picked_up = 10 * S + WINDOW_NS // 2 + 1  # half a window of 59 Hz brings the mean to 59.5; then it is below
    assert live(one) == [Trip(picked_up + 200 * MS, "81D1", picked_up + 200 * MS + OPEN_NS, picked_up)]
    parts = picked_up + 200 * MS + OPEN_NS
    assert [feeder.breaker.closed(at) for at in (parts - 1, parts)] == [True, False]


ramps = st.tuples(st.integers(1, 5000), st.integers(1, 400), st.integers(0, 60))


@settings(max_examples=40)
@given(ramps)
def test_on_a_ramp_the_instant_is_that_of_the_mean_to_the_nanosecond(ramp: tuple[int, int, int]) -> None:
    slope_ms, depth, delay = ramp
    start, stop = 10 * S, 10 * S + slope_ms * MS
    bottom = 59.5 - depth / 100
    one, _ = relay(Signal([0, start, stop], [60.0, 60.0, bottom]), ElementSetting(59.5, delay * 100 * MS))
    signal = Signal([0, start, stop], [60.0, 60.0, bottom])
    (trip,) = live(one)
    picked_up = trip.at_ns - delay * 100 * MS
    # a nanosecond is 1e-7 of a millihertz here; the mean from floats is good to 1e-6 of one
    assert signal.mean(picked_up - WINDOW_NS, picked_up) <= 59.5 + 1e-9
    assert signal.mean(picked_up - 2 - WINDOW_NS, picked_up - 2) >= 59.5 - 1e-9
    assert trip.parts_ns == trip.at_ns + OPEN_NS


@settings(max_examples=60)
@given(st.integers(1, 4000), st.floats(50.0, 60.0), st.integers(0, 20))
def test_it_never_trips_for_a_dip_above_pick_up_or_shorter_than_its_delay(
    length_ms: int, bottom: float, tenths: int
) -> None:
    dip = steps((10, bottom), (10 + length_ms / 1000, 60.0))
    one, feeder = relay(dip, ElementSetting(59.5, tenths * 100 * MS))
    trips = live(one)
    if bottom >= 59.5 or length_ms + 50 < 100 * tenths:
        assert trips == []
        assert feeder.breaker.closed(99 * S)
    elif length_ms > 100 * tenths + 50:
        assert len(trips) == 1


def test_two_dips_do_not_add_up() -> None:
    one, _ = relay(steps((10, 59.0), (10.15, 60.0), (10.3, 59.0), (10.45, 60.0)), UNDER)
    assert live(one) == []


def test_an_element_above_nominal_is_one_of_over_frequency() -> None:
    one, _ = relay(steps((10, 61.0)), ElementSetting(60.5, 0))
    assert [trip.at_ns for trip in live(one)] == [10 * S + WINDOW_NS // 2 + 1]
    assert live(relay(steps((10, 59.0)), ElementSetting(60.5, 0))[0]) == []


def test_without_voltage_there_is_no_frequency_to_measure() -> None:
    dead = Signal.steps([(0, 1.0), (5 * S, 0.1), (20 * S, 1.0)])
    one, _ = relay(steps((10, 59.0), (30, 60.0)), voltage=dead)
    assert [trip.at_ns for trip in live(one)] == [20 * S + 200 * MS]


def test_several_elements_trip_each_at_its_own_time_and_two_at_one_instant_are_one_trip() -> None:
    one, _ = relay(steps((10, 59.0)), ElementSetting(59.5, S), ElementSetting(59.5, S), ElementSetting(59.2, 500 * MS))
    assert [(trip.cause, trip.parts_ns is None) for trip in live(one)] == [("81D3", False), ("81D1+81D2", True)]


def test_in_a_small_system_it_follows_the_frequency_that_the_site_itself_makes() -> None:
    grid, feeder = Grid(60.0, 1e6), Feeder()
    surplus = SwingResponse(60.0, 2e6, 1e5, lambda start, _stop: 0.0 if start < 10 * S else 1e5)
    grid.close_loop(surplus)
    one = FeederRelay(SEL, feeder, grid, [ElementSetting(59.8, 200 * MS)])
    assert one.wake_ns() == surplus.step_ns
    (trip,) = live(one, 30 * S)
    crossed = next(at for at in range(10 * S, 30 * S, 5 * MS) if grid.mean_frequency_hz(at - WINDOW_NS, at) < 59.8)
    assert abs(trip.at_ns - 200 * MS - crossed) <= surplus.step_ns
    assert trip.parts_ns == trip.at_ns + OPEN_NS


def test_a_profile_that_is_played_later_replaces_what_was_foreseen() -> None:
    grid, feeder = Grid(60.0, 1e6), Feeder()
    one = FeederRelay(SEL, feeder, grid, [UNDER])
    changes: list[None] = []
    one.on_change = lambda: changes.append(None)
    assert one.wake_ns() is None
    grid.play({"frequency": Signal.steps([(0, 60.0), (S, 59.0)])}, 5 * S)
    one.foresee(3 * S)
    assert changes == [None]
    assert one.wake_ns() == 6 * S + WINDOW_NS // 2 + 1 + 200 * MS
    grid.play({"frequency": Signal.constant(60.0)}, 0)
    one.foresee(6 * S)
    assert one.wake_ns() is None


def test_more_settings_than_elements_are_refused() -> None:
    with pytest.raises(ValueError, match="4 elements, 5 are set"):
        FeederRelay(SEL, Feeder(), Grid(60.0, 1.0), [UNDER] * 5)
    with pytest.raises(ProductError, match="did you mean 'sel_751a'"):
        load_product("sel_751")


# ---- on command ----------------------------------------------------------------------------------------------------


def test_it_opens_and_closes_on_command_but_not_while_trip_is_asserted() -> None:
    one, feeder = relay(steps())
    assert ask(one, "06 2000 0002", S) == "06 20 00 00 02"
    assert not feeder.breaker.closed(S + OPEN_NS)
    assert ask(one, "03 070d 0002", S + 100 * MS) == "03 04 00 c0 00 00"  # ENABLED, TRIP; 52A open
    ask(one, "06 2000 0001", S + 400 * MS)  # within the minimum trip time
    assert not feeder.breaker.closed(2 * S)
    assert ask(one, "03 070d 0002", 2 * S) == "03 04 00 80 00 00"
    ask(one, "06 2000 0001", 2 * S)
    assert [feeder.breaker.closed(2 * S + at) for at in (CLOSE_NS - 1, CLOSE_NS)] == [False, True]
    assert one.trips == [Trip(S, "remote", S + OPEN_NS)]


def test_after_a_trip_it_recloses_only_when_the_frequency_is_back_and_keeps_its_targets_until_reset() -> None:
    one, feeder = relay(steps((10, 59.0), (30, 60.0)))
    live(one, 15 * S)
    assert ask(one, "04 0718 0001", 15 * S) == "04 02 00 80"  # 81D1T
    assert ask(one, "04 06f5 0001", 15 * S) == "04 02 00 02"  # trip status: frequency 81D1
    ask(one, "06 2000 0001", 15 * S)
    assert ask(one, "05 0001 ff00", 16 * S) == "05 00 01 ff 00"  # the output pulses, the breaker does not take it
    assert not feeder.breaker.closed(20 * S)
    assert ask(one, "04 0718 0001", 40 * S) == "04 02 00 00"
    ask(one, "10 2000 0001 02 0001", 40 * S)
    assert feeder.breaker.closed(41 * S)
    assert ask(one, "04 06f5 0001", 41 * S) == "04 02 00 02"
    assert ask(one, "06 2001 0001", 41 * S) == "06 20 01 00 01"
    assert ask(one, "04 06f5 0001", 41 * S) == "04 02 00 00"


def test_outputs_pulse_for_a_second_and_two_of_them_are_wired_to_the_breaker() -> None:
    one, feeder = relay(steps())
    assert ask(one, "05 0002 ff00", S) == "05 00 02 ff 00"
    assert ask(one, "01 0000 0003", S + 999 * MS) == "01 01 04"
    assert ask(one, "01 0000 0003", 2 * S) == "01 01 00"
    assert not feeder.breaker.closed(2 * S)
    ask(one, "05 0001 ff00", 3 * S)
    assert feeder.breaker.closed(4 * S)
    assert ask(one, "05 0000 0000", 5 * S) == "05 00 00 00 00"
    assert ask(one, "05 0003 ff00", 5 * S) == "85 02"


def test_settings_are_registers_and_a_new_setting_starts_the_timer_anew() -> None:
    one, _ = relay(steps((10, 59.0)), ElementSetting(58.0, S))
    assert ask(one, "03 0201 0006", S) == "03 0c 00 01 16 a8 00 0a 00 00 17 70 00 0a"
    assert live(one) == []
    assert ask(one, "06 0202 173e", 20 * S) == "06 02 02 17 3e"  # 59.50 Hz
    assert [trip.at_ns for trip in live(one)] == [21 * S]
    assert ask(one, "10 0204 0003 06 0001 173e 0002", 50 * S) == "10 02 04 00 03"
    assert [(trip.cause, trip.at_ns) for trip in live(one)[1:]] == [("81D2", 50 * S + 200 * MS)]
    ask(one, "06 2001 0002", 60 * S)  # factory settings: everything off
    assert ask(one, "03 0201 0001", 60 * S) == "03 02 00 00"


@pytest.mark.parametrize(
    ("request_hex", "reply_hex", "why"),
    [
        ("03 02b1 0001", "03 02 17 70", "60.00 Hz"),
        ("03 02ad 0004", "03 08 01 2c 00 2b 01 2f 00 63", "300 kW, 43 kvar, 303 kVA, 0.99"),
        ("03 028a 0001", "03 02 01 a5", "421 A"),
        ("03 029b 0001", "03 02 01 a0", "416 V between lines"),
        ("03 02a2 0001", "03 02 00 f0", "240 V to neutral"),
        ("04 02b2 0002", "04 04 00 00 00 00", "nothing yet has become a kilowatt-hour"),
        ("03 0000 0001", "03 02 00 00", "reserved"),
        ("03 0817 0001", "83 02", "past the last register"),
        ("03 2000 0001", "83 02", "write only"),
        ("06 0201 0002", "86 03", "neither on nor off"),
        ("06 0202 07cf", "86 03", "below 20 Hz"),
        ("06 028a 0001", "86 02", "a measured value"),
        ("06 2001 0020", "86 03", "a reserved bit"),
        ("02 0008 0001", "02 01 01", "52A is bit 0 of row 1"),
        ("02 0000 0008", "02 01 80", "row 0: enabled"),
        ("02 01f0 0001", "82 02", "there are 62 rows"),
        ("08 0000 1234", "08 00 00 12 34", "loopback"),
        ("08 0001 0000", "88 03", "no other subfunction"),
        ("2b 0e 01 00", "ab 01", "no function 43"),
        ("17 0201 0001 0201 0001 02 0001", "97 01", "no function 23"),
    ],
)
def test_it_answers_as_its_manual_says(request_hex: str, reply_hex: str, why: str) -> None:
    one, _ = relay(steps())
    assert ask(one, request_hex, 5 * S) == reply_hex, why


def test_it_counts_requests_and_mistakes() -> None:
    one, _ = relay(steps())
    for request in ("03 0817 0001", "06 0201 0002", "03 02b1 0001"):
        ask(one, request, S)
    assert ask(one, "03 06fd 0001", S) == "03 02 00 04"
    assert ask(one, "03 06ff 0001", S) == "03 02 00 01"
    assert ask(one, "03 0703 0002", S) == "03 04 00 01 00 01"
    ask(one, "06 2001 0010", S)
    assert ask(one, "03 06fd 0001", S) == "03 02 00 01"


def test_energy_is_that_of_the_feeder_and_can_be_reset() -> None:
    one, _ = relay(steps())
    assert one.value("energy_out_wh", 3600 * S) == pytest.approx(300_000.0)
    ask(one, "06 2001 0040", 3600 * S)
    assert one.value("energy_out_wh", 7200 * S) == pytest.approx(300_000.0)
    assert one.value("energy_in_wh", 7200 * S) == 0.0


@given(st.binary(min_size=1, max_size=253), st.integers(0, 100 * S))
def test_any_request_is_answered(request: bytes, now: Instant) -> None:
    one, _ = relay(steps((10, 59.0)))
    assert Responder(one).answer(request, now)
