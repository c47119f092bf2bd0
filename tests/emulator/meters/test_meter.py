from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import Refresh, load_product
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import MILLISECOND, SECOND, Send

SDM630 = load_product("eastron_sdm630")
FREQUENCY, POWER, IMPORT, EXPORT = 0x46, 0x34, 0x48, 0x4A


class Point:
    """A point with a power and a voltage that are signals."""

    def __init__(self, power: Signal, voltage: Signal | None = None) -> None:
        self.power, self.voltage = power, voltage or Signal.constant(240.0)
        self.energy_queries = 0

    def power_w(self, at):
        assert at >= 0
        return self.power.at(at)

    def energy_j(self, start, stop):
        assert 0 <= start <= stop
        self.energy_queries += 1
        return self.power.integral(start, stop)

    def voltage_v(self, at):
        assert at >= 0
        return self.voltage.at(at)


def make_grid(frequency: Signal | None = None) -> Grid:
    grid = Grid(60.0, 1e6)
    if frequency is not None:
        grid.play({"frequency": frequency}, 0)
    return grid


def make_meter(power: Signal | float = 1e6, frequency: Signal | None = None, **options) -> Meter:
    signal = power if isinstance(power, Signal) else Signal.constant(power)
    return Meter(SDM630, Point(signal), make_grid(frequency), **options)


def shown(meter: Meter, address: int, now: int) -> float:
    return struct.unpack(">f", meter.read_input_registers(address, 2, now))[0]


def ask(meter: Meter, request: str, now: int = 0) -> str:
    adu = bytes.fromhex("0001 0000") + struct.pack(">H", len(bytes.fromhex(request)) + 1) + b"\x01"
    (sent,) = meter.device().converse(502, "", now).received(adu + bytes.fromhex(request), now)
    assert isinstance(sent, Send)
    return sent.data[7:].hex(" ")


@st.composite
def signals(draw, low=-2e6, high=2e6):
    """Piecewise-linear signals with steps, over about ten seconds."""
    gaps = draw(st.lists(st.integers(0, 2 * SECOND), min_size=1, max_size=8))
    levels = draw(st.lists(st.floats(low, high, allow_nan=False), min_size=len(gaps), max_size=len(gaps)))
    t, instants = 0, []
    for gap in gaps:
        t += gap
        instants.append(t)
    return Signal(instants, levels)


instants = st.integers(0, 12 * SECOND)
phases = st.integers(0, 10**9)


@settings(deadline=None)
@given(signals(), instants, phases)
def test_power_is_the_mean_of_the_true_power_over_the_window_that_ends_at_the_last_tick(power, now, phase):
    meter = make_meter(power, phase_ns=phase)
    tick = now - (now - phase) % (200 * MILLISECOND)
    start = max(0, tick - 200 * MILLISECOND)
    expected = power.mean(start, tick) if tick > start else power.at(0)
    assert meter.value("power_w", now) == pytest.approx(expected, rel=1e-9, abs=1e-3)
    assert shown(meter, POWER, now) == pytest.approx(expected, rel=1e-6, abs=1e-3)


@settings(deadline=None)
@given(signals(59.0, 61.0), instants, phases)
def test_frequency_lags_by_its_own_window_and_stands_on_the_meters_resolution(frequency, now, phase):
    meter = make_meter(frequency=frequency, phase_ns=phase)
    tick = now - (now - phase) % (100 * MILLISECOND)
    start = max(0, tick - 100 * MILLISECOND)
    expected = frequency.mean(start, tick) if tick > start else frequency.at(0)
    assert abs(shown(meter, FREQUENCY, now) - expected) <= 0.005 + 1e-5
    hundredths = shown(meter, FREQUENCY, now) * 100
    assert abs(hundredths - round(hundredths)) < 1e-3


@settings(deadline=None)
@given(signals(), signals(59.0, 61.0), phases, st.lists(instants, min_size=2, max_size=20))
def test_every_register_stands_still_between_ticks(power, frequency, phase, moments):
    meter = make_meter(power, frequency, phase_ns=phase)
    seen: dict[tuple[int, int], bytes] = {}
    for now in sorted(moments):
        tick = (now - phase) // (200 * MILLISECOND), (now - phase) // (100 * MILLISECOND)
        image = meter.read_input_registers(0, 80, now)
        assert seen.setdefault(tick, image) == image


@settings(deadline=None)
@given(signals(), st.lists(instants, min_size=1, max_size=10), phases)
def test_what_is_shown_does_not_depend_on_who_asked_before(power, moments, phase):
    polled = make_meter(power, phase_ns=phase, exports=True)
    for now in sorted(moments):
        image = polled.read_input_registers(0, 80, now)
        fresh = make_meter(power, phase_ns=phase, exports=True)
        values = struct.unpack(">40f", image)
        assert values == pytest.approx(
            struct.unpack(">40f", fresh.read_input_registers(0, 80, now)), rel=1e-6, abs=1e-3
        )


