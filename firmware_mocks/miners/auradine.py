"""Auradine FluxOS on Teraflux miners: REST with a token on 8080, gcminer's reads on 4028, a page on port 80.

Owns this vendor's state (configuration, account, tokens, LED) and what its commands do to the miner. Replies stand in
`auradine.json`, figures with sources in `auradine.toml`, settings in `auradine_conf.py`, what is shown in
`auradine_readings.py`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from emulator.seed import Seed
from emulator.wire import Conversation, Instant, Reach
from firmware_mocks.miners.auradine_conf import (
    EDITS,
    FACTORY,
    FIGURES,
    IMAGE,
    MODELS,
    Conf,
    Pool,
    RefusedError,
    number,
    power_share,
)
from firmware_mocks.miners.auradine_readings import AuradineReadings
from firmware_mocks.miners.base import API, WEB, Credentials, Firmware, HostInfo, MinerDevice, MinerUnit
from firmware_mocks.miners.cgminer import ApiConversation, Command, Dialect, Handler, Reply, Request, encode, render
from firmware_mocks.miners.http import HTML, HttpConversation, HttpRequest, HttpResponse, error_page, json_object
from firmware_mocks.miners.replies import templates, values

TEMPLATES = templates(__package__, "auradine.json")
REST = "rest"
INDEX = b"<!doctype html><html><head><title>Miner UI</title></head><body><div id=app></div></body></html>"
Effect: TypeAlias = Callable[[Instant], None]


@dataclass(frozen=True, slots=True)
class Knobs:
    """Parameters of the face; defaults, sources and grades are in the TOML file."""

    read_reply_ns: int
    set_reply_ns: int
    api_reply_ns: int
    token_life_ns: int
    token_status: int
    process_stop_ns: int
    process_start_ns: int
    server_restart_ns: int
    reboot_after_ns: int
    web_workers: int
    one_recv: bool
    pool_urls: tuple[str, ...] = tuple(f"stratum+tcp://pool-{letter}.example:3333" for letter in "abc")


@dataclass(frozen=True, slots=True)
class Led:
    """What the two LEDs show: a code, their colours, a message."""

    code: int = 2
    led1: int = 1
    led2: int = 1
    msg: str = "Normal"


LEDS = {
    led.code: led
    for led in (
        Led(1, 0, 0, "No Power"), Led(), Led(3, 4, 4, "Locate Miner"), Led(4, 2, 1, "Temperature"),
        Led(5, 3, 1, "Pool Config"), Led(6, 6, 1, "Network"), Led(7, 5, 1, "Control Board"),
        Led(8, 3, 3, "Hash Rate Low"), Led(101, 1, 1, "Custom 1"), Led(102, 1, 1, "Custom 2"),
    )
}  # fmt: skip
"""Codes: client source (S); colours and words of all but code 2: estimates."""


class AuradineDevice(MinerDevice):
    """One Teraflux miner."""

    __slots__ = ("_away_ns", "_back_ns", "conf", "knobs", "led", "password")

    def __init__(self, unit: MinerUnit, host: HostInfo, seed: Seed, knobs: Knobs) -> None:
        super().__init__(unit, host, seed, tuple(FIRMWARE.ports.values()), knobs.web_workers)
        self.knobs = knobs
        self.conf: Conf = FACTORY
        self.password = FIRMWARE.credentials.password
        self.led = LEDS[2]
        self._away_ns = self._back_ns = 0

    @property
    def pools(self) -> tuple[Pool, ...]:
        """All pools, the first is in use."""
        if self.conf.pools is not None:
            return self.conf.pools
        return tuple(Pool(url, f"farm.{self.host.hostname}", "x") for url in self.knobs.pool_urls)

    def reach(self, port: int, now: Instant) -> Reach:
        """As any miner's; besides, 8080 refuses while the API server restarts."""
        is_away = port == FIRMWARE.ports[REST] and self._away_ns <= now < self._back_ns
        found = super().reach(port, now)
        return Reach.REFUSES if is_away and found is Reach.ANSWERS else found

    def _open(self, port: int, peer: str, now: Instant) -> Conversation:
        if port == self.api_port:
            return ApiConversation(self, ONE_RECV if self.knobs.one_recv else PATIENT)
        app = self._serve_rest if port == FIRMWARE.ports[REST] else self._serve_page
        return HttpConversation(self, app, port, "FluxOS")  # Server header: estimate

    def _booted(self) -> None:
        self.led = LEDS[2]
        self._away_ns = self._back_ns = 0

    def _serve_page(self, request: HttpRequest, now: Instant) -> HttpResponse:
        if request.path in ("/", "/index.html") and request.method in ("GET", "HEAD"):
            return HttpResponse(body=INDEX, content_type=HTML)
        return error_page(404)

    # ---- port 8080 ------------------------------------------------------------------------------------------------

    def _serve_rest(self, request: HttpRequest, now: Instant) -> HttpResponse:
        name = request.path.strip("/")
        asked = json_object(request.body) if request.method == "POST" and request.body.strip() else {}
        logs_in = name == "token" and request.method == "POST"
        if not logs_in and not self.is_token(request.headers.get("token", ""), now):
            return self._web("token_bad", now, status=self.knobs.token_status)
        if asked is None:
            return self._web("no_json", now)
        if logs_in:
            return self.log_in(asked, now)
        has_fields = bool(set(asked) - {"command"})
        if name in REPORTS and (request.method in ("GET", "HEAD") or (request.method == "POST" and not has_fields)):
            return self._web(name, now, takes_ns=self.knobs.read_reply_ns)
        if request.method != "POST" or (name not in EDITS and name not in ACTIONS):
            return self._web("unknown", now, status=404)
        try:
            return ACTIONS[name](self, asked, now) if name in ACTIONS else self.edit(name, asked, now)
        except RefusedError as refused:
            return self._web("bad", now, row={"why": str(refused)})

    def _web(
        self,
        name: str,
        now: Instant,
        *,
        status: int = 200,
        takes_ns: int | None = None,
        row: Mapping[str, Any] | None = None,
        then: Effect | None = None,
    ) -> HttpResponse:
        reply = render(TEMPLATES[name], AuradineReadings(self, now), row=row)
        text = encode(reply, f"FluxOS-{_BUILD}", self.host.unix_s(now), is_json=True)
        takes_ns = self.knobs.set_reply_ns if takes_ns is None else takes_ns
        return HttpResponse(status, text.encode(), takes_ns=takes_ns, then=then)

    # ---- tokens ---------------------------------------------------------------------------------------------------

    def log_in(self, asked: Mapping[str, Any], now: Instant) -> HttpResponse:
        """token: user and password give a token."""
        if (asked.get("user"), asked.get("password")) != (FIRMWARE.credentials.username, self.password):
            return self._web("login_bad", now, status=self.knobs.token_status)
        return self._web("token", now, row={"token": self._token(now)})

    def is_token(self, given: str, now: Instant) -> bool:
        """Whether `given` is a token of this boot and this password that has not expired."""
        try:
            issued = int(given[:16], 16)
        except ValueError:
            return False
        genuine = hmac.compare_digest(self._token(issued).encode(), given.encode("utf-8", errors="replace"))
        return genuine and 0 <= now - issued < self.knobs.token_life_ns

    def _token(self, issued: Instant) -> str:
        """Without a table of sessions: a token is its own issue time, signed."""
        secret = f"{(self.seed / 'token').key}:{self.boot_ns}:{self.password}"
        signature = hmac.new(secret.encode("utf-8", errors="replace"), f"{issued}".encode(), hashlib.sha256).hexdigest()
        return f"{issued:016x}{signature[:48]}"

    # ---- commands -------------------------------------------------------------------------------------------------

    def edit(self, name: str, asked: Mapping[str, Any], now: Instant) -> HttpResponse:
        """Change the configuration; sleep, wake or retune the miner where that follows."""
        before = self.conf
        self.conf = EDITS[name](before, asked, self.unit.model)
        shown = name if name in REPORTS else "done"
        return self._web(shown, now, row={"what": name}, then=self._effect(before))

    def _effect(self, before: Conf) -> Effect | None:
        after, model = self.conf, self.unit.model
        share = power_share(after, model)
        if after.asleep != before.asleep:
            if after.asleep:
                return lambda done: self.unit.run("sleep", done)
            return lambda done: self.unit.run("wake", done, setpoint=share)
        if after.asleep or share == power_share(before, model):
            return None  # asleep, the new mode is for the next start
        return lambda done: self.unit.run("retune", done, setpoint=share)

    def set_led(self, asked: Mapping[str, Any], now: Instant) -> HttpResponse:
        """led: a code, with colours and a message of its own where they are given."""
        led = LEDS.get(round(number(asked.get("code"), 0, 999, "code")))
        if led is None:
            raise RefusedError("code")
        led1 = round(number(asked.get("led1", led.led1), 0, 6, "led1"))
        led2 = round(number(asked.get("led2", led.led2), 0, 6, "led2"))
        self.led = Led(led.code, led1, led2, str(asked.get("msg", led.msg))[:64])
        return self._web("led", now)

    def restart(self, asked: Mapping[str, Any], now: Instant) -> HttpResponse:
        """restart: the control board, or with a parameter gcminer or the API server alone."""
        effects: dict[object, Effect] = {
            None: self._reboot,
            "gcminer": partial(self._restart_gcminer, now),
            "api-server": self._restart_server,
        }
        what = asked.get("parameter")
        if not isinstance(what, str | None) or what not in effects:
            raise RefusedError("parameter")
        return self._web("done", now, row={"what": "restart"}, then=effects[what])

    def _reboot(self, done: Instant) -> None:
        self.unit.run("reboot", done + self.knobs.reboot_after_ns)

    def _restart_gcminer(self, now: Instant, done: Instant) -> None:
        stops = done + self.knobs.process_stop_ns
        self.restart_process(stops, stops + self.knobs.process_start_ns, now)
        if not self.conf.asleep:
            self.unit.run("restart", done)

    def _restart_server(self, done: Instant) -> None:
        self._away_ns = done + self.knobs.process_stop_ns
        self._back_ns = self._away_ns + self.knobs.server_restart_ns

    def set_password(self, asked: Mapping[str, Any], now: Instant) -> HttpResponse:
        """password: a new one; the tokens of the old one end."""
        new = asked.get("new")
        if asked.get("user") != FIRMWARE.credentials.username or asked.get("old") != self.password:
            raise RefusedError("old")
        if not isinstance(new, str) or not 0 < len(new) <= 64:
            raise RefusedError("new")
        self.password = new
        return self._web("done", now, row={"what": "password"})

    def factory_reset(self, asked: Mapping[str, Any], now: Instant) -> HttpResponse:
        """factory-reset: everything as delivered; a sleeping miner wakes."""
        before, self.conf, self.password = self.conf, FACTORY, FIRMWARE.credentials.password
        return self._web("done", now, row={"what": "factory-reset"}, then=self._effect(before))

    def upgrade(self, asked: Mapping[str, Any], now: Instant) -> HttpResponse:
        """firmware-upgrade: no image is ever taken."""
        raise RefusedError("url")


