"""Registers that read wrong: order, unit, no value, counters, lag, freezes, shifts; the device goes on."""

from __future__ import annotations

import contextlib
import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.faults import Fault, FaultPlan, Value
from emulator.faulty_link import with_faults
from emulator.faulty_registers import VIEWS, encoded, with_register_faults
from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import Refresh, list_products, load_product
from emulator.modbus.pdu import DataModel, ModbusError, Model
from emulator.modbus.registers import TYPES, RegisterMap, Row, WordOrder
from emulator.modbus.tcp import ModbusTcpDevice
from emulator.pdus.pdu import Pdu
from emulator.pdus.product import load_product as load_pdu
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import Instant

S, MS = 1_000_000_000, 1_000_000
SDM630 = load_product("eastron_sdm630")
NETIO = load_pdu("netio_powerpdu_4ks")
VOLTS, POWER, IMPORT, HERTZ = 0x00, 0x34, 0x48, 0x46
MAPS = {3: SDM630.holding, 4: SDM630.input}
STEP = Signal([0, 10 * S, 10 * S], [1e6, 1e6, 4e6])
KWH_A_SECOND = 1e6 / 3.6e6


class Point:
    """1 MW, from 10 s on 4 MW, at 230 V."""

    def power_w(self, at: Instant) -> float:
        return STEP.at(at)

    def energy_j(self, start: Instant, stop: Instant) -> float:
        return STEP.integral(start, stop)

    def voltage_v(self, at: Instant) -> float:
        return 230.0


def make(refresh: dict[str, Refresh] | None = None) -> Meter:
    return Meter(SDM630, Point(), Grid(50.0, 1e6), refresh=refresh)


def slower(window_ns: int) -> Meter:
    return make({name: Refresh(r.period_ns, max(r.window_ns, window_ns)) for name, r in SDM630.refresh.items()})


def model(*faults: Fault | tuple[str, dict[str, Value]], heard: Any = None) -> DataModel:
    """The meter behind faults."""
    plan = FaultPlan([f if isinstance(f, Fault) else Fault("m", f[0], parameters=f[1]) for f in faults], Seed(1))
    device = with_register_faults(plan, "m", "meter", make().device(), lambda: MAPS, heard, slower)
    return device.units[1]


def f32(data: bytes) -> float:
    return float(struct.unpack(">f", data)[0])


def shown(behind: DataModel, address: int, now: Instant) -> float:
    return f32(behind.read_input_registers(address, 2, now))


# ---- order, unit, no value ------------------------------------------------------------------------------------------


def test_turned_words_read_as_the_field_knows_them() -> None:
    wrong = model(("word_order", {}))
    assert shown(wrong, VOLTS, S) == pytest.approx(2.4e-41, rel=0.02)
    assert struct.pack(">f", 230.0)[2:] + struct.pack(">f", 230.0)[:2] == wrong.read_input_registers(VOLTS, 2, S)
    bytewise = model(("word_order", {"order": "bytes"})).read_input_registers(VOLTS, 2, S)
    assert bytewise == bytes.fromhex("6643 0000")
    assert model(("word_order", {"order": "all"})).read_input_registers(VOLTS, 2, S) == bytes.fromhex("0000 6643")


@given(st.integers(0, 78), st.integers(2, 40), st.sampled_from(["words", "bytes", "all"]))
def test_every_read_is_a_part_of_the_same_wrong_table(address: int, count: int, order: str) -> None:
    wrong = model(("word_order", {"order": order}))
    count = min(count, 80 - address)
    table = wrong.read_input_registers(0, 80, S)
    assert table != make().read_input_registers(0, 80, S)
    assert wrong.read_input_registers(address, count, S) == table[2 * address : 2 * (address + count)]


def test_a_register_that_answers_alone_with_something_else_is_left_alone() -> None:
    alone = make().read_input_registers(VOLTS, 1, S)
    assert model(("word_order", {})).read_input_registers(VOLTS, 1, S) == alone


@given(
    st.sampled_from(sorted(TYPES)), st.sampled_from(WordOrder), st.floats(-1e4, 1e4), st.sampled_from([1.0, 0.1, 0.01])
)  # fmt: skip
def test_a_value_is_decoded_as_it_was_encoded(kind: str, order: WordOrder, value: float, scale: float) -> None:
    row = Row(0, "power_w", kind, scale=scale, order=order)
    once = row.decode(encoded(row, value))
    assert row.decode(encoded(row, once)) == pytest.approx(once, rel=1e-6)