def test_a_step_shows_half_at_the_tick_in_whose_window_it_falls_half_way():
    step = Signal([0, SECOND - 100 * MILLISECOND, SECOND - 100 * MILLISECOND], [1e6, 1e6, 0.0])
    meter = make_meter(step)
    assert shown(meter, POWER, SECOND - 1) == 1e6
    assert shown(meter, POWER, SECOND) == 5e5
    assert shown(meter, POWER, SECOND + 200 * MILLISECOND) == 0.0


def test_an_under_frequency_step_is_first_seen_after_the_update_period():
    collapse = Signal([0, 1030 * MILLISECOND, 1030 * MILLISECOND], [60.0, 60.0, 59.7])
    meter = make_meter(frequency=collapse)
    seen = next(now for now in range(SECOND, 2 * SECOND, MILLISECOND) if shown(meter, FREQUENCY, now) <= 59.85)
    assert seen == 1100 * MILLISECOND


def test_the_lines_share_the_power_and_the_totals_agree():
    meter, now = make_meter(300e3), SECOND
    v, i, pf = meter.value("voltage_l1_v", now), meter.value("current_l1_a", now), meter.value("power_factor", now)
    assert v == 240.0
    assert 3 * v * i * pf == pytest.approx(300e3)
    assert sum(meter.value(f"power_l{line}_w", now) for line in (1, 2, 3)) == pytest.approx(300e3)
    s, q = meter.value("apparent_va", now), meter.value("reactive_var", now)
    assert math.hypot(300e3, q) == pytest.approx(s)
    assert meter.value("voltage_l1_l2_v", now) == pytest.approx(415.69, abs=0.01)


def test_a_dead_bus_has_no_current():
    meter = Meter(SDM630, Point(Signal.constant(0.0), Signal.constant(0.0)), make_grid())
    assert meter.value("current_l1_a", SECOND) == 0.0


def test_feeding_in_turns_the_sign_of_power_and_power_factor():
    meter = make_meter(-1e5)
    assert meter.value("power_w", SECOND) == pytest.approx(-1e5)
    assert meter.value("power_factor", SECOND) < 0


def test_counters_count_kilowatt_hours_and_roll_over():
    meter = make_meter(3.6e6)
    assert shown(meter, IMPORT, 1000 * SECOND) == pytest.approx(1000.0)
    assert shown(meter, EXPORT, 1000 * SECOND) == 0.0
    huge = make_meter(3.6e9)
    assert huge.value("import_kwh", 1001 * SECOND) == pytest.approx(1_001_000.0)
    assert shown(huge, IMPORT, 1001 * SECOND) == pytest.approx(1000.0)


def test_import_and_export_are_counted_apart_where_power_flows_both_ways():
    there_and_back = Signal([0, 10 * SECOND, 10 * SECOND], [3.6e6, 3.6e6, -1.8e6])
    meter = make_meter(there_and_back, exports=True)
    now = 20 * SECOND
    assert meter.value("import_kwh", now) == pytest.approx(10.0)
    assert meter.value("export_kwh", now) == pytest.approx(5.0)
    assert meter.value("total_kwh", now) == pytest.approx(15.0)
    assert meter.value("import_kwh", 5 * SECOND) == pytest.approx(5.0)


def test_demand_is_the_mean_over_the_demand_period():
    meter = make_meter(Signal([0, 600 * SECOND, 600 * SECOND], [0.0, 0.0, 600e3]))
    assert meter.value("demand_w", 1200 * SECOND) == pytest.approx(300e3)
    assert ask(meter, "10 0002 0002 04" + struct.pack(">f", 5.0).hex()) == "10 00 02 00 02"
    assert meter.value("demand_w", 1200 * SECOND) == pytest.approx(600e3)
    ask(meter, "10 0002 0002 04 00000000")
    assert meter.value("demand_w", 1200 * SECOND) == pytest.approx(600e3)


def test_gain_errors_come_from_the_seed_and_stay_within_the_class():
    seen = set()
    for number in range(200):
        meter = make_meter(1e6, Signal.constant(60.0), seed=Seed(number))
        again = make_meter(1e6, Signal.constant(60.0), seed=Seed(number))
        assert meter.read_input_registers(0, 80, SECOND) == again.read_input_registers(0, 80, SECOND)
        assert abs(meter.value("power_w", SECOND) / 1e6 - 1) <= 0.01 + 1e-12
        assert abs(meter.value("voltage_l1_v", SECOND) / 240.0 - 1) <= 0.005 + 1e-12
        assert abs(meter.value("frequency_hz", SECOND) - 60.0) <= 0.002 * 60
        seen.add(meter.value("power_w", SECOND))
    assert len(seen) == 200
    assert make_meter(1e6, gain=1.003).value("power_w", SECOND) == pytest.approx(1.003e6)
    assert make_meter(1e6).value("power_w", SECOND) == pytest.approx(1e6)


