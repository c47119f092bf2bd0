"""Thousands of connections that are held open, by callers who say nothing, half a request, or far too much."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from tests.system.held_site import CROWDED, DEVICES, FACES, METERS, MINERS

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
MANY, ON_MINERS = 5000, 2000
TAKEN = 256
"""How many connections a device of a `Network` takes at a time, if not told otherwise."""
REQUEST = bytes.fromhex("0001 0000 0006 01 04 0046 0002")
LUXOS = FACES.index("luxos") + 1
ANSWER_S = 5.0
"""Nobody waits longer than this for an answer, whatever others do; a stalled site never answers. estimate"""


class HeldSite:
    """The process of `held_site.py`."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    @property
    def resident_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])


@pytest.fixture(scope="module")
def site() -> Iterator[HeldSite]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.system.held_site"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield HeldSite(process, int(process.stdout.readline()))
        said, _ = process.communicate("", timeout=30)
        assert said.strip() == "0", "the network has noted a defect"
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
def descriptors() -> Iterator[int]:
    """As many open files as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def need(descriptors: int, count: int) -> None:
    if descriptors < count + 200:
        pytest.skip(f"{count} connections need more open files than the {descriptors} allowed here (ulimit -Hn)")


def hold(stack: ExitStack, host: str, port: int) -> socket.socket:
    return stack.enter_context(socket.create_connection((host, port), timeout=10))


@pytest.fixture
def client(site: HeldSite) -> Iterator[ModbusTcpClient]:
    """An unchanged client, connected before the others are: it waits with select, which knows low numbers only."""
    client = ModbusTcpClient(f"{METERS}.2", port=site.port, timeout=ANSWER_S, retries=0)
    assert client.connect()
    assert reads_right(client) < ANSWER_S
    yield client
    client.close()


def reads_right(client: ModbusTcpClient) -> float:
    """How long the client needs to read the frequency, seconds."""
    began = time.monotonic()
    assert client.read_input_registers(0x46, count=2, device_id=1).registers == [0x4248, 0]
    return time.monotonic() - began


def newcomer_is_answered(host: str, port: int) -> bool:
    with socket.create_connection((host, port), timeout=ANSWER_S) as connection:
        connection.sendall(REQUEST)
        return len(connection.recv(100)) == 13


def test_5000_connections_half_of_them_with_half_a_request_do_not_stall_another_client(
    site: HeldSite, client: ModbusTcpClient, descriptors: int
) -> None:
    need(descriptors, MANY)
    before_kib = site.resident_kib
    with ExitStack() as stack:
        held = [hold(stack, f"{METERS}.{n % DEVICES + 1}", site.port) for n in range(MANY)]
        for position in range(len(REQUEST) - 1):  # a byte at a time, and never the last one
            for connection in held[::2]:
                connection.send(REQUEST[position : position + 1])
            assert reads_right(client) < ANSWER_S
            assert newcomer_is_answered(f"{METERS}.{position % DEVICES + 1}", site.port)
        grown_kib = site.resident_kib - before_kib
        assert grown_kib < 40 * MANY, f"{grown_kib / MANY:.1f} KiB a connection"
        for connection in held[:20:2]:
            connection.settimeout(ANSWER_S)
            connection.send(REQUEST[-1:])
            assert len(connection.recv(100)) == 13, "who comes to the point is answered"


def test_one_device_takes_so_many_callers_and_the_others_do_not_notice(
    site: HeldSite, client: ModbusTcpClient, descriptors: int
) -> None:
    need(descriptors, TAKEN)
    with ExitStack() as stack:
        held = [hold(stack, f"{METERS}.{CROWDED}", site.port) for _ in range(TAKEN)]
        with pytest.raises(ConnectionResetError):  # while it calls already, where the reset overtakes it
            hold(stack, f"{METERS}.{CROWDED}", site.port).recv(100)
        assert reads_right(client) < ANSWER_S
        for connection in (held[0], held[-1]):
            connection.settimeout(ANSWER_S)
            connection.sendall(REQUEST)
            assert len(connection.recv(100)) == 13


def ask_luxos() -> str:
    with socket.create_connection((f"{MINERS}.{LUXOS}", 4028), timeout=ANSWER_S) as connection:
        connection.sendall(b'{"command":"version"}')
        said = b""
        while part := connection.recv(4096):
            said += part
    return str(json.loads(said.rstrip(b"\x00"))["STATUS"][0]["STATUS"])


def test_2000_slow_callers_of_miners_do_not_stall_another_client(site: HeldSite, descriptors: int) -> None:
    need(descriptors, ON_MINERS)
    assert ask_luxos() == "S"
    before_kib = site.resident_kib
    api, web = b'{"command":"summary', b"GET / HTTP/1.1\r\nHost: miner\r\nX-Slow: "
    with ExitStack() as stack:
        held = []
        for n in range(ON_MINERS):
            host, port = f"{MINERS}.{n % len(FACES) + 1}", (4028, 80)[n // len(FACES) % 2]
            with suppress(ConnectionRefusedError):  # not every firmware has both
                held.append((hold(stack, host, port), web if port == 80 else api))
        assert len(held) > ON_MINERS // 2
        for position in range(0, len(api), 3):
            for connection, words in held:
                with suppress(ConnectionError):  # a firmware that answers what it has after one recv has hung up
                    connection.send(words[position : position + 3])
            assert ask_luxos() == "S"
        assert site.resident_kib - before_kib < 60 * ON_MINERS


ENDLESS: dict[str, tuple[Callable[[HeldSite], tuple[str, int]], bytes, bytes]] = {
    "modbus": (lambda site: (f"{METERS}.1", site.port), b"", b"\x00" * 65536),
    "modbus-pipelined": (lambda site: (f"{METERS}.1", site.port), b"", REQUEST * 5000),
    "cgminer": (lambda _site: (f"{MINERS}.{LUXOS}", 4028), b'{"command":"', b"a" * 65536),
    "http-head": (lambda _site: (f"{MINERS}.1", 80), b"GET / HTTP/1.1\r\nX: ", b"a" * 65536),
    "http-body": (
        lambda _site: (f"{MINERS}.1", 80),
        b"POST /cgi-bin/set_miner_conf.cgi HTTP/1.1\r\nHost: m\r\nContent-Length: 99999999999\r\n\r\n",
        b"a" * 65536,
    ),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_an_endless_request_meets_an_end_or_back_pressure_and_costs_no_memory(
    what: str, site: HeldSite, client: ModbusTcpClient
) -> None:
    where, begins, goes_on = ENDLESS[what]
    before_kib = site.resident_kib
    with socket.create_connection(where(site), timeout=0.5) as connection:
        with suppress(OSError):  # hung up on, or no longer read from
            connection.sendall(begins)
            for _ in range(400):  # 25 MiB
                connection.sendall(goes_on)
        assert reads_right(client) < ANSWER_S
        assert site.resident_kib - before_kib < 16 * 1024
