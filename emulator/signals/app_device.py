"""A web application of aiohttp as a device: another project's server behind our network, its taps and its faults.

Owns the bridge between the bytes of a conversation and the protocol object that aiohttp would put on a socket. The
application runs as tasks of the run's loop; what it answers is its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from emulator.wire import Action, Close, Conversation, Instant, Reach, Send

if TYPE_CHECKING:
    from aiohttp.web import Application, AppRunner


class AppDevice:
    """An application on one port of one address: refuses callers until it is started."""

    def __init__(self, app: Application, address: str, port: int) -> None:
        self.ports: tuple[int, ...] = (port,)
        self._app = app
        self._name = (address, port)
        self._runner: AppRunner | None = None

    async def start(self) -> None:
        """Begin to answer."""
        from aiohttp import web

        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()

    async def close(self) -> None:
        """Stop answering."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    def reach(self, port: int, now: Instant) -> Reach:
        """There once it is started."""
        return Reach.ANSWERS if port in self.ports and self._runner is not None else Reach.REFUSES

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        """Begin a connection. Raises RuntimeError before the start."""
        if self._runner is None or self._runner.server is None:
            raise RuntimeError("the application has not been started")
        return AppConversation(self._runner.server(), (peer, 0), self._name)


class AppConversation:
    """One connection (`emulator.wire.Attended`): the application answers in its own time."""

    idle_timeout_ns: int | None = None

    def __init__(self, protocol: Any, peer: tuple[str, int], own: tuple[str, int]) -> None:
        self._protocol = protocol
        self._wire = _Wire(self, {"peername": peer, "sockname": own})
        self._out: list[bytes] = []
        self._now_ns: Instant = 0
        self._rouse: Callable[[], None] | None = None
        self._is_over = False
        protocol.connection_made(self._wire)

    @property
    def wake_ns(self) -> Instant | None:
        """At once where the application has said something."""
        return self._now_ns if self._out or (self._wire.is_closing() and not self._is_over) else None

    def attend(self, rouse: Callable[[], None]) -> None:
        """The connection stands."""
        self._rouse = rouse

    def lost(self, now: Instant) -> None:
        """The connection is gone."""
        self._is_over = True
        self._protocol.connection_lost(None)

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Hand the bytes on; the answer comes when it comes."""
        self._now_ns = now
        if not self._is_over:
            self._protocol.data_received(data)
        return self._said()

    def ended(self, now: Instant) -> Sequence[Action]:
        """The caller is done; so is the connection."""
        self._now_ns = now
        return [*self._said(), Close()]

    def woken(self, now: Instant) -> Sequence[Action]:
        """The application has said something."""
        self._now_ns = now
        return self._said()

    def wrote(self, data: bytes) -> None:
        """The application writes."""
        self._out.append(data)
        self.ring()

    def ring(self) -> None:
        """Have the line ask again."""
        if self._rouse is not None and not self._is_over:
            self._rouse()

    def _said(self) -> list[Action]:
        """A whole reply in one piece, head and body, as far as it is there."""
        out, self._out = b"".join(self._out), []
        said: list[Action] = [Send(out)] if out else []
        if self._wire.is_closing() and not self._is_over:
            self._is_over = True
            said.append(Close())
        return said


class _Wire(asyncio.Transport):
    """What the application takes for a socket."""

    def __init__(self, talk: AppConversation, extra: dict[str, Any]) -> None:
        super().__init__(extra)
        self._talk = talk
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._talk.wrote(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self._talk.wrote(b"".join(bytes(data) for data in list_of_data))

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._talk.ring()

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        """The line sees to that."""

    def resume_reading(self) -> None:
        """The line sees to that."""
