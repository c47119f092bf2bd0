"""Clients that others wrote react to every Modbus fault as the reference page says, over real sockets."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import minimalmodbus
import pytest
import serial
from modbus_tk import modbus_rtu, modbus_tcp
from modbus_tk.exceptions import ModbusError, ModbusInvalidResponseError
from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.exceptions import ModbusException
from pyModbusTCP.client import ModbusClient

from emulator.clock import Clock
from emulator.modbus.serial_bus import SerialBus, Slave
from emulator.modbus.serial_device import ModbusSerialDevice, SerialKind
from emulator.modbus.serial_format import SerialFormat
from emulator.modbus.tcp import ModbusTcpDevice
from emulator.serial_port import PTY, SerialLine, open_port
from emulator.wire import SECOND
from tests.emulator.modbus.reactions import HIT, SPARED, as_float, faults, faulty, fits, outcome, table
from tests.system.modbus_site import free_port, served, up

pytestmark = pytest.mark.system

TIMEOUT_S = 0.4
ROWS = faults(int(TIMEOUT_S * SECOND), "mbap")

Read = Callable[[int], float | str | None]
"""A read: a value, the words for an exception, or None where the client reports an error."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A meter on 127.77.230.N with the N-th fault, all on one free port."""
    number = free_port()
    devices = {
        f"127.77.230.{row}": faulty(kind, given, number) for row, (kind, given) in enumerate(ROWS.values(), start=1)
    }
    with served(devices):
        yield number


def by_pymodbus(host: str, port: int) -> tuple[Read, Callable[[], object]]:
    client = ModbusTcpClient(host, port=port, timeout=TIMEOUT_S, retries=0)

    def read(address: int) -> float | str | None:
        try:
            reply = client.read_input_registers(address, count=2, device_id=1) if client.connect() else None
        except (ModbusException, OSError):  # a reset comes as it is
            return None
        if reply is None:
            return None
        return f"exception {reply.exception_code}" if reply.isError() else as_float(reply.registers)

    return read, client.close


def by_pymodbustcp(host: str, port: int) -> tuple[Read, Callable[[], object]]:
    client = ModbusClient(host=host, port=port, unit_id=1, timeout=TIMEOUT_S)

    def read(address: int) -> float | str | None:
        words = client.read_input_registers(address, 2)
        if words is not None:
            return as_float(words)
        return f"exception {client.last_except}" if client.last_except else None

    return read, client.close


def by_modbus_tk(host: str, port: int) -> tuple[Read, Callable[[], object]]:
    master = modbus_tcp.TcpMaster(host, port, TIMEOUT_S)
    master.set_timeout(TIMEOUT_S)

    def read(address: int) -> float | str | None:
        try:
            return as_float(list(master.execute(1, 4, address, 2)))
        except (ModbusInvalidResponseError, modbus_tcp.ModbusInvalidMbapError):
            return None
        except ModbusError as error:
            return f"exception {error.get_exception_code()}"
        except (OSError, struct.error):
            return None

    return read, master.close


EXCEPTIONS = {"Slave device or server is busy": 6}


def by_mbpoll(host: str, port: int) -> tuple[Read, Callable[[], object]]:
    return polling("-m", "tcp", "-p", str(port), place=host)


def polling(*options: str, place: str) -> tuple[Read, Callable[[], object]]:
    """One run of mbpoll for each read."""

    def read(address: int) -> float | str | None:
        command = ["mbpoll", "-a", "1", "-0", "-1", "-o", str(TIMEOUT_S), *options]
        command += ["-t3:float", "-B", f"-r{address}", "-c1", place]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        said = next((code for words, code in EXCEPTIONS.items() if words in done.stdout + done.stderr), None)
        if said is not None:
            return f"exception {said}"
        found = re.search(rf"\[{address}\]:\s*(\S+)", done.stdout)
        return float(found[1]) if found is not None else None

    return read, lambda: None


def needs(client: str) -> None:
    if client == "mbpoll" and shutil.which("mbpoll") is None:
        pytest.skip("mbpoll is not installed (Debian package mbpoll)")


CLIENTS = {"pymodbus, sync": by_pymodbus, "pyModbusTCP": by_pymodbustcp, "modbus-tk": by_modbus_tk, "mbpoll": by_mbpoll}


Make = Callable[[], tuple[Read, Callable[[], object]]]
"""A client at one of the devices: how it reads, and how it is closed."""


def reaction(make: Make) -> str:
    """The outcomes of both reads."""
    read, close = make()
    cells = []
    for address in (HIT, SPARED):
        began = time.monotonic()
        found = read(address)
        took = (time.monotonic() - began) / TIMEOUT_S
        cells.append(found if isinstance(found, str) else outcome(address, found, took))
    with suppress(OSError):
        close()
    return ", ".join(cells)


def reactions(client: str, makes: dict[str, Make]) -> dict[str, str]:
    """What the client makes of the given rows; all at once, as each mostly waits, where the client lets them."""
    found: dict[str, str] = {}

    def one(name: str, make: Make) -> None:
        found[name] = reaction(make)

    threads = [threading.Thread(target=one, args=row) for row in makes.items()]
    for thread in threads:
        thread.start()
        if client == "modbus-tk":  # one lock for all of its masters
            thread.join(10)
    for thread in threads:
        thread.join(60)
    return {name: found[name] for name in makes}


