"""A small web server, sans I/O on h11: request bytes in, response bytes out.

Owns framing, keep-alive and size limits; paths and their meaning belong to the device that is asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Protocol

import h11

from emulator.wire import SECOND, Action, Close, Instant, Send

MAX_BODY = 64 * 1024  # estimate: settings are a few kB; keeps a caller from growing the bench's memory
KEEP_ALIVE_NS = 5 * SECOND  # GK: default of lighttpd, the server on these control boards
MAX_REQUESTS = 100  # GK: same
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
JSON = "application/json"
HTML = "text/html"
TEXT = "text/plain"
_FIRST_BYTES = frozenset(b"\r\nABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One whole request; header names are lower case, `target` is as sent."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What the face answers. `then` is called with the instant at which the response leaves: effects start there."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    takes_ns: int = 0
    then: Callable[[Instant], None] | None = None


class Dated(Protocol):
    """What has a calendar."""

    @property
    def wall(self) -> Callable[[Instant], datetime]:
        """The UTC time of an instant."""
        ...


class Workers(Protocol):
    """What takes requests in turn."""

    def serve(self, now: Instant, takes_ns: int) -> Instant:
        """Take a request that came at `now`; return the instant it is done."""
        ...


class Host(Protocol):
    """The part of a device that its web server needs."""

    @property
    def host(self) -> Dated:
        """The machine it runs on."""
        ...

    @property
    def web_lanes(self) -> Workers:
        """Its workers."""
        ...

    @property
    def boot_ns(self) -> Instant | None:
        """When it came up; a conversation does not outlive it."""
        ...

    def gone(self, port: int, boot_ns: Instant | None, now: Instant) -> list[Action] | None:
        """Actions for a conversation whose host has gone away."""
        ...


App = Callable[[HttpRequest, Instant], HttpResponse]


class HttpConversation:
    """One connection to a web server: keep-alive, pipelining, one answer for each request, in order.

    `eager` servers (those on Rust's hyper, say) refuse a caller who speaks no HTTP at the first byte; others wait for
    a whole line.
    """

    __slots__ = (
        "_app",
        "_body",
        "_boot_ns",
        "_device",
        "_eager",
        "_h11",
        "_last_ns",
        "_over",
        "_port",
        "_request",
        "_served",
        "_server",
    )

    max_requests = MAX_REQUESTS
    idle_timeout_ns: int | None = KEEP_ALIVE_NS

    def __init__(self, device: Host, app: App, port: int, server: str, *, eager: bool = False) -> None:
        self._device = device
        self._app = app
        self._port = port
        self._server = server
        self._boot_ns = device.boot_ns
        self._eager = eager
        self._h11 = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._body = b""
        self._served = 0
        self._last_ns = 0
        self._over = False

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Take bytes; answer every request that is complete."""
        gone = self._device.gone(self._port, self._boot_ns, now)
        if gone is not None:
            return gone
        if self._over or not data:
            return []
        actions: list[Action] = []
        if self._eager and data[0] not in _FIRST_BYTES:
            self._refuse(400, now, actions)
            return actions
        self._eager = False
        try:
            self._h11.receive_data(data)
            while not self._over and self._next(now, actions):
                pass
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, now, actions)
        return actions

    def ended(self, now: Instant) -> Sequence[Action]:
        """The peer closed its side; complete requests have been answered already."""
        return [] if self._over else [Close()]

    def _next(self, now: Instant, actions: list[Action]) -> bool:
        event = self._h11.next_event()
        if isinstance(event, h11.Request):
            self._request, self._body = event, b""
        elif isinstance(event, h11.Data):
            self._body += bytes(event.data)
            if len(self._body) > MAX_BODY:
                self._refuse(413, now, actions)
        elif isinstance(event, h11.EndOfMessage) and self._request is not None:
            self._answer(self._request, now, actions)
        else:
            if event is h11.NEED_DATA and self._h11.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[], reason=_reason(100).encode())
                actions.append(Send(self._bytes(go_on)))
            return False
        return True

    def _answer(self, request: h11.Request, now: Instant, actions: list[Action]) -> None:
        headers = {name.decode("latin-1"): entry.decode("latin-1") for name, entry in request.headers}
        asked = HttpRequest(request.method.decode("latin-1"), request.target.decode("latin-1"), headers, self._body)
        self._request, self._body = None, b""
        response = self._app(asked, now) if asked.method in METHODS else error_page(405)
        done = self._device.web_lanes.serve(max(now, self._last_ns), response.takes_ns)
        if response.then is not None:
            response.then(done)
        self._served += 1
        close = self._served >= self.max_requests
        actions.append(Send(self._write(response, asked.method, close, now), self._after(done, now)))
        if self._h11.our_state is h11.MUST_CLOSE:
            self._finish(actions)
        else:
            self._h11.start_next_cycle()

    def _write(self, response: HttpResponse, method: str, close: bool, now: Instant) -> bytes:
        length = str(len(response.body))
        headers = [("Content-Type", response.content_type), ("Content-Length", length), *response.headers]
        if self._server:  # the smallest servers tell neither
            headers += [("Date", format_datetime(self._device.host.wall(now), usegmt=True)), ("Server", self._server)]
        if close:
            headers.append(("Connection", "close"))
        reason = _reason(response.status).encode()
        head = self._bytes(h11.Response(status_code=response.status, headers=headers, reason=reason))
        body = b"" if method == "HEAD" else self._bytes(h11.Data(data=response.body))
        return head + body + self._bytes(h11.EndOfMessage())

    def _refuse(self, status: int, now: Instant, actions: list[Action]) -> None:
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            method = "GET" if self._request is None else self._request.method.decode("latin-1")
            text = self._write(error_page(status), method, True, now)
            actions.append(Send(text, self._after(max(now, self._last_ns), now)))
        self._finish(actions)

    def _finish(self, actions: list[Action]) -> None:
        actions.append(Close())
        self._over = True

    def _after(self, done: Instant, now: Instant) -> int:
        """The delay of an action that is due at `done`, counted from the previous one."""
        delay_ns = done - max(now, self._last_ns)
        self._last_ns = done
        return max(0, delay_ns)

    def _bytes(self, event: h11.Event) -> bytes:
        return self._h11.send(event) or b""


def error_page(status: int, headers: tuple[tuple[str, str], ...] = ()) -> HttpResponse:
    """The plain HTML page of a status, as small servers write it."""
    title = f"{status} - {_reason(status)}"
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return HttpResponse(status, page.encode(), HTML, headers)


def json_object(body: bytes) -> dict[str, Any] | None:
    """A JSON object that was sent; None when the body is none."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return asked if isinstance(asked, dict) else None


def _reason(status: int) -> str:
    """The words after the number in a status line, which callers that read it as text look for."""
    return _REASONS.get(status, "Error")


_REASONS = {known.value: known.phrase for known in HTTPStatus} | {413: "Payload Too Large"}  # which Python renames
