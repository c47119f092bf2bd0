"""The web server of an ESP32: few sockets, one request at a time, and connections without end until one is needed.

Owns places (who is evicted, who waits) and the WebSocket that carries the log; paths and their meaning are the face's.
Source: ESP-IDF's esp_http_server as ESP-Miner sets it up (S), its order of eviction from general knowledge (GK).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import h11

from emulator.wire import SECOND, Action, Close, Instant, Send
from firmware_mocks.miners import websocket
from firmware_mocks.miners.http import App, Host, HttpConversation, HttpRequest, HttpResponse

BACKLOG = 5  # S: HTTPD_DEFAULT_CONFIG, backlog_conn; connections that the server has not taken yet
MOST_SOCKETS = 10  # S: MAX_WEBSOCKET_CLIENTS
MOST_EARLY = 64 * 1024  # estimate: what a caller may say before he has a place
_FULL = HttpResponse(429, b"Max WebSocket clients reached", "text/html")
_PLAIN = HttpResponse(400, b"Bad Request", "text/html")


class Places:
    """The server's sockets: `limit` connections, the least recently used first in the row, and those that wait."""

    __slots__ = ("_taken", "_waiting", "evicts", "limit")

    def __init__(self, limit: int, evicts: bool) -> None:
        self.limit = limit
        self.evicts = evicts
        self._taken: list[EspConversation] = []
        self._waiting: list[EspConversation] = []

    def enter(self, caller: EspConversation) -> bool:
        """A connection comes in; True when it has a place now."""
        if len(self._taken) < self.limit:
            self._taken.append(caller)
            return True
        if self.evicts:
            self._taken.pop(0).hang_up()
            self._taken.append(caller)
            return True
        if len(self._waiting) < BACKLOG:
            self._waiting.append(caller)
        else:
            caller.hang_up()
        return False

    def used(self, caller: EspConversation) -> None:
        """A connection was read from: it is now the last to be evicted."""
        if caller in self._taken:
            self._taken.remove(caller)
            self._taken.append(caller)

    def leave(self, caller: EspConversation) -> None:
        """A connection is gone; whoever waits longest gets its place."""
        if caller in self._waiting:
            self._waiting.remove(caller)
        if caller in self._taken:
            self._taken.remove(caller)
            if self._waiting and len(self._taken) < self.limit:
                following = self._waiting.pop(0)
                self._taken.append(following)
                following.admit()

    def clear(self) -> None:
        """The server has started anew."""
        self._taken.clear()
        self._waiting.clear()

    def __deepcopy__(self, _memo: dict[int, Any]) -> Places:
        """Itself: who has a place is the network's, no copy of a device can change it."""
        return self

    @property
    def listeners(self) -> int:
        """Connections that have become WebSockets."""
        return sum(caller.is_listening for caller in self._taken)


class EspHost(Host, Protocol):
    """The part of a device that its web server needs."""

    places: Places

    def allows(self, peer: str) -> bool:
        """Whether a caller's address is one of the private ones."""
        ...

    def log_lines(self, start: Instant, stop: Instant) -> Iterable[str]:
        """What the firmware wrote to its log in [start, stop)."""
        ...


