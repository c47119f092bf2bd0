"""Clients that others wrote read the same values from a meter and switch the same outlets, over real sockets."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import struct
import subprocess
import time

import pytest
from pymodbus.client import ModbusTcpClient
from pyModbusTCP.client import ModbusClient

from emulator.dispatch import DispatchBlock
from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import load_product as load_meter
from emulator.pdus.pdu import Pdu
from emulator.pdus.product import load_product as load_pdu
from emulator.timeline import Signal
from tests.system.modbus_site import free_port, served

pytestmark = pytest.mark.system

METER, PDU, DISPATCH = "127.77.250.1", "127.77.251.1", "127.77.252.1"
VALUES = {0x0046: 59.87, 0x0034: 123_456.0, 0x0000: 240.0, 0x0006: 173.2, 0x00F8: 2.0}
"""Input register -> what every client should read there."""
OUTPUTS = 101


class Point:
    """A point with constant power and voltage."""

    def power_w(self, at):
        return VALUES[0x0034]

    def energy_j(self, start, stop):
        return VALUES[0x0034] * (stop - start) * 1e-9

    def voltage_v(self, at):
        return VALUES[0x0000]


class Outlet:
    """An outlet without a load."""

    def __init__(self, name):
        self.id = name
        self.state = True

    def closed(self, at):
        return self.state

    def switch(self, closed, at):
        self.state = closed

    def power_w(self, at):
        return 0.0

    def energy_j(self, start, stop):
        return 0.0

    def voltage_v(self, at):
        return 230.0


@pytest.fixture(scope="module")
def site():
    """A meter, a PDU and a dispatch block served on a free port; yields the port and the outlets."""
    port, grid = free_port(), Grid(60.0, 1e6)
    grid.play({"frequency": Signal.constant(VALUES[0x0046]), "dispatch": Signal.constant(4e5)}, 0)
    outlets = [Outlet(f"o{number}") for number in range(4)]
    devices = {
        METER: Meter(load_meter("eastron_sdm630"), Point(), grid).device(port),
        PDU: Pdu(load_pdu("netio_powerpdu_4ps"), outlets, grid).device(port),
        DISPATCH: DispatchBlock(grid, 1e6).device(port),
    }
    with served(devices):
        yield port, outlets


def as_float(words: list[int]) -> float:
    return struct.unpack(">f", struct.pack(">HH", *words))[0]


@contextlib.contextmanager
def pymodbus(host: str, port: int):
    client = ModbusTcpClient(host, port=port, timeout=3)
    assert client.connect()
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def pymodbustcp(host: str, port: int):
    client = ModbusClient(host=host, port=port, unit_id=1, timeout=3.0)
    assert client.open()
    try:
        yield client
    finally:
        client.close()


def mbpoll(host: str, port: int, *options: str, write: int | None = None) -> str:
    program = shutil.which("mbpoll")
    if program is None:
        pytest.skip("mbpoll is not installed (Debian package mbpoll)")
    command = [program, "-m", "tcp", "-a", "1", "-p", str(port), "-0", "-1", "-o", "3.0", *options, host]
    if write is not None:
        command.append(str(write))
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_three_clients_read_the_same_values_from_the_meter(site):
    port, _ = site
    with pymodbus(METER, port) as first, pymodbustcp(METER, port) as second:
        for address, expected in VALUES.items():
            by_pymodbus = as_float(first.read_input_registers(address, count=2, device_id=1).registers)
            by_pymodbustcp = as_float(second.read_input_registers(address, 2))
            shown = mbpoll(METER, port, "-t3:float", "-B", f"-r{address}", "-c1")
            by_mbpoll = float(re.search(rf"\[{address}\]:\s*(\S+)", shown)[1])
            assert by_pymodbus == by_pymodbustcp
            assert by_mbpoll == pytest.approx(by_pymodbus, rel=1e-5)
            assert by_pymodbus == pytest.approx(expected, rel=1e-4)


def test_pymodbus_switches_an_outlet(site):
    port, outlets = site
    with pymodbus(PDU, port) as client:
        assert client.read_coils(OUTPUTS, count=4).bits[:4] == [outlet.state for outlet in outlets]
        for state in (False, True):
            assert not client.write_coil(OUTPUTS, state).isError()
            assert outlets[0].state is state
            assert client.read_coils(OUTPUTS, count=1).bits[0] is state
        assert not client.write_coils(OUTPUTS, [False, True, False, True]).isError()
        assert [outlet.state for outlet in outlets] == [False, True, False, True]
        assert client.write_coils(OUTPUTS, [True, True]).exception_code == 2
        assert not client.write_coils(OUTPUTS, [True] * 4).isError()


def test_pymodbustcp_switches_an_outlet(site):
    port, outlets = site
    with pymodbustcp(PDU, port) as client:
        for state in (False, True):
            assert client.write_single_coil(OUTPUTS + 1, state)
            assert outlets[1].state is state
            assert client.read_coils(OUTPUTS + 1, 1) == [state]
        assert client.write_single_register(OUTPUTS + 1, 4)
        assert outlets[1].state is False
        assert client.write_multiple_coils(OUTPUTS, [True] * 4)


def test_mbpoll_switches_an_outlet(site):
    port, outlets = site
    for state in (False, True):
        mbpoll(PDU, port, "-t0", f"-r{OUTPUTS + 2}", write=int(state))
        assert outlets[2].state is state
        shown = mbpoll(PDU, port, "-t0", f"-r{OUTPUTS + 2}", "-c1")
        assert re.search(rf"\[{OUTPUTS + 2}\]:\s*(\d)", shown)[1] == str(int(state))


def test_three_clients_read_the_set_point_of_the_dispatch_block(site):
    port, _ = site
    with pymodbus(DISPATCH, port) as first, pymodbustcp(DISPATCH, port) as second:
        assert as_float(first.read_holding_registers(2, count=2, device_id=1).registers) == 400.0
        assert as_float(second.read_input_registers(2, 2)) == 400.0
        assert first.read_device_information(read_code=1, object_id=0, device_id=1).information[0] == b"ramprig"
    assert float(re.search(r"\[2\]:\s*(\S+)", mbpoll(DISPATCH, port, "-t4:float", "-B", "-r2", "-c1"))[1]) == 400.0


def test_the_strict_client_sees_the_exceptions_the_specification_asks_for(site):
    port, _ = site
    with pymodbustcp(METER, port) as client:
        assert client.read_input_registers(0, 81) is None
        assert client.last_except == 3
        assert client.read_coils(0, 1) is None
        assert client.last_except == 1


def test_a_foreign_unit_id_is_met_with_silence(site):
    port, _ = site
    request = bytes.fromhex("0001 0000 0006 02 04 0046 0002")
    with socket.create_connection((METER, port), timeout=5) as connection:
        connection.settimeout(0.3)
        connection.sendall(request)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.recv(260)
        assert time.monotonic() - began >= 0.3


def test_pipelined_and_torn_requests_are_answered_in_order(site):
    port, _ = site
    requests = b"".join(struct.pack(">HHHBBHH", tid, 0, 6, 1, 4, 0x46, 2) for tid in range(20))
    with socket.create_connection((METER, port), timeout=5) as connection:
        connection.sendall(requests[:31])
        connection.sendall(requests[31:])
        replies = b""
        while len(replies) < 20 * 13:
            part = connection.recv(4096)
            assert part
            replies += part
    assert [int.from_bytes(replies[i : i + 2], "big") for i in range(0, len(replies), 13)] == list(range(20))
