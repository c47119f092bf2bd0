"""The operator's price and dispatch feed over HTTP, with a contract of this project's own (`rest_openapi.json`).

Owns paths, query parameters, representations (JSON, CSV) and caching; which messages there are and when they come is
`notices.py`'s.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, unquote

from emulator.faults import Dice
from emulator.faulty_replies import damaged
from emulator.http import JSON, HttpRequest, HttpResponse
from emulator.signals.notices import Bulletin, Notice, Order, Price, day_ahead
from emulator.signals.service import TURNAROUND_NS, WebService, as_json, described, duration
from emulator.wire import MICROSECOND, SECOND, Instant

if TYPE_CHECKING:
    from emulator.timeline import Signal

PORT = 8080
CSV = "text/csv"
PROBLEM = "application/problem+json"
LONGEST_WAIT_S = 60
"""A caller who waits for news is answered after this long in any case. estimate: proxies on the way hang up later"""
MOST_ROWS = 2016
"""A week of five-minute prices in one reply. estimate"""
MOST_MESSAGES = 1000
PERIOD_NS = SECOND
_PATHS = {"dispatch": "/v1/dispatch", "price": "/v1/price", "frequency": "/v1/grid", "voltage": "/v1/grid",
          "recall": "/v1/dispatch"}  # fmt: skip


class Telemetry(Protocol):
    """What the feed reads of the grid as it is published."""

    @property
    def signals(self) -> Mapping[str, Signal]:
        """Signals by channel."""
        ...

    def frequency_hz(self, at: Instant) -> float:
        """Frequency."""
        ...

    def voltage_pu(self, at: Instant) -> float:
        """Voltage."""
        ...


@cache
def contract() -> Mapping[str, Any]:
    """The OpenAPI document."""
    document: Mapping[str, Any] = json.loads((files(__package__) / "rest_openapi.json").read_text(encoding="utf-8"))
    return document


@dataclass(frozen=True, slots=True)
class Page:
    """A representation and since when it is what it is."""

    document: Any
    since_ns: Instant
    damage: Notice | None = None


class BadQueryError(ValueError):
    """A query parameter that cannot be."""


class RestFeed(WebService):
    """The feed of one site. `publish` gives it the messages of the run; before that it knows none.

    `account` is a user name and a password that callers must show (HTTP Basic), or None.
    """

    def __init__(
        self,
        wall: Callable[[Instant], datetime],
        grid: Telemetry,
        nominal_w: float,
        port: int = PORT,
        *,
        site: str = "site",
        account: tuple[str, str] | None = None,
        period_ns: int = PERIOD_NS,
        interval_ns: int = 300 * SECOND,
    ) -> None:
        super().__init__(wall, port)
        self._grid = grid
        self._nominal_w = nominal_w
        self._site = site
        self._account = account
        self._period_ns = period_ns
        self._interval_ns = interval_ns
        self._bulletin = Bulletin()

    @staticmethod
    def paths(channels: tuple[str, ...]) -> dict[str, str]:
        """Where each channel is found."""
        return {channel: _PATHS[channel] for channel in channels}

    def publish(self, bulletin: Bulletin) -> None:
        """Take the messages of a run."""
        self._bulletin = bulletin

    # ---- requests --------------------------------------------------------------------------------------------------

    def answer(self, request: HttpRequest, now: Instant) -> HttpResponse:
        """One reply. A caller who waits for news gets it when it comes."""
        path = unquote(request.path)
        if path == "/openapi.json":
            return HttpResponse(200, as_json(contract()), JSON, takes_ns=TURNAROUND_NS)
        if path in ("/", "/docs"):
            return described(contract())
        if not self._is_allowed(request):
            return self._problem(401, "no or wrong credentials", (("WWW-Authenticate", 'Basic realm="ramprig"'),))
        page = self._page_of(path)
        if page is None:
            return self._problem(404, f"{path} is nothing of this feed; /openapi.json has what is")
        if request.method not in ("GET", "HEAD"):
            return self._problem(405, "the feed is read only", (("Allow", "GET, HEAD"),))
        query = {key: values[-1] for key, values in parse_qs(request.target.partition("?")[2]).items()}
        try:
            return self._represented(request, query, page, path, now)
        except BadQueryError as error:
            return self._problem(400, str(error))

    def _page_of(self, path: str) -> Callable[[dict[str, str], Instant], Page | None] | None:
        if found := re.fullmatch(r"/v1/dispatch/(order-\w{4,16})", path):
            return lambda _query, now: self._order(found[1], now)
        return {
            "/v1/dispatch": lambda _query, now: self._dispatch(now),
            "/v1/price": self._prices,
            "/v1/price.csv": self._prices,
            "/v1/messages": self._messages,
            "/v1/grid": lambda _query, now: self._telemetry(now),
        }.get(path)

    def _represented(
        self,
        request: HttpRequest,
        query: dict[str, str],
        page: Callable[[dict[str, str], Instant], Page | None],
        path: str,
        now: Instant,
    ) -> HttpResponse:
        as_csv = path.endswith(".csv") or (path == "/v1/price" and CSV in request.headers.get("accept", ""))
        at, ends_ns = now, now + self._wait_ns(request)
        known = request.headers.get("if-none-match", "")
        while True:
            found = page(query, at)
            if found is None:
                return self._problem(404, f"{path}: there is no such order (yet)")
            body, tag = self._body(found, as_csv)
            if tag not in known:
                break
            later = at - at % self._period_ns + self._period_ns if path == "/v1/grid" else self._next_change(at)
            if later is None or later > ends_ns:
                return HttpResponse(304, b"", JSON, (("ETag", tag),), ends_ns - now + TURNAROUND_NS)
            at = later
        modified = format_datetime(self.host.wall(max(0, found.since_ns)).replace(microsecond=0), usegmt=True)
        headers = (("ETag", tag), ("Last-Modified", modified), ("Cache-Control", "no-cache"), ("Vary", "Accept"))
        return HttpResponse(200, body, CSV if as_csv else JSON, headers, at - now + TURNAROUND_NS)

    @staticmethod
    def _body(page: Page, as_csv: bool) -> tuple[bytes, str]:
        body = _csv(page.document) if as_csv else as_json(page.document)
        if page.damage is not None and page.damage.damage is not None and not as_csv:
            body = damaged(body, page.damage.damage.how, Dice(page.damage.damage.seed))
        return body, f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'

    @staticmethod
    def _wait_ns(request: HttpRequest) -> int:
        """How long the caller would wait for news (`Prefer: wait=`, RFC 7240)."""
        asked = re.search(r"(?i)\bwait=(\d{1,6})\b", request.headers.get("prefer", ""))
        return min(int(asked[1]), LONGEST_WAIT_S) * SECOND if asked else 0

    def _next_change(self, now: Instant) -> Instant | None:
        """When a message comes or an order begins or ends."""
        edges = [
            edge
            for notice in self._bulletin.standing(now, "dispatch")
            if isinstance(notice.body, Order)
            for edge in (notice.body.start_ns, notice.body.stop_ns)
            if edge is not None and edge > now
        ]
        message = self._bulletin.next_ns(now)
        return min([*edges, *([] if message is None else [message])], default=None)

    def _is_allowed(self, request: HttpRequest) -> bool:
        if self._account is None:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            shown = base64.b64decode(given, validate=True) if scheme.lower() == "basic" else b""
        except binascii.Error:
            return False
        return hmac.compare_digest(shown, ":".join(self._account).encode())

    def _problem(self, status: int, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> HttpResponse:
        return HttpResponse(
            status, as_json({"status": status, "detail": detail}), PROBLEM, headers, takes_ns=TURNAROUND_NS
        )

    # ---- representations -------------------------------------------------------------------------------------------

    def _dispatch(self, now: Instant) -> Page:
        standing = self._bulletin.standing(now, "dispatch")
        told = [notice.body for notice in standing if isinstance(notice.body, Order)]
        in_force = [order for order in told if order.status(now) == "active"]
        recalls = self._bulletin.until(now, "recall")
        edges = [edge for order in told for edge in (order.start_ns, order.stop_ns) if edge is not None and edge <= now]
        since_ns = max([*edges, *(notice.at_ns for notice in (*standing, *recalls[-1:]))], default=0)
        document = {
            "site": self._site,
            "updated": self.date(max(0, since_ns)),
            "nominal_kw": self._nominal_w / 1e3,
            "order": self._order_row(in_force[-1], now) if in_force else None,
            "orders": [self._order_row(order, now) for order in told],
            "recall_count": recalls[-1].body.number if recalls else 0,
        }
        return Page(document, since_ns, standing[-1] if standing else None)

    def _order(self, name: str, now: Instant) -> Page | None:
        for notice in self._bulletin.standing(now, "dispatch"):
            if isinstance(notice.body, Order) and notice.body.id == name:
                return Page(self._order_row(notice.body, now), notice.at_ns, notice)
        return None

    def _order_row(self, order: Order, now: Instant) -> dict[str, Any]:
        return {**order_row(order, self.date), "status": order.status(now)}

    def _prices(self, query: dict[str, str], now: Instant) -> Page:
        market = query.get("market", "RT").upper()
        if market not in ("RT", "DA"):
            raise BadQueryError(f"market = {query['market']!r} is not one of RT, DA")
        damage: Notice | None = None
        if market == "DA":
            told, since_ns = day_ahead(self._grid.signals["price"], now, self.host.wall(0)), 0
        else:
            arrived = self._bulletin.until(now, "price")
            told = [notice.body for notice in arrived if isinstance(notice.body, Price)]
            since_ns = arrived[-1].at_ns if arrived else 0
            damage = arrived[-1] if arrived else None
        start, end = self._bound(query, "start"), self._bound(query, "end")
        rows = [
            price_row(price, self.date)
            for price in told
            if (start is None or price.stop_ns > start) and (end is None or price.start_ns < end)
        ]
        most = self._count(query, "limit", MOST_ROWS)
        document = {
            "site": self._site,
            "updated": self.date(max(0, since_ns)),
            "market": market,
            "unit": "USD/MWh",
            "interval": duration(3600 * SECOND if market == "DA" else self._interval_ns),
            "prices": rows[max(0, len(rows) - most) :],
        }
        return Page(document, since_ns, damage)

    def _messages(self, query: dict[str, str], now: Instant) -> Page:
        """Every message as it came: twice where it came twice, in the order in which it came."""
        after = self._count(query, "after", 10**9, 0)
        arrived = self._bulletin.until(now)
        rows = [
            {"sequence": place, "arrived": self.date(notice.at_ns), "channel": notice.channel,
             "body": body_row(notice, self.date)}
            for place, notice in enumerate(arrived, start=1)
        ][after : after + MOST_MESSAGES]  # fmt: skip
        since_ns = arrived[-1].at_ns if arrived else 0
        return Page({"site": self._site, "messages": rows}, since_ns, arrived[-1] if arrived else None)

    def _telemetry(self, now: Instant) -> Page:
        at = now - now % self._period_ns
        document = {
            "site": self._site,
            "updated": self.date(at),
            "frequency_hz": round(self._grid.frequency_hz(at), 4),
            "voltage_pu": round(self._grid.voltage_pu(at), 5),
        }
        return Page(document, at)

    def _bound(self, query: dict[str, str], key: str) -> Instant | None:
        if key not in query:
            return None
        try:
            return self.instant(query[key].replace(" ", "+"))  # a plus that nobody has escaped
        except ValueError:
            raise BadQueryError(f"{key} = {query[key]!r} is no date; write for example 2025-01-01T00:00:00Z") from None

    @staticmethod
    def _count(query: dict[str, str], key: str, most: int, default: int | None = None) -> int:
        text = query.get(key, "")
        if not text:
            return most if default is None else default
        if not (text.isascii() and text.isdigit()) or len(text) > 9:
            raise BadQueryError(f"{key} = {text!r} is no number from 0 to {most}")
        return min(int(text), most)


# ---- one message ----------------------------------------------------------------------------------------------------


def order_row(order: Order, date: Callable[[Instant], str]) -> dict[str, Any]:
    """An order as JSON values, without what depends on the time of asking."""
    return {
        "id": order.id,
        "revision": order.revision,
        "issued": date(order.issued_ns),
        "start": date(order.start_ns),
        "end": None if order.stop_ns is None else date(order.stop_ns),
        "setpoint_kw": round(order.setpoint_w / 1e3, 3),
        "ramp_s": order.ramp_ns // MICROSECOND / 1e6,
        "cancelled": order.cancelled,
    }


def price_row(price: Price, date: Callable[[Instant], str]) -> dict[str, Any]:
    """A price as JSON values."""
    return {
        "id": price.id,
        "interval_start": date(price.start_ns),
        "interval_end": date(price.stop_ns),
        "lmp": round(price.usd_per_mwh, 4),
    }


def body_row(notice: Notice, date: Callable[[Instant], str]) -> dict[str, Any]:
    """Whatever a message says as JSON values."""
    body = notice.body
    if isinstance(body, Order):
        return order_row(body, date)
    if isinstance(body, Price):
        return price_row(body, date)
    return {"id": body.id, "count": body.count, "issued": date(body.issued_ns)}


def _csv(document: Mapping[str, Any]) -> bytes:
    def lines() -> Iterator[str]:
        yield "interval_start_utc,interval_end_utc,market,location,lmp_usd_per_mwh"
        for row in document["prices"]:
            cells = (row["interval_start"], row["interval_end"], document["market"], document["site"], row["lmp"])
            yield ",".join(str(cell).replace(",", ";") for cell in cells)

    return ("\r\n".join(lines()) + "\r\n").encode()
