"""The web server of an operator's interface: a machine that is always up, with as many workers as it has callers.

Owns what a device needs to carry `emulator/http.py`, the way instants are written as dates, and the page that describes
an interface; paths and their meaning are the interface's.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from emulator.http import HTML, HttpConversation, HttpRequest, HttpResponse
from emulator.wire import MILLISECOND, SECOND, Action, Instant, Reach

TURNAROUND_NS = 20 * MILLISECOND
"""From a request to its reply: a web service across a region's network. estimate"""
KEEP_ALIVE_NS = 75 * SECOND  # GK: nginx' default keepalive_timeout
MAX_REQUESTS = 1000  # GK: nginx' default keepalive_requests
SERVER = "ramprig"


@dataclass(frozen=True, slots=True)
class Machine:
    """The host of a service: its calendar."""

    wall: Callable[[Instant], datetime]


class Unlimited:
    """Workers for everybody: nobody waits for somebody else's request."""

    def serve(self, now: Instant, takes_ns: int) -> Instant:
        """At work at once."""
        return now + takes_ns


class _Talk(HttpConversation):
    """A connection to a service."""

    __slots__ = ()
    idle_timeout_ns: int | None = KEEP_ALIVE_NS
    max_requests = MAX_REQUESTS


class WebService:
    """A device with a web server on one port. A service derives from it and answers in `answer`."""

    boot_ns: Instant | None = None

    def __init__(self, wall: Callable[[Instant], datetime], port: int) -> None:
        self.ports: tuple[int, ...] = (port,)
        self.host = Machine(wall)
        self.web_lanes = Unlimited()

    def reach(self, port: int, now: Instant) -> Reach:
        """Always there."""
        return Reach.ANSWERS if port in self.ports else Reach.REFUSES

    def converse(self, port: int, peer: str, now: Instant) -> HttpConversation:
        """Begin a connection."""
        return _Talk(self, self.answer, port, SERVER)

    def gone(self, port: int, boot_ns: Instant | None, now: Instant) -> list[Action] | None:
        """Never."""
        return None

    def answer(self, request: HttpRequest, now: Instant) -> HttpResponse:
        """What a request gets."""
        raise TypeError(f"{type(self).__name__} answers nothing")

    def date(self, at: Instant) -> str:
        """An instant as RFC 3339 text in UTC, to the millisecond."""
        return self.host.wall(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def instant(self, text: str) -> Instant:
        """The instant of an RFC 3339 text. Raises ValueError for one that is none or has no time zone."""
        date = datetime.fromisoformat(text)
        if date.tzinfo is None:
            raise ValueError(f"{text!r} has no time zone; write for example 2025-01-01T00:00:00Z")
        return (date - self.host.wall(0)) // timedelta(microseconds=1) * 1000


def as_json(document: object) -> bytes:
    """A document as the services write it."""
    return json.dumps(document, separators=(",", ":")).encode()


def duration(ns: int) -> str:
    """A length of time as ISO 8601 text in seconds: `PT300S`."""
    return f"PT{ns / SECOND:.3f}".rstrip("0").rstrip(".") + "S"


def described(page: Mapping[str, Any]) -> HttpResponse:
    """A page for people with every operation of an OpenAPI document, without a script and without another server."""
    rows = "".join(
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation.get('summary', ''))}</td></tr>"
        for path, operations in page["paths"].items()
        for method, operation in operations.items()
        if isinstance(operation, Mapping)
    )
    title = html.escape(page["info"]["title"])
    text = (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title></head><body>"
        f"<h1>{title}</h1><p>{html.escape(page['info']['description'])}</p>"
        f"<p>The whole contract: <a href='openapi.json'>openapi.json</a></p><table>{rows}</table></body></html>\n"
    )
    return HttpResponse(200, text.encode(), HTML, takes_ns=TURNAROUND_NS)
