"""MARA firmware (MARAFW) on Antminers: REST under /kaonsu/v1 behind digest on port 80, and cgminer reads on 4028.

Owns what a new configuration and the maintenance calls do to the miner. Replies stand in `mara.json`, figures with
sources in `mara.toml`; configuration and readings have modules of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from emulator.seed import Seed
from emulator.wire import Conversation, Instant
from firmware_mocks.miners.base import API, WEB, Credentials, Firmware, HostInfo, MinerDevice, MinerUnit
from firmware_mocks.miners.cgminer import ApiConversation, Command, Dialect, Handler, render
from firmware_mocks.miners.http import (
    HTML,
    Access,
    Digest,
    HttpConversation,
    HttpRequest,
    HttpResponse,
    error_page,
    json_object,
)
from firmware_mocks.miners.mara_conf import FACTORY, SLEEP, Conf, Pool, edited, setpoint
from firmware_mocks.miners.mara_readings import FIGURES, MaraReadings
from firmware_mocks.miners.replies import templates, values

TEMPLATES = templates(__package__, "mara.json")
ROOT = "/kaonsu/v1/"
INDEX = b"<!doctype html><html><head><title>MARA</title></head><body><div id=app></div></body></html>"
PAGES = {
    "brief": "brief", "overview": "overview", "hashboards": "hashboards", "details": "details", "fans": "fans",
    "pools": "web_pools", "network_config": "network_config", "miner_config": "miner_config",
    "locate_miner": "locate_miner", "event_chart": "event_chart",
}  # fmt: skip
REPORTS = ("version", "summary", "stats", "devs", "pools")
Effect = Callable[[Instant], None]
_KEPT = 24  # estimate: changes of mode in the history
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Knobs:
    """Parameters of the face; defaults, sources and grades are in the TOML file."""

    read_reply_ns: int
    write_reply_ns: int
    api_reply_ns: int
    status_refresh_ns: int
    process_stop_ns: int
    process_start_ns: int
    reboot_after_ns: int
    web_workers: int
    one_recv: bool
    pool_urls: tuple[str, ...] = ("stratum+tcp://pool-a.example:3333", "stratum+tcp://pool-b.example:3333")


class MaraDevice(MinerDevice):
    """One Antminer under MARA firmware."""

    __slots__ = ("_digest", "blinking", "conf", "history", "knobs", "password")

    def __init__(self, unit: MinerUnit, host: HostInfo, seed: Seed, knobs: Knobs) -> None:
        super().__init__(unit, host, seed, tuple(FIRMWARE.ports.values()), knobs.web_workers)
        self.knobs = knobs
        self.conf = FACTORY
        self.password = FIRMWARE.credentials.password
        self.blinking = False
        self.history: deque[tuple[Instant, str, str]] = deque(maxlen=_KEPT)
        self._digest = Digest("antMiner Configuration", (seed / "nonce").key)  # S: clients look for MARA behind it

    @property
    def pools(self) -> tuple[Pool, ...]:
        """All pools, in order of priority."""
        if self.conf.pools is not None:
            return self.conf.pools
        return tuple(Pool(url, f"farm.{self.host.hostname}") for url in self.knobs.pool_urls)

    def _open(self, port: int, peer: str, now: Instant) -> Conversation:
        if port == self.api_port:
            return ApiConversation(self, ONE_RECV if self.knobs.one_recv else PATIENT)
        return HttpConversation(self, self._serve_web, port, "kaonsu")  # Server header: estimate

    def _booted(self) -> None:
        self.blinking = False

    # ---- port 80 --------------------------------------------------------------------------------------------------

    def _serve_web(self, request: HttpRequest, now: Instant) -> HttpResponse:
        access = self._digest.check(request, FIRMWARE.credentials.username, self.password, now)
        if access is not Access.GRANTED:
            challenge = self._digest.challenge(now, stale=access is Access.STALE)
            # a client takes a challenge that names MD5 for this firmware (S)
            return error_page(401, (("WWW-Authenticate", f"{challenge}, algorithm=MD5"),))
        if request.path in ("/", "/index.html"):
            return HttpResponse(body=INDEX, content_type=HTML)
        name = request.path.removeprefix(ROOT) if request.path.startswith(ROOT) else ""
        if request.method in ("GET", "HEAD"):
            return self._read(name, request, now)
        action = WRITES.get(name) if request.method == "POST" else None
        if action is None:
            return error_page(404)
        asked = json_object(request.body)
        return self._refuse("not an object") if asked is None else action(self, asked, now)

    def _read(self, name: str, request: HttpRequest, now: Instant) -> HttpResponse:
        if name == "log" and parse_qs(request.target.partition("?")[2]).get("type") == ["miner_config_history"]:
            return self._say("history", now)
        return self._say(PAGES[name], now) if name in PAGES else error_page(404)

    def configure(self, asked: dict[str, Any], now: Instant) -> HttpResponse:
        """Take in a configuration: another mode or target moves the miner, anything else is kept and shown."""
        conf, why = edited(self.conf, asked, self.unit.model)
        return self._refuse(why) if conf is None else self._take(conf, now)

    def _take(self, conf: Conf, now: Instant) -> HttpResponse:
        before, self.conf = self.conf, conf
        if conf.mode != before.mode:
            self.history.append((now, before.mode, conf.mode))
        return self._done(partial(self._apply, before, conf))

    def _apply(self, before: Conf, conf: Conf, done: Instant) -> None:
        share = setpoint(conf, self.unit.model)
        if conf.mode == SLEEP:
            if before.mode != SLEEP:
                self.unit.run("sleep", done)
        elif before.mode == SLEEP:
            self.unit.run("wake", done, setpoint=share)
        elif share != setpoint(before, self.unit.model):
            self.unit.run("retune", done, setpoint=share)

    def locate(self, asked: dict[str, Any], now: Instant) -> HttpResponse:
        """Let the light blink or not."""
        if not isinstance(asked.get("blinking"), bool):
            return self._refuse("blinking")
        self.blinking = asked["blinking"]
        return self._say("locate_miner", now)

    def network(self, asked: dict[str, Any], now: Instant) -> HttpResponse:
        """Keep the host name. The emulated address does not move: the rig owns the address plan."""
        hostname = asked.get("hostname")
        if not isinstance(hostname, str) or not 0 < len(hostname) < _LONGEST:
            return self._refuse("hostname")
        self.conf = replace(self.conf, hostname=hostname)
        return self._done()

    def maintain(self, asked: dict[str, Any], now: Instant) -> HttpResponse:
        """reboot, reload (the mining process), reset (to factory settings), passwd."""
        kind = asked.get("type")
        if kind == "reboot":
            return self._done(lambda done: self.unit.run("reboot", done + self.knobs.reboot_after_ns))
        if kind == "reload":
            return self._done(partial(self._reload, now))
        if kind == "reset":
            self.password = FIRMWARE.credentials.password
            return self._take(FACTORY, now)
        return self._passwd(asked.get("params")) if kind == "passwd" else self._refuse("type")

    def _reload(self, now: Instant, done: Instant) -> None:
        stops = done + self.knobs.process_stop_ns
        self.restart_process(stops, stops + self.knobs.process_start_ns, now)
        if self.conf.mode != SLEEP:
            self.unit.run("restart", done)

    def _passwd(self, given: Any) -> HttpResponse:
        params = given if isinstance(given, dict) else {}
        new = params.get("newPwd")
        if params.get("curPwd") != self.password:
            return self._refuse("curPwd")
        if not isinstance(new, str) or not 0 < len(new) < _LONGEST or params.get("confirmPwd") != new:
            return self._refuse("newPwd")
        self.password = new
        return self._done()

    # ---- answers --------------------------------------------------------------------------------------------------

    def _say(self, name: str, now: Instant) -> HttpResponse:
        text = TEMPLATES[name].text(MaraReadings(self, now))
        return HttpResponse(body=text, takes_ns=self.knobs.read_reply_ns)

    def _done(self, then: Effect | None = None) -> HttpResponse:
        return HttpResponse(body=TEMPLATES["done"].text(None), takes_ns=self.knobs.write_reply_ns, then=then)

    def _refuse(self, why: str) -> HttpResponse:
        text = TEMPLATES["refused"].text(None, {"msg": f"invalid {why}"})
        return HttpResponse(body=text, takes_ns=self.knobs.read_reply_ns)


WRITES: dict[str, Callable[[MaraDevice, dict[str, Any], Instant], HttpResponse]] = {
    "miner_config": MaraDevice.configure, "locate_miner": MaraDevice.locate, "network_config": MaraDevice.network,
    "maintenance": MaraDevice.maintain,
}  # fmt: skip


def _report(name: str) -> Handler[MaraDevice]:
    return lambda device, _request, now: render(TEMPLATES[name], MaraReadings(device, now))


_KNOBS = values(FIGURES, "knobs")
COMMANDS: dict[str, Command[MaraDevice]] = {name: Command(_report(name)) for name in REPORTS}
ONE_RECV = Dialect("cgminer 1.0.0", COMMANDS, service_ns=_KNOBS["api_reply_ns"], joins=False)
PATIENT = replace(ONE_RECV, one_recv=False)

FIRMWARE = Firmware(
    name="mara",
    title="MARA firmware",
    make="Antminer",
    models=frozenset(key.removesuffix(".full_rpm") for key in FIGURES if key.endswith(".full_rpm")),
    phases="mara",
    ports={API: 4028, WEB: 80},
    credentials=Credentials("root", "root"),
    start=MaraDevice,
    knobs=Knobs(**_KNOBS),
)
