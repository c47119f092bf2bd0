"""Modbus devices served on real sockets by a thread of their own, for clients that block."""

from __future__ import annotations

import contextlib
import socket
import threading

from emulator.clock import run
from emulator.network import Network


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def served(devices):
    """Serve `devices` (address -> device) in real time while the block runs."""
    ready, done, trouble = threading.Event(), threading.Event(), []

    async def serve(clock):
        network = Network(clock)
        for address, device in devices.items():
            network.attach(address, device)
        await network.open()
        ready.set()
        try:
            while not done.is_set():
                await clock.sleep(20_000_000)
        finally:
            await network.close()

    def serving():
        try:
            run(serve, mode="real")
        except BaseException as error:
            trouble.append(error)
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=serving, daemon=True)
    thread.start()
    try:
        assert ready.wait(10)
        assert not trouble
        yield
    finally:
        done.set()
        thread.join(10)
        assert not thread.is_alive()
