"""Connections of a real loop: much output, callers who close or break off, answers that stand, scarce descriptors."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from bench.tap import Tap, Traffic
from emulator import network as networks
from emulator.clock import Clock, run
from emulator.grid import Grid
from emulator.line import OUTPUT_LIMIT_BYTES
from emulator.meters.meter import Meter
from emulator.meters.product import load_product
from emulator.modbus.link import Link, UnitPolicy
from emulator.network import Network
from emulator.timeline import Signal
from emulator.wire import MILLISECOND, SECOND, Action, Close, Conversation, Instant, Reach, Send
from tests.emulator.meters.test_meter import Point

pytestmark = pytest.mark.system

ADDRESS = "127.78.1.1"


@dataclass
class Box:
    """A device and its own conversation, answering by a function."""

    answer: Callable[[bytes], Sequence[Action]]
    ports: tuple[int, ...]
    idle_timeout_ns: int | None = None

    def reach(self, port: int, now: Instant) -> Reach:
        return Reach.ANSWERS

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        return self

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        return self.answer(data)

    def ended(self, now: Instant) -> Sequence[Action]:
        return [Close()]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        port: int = sock.getsockname()[1]
        return port


def test_a_slow_reader_gets_everything_and_nothing_is_read_from_him_meanwhile() -> None:
    large = 24 * os.urandom(OUTPUT_LIMIT_BYTES)  # more than the kernel keeps on the way
    heard: list[bytes] = []

    def answer(data: bytes) -> Sequence[Action]:
        heard.append(data)
        return [Send(large if data == b"first" else data)]

    async def main(clock: Clock) -> None:
        network, port = Network(clock), free_port()
        network.attach(ADDRESS, Box(answer, (port,)))
        await network.open()
        try:
            reader, writer = await asyncio.open_connection(ADDRESS, port)
            writer.write(b"first")
            await asyncio.sleep(0.1)  # by now the reply fills every buffer on the way
            writer.write(b"second")
            await asyncio.sleep(0.1)
            assert heard == [b"first"]
            assert await reader.readexactly(len(large)) == large
            assert await reader.readexactly(6) == b"second"
            writer.close()
        finally:
            await network.close()

    run(main, mode="real")


def test_a_caller_who_has_closed_his_side_still_gets_what_is_under_way() -> None:
    async def main(clock: Clock) -> None:
        network, port = Network(clock), free_port()
        network.attach(ADDRESS, Box(lambda data: [Send(data, 30 * MILLISECOND), Send(data)], (port,)))
        await network.open()
        try:
            reader, writer = await asyncio.open_connection(ADDRESS, port)
            writer.write(b"ab")
            writer.write_eof()
            assert await reader.read() == b"abab"
            writer.close()
            await clock.settle()
            assert (network.live(ADDRESS), network.defects) == (0, 0)
        finally:
            await network.close()

    run(main, mode="real")


def test_a_caller_who_breaks_off_leaves_nothing_behind() -> None:
    async def main(clock: Clock) -> None:
        network, port = Network(clock), free_port()
        network.attach(ADDRESS, Box(lambda data: [Send(bytes(OUTPUT_LIMIT_BYTES), 20 * MILLISECOND)], (port,)))
        await network.open()
        try:
            for asks in (False, True):
                sock = socket.create_connection((ADDRESS, port))
                if asks:
                    sock.send(b"?")
                await asyncio.sleep(0.05)
                assert network.live(ADDRESS) == 1
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
                await asyncio.sleep(0.05)
                assert (network.live(ADDRESS), network.defects) == (0, 0)
        finally:
            await network.close()

    run(main, mode="real")


def test_a_meter_is_polled_through_answers_that_stand_and_everybody_hears_of_it() -> None:
    product = replace(load_product("eastron_sdm630"), link=Link(UnitPolicy.IGNORE, idle_timeout_ns=300 * MILLISECOND))
    request = struct.pack(">HHHBBHH", 7, 0, 6, 1, 4, 0x34, 2)

    async def main(clock: Clock) -> tuple[Traffic, int]:
        network, port, traffic = Network(clock), free_port(), Traffic()
        meter = Meter(product, Point(Signal.constant(50_000.0)), Grid(60.0, 0.0), gain=1.0)
        network.attach(ADDRESS, Tap(meter.device(port), "m", "meter", traffic))
        await network.open()
        contacts: list[str] = []
        try:
            reader, writer = await asyncio.open_connection(ADDRESS, port)
            began = clock.now()
            for number in range(50):
                if number == 20:
                    network.on_request = lambda address, *_: contacts.append(address)
                writer.write(request)
                reply = await reader.readexactly(13)
                assert reply[:9] == bytes.fromhex("0007 0000 0007 01 04 04")
                assert struct.unpack(">f", reply[9:])[0] == 50_000.0
                await asyncio.sleep(0.01)
            assert clock.now() - began > product.link.idle_timeout_ns  # type: ignore[operator]
            assert await reader.read() == b""  # idle at last
            writer.close()
        finally:
            await network.close()
        return traffic, len(contacts)

    traffic, contacts = run(main, mode="real")
    assert (traffic.requests, contacts) == ({"meter": 50}, 30)
    assert 2 <= len(traffic.frames) < 100  # the ticks only; the rest stood


def test_a_listener_out_of_descriptors_rests_and_takes_the_calls_that_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [OSError(error, os.strerror(error)) for error in (errno.EMFILE, errno.ENOMEM)]
    take_call = networks.take_call

    def scarce(listener: socket.socket) -> tuple[socket.socket, str, str, int] | None:
        if left:
            raise left.pop(0)
        return take_call(listener)

    async def main(clock: Clock) -> bytes:
        network, port = Network(clock), free_port()
        network.attach(ADDRESS, Box(lambda data: [Send(data), Close()], (port,)))
        await network.open()
        try:
            reader, writer = await asyncio.open_connection(ADDRESS, port)
            writer.write(b"still there")
            reply = await reader.read()
            writer.close()
            return reply
        finally:
            await network.close()

    monkeypatch.setattr(networks, "take_call", scarce)
    monkeypatch.setattr(networks, "_REST_NS", SECOND // 20)
    assert run(main, mode="real") == b"still there"
    assert not left
