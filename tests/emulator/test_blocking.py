"""Blocking connects from threads of a virtual run reach its listeners, and cost what they would cost a coroutine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from emulator.clock import Clock, run
from emulator.network import Network
from emulator.wire import SECOND, Action, Close, Instant, Reach, Send

T = TypeVar("T")
ADDRESS = "127.7.1.1"


class Echo:
    """A device that repeats what it hears, or is not there."""

    ports = (2000,)
    idle_timeout_ns: int | None = None

    def __init__(self, reach: Reach = Reach.ANSWERS) -> None:
        self._reach = reach

    def reach(self, port: int, now: Instant) -> Reach:
        return self._reach

    def converse(self, port: int, peer: str, now: Instant) -> Echo:
        return self

    def received(self, data: bytes, now: Instant) -> list[Action]:
        return [Send(data, 250_000_000)]

    def ended(self, now: Instant) -> list[Action]:
        return [Close()]


def live(during: Callable[[Clock], Awaitable[T]], reach: Reach = Reach.ANSWERS) -> T:
    async def main(clock: Clock) -> T:
        network = Network(clock)
        network.attach(ADDRESS, Echo(reach))
        await network.open()
        try:
            return await during(clock)
        finally:
            await network.close()

    return run(main)


def test_a_socket_that_a_thread_connects_is_read_by_the_loop() -> None:
    async def during(clock: Clock) -> tuple[bytes, float, Any]:
        sock = await asyncio.to_thread(socket.create_connection, (ADDRESS, 2000), 5)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, b"hello")
        said = await loop.sock_recv(sock, 100)
        name = sock.getpeername()
        sock.close()
        return said, clock.now() / SECOND, name

    assert live(during) == (b"hello", 0.25, (ADDRESS, 2000))


def test_a_thread_is_refused_like_a_coroutine() -> None:
    async def during(clock: Clock) -> int:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(socket.create_connection, (ADDRESS, 2000), 5)
        return clock.now()

    assert live(during, Reach.REFUSES) == 0


def test_the_time_out_of_a_socket_passes_in_virtual_time() -> None:
    async def during(clock: Clock) -> float:
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(socket.create_connection, (ADDRESS, 2000), 5)
        return clock.now() / SECOND

    assert live(during, Reach.SILENT) == 5.0


def test_many_threads_wait_at_once_and_timers_go_on() -> None:
    async def during(clock: Clock) -> tuple[int, float]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await clock.sleep(SECOND)
                ticks += 1

        ticking = asyncio.create_task(tick())
        calls = [asyncio.to_thread(socket.create_connection, (ADDRESS, 2000), wait) for wait in (3, 5, 8)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        ticking.cancel()
        assert all(isinstance(one, TimeoutError) for one in ended)
        return ticks, clock.now() / SECOND

    assert live(during, Reach.SILENT) in ((7, 8.0), (8, 8.0))


def test_what_nobody_in_the_run_serves_is_left_to_the_kernel() -> None:
    async def during(clock: Clock) -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(socket.create_connection, (ADDRESS, 2001), 1)
        left, right = await asyncio.to_thread(socket.socketpair)
        left.close()
        right.close()

    live(during)
    assert "connect" not in vars(socket.socket)
