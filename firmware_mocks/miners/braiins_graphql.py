"""GraphQL of Braiins OS: requests, the session cookie, and what mutations do.

Owns who may do what: queries (`braiins_graphql_query.py`) are open (S2: clients and the vendor's own page ask without
a login), mutations need the session that `auth.login` opens. Evaluation is `graphql.py`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any

from emulator.wire import Instant
from firmware_mocks.miners.braiins_calls import login
from firmware_mocks.miners.braiins_conf import (
    APPLY,
    HASHRATE,
    LONGEST,
    POWER,
    SAVE,
    Conf,
    ConfError,
    checked,
    group,
    with_boards,
    with_dps,
    with_hashrate,
    with_power,
)
from firmware_mocks.miners.braiins_graphql_query import SCHEMA, Value, group_config, query, tuning
from firmware_mocks.miners.braiins_readings import BraiinsReadings
from firmware_mocks.miners.graphql import execute
from firmware_mocks.miners.graphql_syntax import GraphError
from firmware_mocks.miners.http import TEXT, HttpRequest, HttpResponse, json_object

if TYPE_CHECKING:
    from firmware_mocks.miners.braiins import BraiinsDevice, Then

COOKIE = "session_id"
_VOID: Value = {"__typename": "VoidResult", "void": ""}


def serve(device: BraiinsDevice, request: HttpRequest, now: Instant) -> HttpResponse:
    """Answer `POST /graphql`."""
    takes_ns = device.knobs.rest_reply_ns
    if request.method != "POST":
        return HttpResponse(405, content_type=TEXT, takes_ns=takes_ns)
    asked = json_object(request.body)
    if asked is None:
        return HttpResponse(400, b"Invalid request: body is no JSON object", TEXT, takes_ns=takes_ns)
    visit = _Visit(device, session_of(request), now)
    roots = {"query": query(BraiinsReadings(device, now)), "mutation": visit.root()}
    said = json.dumps(execute(SCHEMA, roots, asked), separators=(",", ":")).encode()
    headers = (("Set-Cookie", f"{COOKIE}={visit.opened}; Path=/; HttpOnly"),) if visit.opened is not None else ()
    return HttpResponse(body=said, headers=headers, takes_ns=takes_ns, then=visit.then if visit.effects else None)


def session_of(request: HttpRequest) -> str:
    """The session that a request's cookie names; empty when it names none."""
    try:
        found = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


# ---- mutations -----------------------------------------------------------------------------------------------------


