"""The Modbus clients that others wrote, each with the one thing that is tried: a request and its answer as integers.

Owns how each library is called and over which ways it can speak; what is asked of which device is `site.py`'s.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable, Sequence
from importlib.metadata import version

import minimalmodbus
import modbus_tk.defines as tk
import serial
from modbus_tk import modbus_rtu, modbus_tcp
from pymodbus import FramerType
from pymodbus.client import ModbusSerialClient, ModbusTcpClient, ModbusUdpClient
from pyModbusTCP.client import ModbusClient
from sunspec2.modbus.modbus import ModbusClientRTU, ModbusClientTCP

from tests.modbus_clients.site import COILS, Device

TIMEOUT_S = 5.0
Ask = Callable[[Device], Sequence[int]]
OVER_TCP = ("tcp", "gateway")


class Client:
    """A client: its name and version, the ways it has, and `ask`."""

    def __init__(self, name: str, version: str, ways: Sequence[str], ask: Ask, *, coils: bool = True) -> None:
        self.name, self.version, self.ways, self._ask, self.coils = name, version, tuple(ways), ask, coils

    def can(self, device: Device) -> bool:
        """Whether it has a call for this device at all."""
        return device.way in self.ways and (self.coils or device.request.function != COILS)

    def ask(self, device: Device) -> tuple[int, ...]:
        """The registers, or the coils as 0 and 1."""
        return tuple(int(word) for word in self._ask(device))[: device.request.count]


def _pymodbus(device: Device) -> Sequence[int]:
    entry, request = device.entry, device.request
    if device.way == "rtu":
        client = ModbusSerialClient(entry["line"]["path"], baudrate=entry["line"]["baud"], timeout=TIMEOUT_S, retries=0)
    elif device.way == "udp":
        client = ModbusUdpClient(entry["address"], port=entry["port"], timeout=TIMEOUT_S, retries=0)
    else:
        framer = FramerType.RTU if device.way == "rtu-over-tcp" else FramerType.SOCKET
        client = ModbusTcpClient(entry["address"], port=entry["port"], framer=framer, timeout=TIMEOUT_S, retries=0)
    calls = {1: client.read_coils, 3: client.read_holding_registers, 4: client.read_input_registers}
    with contextlib.closing(client):
        assert client.connect()
        reply = calls[request.function](request.address, count=request.count, device_id=entry["unit"])
    assert not reply.isError(), reply
    return reply.bits if request.function == COILS else reply.registers


def _pymodbustcp(device: Device) -> Sequence[int]:
    entry, request = device.entry, device.request
    client = ModbusClient(host=entry["address"], port=entry["port"], unit_id=entry["unit"], timeout=TIMEOUT_S)
    calls = {1: client.read_coils, 3: client.read_holding_registers, 4: client.read_input_registers}
    with contextlib.closing(client):
        words = calls[request.function](request.address, request.count)
        assert words is not None, f"{client.last_error_as_txt}, {client.last_except_as_txt}"
    return words


def _minimalmodbus(device: Device) -> Sequence[int]:
    entry, request = device.entry, device.request
    with serial.Serial(entry["line"]["path"], entry["line"]["baud"], timeout=TIMEOUT_S) as port:
        client = minimalmodbus.Instrument(port, entry["unit"])
        if request.function == COILS:
            return client.read_bits(request.address, request.count, functioncode=COILS)
        return client.read_registers(request.address, request.count, functioncode=request.function)


def _modbus_tk(device: Device) -> Sequence[int]:
    entry, request = device.entry, device.request
    if device.way == "rtu":
        master = modbus_rtu.RtuMaster(serial.Serial(entry["line"]["path"], entry["line"]["baud"]))
        master.set_timeout(TIMEOUT_S)
    else:
        master = modbus_tcp.TcpMaster(entry["address"], entry["port"], timeout_in_sec=TIMEOUT_S)
    functions = {1: tk.READ_COILS, 3: tk.READ_HOLDING_REGISTERS, 4: tk.READ_INPUT_REGISTERS}
    with contextlib.closing(master):
        return master.execute(entry["unit"], functions[request.function], request.address, request.count)


def _pysunspec2(device: Device) -> Sequence[int]:
    entry, request = device.entry, device.request
    if device.way == "rtu":
        line = ModbusClientRTU(entry["line"]["path"], entry["line"]["baud"])
        with contextlib.closing(line):
            data = line.read(entry["unit"], request.address, request.count, op=request.function)
    else:
        client = ModbusClientTCP(entry["unit"], entry["address"], entry["port"], timeout=TIMEOUT_S)
        data = client.read(request.address, request.count, op=request.function)
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


def _mbpoll(device: Device) -> Sequence[int]:
    entry, request = device.entry, device.request
    if device.way == "rtu":
        way = ["-m", "rtu", "-b", str(entry["line"]["baud"]), "-P", "none", entry["line"]["path"]]
    else:
        way = ["-m", "tcp", "-p", str(entry["port"]), entry["address"]]
    kind = {1: "0", 3: "4", 4: "3"}[request.function]
    what = ["-a", str(entry["unit"]), "-t", kind, "-r", str(request.address), "-c", str(request.count)]
    command = ["mbpoll", "-0", "-1", "-q", "-o", str(TIMEOUT_S), *what, *way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [int(word) for word in re.findall(r"^\[\d+\]:\s+(\d+)", done.stdout, re.MULTILINE)]


def mbpoll_version() -> str:
    """What `mbpoll -V` says. Raises FileNotFoundError where it is not installed (Debian package mbpoll)."""
    return subprocess.run(["mbpoll", "-V"], capture_output=True, text=True, timeout=20, check=True).stdout.split()[0]


def clients() -> tuple[Client, ...]:
    """All of them; mbpoll speaks through libmodbus."""
    return (
        Client("mbpoll (libmodbus)", mbpoll_version(), (*OVER_TCP, "rtu"), _mbpoll),
        Client("minimalmodbus", version("minimalmodbus"), ("rtu",), _minimalmodbus),
        Client("pymodbus", version("pymodbus"), (*OVER_TCP, "rtu", "udp", "rtu-over-tcp"), _pymodbus),
        Client("pyModbusTCP", version("pyModbusTCP"), OVER_TCP, _pymodbustcp),
        Client("modbus-tk", version("modbus_tk"), (*OVER_TCP, "rtu"), _modbus_tk),
        Client("pysunspec2", version("pysunspec2"), (*OVER_TCP, "rtu"), _pysunspec2, coils=False),
    )
