"""Two clients that others wrote read the same values from every meter, and those values are the physics."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from pymodbus.client import ModbusTcpClient
from pyModbusTCP.client import ModbusClient

from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import list_products, load_product
from emulator.modbus.products import ProductError
from emulator.timeline import Signal
from tests.emulator.meters.physics import Truth, close, measured
from tests.system.modbus_site import free_port, served

pytestmark = pytest.mark.system

ADDRESS = {name: f"127.78.250.{number}" for number, name in enumerate(list_products(), start=1)}
TYPES = {"u16": "UINT16", "s16": "INT16", "u32": "UINT32", "s32": "INT32", "u64": "UINT64", "s64": "INT64",
         "f32": "FLOAT32", "f64": "FLOAT64"}  # fmt: skip


class Point:
    """36 kW at 230 V, for ever: what is read does not depend on when."""

    def power_w(self, at):
        return 36e3

    def energy_j(self, start, stop):
        return 36e-6 * (stop - start)

    def voltage_v(self, at):
        return 230.0


@pytest.fixture(scope="module")
def site():
    """Every product on an address of its own; yields the port, the point and the grid."""
    port, grid = free_port(), Grid(60.0, 1e6)
    grid.play({"frequency": Signal.constant(59.87)}, 0)
    point = Point()
    devices = {}
    for name, address in ADDRESS.items():
        product = load_product(name)
        quick = dataclasses.replace(product, link=dataclasses.replace(product.link, turnaround_ns=0))
        devices[address] = Meter(quick, point, grid, rated_w=50e3).device(port)
    with served(devices):
        yield port, point, grid


@pytest.mark.parametrize("name", list_products())
def test_pymodbus_and_pymodbustcp_read_the_same_physics(site, name):
    port, point, grid = site
    product = load_product(name)
    truth = Truth(product, point, grid, 0, 1000 * 10**9)
    first = ModbusTcpClient(ADDRESS[name], port=port, timeout=3)
    second = ModbusClient(host=ADDRESS[name], port=port, unit_id=1, timeout=3.0)
    assert first.connect()
    assert second.open()
    try:
        factors = {}
        for row in product.holding.rows:
            if product.settings.get(row.quantity) and product.settings[row.quantity].role == "factor":
                (word,) = second.read_holding_registers(row.address + product.bases[0], 1)
                factors[row.quantity] = word - 0x10000 if word & 0x8000 else word
        rows = [(table, row) for table, row in measured(product) if not row.quantity.endswith(("wh", "varh", "vah"))]
        for table, row in rows:
            address = row.address + product.bases[0]
            by_first, by_second = (
                (first.read_input_registers, second.read_input_registers)
                if table == "input"
                else (first.read_holding_registers, second.read_holding_registers)
            )
            words = by_first(address, count=row.registers, device_id=1).registers
            assert words == by_second(address, row.registers), row.quantity
            order = "big" if row.order.value == "hi-lo" else "little"
            number = first.convert_from_registers(words, first.DATATYPE[TYPES[row.type]], word_order=order)
            assert isinstance(number, (int, float))
            scale = row.scale * 10.0 ** factors.get(row.factor, 0)
            pattern = struct.pack(f">{len(words)}H", *(words if order == "big" else reversed(words)))
            absent = row.absent is not None and int.from_bytes(pattern, "big") == row.absent
            found = None if absent or number != number else number * scale
            assert close(row, found, truth(row.quantity), scale), (row.quantity, found)
        assert len(rows) > 8
    finally:
        first.close()
        second.close()


def test_an_unknown_product_is_named_with_those_there_are():
    with pytest.raises(ProductError, match="did you mean 'siemens_pac3200'"):
        load_product("siemens_pac320")