def test_a_rig_may_slow_the_meter_down():
    slow = make_meter(Signal([0, SECOND, SECOND], [0.0, 0.0, 1e6]), refresh={"power": Refresh(SECOND, SECOND)})
    assert [shown(slow, POWER, t * SECOND // 4) for t in range(0, 12, 2)] == [0, 0, 0, 0, 1e6, 1e6]


@pytest.mark.parametrize(
    ("request_hex", "reply_hex", "why"),
    [
        ("04 0046 0002", "04 04 42 70 00 00", "60 Hz as a float, high word first"),
        ("04 0000 0051", "84 03", "81 registers are one too many"),
        ("03 0000 0051", "83 03", "81 registers are one too many"),
        ("04 0046 0001", "04 02 00 70", "a single register is answered with the type code"),
        ("03 0023 0001", "03 02 00 00", "as seen on a line"),
        ("03 4a38 0002", "03 04 00 00 00 00", "an unused holding register reads 0, as seen on a line"),
        ("04 1000 0002", "04 04 00 00 00 00", "an unused input register reads 0"),
        ("03 0002 0002", "03 04 42 70 00 00", "60 minutes demand period"),
        ("03 0014 0002", "03 04 3f 80 00 00", "node 1"),
        ("06 0014 0001", "86 01", "function 6 is not in the manual"),
        ("01 0000 0001", "81 01", "no coils"),
        ("2b 0e 01 00", "ab 01", "no identification"),
        ("10 0003 0002 04 3f800000", "90 02", "a write that begins inside a parameter"),
        ("10 0002 0001 02 3f80", "90 02", "half a parameter"),
        ("10 0012 0004 08 3f8000003f800000", "90 02", "two parameters in one request"),
        ("10 0100 0002 04 3f800000", "90 02", "no such parameter"),
        ("10 0002 0002 04 40e00000", "90 03", "7 minutes are not offered"),
        ("10 0014 0002 04 43780000", "90 03", "node 248"),
        ("10 0014 0002 04 7fc00000", "90 03", "not a number"),
        ("10 000a 0002 04 3f800000", "90 03", "the system type is locked"),
        ("10 fc00 0002 04 00000001", "90 02", "the serial number cannot be written"),
    ],
)
def test_the_meter_answers_as_its_sources_say(request_hex, reply_hex, why):
    assert ask(make_meter(), request_hex) == reply_hex, why


def test_the_password_opens_the_locked_parameters_until_it_is_locked_again():
    meter = make_meter()
    two, thousand = struct.pack(">f", 2.0).hex(), struct.pack(">f", 1000.0).hex()
    write_type = "10 000a 0002 04" + two
    ask(meter, "10 0018 0002 04" + two)
    assert ask(meter, write_type) == "90 03"
    ask(meter, "10 0018 0002 04" + thousand)
    assert ask(meter, write_type) == "10 00 0a 00 02"
    assert ask(meter, "03 000a 0002") == "03 04 40 00 00 00"
    ask(meter, "10 000e 0002 04" + two)
    assert ask(meter, write_type) == "90 03"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"power_factor": 0.0}, "power factor 0.0 is outside"),
        ({"refresh": {"powr": Refresh(1, 1)}}, "unknown refresh group 'powr'"),
        ({"refresh": {"power": Refresh(0, 1)}}, "longer than 0"),
    ],
)
def test_a_meter_that_cannot_be_is_refused_when_it_is_made(options, message):
    with pytest.raises(ValueError, match=message):
        make_meter(**options)


def test_another_units_request_is_met_with_silence():
    device = make_meter(unit=3).device()
    request = bytes.fromhex("000100000006 {} 0400460002".replace(" ", "").format("01"))
    assert device.converse(502, "", 0).received(request, 0) == []


def test_the_reply_takes_the_products_turnaround():
    request = bytes.fromhex("000100000006010400460002")
    (sent,) = make_meter().device().converse(502, "", 0).received(request, 0)
    assert sent.delay_ns == 10 * MILLISECOND


def test_reading_the_frequency_asks_the_site_for_nothing():
    point = Point(Signal.constant(1e6))
    meter = Meter(SDM630, point, make_grid())
    for now in range(0, 10 * SECOND, 50 * MILLISECOND):
        meter.read_input_registers(FREQUENCY, 2, now)
    assert point.energy_queries == 0


@given(st.integers(0, 0xFFFF), st.integers(1, 125), instants)
def test_any_span_is_answered_or_refused(address, count, now):
    reply = bytes.fromhex(ask(make_meter(), struct.pack(">BHH", 4, address, count).hex(), now))
    if address + count > 0x10000:
        assert reply == b"\x84\x02"
    elif count > 80:
        assert reply == b"\x84\x03"
    else:
        assert len(reply) == 2 + 2 * count
