"""The VTN's webhooks: posts what has happened to whoever has subscribed, as a client of the controller.

Owns the calling, its patience and its retries, and which URLs may be called; who is told what is
`openadr3_store.py`'s. It runs on the run's own loop, in real and in virtual time alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections import deque
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import h11

from emulator.faults import Dice
from emulator.faulty_replies import damaged
from emulator.signals.openadr3_store import Happening, Object
from emulator.signals.service import as_json
from emulator.wire import SECOND, Instant

if TYPE_CHECKING:
    from emulator.clock import Clock
    from emulator.signals.openadr3 import Vtn

TIMEOUT_S = 5.0
"""For one attempt, from the call to the end of the answer. estimate"""
RETRIES_S = (1, 2, 4)
"""Waits before a further attempt where there was no 2xx. estimate"""
MOST_WAITING = 1000
_logger = logging.getLogger("ramprig.signals")


def allows(url: str, networks: Iterable[str] = ()) -> bool:
    """Whether a callback URL is plain http to the loopback, or into one of `networks`."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.scheme != "http" or not host or parts.username is not None:
        return False
    if host == "localhost":
        return True
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    return ip.is_loopback or any(ip in ipaddress.ip_network(network) for network in networks)


class Courier:
    """Plays the operator's messages into a VTN when they are due and delivers what subscribers want to hear.

    Each callback URL has a row of its own: what is for one caller does not wait for another. `delivered` and `failed`
    count notifications.
    """

    def __init__(self, vtn: Vtn, clock: Clock) -> None:
        self.delivered = 0
        self.failed = 0
        self._vtn = vtn
        self._clock = clock
        self._rows: dict[str, deque[tuple[Object, bytes]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._playing: asyncio.Task[None] | None = None
        vtn.store.on_change = self._heard

    def start(self) -> None:
        """Begin."""
        self._playing = self._spawn(self._play())

    async def close(self) -> None:
        """Stop; what is under way is broken off. Raises what has broken the playing of messages."""
        for task in self._tasks:
            task.cancel()
        if self._playing is not None:
            self._tasks.add(self._playing)
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._clock.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _play(self) -> None:
        """Wake the VTN whenever a message is due."""
        at: Instant | None = self._clock.now()
        while at is not None:
            await self._clock.sleep_until(at)
            self._vtn.advance(self._clock.now())
            at = self._vtn.next_ns(self._clock.now())

    def _heard(self, happening: Happening) -> None:
        for wish, said in self._vtn.store.subscribers(happening):
            body = as_json(said)
            damage = self._vtn.damage_of([happening.object])
            if damage is not None:
                body = damaged(body, damage.how, Dice(damage.seed))
            row = self._rows.setdefault(wish["callbackUrl"], deque())
            if len(row) >= MOST_WAITING:
                self.failed += 1
                continue
            row.append((wish, body))
            if len(row) == 1:
                self._spawn(self._deliver(row))

    async def _deliver(self, row: deque[tuple[Object, bytes]]) -> None:
        while row:
            wish, body = row[0]
            for wait_s in (0, *RETRIES_S):
                await self._clock.sleep(wait_s * SECOND)
                if await self._call(wish, body):
                    self.delivered += 1
                    break
            else:
                self.failed += 1
                _logger.warning("%s: a notification was given up after %d attempts", wish["callbackUrl"],
                                len(RETRIES_S) + 1)  # fmt: skip
            row.popleft()

    async def _call(self, wish: Object, body: bytes) -> bool:
        """One attempt; whether the answer was 2xx."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return 200 <= await _post(wish["callbackUrl"], wish.get("bearerToken"), body) < 300
        except (OSError, TimeoutError, h11.ProtocolError):
            return False


async def _post(url: str, token: str | None, body: bytes) -> int:
    """POST a JSON text; the status of the answer."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    reader, writer = await asyncio.open_connection(host, port)
    try:
        talk = h11.Connection(h11.CLIENT)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = [("Host", parts.netloc), ("Content-Type", "application/json"), ("Content-Length", str(len(body))),
                   ("User-Agent", "ramprig"), ("Connection", "close")]  # fmt: skip
        if token is not None:
            headers.append(("Authorization", f"Bearer {token}"))
        writer.write(talk.send(h11.Request(method="POST", target=target, headers=headers)) or b"")
        writer.write((talk.send(h11.Data(data=body)) or b"") + (talk.send(h11.EndOfMessage()) or b""))
        await writer.drain()
        while True:
            event = talk.next_event()
            if event is h11.NEED_DATA:
                talk.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Response):
                return event.status_code
            elif isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("the connection ended before an answer")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