class EspConversation(HttpConversation):
    """One connection: HTTP for as long as the client likes, or the log as WebSocket messages, once a second."""

    __slots__ = (
        "_early", "_esp", "_frames", "_has_place", "_hung_up", "_log_path", "_logged_ns", "_peer", "_rouse",
        "is_listening", "wake_ns",
    )  # fmt: skip

    idle_timeout_ns: int | None = None
    max_requests = sys.maxsize

    def __init__(self, device: EspHost, app: App, port: int, peer: str, log_path: str) -> None:
        super().__init__(device, app, port, "")
        self.wake_ns: Instant | None = None
        self.is_listening = False
        self._esp = device
        self._peer = peer
        self._log_path = log_path
        self._rouse: Callable[[], None] | None = None
        self._early = b""
        self._frames = b""
        self._has_place = True
        self._hung_up = False
        self._logged_ns: Instant = 0

    # ---- places ---------------------------------------------------------------------------------------------------

    def attend(self, rouse: Callable[[], None]) -> None:
        """The connection stands."""
        self._rouse = rouse
        self._has_place = self._esp.places.enter(self)

    def admit(self) -> None:
        """A place is free: what was said early is read now."""
        self._has_place = True
        self._wake()

    def hang_up(self) -> None:
        """Somebody else needs the place."""
        self._hung_up = True
        self._wake()

    def lost(self, now: Instant) -> None:
        """The connection is gone."""
        self._esp.places.leave(self)

    def _wake(self) -> None:
        self.wake_ns = 0
        if self._rouse is not None:
            self._rouse()

    # ---- bytes ----------------------------------------------------------------------------------------------------

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Take bytes, once there is a place."""
        if not self._has_place:
            self._early = (self._early + data)[:MOST_EARLY]
            return []
        self._esp.places.used(self)
        if not self.is_listening:
            return super().received(data, now)
        gone = self._device.gone(self._port, self._boot_ns, now)
        return self._frames_taken(data) if gone is None else gone

    def woken(self, now: Instant) -> Sequence[Action]:
        """Hang up, read what was said early, or send the log."""
        self.wake_ns = None
        if self._over:
            return []
        if self._hung_up:
            self._over = True
            return [Close()]
        gone = self._device.gone(self._port, self._boot_ns, now)
        if gone is not None:
            self._over = True
            return gone
        if self.is_listening:
            return self._log(now)
        early, self._early = self._early, b""
        return self.received(early, now) if early else []

    def ended(self, now: Instant) -> Sequence[Action]:
        """The peer closed its side."""
        self.wake_ns = None
        return super().ended(now)

    # ---- the log --------------------------------------------------------------------------------------------------

    def _answer(self, request: h11.Request, now: Instant, actions: list[Action]) -> None:
        target = request.target.decode("latin-1").partition("?")[0]
        if target != self._log_path or request.method != b"GET":
            super()._answer(request, now, actions)
            return
        headers = {name.decode("latin-1"): entry.decode("latin-1") for name, entry in request.headers}
        key = headers.get("sec-websocket-key", "")
        app = self._app
        if not self._esp.allows(self._peer):
            pass  # the face refuses it as it refuses everything else
        elif "websocket" not in headers.get("upgrade", "").lower() or request.http_version != b"1.1" or not key:
            self._app = _always(_PLAIN)
        elif self._esp.places.listeners >= MOST_SOCKETS:
            self._app = _always(_FULL)
        else:
            self._switch(key, now, actions)
            return
        super()._answer(request, now, actions)
        self._app = app

    def _switch(self, key: str, now: Instant, actions: list[Action]) -> None:
        accept = websocket.accept_key(key)
        headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
        response = h11.InformationalResponse(status_code=101, headers=headers, reason=b"Switching Protocols")
        actions.append(Send(self._bytes(response), self._after(max(now, self._last_ns), now)))
        self._request, self._body = None, b""
        self.is_listening = True
        self._logged_ns = now
        self.wake_ns = now + SECOND
        early, _ = self._h11.trailing_data
        actions.extend(self._frames_taken(early))

    def _frames_taken(self, data: bytes) -> list[Action]:
        actions: list[Action] = []
        self._frames += data
        try:
            while not self._over:
                found, self._frames = websocket.take(self._frames)
                if found is None:
                    break
                if found.opcode == websocket.PING and len(found.payload) < 126:
                    actions.append(Send(websocket.frame(websocket.PONG, found.payload)))
                elif found.opcode == websocket.CLOSE:
                    actions.append(Send(websocket.frame(websocket.CLOSE, found.payload[:125])))
                    self._finish(actions)
        except websocket.FrameError:
            self._finish(actions)
        return actions

    def _log(self, now: Instant) -> list[Action]:
        text = "".join(self._esp.log_lines(self._logged_ns, now))
        self._logged_ns = now
        self.wake_ns = now + SECOND
        return [Send(websocket.frame(websocket.TEXT, text.encode()))] if text else []

    def _finish(self, actions: list[Action]) -> None:
        self.wake_ns = None
        super()._finish(actions)


def _always(response: HttpResponse) -> App:
    def app(_request: HttpRequest, _now: Instant) -> HttpResponse:
        return response

    return app
