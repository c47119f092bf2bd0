"""Whatever is written to a product changes what its manual lets be written, and nothing else."""

from __future__ import annotations

import struct
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import list_products as list_meters
from emulator.meters.product import load_product as load_meter
from emulator.modbus.frames import Frame, Framing
from emulator.modbus.pdu import DataModel, ModbusError, Responder
from emulator.modbus.registers import RegisterMap
from emulator.pdus.pdu import Pdu
from emulator.pdus.product import list_products as list_pdus
from emulator.pdus.product import load_product as load_pdu
from emulator.wire import SECOND

WRITES = (5, 6, 15, 16, 22, 23)


class Supply:
    """Power and voltage that stand, and an outlet that notes what it is told."""

    def __init__(self) -> None:
        self.id = "supply"
        self.told: list[bool] = []

    def power_w(self, at: int) -> float:
        return 1e5

    def energy_j(self, start: int, stop: int) -> float:
        return 1e5 * (stop - start) / SECOND

    def voltage_v(self, at: int) -> float:
        return 230.0

    def inrush_a(self, at: int) -> float:
        return 0.0

    def closed(self, at: int) -> bool:
        return True

    def switch(self, closed: bool, at: int) -> None:
        self.told.append(closed)


def shown(model: DataModel, registers: RegisterMap, function: int) -> dict[str, bytes | int]:
    """Every value of a map as its registers read, or the code with which they do not."""
    read = model.read_holding_registers if function == 3 else model.read_input_registers
    found: dict[str, bytes | int] = {}
    for row in registers.rows:
        try:
            found[row.quantity] = read(row.address, row.registers, SECOND)
        except ModbusError as error:
            found[row.quantity] = error.code
    return found


@st.composite
def writes(draw: st.DrawFn) -> bytes:
    """A write that is well formed as far as its function goes."""
    function = draw(st.sampled_from(WRITES))
    address = draw(st.integers(0, 600) | st.integers(0, 0xFFFF))
    word = draw(st.integers(0, 0xFFFF) | st.sampled_from([0, 1, 0xFF00]))
    if function in (5, 6):
        return struct.pack(">BHH", function, address, word)
    if function == 22:
        return struct.pack(">BHHH", function, address, draw(st.integers(0, 0xFFFF)), word)
    count = draw(st.integers(1, 8))
    if function == 15:
        return struct.pack(">BHHB", function, address, count, 1) + bytes((word & 0xFF,))
    payload = draw(st.binary(min_size=2 * count, max_size=2 * count) | st.just(struct.pack(">f", 60.0) * count)).ljust(
        2 * count, b"\0"
    )[: 2 * count]
    if function == 16:
        return struct.pack(">BHHB", function, address, count, 2 * count) + payload
    return struct.pack(">BHHHHB", function, 0, 2, address, count, 2 * count) + payload


@pytest.mark.parametrize("name", list_meters())
@settings(max_examples=8)
@given(st.lists(writes(), min_size=4, max_size=12))
def test_a_write_changes_settings_of_a_meter_and_nothing_else(name: str, asked: list[bytes]) -> None:
    product = load_meter(name)
    meter, untouched = (Meter(product, Supply(), Grid(50.0, 1e6)) for _ in range(2))
    responder = Responder(meter)
    for pdu in asked:
        reply = responder.answer(pdu, SECOND)
        assert reply[0] == pdu[0] or len(reply) == 2
    before, after = (shown(each, untouched.tables()[3], 3) for each in (untouched, meter))
    changed = {quantity for quantity in before if before[quantity] != after[quantity]}
    assert all(product.settings[quantity].role != "serial" for quantity in changed & set(product.settings))
    assert not changed or changed & set(product.settings), "what is measured has changed by itself"
    if not changed:
        assert shown(meter, untouched.tables()[4], 4) == shown(untouched, untouched.tables()[4], 4)


def pdu_of(name: str) -> tuple[Pdu, list[Supply]]:
    product = load_pdu(name)
    outlets = [Supply() for _ in range(product.outputs)]
    return Pdu(product, outlets, Grid(50.0, 1e6)), outlets


@cache
def untouched_inputs(name: str) -> dict[str, bytes | int]:
    device, _ = pdu_of(name)
    return shown(device, device.product.input, 4)


@pytest.mark.parametrize("name", list_pdus())
@settings(max_examples=30)
@given(writes())
def test_only_coils_and_action_registers_switch_outlets(name: str, pdu: bytes) -> None:
    device, outlets = pdu_of(name)
    product = device.product
    reply = Responder(device).answer(pdu, SECOND)
    touched = Frame(Framing.MBAP, 1, pdu).touched[-1]
    if not any(outlet.told for outlet in outlets):
        assert shown(device, product.input, 4) == untouched_inputs(name)
        return
    assert not reply[0] & 0x80, "a refused write does nothing"
    if pdu[0] in (5, 15):
        assert product.coils.span(touched.start, len(touched))
    else:
        assert set(touched) & set(product.writes)


@pytest.mark.parametrize("name", [*list_meters(), *list_pdus()])
def test_a_function_that_the_product_lacks_is_refused_with_exception_1(name: str) -> None:
    pdu = name in list_pdus()
    model: Pdu | Meter = pdu_of(name)[0] if pdu else Meter(load_meter(name), Supply(), Grid(50.0, 1e6))
    holding = model.tables()[3]
    before = shown(model, holding, 3)
    for function in range(1, 128):
        if function not in model.functions:
            for rest in (b"", b"\x00\x65\x00\x00", b"\x00\x65\x00\x04\x01\x00"):
                assert Responder(model).answer(bytes((function,)) + rest, SECOND) == bytes((function | 0x80, 1))
    assert shown(model, holding, 3) == before
