"""The operator's OpenADR 3.1 VTN: programs, events, reports, subscriptions, VENs and resources over HTTP.

Owns paths, tokens, paging, problems, and what the operator's messages become as programs and events. Objects and who
may see them are `openadr3_store.py`'s, webhooks `webhooks.py`'s; the contract that is served and held is
`openadr3_openapi.json`, written for this project after the OpenADR 3.1.1 specification (Apache-2.0).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from emulator.faults import Dice
from emulator.faulty_replies import damaged
from emulator.http import JSON, HttpRequest, HttpResponse
from emulator.signals import schema
from emulator.signals.notices import Bulletin, Damage, Notice, Order, Price
from emulator.signals.openadr3_store import (
    BY_PATH,
    FOREVER,
    Caller,
    Object,
    Refusal,
    Sort,
    Store,
    ends_ns,
)
from emulator.signals.service import TURNAROUND_NS, WebService, as_json, described, duration
from emulator.wire import SECOND, Instant

if TYPE_CHECKING:
    from emulator.seed import Seed

PORT = 8081  # S: port of the reference implementation's server entry in the 3.0 contract
BASE = "/openadr3/3.1.1"
PROBLEM = "application/problem+json"
MOST_ROWS = 50  # S: maximum of `limit`
TOKEN_LIFE_NS = 3600 * SECOND  # estimate: the example of the specification
_PAYLOADS: Mapping[str, tuple[str, str, str | None]] = {
    "dispatch": ("DISPATCH_SETPOINT", "KW", None),
    "price": ("PRICE", "KWH", "USD"),
}
"""Type, units and currency of what each channel says. S: event interval payloads of the enumerations"""
_EVENTS, _PROGRAMS = BY_PATH["events"], BY_PATH["programs"]


@cache
def contract() -> Mapping[str, Any]:
    """The OpenAPI document."""
    text = (files(__package__) / "openadr3_openapi.json").read_text(encoding="utf-8")
    document: Mapping[str, Any] = json.loads(text)
    return document


class Vtn(WebService):
    """A virtual top node. `clients` maps client ids to (secret, scopes); the controller's has VEN scopes.

    The operator's programs are called `dispatch` and `price`. An order is an event with one interval and the payload
    DISPATCH_SETPOINT (kW); without a known end its duration is P9999Y, and it is updated when it ends. A withdrawn
    order is a deleted event. A market interval is an event with the payload PRICE (USD/kWh).
    """

    def __init__(
        self,
        wall: Callable[[Instant], datetime],
        seed: Seed,
        port: int = PORT,
        *,
        url: str = "",
        clients: Mapping[str, tuple[str, frozenset[str]]] | None = None,
        channels: tuple[str, ...] = ("dispatch", "price"),
        is_allowed: Callable[[str], bool] = lambda _url: False,
    ) -> None:
        super().__init__(wall, port)
        self.store = Store(self.date)
        self._seed = seed / "tokens"
        self._url = url
        self._clients = dict(clients or {})
        self._channels = channels
        self._is_allowed = is_allowed
        self._bulletin = Bulletin()
        self._told = 0
        self._tokens: dict[str, tuple[Caller, Instant]] = {}
        self._damage: dict[str, tuple[str, Damage]] = {}
        """By channel, the event whose last message was malformed."""
        business = (name for name, (_, scopes) in self._clients.items() if "read_all" in scopes)
        self.store.business_clients = frozenset(business)
        for channel in channels:
            self.store.add(_PROGRAMS, f"program-{channel}", _program(channel), 0)

    def publish(self, bulletin: Bulletin) -> None:
        """Take the messages of a run."""
        self._bulletin, self._told = bulletin, 0

    def next_ns(self, now: Instant) -> Instant | None:
        """When the operator next says something."""
        return self._bulletin.next_ns(now)

    def advance(self, now: Instant) -> None:
        """Turn what the operator has said by `now` into events."""
        due = self._bulletin.all[self._told : self._bulletin.count(now)]
        self._told += len(due)
        for notice in due:
            if notice.channel in self._channels:
                self._tell(notice)

    def _tell(self, notice: Notice) -> None:
        body, name = notice.body, f"event-{notice.body.id}"
        self._damage.pop(notice.channel, None)
        if notice.damage is not None:
            self._damage[notice.channel] = (name, notice.damage)
        present = [one for one in self.store.objects["events"] if one["id"] == name]
        if isinstance(body, Order) and body.cancelled:
            self.store.drop(_EVENTS, name, notice.at_ns)
        elif isinstance(body, Order | Price):
            content = _event(body, f"program-{notice.channel}", self.date)
            if not present:
                self.store.add(_EVENTS, name, content, notice.at_ns)
            elif all(present[-1].get(key) == value for key, value in content.items()):
                self.store.add(_EVENTS, name, content, notice.at_ns)  # the same message again: the event is there twice
            else:
                self.store.put(_EVENTS, name, content, notice.at_ns)

    def damage_of(self, objects: list[Object]) -> Damage | None:
        """The damage of a text that holds these objects."""
        names = {one.get("id") for one in objects}
        return next((damage for name, damage in self._damage.values() if name in names), None)

    # ---- requests --------------------------------------------------------------------------------------------------

    def answer(self, request: HttpRequest, now: Instant) -> HttpResponse:
        """One reply."""
        self.advance(now)
        path = unquote(request.path)
        if path in (f"{BASE}/openapi.json", "/openapi.json"):
            return HttpResponse(200, as_json(contract()), JSON, takes_ns=TURNAROUND_NS)
        if path in ("/", "/docs", BASE, f"{BASE}/", f"{BASE}/docs"):
            return described(contract())
        try:
            if not path.startswith(f"{BASE}/"):
                raise Refusal(404, f"{path} is nothing of this VTN; its base is {BASE}")
            return self._routed(request, path.removeprefix(BASE), now)
        except Refusal as refusal:
            return self._problem(request, refusal)

    def _routed(self, request: HttpRequest, path: str, now: Instant) -> HttpResponse:
        if path == "/auth/server":
            host = self._url or f"http://{request.headers.get('host', 'localhost')}{BASE}"
            return self._reply({"tokenURL": f"{host}/auth/token"})
        if path == "/auth/token":
            return self._token(request, now)
        caller = self._caller(request, now)
        if path == "/notifiers":
            self._needs(caller, "read_targets")
            return self._reply({"WEBHOOK": True})
        plural, _, name = path.lstrip("/").partition("/")
        sort = BY_PATH.get(plural)
        if sort is None or "/" in name:
            raise Refusal(404, f"{path} is nothing of this VTN")
        return self._one(request, sort, name, caller, now) if name else self._all(request, sort, caller, now)

    def _all(self, request: HttpRequest, sort: Sort, caller: Caller, now: Instant) -> HttpResponse:
        if request.method == "POST":
            self._needs(caller, sort.write)
            return self._reply(self.store.create(sort, self._content(request, sort), caller, now), 201)
        self._only(request, "GET", "HEAD")
        self._needs(caller, sort.read)
        query = parse_qs(request.target.partition("?")[2], keep_blank_values=True)
        rows = list(self._filtered(sort, caller, query, now))
        skip, limit = self._count(query, "skip", 0), self._count(query, "limit", MOST_ROWS)
        if limit > MOST_ROWS:
            raise Refusal(400, f"limit = {limit} is more than {MOST_ROWS}")
        return self._reply(rows[skip : skip + limit])

    def _one(self, request: HttpRequest, sort: Sort, name: str, caller: Caller, now: Instant) -> HttpResponse:
        if request.method == "PUT":
            self._needs(caller, sort.write)
            return self._reply(self.store.update(sort, name, self._content(request, sort), caller, now))
        if request.method == "DELETE":
            self._needs(caller, sort.write)
            return self._reply(self.store.delete(sort, name, caller, now))
        self._only(request, "GET", "HEAD")
        self._needs(caller, sort.read)
        targets = parse_qs(request.target.partition("?")[2]).get("targets", [])
        return self._reply(self.store.one(sort, name, caller, targets))

    def _filtered(self, sort: Sort, caller: Caller, query: dict[str, list[str]], now: Instant) -> Iterator[Object]:
        targets = query.get("targets", [])
        of_program = None
        if sort.path == "reports" and "programID" in query:
            of_program = {e["id"] for e in self.store.objects["events"] if e["programID"] == query["programID"][-1]}
        for one in self.store.seen(sort, caller, targets):
            if any(one.get(key) != query[key][-1] for key in sort.filters if key in query):
                continue
            if caller.is_business and any(target not in (one.get("targets") or ()) for target in targets):
                continue
            if of_program is not None and one["eventID"] not in of_program:
                continue
            if sort.path == "subscriptions" and "objects" in query:
                heard = {kind for wish in one["objectOperations"] for kind in wish["objects"]}
                if not heard & set(query["objects"]):
                    continue
            if sort.path == "events" and query.get("active", [""])[-1] == "true":
                end = ends_ns(one, self.instant)
                if end is not None and end <= now:
                    continue
            yield one

    def _content(self, request: HttpRequest, sort: Sort) -> Object:
        """The body of a request, checked, without what the schema does not know. Raises Refusal."""
        try:
            content = json.loads(request.body)
        except (ValueError, RecursionError):
            raise Refusal(400, "the body is no JSON") from None
        if not isinstance(content, dict):
            raise Refusal(400, "the body is no object")
        form = schema.resolved(contract()["components"]["schemas"][sort.request], contract())
        if "oneOf" in form:  # told apart by objectType
            forms = [schema.resolved(one, contract()) for one in form["oneOf"]]
            named = [f for f in forms if content.get("objectType") in f["properties"]["objectType"]["enum"]]
            kinds = " or ".join(f["properties"]["objectType"]["enum"][0] for f in forms)
            if not named:
                raise Refusal(400, f"objectType = {content.get('objectType')!r} is not {kinds}")
            form = named[0]
        wrong = next(schema.problems(content, form, contract()), None)
        if wrong is not None:
            raise Refusal(400, wrong)
        for wish in content.get("objectOperations", ()) if sort.path == "subscriptions" else ():
            if not self._is_allowed(wish["callbackUrl"]):
                raise Refusal(400, f"callbackUrl = {wish['callbackUrl']!r} is not http inside the networks of the rig")
        return {key: value for key, value in content.items() if key in form["properties"]}

    @staticmethod
    def _only(request: HttpRequest, *methods: str) -> None:
        if request.method not in methods:
            raise Refusal(405, f"{request.method} is not done here")

    @staticmethod
    def _count(query: dict[str, list[str]], key: str, default: int) -> int:
        if key not in query:
            return default
        text = query[key][-1]
        if not (text.isascii() and text.isdigit()) or len(text) > 9:
            raise Refusal(400, f"{key} = {text!r} is no number from 0")
        return int(text)

    def _reply(self, what: Object | list[Object], status: int = 200) -> HttpResponse:
        body = as_json(what)
        damage = self.damage_of(what if isinstance(what, list) else [what])
        if damage is not None:
            body = damaged(body, damage.how, Dice(damage.seed))
        return HttpResponse(status, body, JSON, takes_ns=TURNAROUND_NS)

    @staticmethod
    def _problem(request: HttpRequest, refusal: Refusal) -> HttpResponse:
        titles = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
                  405: "Method Not Allowed", 409: "Conflict"}  # fmt: skip
        said = {
            "type": "about:blank", "title": titles[refusal.status], "status": refusal.status, "detail": refusal.detail,
        }  # fmt: skip
        kind = PROBLEM if PROBLEM in request.headers.get("accept", "") else JSON  # the standard's own page says JSON
        headers = (("WWW-Authenticate", "Bearer"),) if refusal.status == 401 else ()
        return HttpResponse(refusal.status, as_json(said), kind, headers, TURNAROUND_NS)

    # ---- tokens ----------------------------------------------------------------------------------------------------

    def _caller(self, request: HttpRequest, now: Instant) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        found = self._tokens.get(token) if scheme.lower() == "bearer" else None
        if found is None:
            raise Refusal(401, "no bearer token of this VTN was shown")
        if now >= found[1]:
            raise Refusal(401, "the token has expired")
        return found[0]

    @staticmethod
    def _needs(caller: Caller, scope: str) -> None:
        if scope in caller.scopes or (scope.startswith("read_") and caller.is_business):
            return
        raise Refusal(403, f"the token lacks the scope {scope}")

    def _token(self, request: HttpRequest, now: Instant) -> HttpResponse:
        self._only(request, "POST")
        form = {key: found[-1] for key, found in parse_qs(request.body.decode("latin-1")).items()}
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, secret = base64.b64decode(given, validate=True).decode("utf-8").partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return self._no_token(401, "invalid_client", "the Authorization header cannot be read")
        if form.get("grant_type") != "client_credentials":
            kind = "unsupported_grant_type" if form.get("grant_type") else "invalid_request"
            return self._no_token(400, kind, "grant_type must be client_credentials")
        known, scopes = self._clients.get(client_id, ("", frozenset()))
        if not known or not hmac.compare_digest(known.encode(), secret.encode()):
            return self._no_token(401, "invalid_client", "there is no such client, or its secret is another")
        asked = frozenset(form.get("scope", "").split()) or scopes
        if not asked <= scopes:
            return self._no_token(400, "invalid_scope", f"{' '.join(sorted(asked - scopes))} is not for this client")
        token = (self._seed / client_id / len(self._tokens)).rng().bytes(24).hex()
        self._tokens[token] = (Caller(client_id, asked), now + TOKEN_LIFE_NS)
        said = {
            "access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFE_NS // SECOND,
            "scope": " ".join(sorted(asked)),
        }  # fmt: skip
        return HttpResponse(200, as_json(said), JSON, (("Cache-Control", "no-store"),), TURNAROUND_NS)

    @staticmethod
    def _no_token(status: int, error: str, text: str) -> HttpResponse:
        said = {"error": error, "error_description": text}
        headers = (("WWW-Authenticate", "Basic"),) if status == 401 else ()
        return HttpResponse(status, as_json(said), JSON, headers, TURNAROUND_NS)


def _program(channel: str) -> Object:
    """One of the operator's two programs."""
    return {
        "programName": channel,
        "programDescriptions": None,
        "payloadDescriptors": [_descriptor(*_PAYLOADS[channel])],
        "attributes": None,
        "targets": None,
    }


def _event(body: Order | Price, program: str, date: Callable[[Instant], str]) -> Object:
    """An order or a price as an event."""
    payload = _PAYLOADS["dispatch" if isinstance(body, Order) else "price"]
    value = round(body.setpoint_w / 1e3, 3) if isinstance(body, Order) else round(body.usd_per_mwh / 1e3, 7)
    long = FOREVER if body.stop_ns is None else duration(max(0, body.stop_ns - body.start_ns))
    return {
        "programID": program,
        "eventName": body.id,
        "priority": 0 if isinstance(body, Order) else None,
        "targets": None,
        "reportDescriptors": None,
        "payloadDescriptors": [_descriptor(*payload)],
        "intervalPeriod": {"start": date(body.start_ns), "duration": long, "randomizeStart": "PT0S"},
        "intervals": [{"id": 0, "payloads": [{"type": payload[0], "values": [value]}]}],
    }


def _descriptor(payload: str, units: str, currency: str | None) -> Object:
    return {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": payload, "units": units, "currency": currency}