def test_values_that_are_not_there_read_nan_ones_or_zero_and_the_others_as_ever() -> None:
    for reads, said in (("nan", "7fc00000"), ("ones", "ffffffff"), ("zero", "00000000")):
        wrong = model(("no_value", {"reads": reads, "quantities": "*_kwh"}))
        assert wrong.read_input_registers(IMPORT, 2, S).hex() == said
        assert shown(wrong, HERTZ, S) == 50.0
    row = Row(0, "power_w", "s16", absent=0x8000)
    assert encoded(row, math.nan).hex() == "8000"
    assert math.isnan(row.decode(b"\x80\x00"))


def test_a_unit_mix_up_shows_kilowatts_and_counts_rightly() -> None:
    wrong, right = model(("unit_mix_up", {})), make()
    assert shown(wrong, POWER, S) == pytest.approx(1000.0)
    assert shown(wrong, VOLTS, S) == 230.0
    assert shown(wrong, IMPORT, S) == shown(right, IMPORT, S)
    pdu = Pdu(NETIO, [Outlet() for _ in range(4)], Grid(50.0, 1e6))
    maps = lambda: {3: NETIO.holding, 4: NETIO.input}  # noqa: E731
    plan = FaultPlan([Fault("p", "unit_mix_up", parameters={"factor": 10.0})], Seed(1))
    behind = with_register_faults(plan, "p", "pdu", pdu.device(), maps).units[1]
    assert behind.read_input_registers(200, 5, S) == struct.pack(">5H", 40000, *[10000] * 4)


class Outlet:
    """1 kW, always on."""

    id = "o"

    def inrush_a(self, at: Instant) -> float:
        return 0.0

    def closed(self, at: Instant) -> bool:
        return True

    def switch(self, closed: bool, at: Instant) -> None:
        raise AssertionError("nobody may switch this one")

    def power_w(self, at: Instant) -> float:
        return 1000.0

    def energy_j(self, start: Instant, stop: Instant) -> float:
        return 1000.0 * (stop - start) / S

    def voltage_v(self, at: Instant) -> float:
        return 230.0


# ---- counters -------------------------------------------------------------------------------------------------------


def test_a_counter_rolls_over_when_it_has_counted_what_was_left() -> None:
    end = SDM630.input.row_at(IMPORT)
    assert end is not None
    wrong = model(Fault("m", "counter_rollover", 4 * S, None, {"left": 1.0}))
    assert shown(wrong, IMPORT, 3 * S) == pytest.approx(3 * KWH_A_SECOND, abs=2e-3)
    assert shown(wrong, IMPORT, 4 * S) == pytest.approx(end.rollover - 1, abs=0.1)
    assert shown(wrong, IMPORT, 7 * S) == pytest.approx(end.rollover - 1 + 3 * KWH_A_SECOND, abs=0.1)
    assert shown(wrong, IMPORT, 8 * S) == pytest.approx(4 * KWH_A_SECOND - 1, abs=2e-2)


@given(st.integers(4 * 10**9, 60 * 10**9), st.floats(0.001, 50.0))
def test_a_counter_near_its_end_goes_on_by_what_is_counted(now: int, left: float) -> None:
    wrong, right = model(Fault("m", "counter_rollover", 4 * S, None, {"left": left})), make()
    counted = shown(right, IMPORT, now) - shown(right, IMPORT, 4 * S)
    off = shown(wrong, IMPORT, now) + left - counted  # a whole turn, or none
    assert min(abs(off), abs(off - 1e6)) < 0.1


