"""A TCP connection of a real loop with as few steps between socket and protocol as there can be.

Owns the socket, what waits to be sent and the order of a connection's calls, which is that of asyncio's own transports
but that the end is told at once and not in the next round. Whose connection it is, is `emulator/network.py`'s.
"""

from __future__ import annotations

import asyncio
import select
import socket
from typing import TYPE_CHECKING, Any

from fastpath.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.clock import RealLoop
    from fastpath.exchange import Standing

_READ_BYTES = 65_536
_HIGH_BYTES = 65_536
"""Output that waits before the protocol is told to pause, unless it sets its own limit: asyncio's default. S"""
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_NOW = socket.MSG_DONTWAIT
"""Said at each call, so that an accepted socket need not be made non-blocking."""


_ENDED = asyncio.Protocol()


class Connection(asyncio.Transport):
    """An accepted socket under a protocol, which is told of it by `begin`.

    Requests with an answer in `standing` are answered without it while no output waits.
    """

    __slots__ = (
        "_closing", "_ended", "_exchange", "_hear", "_high", "_is_full", "_loop", "_paused", "_protocol", "_sock",
        "_takes_input", "_waiting", "_watched",
    )  # fmt: skip

    def __init__(
        self,
        loop: RealLoop,
        sock: socket.socket,
        protocol: asyncio.Protocol,
        standing: Standing | None = None,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._exchange = Exchange(sock, standing, self, loop.monotonic_ns, loop.origin_ns)
        self._hear = self._exchange.hear
        self._waiting = bytearray()
        self._high = _HIGH_BYTES
        self._takes_input = True
        self._paused = self._is_full = self._closing = self._ended = self._watched = False

    def begin(self) -> None:
        """Tell the protocol, and take input from the next round on."""
        self._protocol.connection_made(self)
        self._watch()

    # --- input ------------------------------------------------------------------------------------------------------

    def ready(self, events: int) -> None:
        """The socket has other events than just input, or output waits: nothing is answered without the protocol."""
        if events & _OUT:
            self._flush()
        if events == _OUT or self._ended or not self.is_reading():
            return
        try:
            data = self._sock.recv(_READ_BYTES, _NOW)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        self.take(data)

    def take(self, data: bytes) -> None:
        """Input; empty at the peer's end."""
        try:
            if data:
                self._protocol.data_received(data)
                return
            self._takes_input = False
            if self._protocol.eof_received():
                self._watch()  # the protocol keeps its side open
            else:
                self.close()
        except Exception as error:
            self._end(error)
            raise

    def failed(self, error: OSError) -> None:
        """The socket has failed."""
        self._end(error)

    def pause_reading(self) -> None:
        """Take no input until `resume_reading`."""
        self._paused = True
        self._watch()

    def resume_reading(self) -> None:
        """Take input again."""
        self._paused = False
        self._watch()

    def is_reading(self) -> bool:
        """Whether input is taken."""
        return self._takes_input and not self._paused

    # --- output -----------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send what the kernel takes at once, and the rest when it can be sent."""
        self._send(data, self._say)

    def write_last(self, data: bytes) -> None:
        """As `write`, when `close` comes right after it: reply and end go out in one segment."""
        if not self._ended:  # then there is no exchange any more
            self._send(data, self._exchange.say_last)

    def _say(self, data: Any) -> int:
        """How many bytes the kernel took."""
        try:
            return self._sock.send(data, _NOW)
        except (BlockingIOError, InterruptedError):
            return 0

    def _send(self, data: Any, say: Callable[[Any], int]) -> None:
        if self._ended:
            return
        if not self._waiting:
            try:
                sent = say(data)
            except OSError as error:
                self._end(error)
                return
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
        self._waiting += data
        self._watch()
        if len(self._waiting) > self._high and not self._is_full:
            self._is_full = True
            self._protocol.pause_writing()

    def _flush(self) -> None:
        if not self._waiting:
            return
        try:
            sent = self._say(self._waiting)
        except OSError as error:
            self._end(error)
            return
        del self._waiting[:sent]
        if self._is_full and len(self._waiting) <= self._high // 4:
            self._is_full = False
            self._protocol.resume_writing()
        if not self._waiting:
            if self._closing:
                self._end(None)
            else:
                self._watch()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Pause the protocol above `high` waiting bytes, resume it at a quarter of them; `low` is not looked at."""
        self._high = _HIGH_BYTES if high is None else high

    def get_write_buffer_size(self) -> int:
        """How many bytes wait."""
        return len(self._waiting)

    def can_write_eof(self) -> bool:
        """No: both directions end together."""
        return False

    # --- the end ----------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Whether it is closed or will be when everything is sent."""
        return self._closing

    def close(self) -> None:
        """Take no more input; end when everything is sent."""
        if self._closing:
            return
        self._closing = True
        self._takes_input = False
        if self._waiting:
            self._watch()
        else:
            self._end(None)

    def abort(self) -> None:
        """End now; what waits is lost."""
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._ended:
            return
        self._ended = self._closing = True
        self._waiting.clear()
        protocol, self._protocol = self._protocol, _ENDED
        try:
            protocol.connection_lost(error)
        finally:
            self._watch()
            self._sock.close()
            del self._hear, self._exchange  # with this and the protocol gone, nothing is left for the garbage collector

    # --- beside -----------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Tell the loop what is waited for now."""
        events = 0
        if not self._ended:
            events = (_IN if self._takes_input and not self._paused else 0) | (_OUT if self._waiting else 0)
        if events:
            self._loop.watch(self._sock.fileno(), events, self._hear if events == _IN else self.ready)
        elif self._watched:
            self._loop.unwatch(self._sock.fileno())
        self._watched = bool(events)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The socket, and its two names."""
        if name == "socket":
            return self._sock
        if name == "sockname":
            return self._sock.getsockname()
        return self._sock.getpeername() if name == "peername" else default

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Whose connection it is."""
        return self._protocol