Action: TypeAlias = Callable[[AuradineDevice, Mapping[str, Any], Instant], HttpResponse]
READ_COMMANDS = ("version", "summary", "devs", "devdetails", "asccount", "pools")
REPORTS = frozenset({
    *READ_COMMANDS, "mode", "fan", "led", "psu", "temperature", "frequency", "voltage", "ipreport", "network",
    "register", "ztp",
})  # fmt: skip
ACTIONS: dict[str, Action] = {
    "led": AuradineDevice.set_led, "restart": AuradineDevice.restart, "password": AuradineDevice.set_password,
    "factory-reset": AuradineDevice.factory_reset, "firmware-upgrade": AuradineDevice.upgrade,
}  # fmt: skip


def _report(name: str) -> Handler[AuradineDevice]:
    return lambda device, _request, now: render(TEMPLATES[name], AuradineReadings(device, now))


def _check(device: AuradineDevice, request: Request, now: Instant) -> Reply:
    row = {"exists": "Y" if request.parameter in COMMANDS else "N"}
    return render(TEMPLATES["check"], AuradineReadings(device, now), row=row)


COMMANDS: dict[str, Command[AuradineDevice]] = {name: Command(_report(name)) for name in READ_COMMANDS}
COMMANDS["check"] = Command(_check, joinable=False)

_BUILD = f"{IMAGE['version']}-{IMAGE['build']}"
_KNOBS = values(FIGURES, "knobs")
PATIENT = Dialect(f"GCMiner-{_BUILD}", COMMANDS, service_ns=_KNOBS["api_reply_ns"], one_recv=False)
ONE_RECV = replace(PATIENT, one_recv=True)

FIRMWARE = Firmware(
    name="auradine",
    title="Auradine FluxOS",
    make="Auradine",
    models=MODELS,
    phases="auradine",
    ports={API: 4028, WEB: 80, REST: 8080},
    credentials=Credentials("admin", "admin"),
    start=AuradineDevice,
    knobs=Knobs(**_KNOBS),
)
