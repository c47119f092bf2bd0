"""Clients that others wrote react to every Modbus fault as the reference page says, over real sockets."""

from __future__ import annotations

import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from modbus_tk import modbus_tcp
from modbus_tk.exceptions import ModbusError, ModbusInvalidResponseError
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from pyModbusTCP.client import ModbusClient

from emulator.clock import Clock, run
from emulator.network import Network
from emulator.wire import SECOND
from tests.emulator.modbus.reactions import HIT, SPARED, as_float, faults, faulty, outcome, table

pytestmark = pytest.mark.system

TIMEOUT_S = 0.4
ROWS = faults(int(TIMEOUT_S * SECOND), "mbap")

Read = Callable[[int], float | str | None]
"""A read: a value, the words for an exception, or None where the client reports an error."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A meter on 127.77.230.N with the N-th fault, all on one free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    ready, done, trouble = threading.Event(), threading.Event(), []

    async def serve(clock: Clock) -> None:
        network = Network(clock)
        for row, (kind, given) in enumerate(ROWS.values(), start=1):
            network.attach(f"127.77.230.{row}", faulty(kind, given, number))
        await network.open()
        ready.set()
        try:
            while not done.is_set():
                await clock.sleep(SECOND // 50)
        finally:
            await network.close()

    def serving() -> None:
        try:
            run(serve, mode="real")
        except BaseException as error:
            trouble.append(error)
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=serving, daemon=True)
    thread.start()
    assert ready.wait(10)
    assert not trouble
    yield number
    done.set()
    thread.join(10)
    assert not thread.is_alive()


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
    program = shutil.which("mbpoll")
    if program is None:
        pytest.skip("mbpoll is not installed (Debian package mbpoll)")

    def read(address: int) -> float | str | None:
        command = [program, "-m", "tcp", "-a", "1", "-p", str(port), "-0", "-1", "-o", str(TIMEOUT_S)]
        command += ["-t3:float", "-B", f"-r{address}", "-c1", host]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        said = next((code for words, code in EXCEPTIONS.items() if words in done.stdout + done.stderr), None)
        if said is not None:
            return f"exception {said}"
        found = re.search(rf"\[{address}\]:\s*(\S+)", done.stdout)
        return float(found[1]) if found is not None else None

    return read, lambda: None


CLIENTS = {"pymodbus, sync": by_pymodbus, "pyModbusTCP": by_pymodbustcp, "modbus-tk": by_modbus_tk, "mbpoll": by_mbpoll}


def reaction(make: Callable[[str, int], tuple[Read, Callable[[], object]]], host: str, port: int) -> str:
    """The outcomes of both reads."""
    read, close = make(host, port)
    cells = []
    for address in (HIT, SPARED):
        began = time.monotonic()
        found = read(address)
        took = (time.monotonic() - began) / TIMEOUT_S
        cells.append(found if isinstance(found, str) else outcome(address, found, took))
    with suppress(OSError):
        close()
    return ", ".join(cells)


def reactions(client: str, port: int, rows: dict[int, str]) -> dict[str, str]:
    """The given rows of the table; all at once, as each waits for most of its time, where the client lets them."""
    found: dict[str, str] = {}

    def one(row: int, name: str) -> None:
        found[name] = reaction(CLIENTS[client], f"127.77.230.{row}", port)

    threads = [threading.Thread(target=one, args=row) for row in rows.items()]
    for thread in threads:
        thread.start()
        if client == "modbus-tk":  # one lock for all of its masters
            thread.join(10)
    for thread in threads:
        thread.join(60)
    return {name: found[name] for name in rows.values()}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_reacts_to_every_fault_as_the_page_says(client: str, port: int) -> None:
    if client == "mbpoll" and shutil.which("mbpoll") is None:
        pytest.skip("mbpoll is not installed (Debian package mbpoll)")
    told = {name: cells[client] for name, cells in table("mbap").items()}
    rows = dict(enumerate(ROWS, start=1))
    assert list(told) == list(ROWS)
    seen = reactions(client, port, rows)
    for row, name in rows.items():  # on a busy machine an error may take as long as a time-out: once more, alone
        if seen[name] != told[name]:
            seen |= reactions(client, port, {row: name})
    assert seen == told