def test_a_counter_of_whole_numbers_ends_where_its_type_does() -> None:
    class Counter(Model):
        functions = frozenset({4})

        def read_input_registers(self, address: int, count: int, now: Instant) -> bytes:
            return (now // S).to_bytes(4, "big")

    row = Row(0, "import_kwh", "u32", scale=0.01)
    plan = FaultPlan([Fault("m", "counter_rollover", 10 * S, parameters={"left": 0.02})], Seed(1))
    behind = with_register_faults(
        plan, "m", "meter", ModbusTcpDevice({1: Counter()}), lambda: {4: RegisterMap([row])}
    ).units[1]
    assert [behind.read_input_registers(0, 2, now * S).hex() for now in (9, 10, 11, 12, 13)] == [
        "00000009", "fffffffe", "ffffffff", "00000000", "00000001",
    ]  # fmt: skip


def test_a_counter_steps_back_and_never_below_nothing() -> None:
    wrong, right = model(Fault("m", "counter_step", 20 * S, 21 * S, {"by": -2.0})), make()
    assert shown(wrong, IMPORT, 20 * S) == pytest.approx(shown(right, IMPORT, 20 * S) - 2, abs=0.01)
    assert shown(wrong, IMPORT, 21 * S) == shown(right, IMPORT, 21 * S)
    assert shown(model(("counter_step", {"by": -1e9})), IMPORT, 5 * S) == 0.0


def test_a_large_float_counter_stops_moving() -> None:
    """20 million counts and more in an f32: one count is less than its last bit."""
    row = Row(0, "import_kwh", "f32")
    assert encoded(row, 2e7) == encoded(row, 2e7 + 0.9)
    assert encoded(row, 1e7) != encoded(row, 1e7 + 1.0)


# ---- lag and freezes ------------------------------------------------------------------------------------------------


def test_a_lagging_meter_shows_the_mean_of_its_window_and_the_counter_does_not_lag() -> None:
    wrong, right = model(("averaging_lag", {"window_ns": 5 * S})), make()
    assert shown(wrong, POWER, 10 * S) == pytest.approx(1e6)
    assert shown(wrong, POWER, 12 * S) == pytest.approx((3 * 1e6 + 2 * 4e6) / 5, rel=0.05)
    assert shown(wrong, POWER, 16 * S) == pytest.approx(4e6)
    assert shown(right, POWER, 12 * S) == pytest.approx(4e6)
    assert shown(wrong, IMPORT, 12 * S) == shown(right, IMPORT, 12 * S)
    assert shown(model(("averaging_lag", {"window_ns": 0})), POWER, 12 * S) == shown(right, POWER, 12 * S)


def test_some_registers_freeze_and_the_others_go_on() -> None:
    wrong, right = model(Fault("m", "frozen_registers", 5 * S, 20 * S, {"registers": "52"})), make()
    assert shown(wrong, POWER, 15 * S) == shown(right, POWER, 5 * S) != shown(right, POWER, 15 * S)
    assert shown(wrong, IMPORT, 15 * S) == shown(right, IMPORT, 15 * S)
    assert shown(wrong, POWER, 20 * S) == shown(right, POWER, 20 * S)
    both = wrong.read_input_registers(POWER, 24, 15 * S)
    assert (f32(both[:4]), f32(both[40:44])) == (shown(right, POWER, 5 * S), shown(right, IMPORT, 15 * S))


def test_views_compose_and_a_frozen_device_freezes_what_is_behind_them() -> None:
    wrong = model(("unit_mix_up", {"quantities": "power_w"}), ("word_order", {"quantities": "power_w"}))
    data = wrong.read_input_registers(POWER, 2, S)
    assert f32(data[2:] + data[:2]) == pytest.approx(1000.0)
    plan = FaultPlan([Fault("m", "unit_mix_up"), Fault("m", "freeze", 5 * S)], Seed(1))
    device = with_faults(plan, "m", "meter", with_register_faults(plan, "m", "meter", make().device(), lambda: MAPS))
    (sent,) = device.converse(502, "", 0).received(bytes.fromhex("0001 0000 0006 01 04 0034 0002"), 15 * S)
    assert f32(sent.data[9:]) == pytest.approx(1000.0)  # type: ignore[union-attr]


# ---- addresses and writes -------------------------------------------------------------------------------------------


def test_one_address_further_reads_the_neighbour() -> None:
    wrong = model(("address_shift", {"by": 2.0}))
    assert wrong.read_input_registers(POWER - 2, 2, S) == make().read_input_registers(POWER, 2, S)
    for by, address in ((1.0, 0xFFFF), (-1.0, 0)):
        with pytest.raises(ModbusError) as caught:
            model(("address_shift", {"by": by})).read_input_registers(address, 1, S)
        assert caught.value.code == 2


def test_a_shifted_pdu_switches_the_neighbour() -> None:
    switched: list[tuple[int, bool]] = []
    outlets = [Outlet() for _ in range(4)]
    for number, outlet in enumerate(outlets):
        outlet.switch = lambda closed, at, number=number: switched.append((number, closed))  # type: ignore[method-assign, misc]
    device = Pdu(NETIO, outlets, Grid(50.0, 1e6)).device()
    plan = FaultPlan([Fault("p", "address_shift")], Seed(1))
    behind = with_register_faults(plan, "p", "pdu", device, dict).units[1]
    behind.write_coil(NETIO.coils.first_output, 0, S)
    behind.write_register(NETIO.coils.first_output + 1, 0, S)
    assert switched == [(1, False), (2, False)]


def test_a_read_of_too_many_registers_gets_the_exception_and_one_less_does_not() -> None:
    wrong = model(("register_limit", {"at_most": 10, "code": 3}))
    assert len(wrong.read_input_registers(POWER, 10, S)) == 20
    with pytest.raises(ModbusError) as caught:
        wrong.read_input_registers(POWER, 11, S)
    assert caught.value.code == 3


def test_a_write_is_acknowledged_and_forgotten() -> None:
    heard: list[str] = []
    plan = FaultPlan([Fault("p", "ignore_writes", 0, S, {"registers": "102"})], Seed(1))
    device = Pdu(NETIO, [Outlet() for _ in range(4)], Grid(50.0, 1e6)).device()
    maps = lambda: {3: NETIO.holding, 4: NETIO.input}  # noqa: E731
    behind = with_register_faults(plan, "p", "pdu", device, maps, lambda _now, f, _id: heard.append(f.kind))
    talk = behind.converse(502, "", 0)
    (sent,) = talk.received(bytes.fromhex("0001 0000 0006 01 05 0066 0000"), 0)
    assert sent.data.hex() == "000100000006010500660000"  # type: ignore[union-attr]
    assert heard == ["ignore_writes"]
    with pytest.raises(AssertionError, match="nobody may switch"):
        behind.units[1].write_coil(101, 0, 0)
    with pytest.raises(AssertionError, match="nobody may switch"):
        behind.units[1].write_coil(102, 0, S)


# ---- laws -----------------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(VIEWS)), st.integers(0, 0x60), st.integers(1, 60), st.integers(0, 20 * 10**9))
def test_a_view_of_probability_0_or_outside_its_window_is_no_view(
    kind: str, address: int, count: int, now: int
) -> None:
    def answer(behind: DataModel) -> bytes | int:
        try:
            return behind.read_input_registers(address, count, now)
        except ModbusError as error:
            return error.code

    for fault in (Fault("m", kind, parameters={"probability": 0.0}), Fault("m", kind, now + 1)):
        assert answer(model(fault)) == answer(make())


@given(st.sampled_from(sorted(VIEWS)), st.integers(0, 0xFFFF), st.integers(1, 125), st.integers(0, 20 * 10**9))
def test_a_view_answers_every_read_with_as_many_registers_or_an_exception(
    kind: str, address: int, count: int, now: int
) -> None:
    for table in ("read_input_registers", "read_holding_registers"):
        with contextlib.suppress(ModbusError):
            assert len(getattr(model((kind, {})), table)(address, count, now)) == 2 * count


@pytest.mark.parametrize("name", list_products())
@settings(max_examples=10)
@given(st.sampled_from(sorted(VIEWS)), st.data())
def test_every_value_of_every_meter_can_be_read_wrongly(name: str, kind: str, data: st.DataObject) -> None:
    product = load_product(name)

    def build(window_ns: int = 0) -> Meter:
        refresh = {key: Refresh(r.period_ns, max(r.window_ns, window_ns)) for key, r in product.refresh.items()}
        return Meter(product, Point(), Grid(50.0, 1e6), refresh=refresh)

    meter = build()
    plan = FaultPlan([Fault("m", kind, 2 * S)], Seed(1))
    wrong = with_register_faults(plan, "m", "meter", meter.device(), meter.tables, None, build).units[meter.unit]
    for function, table in ((3, wrong.read_holding_registers), (4, wrong.read_input_registers)):
        rows = meter.tables()[function].rows
        for row in data.draw(st.lists(st.sampled_from(rows), min_size=1, max_size=5)) if rows else []:
            with contextlib.suppress(ModbusError):
                assert len(table(row.address, row.registers, 15 * S)) == 2 * row.registers


def test_a_device_without_faults_is_itself() -> None:
    device = make().device()
    assert (
        with_register_faults(FaultPlan([Fault("m", "freeze")], Seed(1)), "m", "meter", device, lambda: MAPS) is device
    )
