from __future__ import annotations

import functools
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.modbus.pdu import ModbusError
from emulator.modbus.registers import TYPES, Bank, Hole, RegisterMap, Row, Source, Ticks, WordOrder

ROWS = [
    Row(0, "a", "f32"),
    Row(2, "b", "u16", scale=0.1),
    Row(3, "c", "s32", order=WordOrder.LOW_FIRST),
    Row(8, "d", "f64", order=WordOrder.LOW_FIRST),
    Row(14, "e", "u64"),
    Row(20, "f", "s16"),
]
VALUES = {"a": 50.01, "b": 231.7, "c": -70000.0, "d": 1.5, "e": 2.0**40, "f": -3.0}


def read(registers: RegisterMap, address: int, count: int) -> bytes:
    return registers.read(address, count, VALUES.__getitem__)


@pytest.mark.parametrize("hole", [Hole.ZERO, Hole.ONES])
def test_every_span_is_a_part_of_the_whole_image(hole):
    registers = RegisterMap(ROWS, hole)
    image = read(registers, 0, 24)
    for address in range(24):
        for count in range(1, 25 - address):
            assert read(registers, address, count) == image[2 * address : 2 * (address + count)]


def test_values_stand_in_their_type_scale_and_word_order():
    image = read(RegisterMap(ROWS, Hole.ONES), 0, 22)
    assert image[0:4] == struct.pack(">f", 50.01)
    assert image[4:6] == struct.pack(">H", 2317)
    assert image[6:10] == struct.pack(">i", -70000)[2:] + struct.pack(">i", -70000)[:2]
    assert image[10:16] == b"\xff" * 6
    assert struct.unpack(">d", b"".join(image[16 + i : 18 + i] for i in (6, 4, 2, 0)))[0] == 1.5
    assert image[28:36] == struct.pack(">Q", 2**40)
    assert image[40:42] == struct.pack(">h", -3)


def test_a_hole_is_an_exception_where_the_product_says_so():
    registers = RegisterMap(ROWS, Hole.EXCEPTION)
    assert len(read(registers, 0, 5)) == 10
    for address, count in ((0, 6), (5, 1), (4, 8), (21, 1), (0xFFFF, 1)):
        with pytest.raises(ModbusError) as refused:
            read(registers, address, count)
        assert refused.value.code == 2


def test_half_a_value_is_an_exception_where_the_product_says_so():
    registers = RegisterMap(ROWS, Hole.ZERO, whole_values=True)
    assert len(read(registers, 0, 3)) == 6
    for address, count in ((1, 1), (0, 1), (2, 2)):
        with pytest.raises(ModbusError):
            read(registers, address, count)


@given(st.sampled_from(sorted(TYPES)), st.floats(), st.sampled_from([1.0, 0.001, 1e-300, 1000.0]), st.booleans())
def test_every_number_fits_every_type(type_name, value, scale, fine):
    row = Row(0, "x", type_name, scale=scale, resolution=0.01 if fine else 0.0, rollover=1e6 if fine else 0.0)
    character, count = TYPES[type_name]
    assert len(struct.pack(">" + character, row.encoder()(value))) == 2 * count


@pytest.mark.parametrize(
    ("row", "value", "expected"),
    [
        (Row(0, "x", "u16"), 70000.0, 65535),
        (Row(0, "x", "u16"), -1.0, 0),
        (Row(0, "x", "s16"), -1e9, -32768),
        (Row(0, "x", "s16", absent=0x8000), math.nan, -32768),
        (Row(0, "x", "u16", scale=0.01), 59.85, 5985),
        (Row(0, "x", "f64", resolution=0.01), 59.8549, 59.85),
        (Row(0, "x", "f64", rollover=1000.0), 1000.25, 0.25),
        (Row(0, "x", "u32"), math.inf, 2**32 - 1),
    ],
)
def test_encoding_rounds_saturates_and_rolls_over(row, value, expected):
    assert row.encoder()(value) == expected


def test_rows_that_overlap_or_leave_the_address_space_are_refused():
    with pytest.raises(ValueError, match="overlaps"):
        RegisterMap([Row(0, "a", "f32"), Row(1, "b", "u16")])
    with pytest.raises(ValueError, match="leaves the address space"):
        RegisterMap([Row(0xFFFF, "a", "f32")])


@given(st.integers(1, 10**9), st.integers(0, 10**10), st.integers(0, 10**12))
def test_the_last_tick_is_at_or_before_now_and_less_than_a_period_old(period, phase, now):
    tick = Ticks(period, phase).last(now)
    assert now - period < tick <= now
    assert (tick - phase) % period == 0


def make_bank() -> tuple[Bank, list[int]]:
    asked: list[int] = []

    def source(quantity: str) -> Source:
        def at(tick: int) -> float:
            asked.append(tick)
            return float(tick)

        return Source("slow" if quantity == "a" else "fast", at)

    ticks = {"slow": Ticks(100, 30), "fast": Ticks(20)}
    return Bank(RegisterMap([Row(0, "a", "s32"), Row(2, "b", "s32")], Hole.ZERO), source, ticks), asked


def test_values_freeze_between_the_ticks_of_their_group():
    bank, _ = make_bank()
    for now in range(400):
        slow, fast = struct.unpack(">ii", bank.read(0, 4, now))
        assert slow == Ticks(100, 30).last(now)
        assert fast == Ticks(20).last(now)


def test_nothing_is_computed_twice_for_one_tick():
    bank, asked = make_bank()
    for now in range(130, 140):
        bank.read(0, 4, now)
    assert asked == [130, 120]


def test_a_client_that_reads_everything_does_not_fill_the_memory():
    bank, _ = make_bank()
    for address in range(5000):
        bank.read(address, 1, 0)
    assert len(bank._blocks) <= 256


@given(st.integers(0, 2_000), st.integers(0, 12), st.integers(1, 12))
def test_rows_that_show_one_value_are_worked_out_once_and_read_as_if_each_were(now, address, count):
    asked = []

    class Meter:
        def level(self, tick):
            asked.append(tick)
            return float(tick)

    meter = Meter()

    def source(quantity):
        return Source(quantity, functools.partial(Meter.level, meter))

    rows = [Row(2 * n, quantity, "f32", scale=1.0 + n // 6) for n, quantity in enumerate("aabbaaaabbaa")]
    ticks = {"a": Ticks(100, 3), "b": Ticks(70)}
    data = (
        Bank(RegisterMap(rows), source, ticks).read(2 * address, 2 * min(count, 12 - address), now)
        if address < 12
        else b""
    )
    shown = rows[address : address + count]
    assert data == b"".join(struct.pack(">f", ticks[row.quantity].last(now) / row.scale) for row in shown)
    assert len(asked) == len({(row.quantity, row.scale) for row in shown})


def test_a_span_holds_until_the_first_of_its_groups_is_renewed():
    bank = Bank(
        RegisterMap([Row(0, "fast", "u16"), Row(1, "slow", "u16")]),
        lambda quantity: Source(quantity, float),
        {"fast": Ticks(10), "slow": Ticks(25)},
    )
    assert bank.lasts_until(0, 1, 33) == 33  # nobody has read it
    bank.read(0, 1, 33), bank.read(1, 1, 33), bank.read(0, 2, 33)
    assert [bank.lasts_until(*span, 33) for span in ((0, 1), (1, 1), (0, 2))] == [40, 50, 40]