def as_told(client: str, framing: str, makes: dict[str, Make]) -> None:
    """The client's column is what the page has."""
    told = {name: cells[client] for name, cells in table(framing).items()}
    assert list(told) == list(makes)
    seen = reactions(client, makes)
    strange = [name for name in makes if not fits(seen[name], told[name])]
    if strange:
        time.sleep(4 * TIMEOUT_S)  # whatever is still under way has come then
    for name in strange:  # on a busy machine an error may take as long as a time-out: once more, alone
        seen |= reactions(client, {name: makes[name]})
    assert {name: (seen[name], told[name]) for name in makes if not fits(seen[name], told[name])} == {}


def on_tcp(client: str, port: int) -> dict[str, Make]:
    """The client at every device."""
    return {name: partial(CLIENTS[client], f"127.77.230.{row}", port) for row, name in enumerate(ROWS, start=1)}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_on_tcp_reacts_to_every_fault_as_the_page_says(client: str, port: int) -> None:
    needs(client)
    as_told(client, "mbap", on_tcp(client, port))


# ---- on a line -------------------------------------------------------------------------------------------------------

LINE_ROWS = faults(int(TIMEOUT_S * SECOND), "rtu")
FORM = SerialFormat(baud=115200)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """A pseudo-terminal for each fault, with the meter on it; where they are."""

    def on_line(device: ModbusTcpDevice) -> ModbusSerialDevice:
        return ModbusSerialDevice(1, device.units[1], device.link)

    @asynccontextmanager
    async def scene(clock: Clock) -> AsyncIterator[list[str]]:
        lines = []
        for row, (kind, given) in enumerate(LINE_ROWS.values()):
            end = open_port(clock, f"line-{row}", PTY, FORM)
            slave = Slave(1, faulty(kind, given, way=on_line))
            receiver = SerialKind.RTU.receiver(FORM, end.slack_ns)
            bus = SerialBus([slave], receiver, SerialKind.RTU.codec[1], FORM, instant=end.instant)
            lines.append(SerialLine(clock, end, bus))
            lines[-1].open()
        try:
            yield [line.path for line in lines]
        finally:
            for line in lines:
                line.close()

    with up(scene) as paths:
        yield paths


def by_minimalmodbus(path: str) -> tuple[Read, Callable[[], object]]:
    instrument = minimalmodbus.Instrument(path, 1)
    instrument.serial.baudrate = FORM.baud
    instrument.serial.timeout = TIMEOUT_S

    def read(address: int) -> float | str | None:
        try:
            return as_float(instrument.read_registers(address, 2, functioncode=4))
        except minimalmodbus.SlaveReportedException as error:
            return "exception 6" if isinstance(error, minimalmodbus.SlaveDeviceBusyError) else None
        except (minimalmodbus.ModbusException, ValueError):
            return None

    return read, instrument.serial.close


def by_pymodbus_on_a_line(path: str) -> tuple[Read, Callable[[], object]]:
    client = ModbusSerialClient(path, baudrate=FORM.baud, timeout=TIMEOUT_S, retries=0)

    def read(address: int) -> float | str | None:
        try:
            reply = client.read_input_registers(address, count=2, device_id=1) if client.connect() else None
        except (ModbusException, OSError):
            return None
        if reply is None:
            return None
        return f"exception {reply.exception_code}" if reply.isError() else as_float(reply.registers)

    return read, client.close


def by_modbus_tk_on_a_line(path: str) -> tuple[Read, Callable[[], object]]:
    master = modbus_rtu.RtuMaster(serial.Serial(path, baudrate=FORM.baud))
    master.set_timeout(TIMEOUT_S)

    def read(address: int) -> float | str | None:
        try:
            return as_float(list(master.execute(1, 4, address, 2)))
        except ModbusInvalidResponseError:
            return None
        except ModbusError as error:
            return f"exception {error.get_exception_code()}"
        except struct.error:
            return None

    return read, master.close


def by_mbpoll_on_a_line(path: str) -> tuple[Read, Callable[[], object]]:
    return polling("-m", "rtu", "-b", str(FORM.baud), "-P", "none", place=path)


ON_A_LINE = {
    "minimalmodbus": by_minimalmodbus,
    "pymodbus, sync": by_pymodbus_on_a_line,
    "modbus-tk": by_modbus_tk_on_a_line,
    "mbpoll": by_mbpoll_on_a_line,
}


@pytest.mark.parametrize("client", ON_A_LINE)
def test_a_client_on_a_line_reacts_to_every_fault_as_the_page_says(client: str, lines: list[str]) -> None:
    needs(client)
    as_told(client, "rtu", at_lines(client, lines))


def at_lines(client: str, lines: list[str]) -> dict[str, Make]:
    """The client at every line."""
    return {name: partial(ON_A_LINE[client], path) for name, path in zip(LINE_ROWS, lines, strict=True)}
