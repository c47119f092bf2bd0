"""Clients that others wrote drive the switches and the feeder relay over real sockets."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from pymodbus.client import ModbusTcpClient
from pyModbusTCP.client import ModbusClient

from emulator.breaker import Breaker, BreakerSpec
from emulator.contacts import History
from emulator.grid import Grid
from emulator.pdus.pdu import Pdu
from emulator.pdus.product import load_product as load_pdu
from emulator.protection.product import load_product as load_relay
from emulator.protection.relay import ElementSetting, FeederRelay
from emulator.wire import Device
from tests.system.modbus_site import free_port, served

pytestmark = pytest.mark.system

GUDE, MOXA, RARITAN, WAVESHARE, RELAY = (f"127.78.251.{n}" for n in range(1, 6))


class Outlet:
    """An outlet with a kilowatt behind it whose relay moves at once."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.state = True

    def closed(self, at: int) -> bool:
        return self.state

    def switch(self, closed: bool, at: int) -> None:
        self.state = closed

    def contacts(self) -> History:
        return History(first=self.state)

    def inrush_a(self, at: int) -> float:
        return 0.0

    def power_w(self, at: int) -> float:
        return 1000.0 * self.state

    def energy_j(self, start: int, stop: int) -> float:
        return 1000.0 * self.state * (stop - start) * 1e-9

    def voltage_v(self, at: int) -> float:
        return 230.0


class Feeder:
    """A feeder with 100 kW behind its breaker."""

    def __init__(self) -> None:
        self.breaker = Breaker(BreakerSpec(50_000_000, 80_000_000), lambda _since: None)

    def power_w(self, at: int) -> float:
        return 100_000.0 * self.breaker.closed(at)

    def energy_j(self, start: int, stop: int) -> float:
        return 100_000.0 * self.breaker.contacts.closed_ns(start, stop) * 1e-9

    def voltage_v(self, at: int) -> float:
        return 240.0


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Four switches and a relay served on a free port of their own addresses."""
    free, grid = free_port(), Grid(50.0, 1e6)
    products = {GUDE: "gude_epc_8045", MOXA: "moxa_iologik_e1214", RARITAN: "raritan_px3_5000",
                WAVESHARE: "waveshare_relay_8"}  # fmt: skip
    devices: dict[str, Device] = {}
    for address, name in products.items():
        product = load_pdu(name)
        outlets = [Outlet(f"o{number}") for number in range(product.outputs)]
        devices[address] = Pdu(product, outlets, grid, inputs=outlets[: product.inputs]).device(free)
    relay = FeederRelay(load_relay("sel_751a"), Feeder(), grid, [ElementSetting(49.0, 200_000_000)])
    devices[RELAY] = relay.device(free)
    with served(devices):
        yield free


@contextlib.contextmanager
def strict(host: str, port: int) -> Iterator[ModbusClient]:
    """pyModbusTCP, which closes the connection at any mismatch."""
    client = ModbusClient(host=host, port=port, unit_id=1, timeout=3.0)
    assert client.open()
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize(
    ("host", "first", "count"), [(GUDE, 0, 12), (MOXA, 0, 6), (RARITAN, 0x8000, 8), (WAVESHARE, 0, 8)]
)
def test_a_strict_client_switches_every_product(port: int, host: str, first: int, count: int) -> None:
    with strict(host, port) as client:
        assert client.write_multiple_coils(first, [True] * count)
        assert client.read_coils(first, count) == [True] * count
        assert client.write_single_coil(first + 2, False)
        assert client.read_coils(first, count) == [n != 2 for n in range(count)]
        assert client.write_multiple_coils(first + 1, [False, True])
        assert client.read_coils(first, count) == [n != 1 for n in range(count)]
        assert client.read_coils(first + count, 1) is None
        assert client.last_except == 2
        assert client.write_multiple_coils(first, [True] * count)


def test_a_strict_client_reads_counts_masks_and_identification(port: int) -> None:
    with strict(GUDE, port) as client:
        assert client.read_input_registers(0, 6) == [12, 12, 0, 1, 1, 0]
        found = client.read_device_identification(read_code=1, object_id=0)
        assert found.vendor_name == b"GUDE Systems GmbH"
        assert found.product_code == b"Expert Power Control 8045"
    with strict(MOXA, port) as client:
        assert client.write_single_register(32, 0b101)
        assert client.read_holding_registers(32, 1) == [0b101]
        assert client.read_input_registers(48, 1) == [0b101]
        assert client.read_discrete_inputs(0, 6) == [True, False, True, False, False, False]
        assert client.write_multiple_registers(36, [0, 5])
        assert client.read_holding_registers(36, 2) == [0, 5]
        assert client.write_single_register(32, 0b111111)
    with strict(WAVESHARE, port) as client:
        assert client.read_holding_registers(0x8000, 1) == [200]
        assert client.custom_request(bytes.fromhex("05 0001 5500")) == bytes.fromhex("05 0001 5500")
        assert client.read_coils(0, 3) == [True, False, True]
        assert client.write_single_coil(0xFF, True)
        assert client.read_coils(0, 8) == [True] * 8


def test_pymodbus_sets_a_relay_opens_and_recloses_its_feeder(port: int) -> None:
    client = ModbusTcpClient(RELAY, port=port, timeout=3)
    assert client.connect()
    try:
        assert client.read_input_registers(513, count=3, device_id=1).registers == [1, 4900, 2]
        assert not client.write_registers(516, [1, 4880, 1], device_id=1).isError()
        assert client.read_holding_registers(516, count=3, device_id=1).registers == [1, 4880, 1]
        assert client.read_discrete_inputs(8, count=1, device_id=1).bits[0]
        assert not client.write_register(0x2000, 2, device_id=1).isError()
        wait_until(lambda: not client.read_discrete_inputs(8, count=1, device_id=1).bits[0])

        def reclosed() -> bool:
            client.write_register(0x2000, 1, device_id=1)  # refused while TRIP is asserted
            return bool(client.read_discrete_inputs(8, count=1, device_id=1).bits[0])

        wait_until(reclosed)
        assert client.write_register(0x2000, 1, device_id=1).registers == [1]
        assert client.read_holding_registers(5000, count=1, device_id=1).exception_code == 2
    finally:
        client.close()


def wait_until(condition) -> None:
    """Ask until it is so; every question is a round trip, so this needs no pause of its own."""
    for _ in range(20_000):
        if condition():
            return
    raise AssertionError("it never became so")


def test_mbpoll_reads_and_switches(port: int) -> None:
    program = shutil.which("mbpoll")
    if program is None:
        pytest.skip("mbpoll is not installed")

    def poll(host: str, *words: str) -> str:
        asked = [program, "-m", "tcp", "-p", str(port), "-1", "-q", "-0", *words, host]
        return subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout

    assert "[689]: \t5000" in poll(RELAY, "-t", "3", "-r", "689")
    assert "[1]: \t12" in poll(GUDE, "-t", "3", "-r", "1")
    assert poll(MOXA, "-t", "0", "-r", "0", "-c", "6").count("\t1") == 6
