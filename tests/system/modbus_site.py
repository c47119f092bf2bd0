"""Modbus devices served on real sockets by a thread of their own, for clients that block."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from bench.layout import Layout
from bench.rig import Rig
from emulator.clock import Clock, run
from emulator.network import Network
from emulator.seed import Seed
from emulator.wire import MILLISECOND, Device

T = TypeVar("T")
_LOOK_NS = 20 * MILLISECOND


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def up(scene: Callable[[Clock], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """Keep a scene up in real time, on a thread and a loop of its own, while the block runs; yields what it yields.

    What it raises, as it comes up or later, is raised here.
    """
    ready, done = threading.Event(), threading.Event()
    made: list[T] = []
    trouble: list[BaseException] = []

    async def serve(clock: Clock) -> None:
        async with scene(clock) as one:
            made.append(one)
            ready.set()
            while not done.is_set():
                await clock.sleep(_LOOK_NS)

    def serving() -> None:
        try:
            run(serve, mode="real")
        except BaseException as error:  # noqa: BLE001 the thread that waits for it raises it
            trouble.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=serving, daemon=True)
    thread.start()
    try:
        assert ready.wait(30)
        if trouble:
            raise trouble[0]
        yield made[0]
    finally:
        done.set()
        thread.join(10)
        assert not thread.is_alive()
    if trouble:
        raise trouble[0]


@contextlib.contextmanager
def served(devices: Mapping[str, Device]) -> Iterator[None]:
    """Serve `devices` (address -> device) in real time while the block runs."""

    @contextlib.asynccontextmanager
    async def scene(clock: Clock) -> AsyncIterator[None]:
        network = Network(clock)
        for address, device in devices.items():
            network.attach(address, device)
        await network.open()
        try:
            yield
        finally:
            await network.close()

    with up(scene):
        yield


@contextlib.contextmanager
def rig_up(layout: Layout) -> Iterator[Rig]:
    """Serve a rig in real time while the block runs."""

    @contextlib.asynccontextmanager
    async def scene(clock: Clock) -> AsyncIterator[Rig]:
        rig = Rig(layout, clock, Seed(1), 60.0)
        await rig.open()
        try:
            yield rig
        finally:
            await rig.close()

    with up(scene) as rig:
        yield rig