class _Visit:
    """One request: who asks, what he has opened, and what begins when the answer leaves."""

    def __init__(self, device: BraiinsDevice, session: str, now: Instant) -> None:
        self.device = device
        self.session = session
        self.now = now
        self.opened: str | None = None
        self.effects: list[Then] = []

    def then(self, done: Instant) -> None:
        """Begin all effects."""
        for effect in self.effects:
            effect(done)

    def root(self) -> Value:
        """The Mutation object."""
        act = self._guarded
        return {
            "auth": {"login": self._login, "logout": act(self._logout), "extend": act(lambda _: _VOID)},
            "bos": {
                "reboot": act(lambda _: self._begin(self.device.reboot(self.now))),
                "setPassword": act(self._password), "setHostname": act(self._hostname),
                "setFaultLight": act(self._light),
            },
            "bosminer": {
                "start": act(lambda _: self._begin(self.device.start(self.now))),
                "stop": act(lambda _: self._begin(self.device.stop(self.now))),
                "restart": act(lambda _: self._begin(self.device.restart(self.now))),
                "config": {"updateGroups": act(self._set_groups), "updateAutotuning": act(self._autotuning)},
            },
        }  # fmt: skip

    def _guarded(self, act: Callable[[Mapping[str, Any]], Value]) -> Callable[[Mapping[str, Any]], Value]:
        def run(given: Mapping[str, Any]) -> Value:
            if not self.device.sessions.use(self.session, self.now):
                raise GraphError("Unauthorized")  # text: estimate
            return act(given)

        return run

    def _begin(self, effect: Then | None) -> Value:
        if effect is not None:
            self.effects.append(effect)
        return _VOID

    def _login(self, given: Mapping[str, Any]) -> Value:
        if not login(self.device, given["username"], given["password"]):
            return {"__typename": "AuthError", "message": "Bad credentials"}
        self.session = self.opened = self.device.sessions.issue(self.now)
        return _VOID

    def _logout(self, given: Mapping[str, Any]) -> Value:
        self.device.sessions.forget(self.session)
        self.opened = ""
        return _VOID

    def _password(self, given: Mapping[str, Any]) -> Value:
        password = given["newPassword"]
        if password is not None and len(password) > LONGEST:
            return {"__typename": "BosError", "message": "Password is too long"}
        self.device.password = password
        return _VOID

    def _hostname(self, given: Mapping[str, Any]) -> Value:
        name = given["hostname"]
        if not 1 <= len(name) <= 63 or not name.replace("-", "a").isalnum():
            return {"__typename": "HostnameError", "message": "Invalid hostname"}
        self.device.saved = replace(self.device.saved, hostname=name)
        self.device.conf = replace(self.device.conf, hostname=name)
        return {"__typename": "HostnameOk", "message": "Hostname was set"}

    def _light(self, given: Mapping[str, Any]) -> Value:
        self.device.light = given["enable"]
        return {"enabled": self.device.light}

    def _set_groups(self, given: Mapping[str, Any]) -> Value:
        """Save the groups; clients restart BOSminer themselves (S2: asic-rs)."""
        seed = self.device.seed / "group" / self.now
        try:
            groups = checked(tuple(group(_asked(one), seed / n) for n, one in enumerate(given["groups"])))
        except ConfError as error:
            return {"__typename": "GroupListError", "message": str(error)}
        self.device.saved = replace(self.device.saved, groups=groups)
        return {"__typename": "GroupList", "groups": [group_config(one) for one in groups]}

    def _autotuning(self, given: Mapping[str, Any]) -> Value:
        device = self.device
        if given["apply"] and not device.is_running(self.now):
            return {"__typename": "AutotuningError", "message": "Not ready"}
        try:
            conf = _tuned(device.saved, device, given["input"])
        except ConfError as error:
            return {"__typename": "AutotuningError", "message": str(error)}
        effect = device.apply(conf, APPLY if given["apply"] else SAVE, self.now)
        self._begin(effect)
        return {"__typename": "AutotuningOut", **tuning(device)}


def _tuned(conf: Conf, device: BraiinsDevice, given: Mapping[str, Any]) -> Conf:
    model = device.unit.model
    mode = conf.mode if given["mode"] is None else {"POWER_TARGET": POWER, "HASHRATE_TARGET": HASHRATE}[given["mode"]]
    if given["hashrateTarget"] is not None:
        conf = with_hashrate(conf, model, given["hashrateTarget"])
        mode = mode if given["mode"] is not None or given["powerTarget"] is not None else HASHRATE
    if given["powerTarget"] is not None:
        conf = with_power(conf, model, given["powerTarget"])
        mode = mode if given["mode"] is not None else POWER
    scaling = given["performanceScaling"]
    if scaling is not None:
        conf = with_dps(conf, model, _scaling(scaling))
    for chain in given["hashChains"] or []:
        if chain["enabled"] is not None:
            conf = with_boards(conf, model, [chain["name"]], chain["enabled"])
    return replace(conf, mode=mode)


def _scaling(given: Mapping[str, Any]) -> Value:
    """A PerformanceScalingSetter as the SetDPSRequest of the public API."""

    def part(name: str, unit: str) -> Value | None:
        return None if given[name] is None else {unit: given[name]}

    hours = given["shutdownDuration"]
    return {
        "enable": given["enabled"], "enable_shutdown": given["shutdownEnabled"],
        "shutdown_duration": None if hours is None else {"hours": round(hours)},
        "mode": None if given["dpsMode"] is None else 1 + SCHEMA.enums["DpsMode"].index(given["dpsMode"]),
        "target": {
            "power_target": {
                "power_step": part("powerStep", "watt"), "min_power_target": part("minPowerTarget", "watt"),
            },
            "hashrate_target": {
                "hashrate_step": part("hashrateStep", "terahash_per_second"),
                "min_hashrate_target": part("minHashrateTarget", "terahash_per_second"),
            },
        },
    }  # fmt: skip


def _asked(given: Mapping[str, Any]) -> Value:
    """A Group as a PoolGroupConfiguration."""
    pools = [{**pool, "uid": None} for pool in given["pools"] or []]
    ratio = given["fixedShareRatio"]
    return {
        "uid": None, "name": given["name"] or "", "pools": pools,
        "quota": None if given["quota"] is None else {"value": max(0, given["quota"])},
        "fixed_share_ratio": None if ratio is None else {"value": ratio},
    }  # fmt: skip
