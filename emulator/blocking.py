"""Blocking connects of a run's threads, led to the listeners of its virtual loop like every other connect.

Owns one method of `socket.socket` while a virtual loop runs; a client that opens its connection in an executor and then
reads it on the loop (aiomqtt over paho) so lives in virtual time. What a thread waits for costs it no more than a
coroutine: time moves on while all that runs is waiting here.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.jobs import Jobs
    from emulator.virtual_loop import VirtualLoop

_kernel_connect: Callable[[socket.socket, Any], None] = socket.socket.connect
_open: list[Carrier] = []
_lock = threading.Lock()


class Carrier:
    """Carries the connects of one loop's threads from `begin` to `end`."""

    def __init__(self, loop: VirtualLoop, jobs: Jobs) -> None:
        self._loop = loop
        self._jobs = jobs
        self._thread = 0

    def begin(self) -> None:
        """Called in the loop's own thread."""
        self._thread = threading.get_ident()
        with _lock:
            _open.append(self)
            socket.socket.connect = _connect  # type: ignore[method-assign,assignment]

    def end(self) -> None:
        """The last to end gives the sockets their own method back."""
        with _lock:
            _open.remove(self)
            if not _open:
                del socket.socket.connect

    def carries(self, sock: socket.socket, address: Any) -> bool:
        """Whether this connect is one of the run's: blocking, from a thread of its own, to somebody it serves."""
        return (
            type(sock) is socket.socket
            and sock.family in (socket.AF_INET, socket.AF_INET6)
            and sock.type == socket.SOCK_STREAM
            and sock.gettimeout() != 0.0
            and threading.get_ident() != self._thread
            and self._jobs.counts(threading.current_thread())
            and self._loop.loopback.serves(address)
        )

    def connect(self, sock: socket.socket, address: Any) -> None:
        """Wait in this thread until the loop has made the connection, or the socket's time-out has passed."""
        timeout_s = sock.gettimeout()

        async def carried() -> None:
            with self._jobs.waiting():
                async with asyncio.timeout(timeout_s):
                    await self._loop.loopback.connect(sock, address)

        asyncio.run_coroutine_threadsafe(carried(), self._loop).result()


def _connect(sock: socket.socket, address: Any) -> None:
    for carrier in reversed(_open):
        if carrier.carries(sock, address):
            carrier.connect(sock, address)
            return
    _kernel_connect(sock, address)
