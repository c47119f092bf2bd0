"""Bitmain's stock firmware on Antminers: digest CGI on port 80, five reads on 4028, on some models watts on 6060.

Owns this vendor's state (configuration file, work mode, LED) and what its commands do to the miner. Replies stand in
`antminer_stock.json`, figures with sources in `antminer_stock.toml`; docs/reference/firmware-faces.md tells the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, ClassVar
from urllib.parse import urlsplit

from emulator.seed import Seed
from emulator.wire import Conversation, Instant
from firmware_mocks.miners.base import API, WEB, Credentials, Firmware, HostInfo, MinerDevice, MinerUnit
from firmware_mocks.miners.cgminer import ApiConversation, Command, Dialect, Handler, Reply, Request, render
from firmware_mocks.miners.http import (
    HTML,
    TEXT,
    Access,
    Digest,
    HttpConversation,
    HttpRequest,
    HttpResponse,
    error_page,
    json_object,
    whole_number,
)
from firmware_mocks.miners.readings import Readings, Window, clock_text
from firmware_mocks.miners.replies import figures, models_with, templates, values

FIGURES = figures(__package__, "antminer_stock.toml")
TEMPLATES = templates(__package__, "antminer_stock.json")
METER = values(FIGURES, "meter")
MODELS = models_with(FIGURES, "subtype")
"""Models with a table of their own in the figures: those that this firmware runs on."""
Effect = Callable[[Instant], None]
NORMAL, SLEEP = 0, 1
POWER_PORT = 6060
NETWORK_KEYS = ("ipHost", "ipPro", "ipAddress", "ipSub", "ipGateway", "ipDns")
INDEX = b"<html><head><title>Ant Miner</title></head><body></body></html>"
READ_COMMANDS = ("stats", "pools", "devs", "summary", "version")
DENIED_COMMANDS = (
    "config", "edevs", "enablepool", "disablepool", "addpool", "removepool", "poolpriority", "poolquota", "switchpool",
    "privileged", "notify", "devdetails", "restart", "quit", "estats", "coin", "debug", "setconfig", "usbstats", "zero",
    "hotplug", "asc", "ascenable", "ascdisable", "ascidentify", "asccount", "ascset", "lcd", "lockstats", "save",
    "failover-only", "pgacount",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Knobs:
    """Parameters of the face; defaults, sources and grades are in the TOML file."""

    set_conf_reply_ns: int
    read_reply_ns: int
    api_reply_ns: int
    process_stop_ns: int
    process_start_ns: int
    reboot_after_ns: int
    web_workers: int
    asleep_style: str
    one_recv: bool
    partial_ok: bool
    accept_type: str
    write_key: str
    pool_urls: tuple[str, ...] = tuple(f"stratum+tcp://pool-{letter}.example:3333" for letter in "abc")


@dataclass(frozen=True, slots=True)
class Identity:
    """What one model's image says of itself, and what it accepts."""

    miner: str
    compile_time: str
    filesystem_version: str
    kernel: str
    subtype: str
    write_key: str
    modes: list[int]
    full_rpm: list[float]
    power_port: bool


@dataclass(frozen=True, slots=True)
class Conf:
    """The configuration file; it survives everything but a factory reset."""

    mode: int = NORMAL
    level: int = 100
    fan_control: bool = False
    fan_pwm: str = "100"
    pools: tuple[tuple[str, str, str], ...] | None = None
    network: tuple[tuple[str, str], ...] = ()


FACTORY = Conf()


@cache
def identity(model_id: str) -> Identity:
    """The image of one model."""
    return Identity(**values(FIGURES, model_id))


class StockReadings(Readings):
    """What bmminer and the CGI scripts show; the names are those of the templates."""

    device: StockDevice
    windows: ClassVar[Mapping[str, Window]] = {
        "5s": Window(METER["tau_5s_ns"], exponential=True),
        "30m": Window(METER["window_30m_ns"]),
        "av": Window(None),
    }

    pcb_k = METER["pcb_k"]
    chip_k = METER["chip_k"]

    @property
    def image(self) -> Identity:
        """What the firmware image says of itself."""
        return identity(self.model.id)

    @property
    def running_mode(self) -> int:
        """Work mode of the process that runs."""
        return self.device.running_mode(self.now)

    @property
    def is_counting(self) -> bool:
        """A process that was started asleep counts nothing, however long the rail takes to fall."""
        return self.running_mode != SLEEP

    @property
    def is_blank(self) -> bool:
        """Asleep in the way of those units that then report nothing."""
        return self.device.knobs.asleep_style == "empty" and self.running_mode == SLEEP

    @property
    def process(self) -> list[dict[str, Any]]:
        """One row while the mining process reports on itself, none while it is away or blank."""
        return [] if self.is_blank or self.device.process_since_ns(self.now) is None else [{}]

    @property
    def miner_id(self) -> str:
        """Sixteen hexadecimal digits of the control board."""
        return f"{self.device.seed.key:016x}"

    @cached_property
    def slots(self) -> list[dict[str, Any]]:
        """The four board connectors; an empty one has zeros and an empty rate."""
        return self.four_slots("")

    @property
    def chains(self) -> list[dict[str, Any]]:
        """The same rows: the firmware lists the temperatures of all connectors, then what hashes on them."""
        return self.slots

    @property
    def fan_list(self) -> list[dict[str, Any]]:
        """One row a fan."""
        return self.fan_rows(self.image.full_rpm, METER["fan_idle_rpm"])

    # ---- pools and configuration ----------------------------------------------------------------------------------

    @property
    def pool_count(self) -> int:
        """Pools configured."""
        return len(self.device.pools)

    @property
    def pool_list(self) -> list[dict[str, Any]]:
        """One row a pool; all shares go to the first."""
        rows = []
        for n, (url, user, _) in enumerate(self.device.pools):
            row: dict[str, Any] = {"n": n, "url": url, "user": user, "stratum_host": urlsplit(url).hostname or ""}
            row |= {"status": self._pool_status(url), "active": n == 0 and bool(url) and not self.is_blank}
            if n or not self.accepted:
                row |= {"last_share": "0", "diff": "", "last_difficulty": 0.0}
            else:
                row |= {"last_share": clock_text(self.last_share_s), "diff": f"{self.share_difficulty / 1e3:.0f}K"}
                row |= {"last_difficulty": self.share_difficulty}
            if n:
                row |= dict.fromkeys(("accepted", "rejected", "discarded", "getworks", "best_share"), 0)
                row |= dict.fromkeys(("difficulty_accepted", "difficulty_rejected", "rejected_percent"), 0.0)
            rows.append(row)
        return rows

    def _pool_status(self, url: str) -> str:
        return "Disabled" if self.is_blank else "Alive" if url else "Dead"

    @property
    def conf_pools(self) -> list[dict[str, str]]:
        """The pools as the configuration file has them."""
        return [dict(zip(("url", "user", "pass"), pool, strict=True)) for pool in self.device.pools]

    @property
    def conf_mhz(self) -> str:
        """Configured clock."""
        return str(round(self.model.frequency_mhz))

    @property
    def conf_voltage(self) -> str:
        """Configured board voltage in hundredths of a volt."""
        return str(round(self.model.voltage_v * 100))

    # ---- network --------------------------------------------------------------------------------------------------

    @property
    def network(self) -> dict[str, str]:
        """What was written through set_network_conf; empty text where nothing was."""
        return dict.fromkeys(NETWORK_KEYS, "") | dict(self.device.conf.network)

    @property
    def hostname(self) -> str:
        """Name of the host."""
        return self.network["ipHost"] or self.host.hostname

    @property
    def nettype(self) -> str:
        """How the address was got."""
        return "Static" if self.network["ipPro"] == "2" else "DHCP"


class StockDevice(MinerDevice):
    """One Antminer under stock firmware."""

    __slots__ = ("_digest", "_mode_was", "blink", "conf", "knobs", "password")

    def __init__(self, unit: MinerUnit, host: HostInfo, seed: Seed, knobs: Knobs) -> None:
        ports = tuple(FIRMWARE.ports.values()) + ((POWER_PORT,) if identity(unit.model.id).power_port else ())
        super().__init__(unit, host, seed, ports, knobs.web_workers)
        self.knobs = knobs
        self.conf = FACTORY
        self.password = FIRMWARE.credentials.password
        self.blink = False
        self._mode_was = NORMAL
        self._digest = Digest("antMiner Configuration", (seed / "nonce").key)

    @property
    def pools(self) -> tuple[tuple[str, str, str], ...]:
        """(url, user, password) of the three pools."""
        if self.conf.pools is not None:
            return self.conf.pools
        return tuple((url, f"farm.{self.host.hostname}", "x") for url in self.knobs.pool_urls)

    def running_mode(self, now: Instant) -> int:
        """Work mode of the process that runs; the configuration file is ahead of it until the restart."""
        return self._mode_was if now < self._ends_ns else self.conf.mode

    def _open(self, port: int, peer: str, now: Instant) -> Conversation:
        if port == self.api_port:
            return ApiConversation(self, ONE_RECV if self.knobs.one_recv else PATIENT)
        app = self._serve_power if port == POWER_PORT else self._serve_web
        return HttpConversation(self, app, port, "lighttpd/1.4.32")  # Server header: estimate

    def _booted(self) -> None:
        self.blink = False
        self._mode_was = self.conf.mode

    # ---- port 6060 ------------------------------------------------------------------------------------------------

    def _serve_power(self, request: HttpRequest, now: Instant) -> HttpResponse:
        takes_ns = self.knobs.read_reply_ns
        if request.path == "/warning":
            return HttpResponse(body=TEMPLATES["warning"].text(StockReadings(self, now)), takes_ns=takes_ns)
        if request.path == "/miner_power":
            error = (StockReadings(self, now).character.watts_gain - 1.0) * 2.0 / 3.0  # PSU telemetry 2 %: estimate
            watts = round(self.unit.power_w(now) * (1.0 + error))
            return HttpResponse(body=f"miner power:{watts}".encode(), content_type=TEXT, takes_ns=takes_ns)
        return HttpResponse(body=b"error 6060 cmd", content_type=TEXT, takes_ns=takes_ns)

    # ---- port 80 --------------------------------------------------------------------------------------------------

    def _serve_web(self, request: HttpRequest, now: Instant) -> HttpResponse:
        access = self._digest.check(request, FIRMWARE.credentials.username, self.password, now)
        if access is not Access.GRANTED:
            challenge = self._digest.challenge(now, stale=access is Access.STALE)
            return error_page(401, (("WWW-Authenticate", challenge),))
        if request.path in ("/", "/index.html"):
            return HttpResponse(body=INDEX, content_type=HTML)
        name = request.path.removeprefix("/cgi-bin/").removesuffix(".cgi")
        if request.path != f"/cgi-bin/{name}.cgi":
            return error_page(404)
        if name in PAGES:
            text = TEMPLATES[PAGES[name]].text(StockReadings(self, now))
            return HttpResponse(body=text, takes_ns=self.knobs.read_reply_ns)
        action = ACTIONS.get(name)
        return error_page(404) if action is None else action(self, request.body, now)

    def _say(self, name: str, takes_ns: int | None = None, then: Effect | None = None) -> HttpResponse:
        text = TEMPLATES[name].text(None)
        return HttpResponse(body=text, takes_ns=self.knobs.read_reply_ns if takes_ns is None else takes_ns, then=then)

    def set_miner_conf(self, body: bytes, now: Instant) -> HttpResponse:
        """Write the configuration. A changed mode or level restarts the mining process, anything else only reloads."""
        asked = json_object(body)
        pools = _pools(asked.get("pools")) if asked is not None and "pools" in asked else None
        if asked is None or (pools is None and ("pools" in asked or not self.knobs.partial_ok)):
            return self._say("conf_bad_pool", self.knobs.set_conf_reply_ns)
        mode = self._asked_mode(asked)
        if mode is not None and mode not in identity(self.unit.model.id).modes:
            return self._say("conf_bad_mode", self.knobs.set_conf_reply_ns)
        before = conf = self.conf
        if pools is not None:
            conf = replace(conf, pools=pools)
        if isinstance(asked.get("bitmain-fan-ctrl"), bool):
            conf = replace(conf, fan_control=asked["bitmain-fan-ctrl"])
        for key in ("bitmain-fan-pwm", "bitmain-fan-pwn"):  # the vendor's own page writes the misspelt key
            if key in asked:
                conf = replace(conf, fan_pwm=str(asked[key])[:3])
        level = whole_number(asked.get("freq-level", asked.get("bitmain-freq-level")))
        if level is not None and 50 <= level <= 100:  # range: estimate
            conf = replace(conf, level=level)
        self.conf = replace(conf, mode=before.mode if mode is None else mode)
        changed = (self.conf.mode, self.conf.level) != (before.mode, before.level)
        then = (lambda done: self._apply(before, now, done)) if changed else None
        return self._say("conf_ok", self.knobs.set_conf_reply_ns, then)

    def _asked_mode(self, asked: Mapping[str, Any]) -> int | None:
        key = self.knobs.write_key if self.knobs.write_key != "model" else identity(self.unit.model.id).write_key
        for name in ("miner-mode", "bitmain-work-mode"):
            if name in asked and key in (name, "both"):
                kind = {"int": int, "str": str}.get(self.knobs.accept_type, object)
                return whole_number(asked[name]) if isinstance(asked[name], kind) else None
        return None

    def _apply(self, before: Conf, now: Instant, done: Instant) -> None:
        """Restart the mining process after the reply has left at `done`, and let the miner follow its new mode."""
        stops = done + self.knobs.process_stop_ns
        if now >= self._ends_ns:
            self._mode_was = before.mode
        self.restart_process(stops, stops + self.knobs.process_start_ns, now)
        if self.conf.mode == SLEEP:
            if before.mode != SLEEP:
                self.unit.run("sleep", done)
            return
        share = FIGURES[f"modes.power_{self.conf.mode}"].value * (self.conf.level / 100.0) ** 1.3
        self.unit.run("wake" if before.mode == SLEEP else "retune", done, setpoint=share)

    def set_blink(self, body: bytes, now: Instant) -> HttpResponse:
        """LED on (B000) or off (B100)."""
        wanted = str((json_object(body) or {}).get("blink", "")).lower()
        if wanted not in ("true", "false"):
            return self._say("blink_bad")
        self.blink = wanted == "true"
        return self._say("blink_on" if self.blink else "blink_off")

    def set_network(self, body: bytes, now: Instant) -> HttpResponse:
        """Keep the new network configuration. The emulated address does not move: the rig owns the address plan."""
        asked = json_object(body)
        if asked is None or not asked.get("ipHost"):
            return self._say("network_bad")
        kept = tuple((key, str(asked[key])[:64]) for key in NETWORK_KEYS if key in asked)
        self.conf = replace(self.conf, network=kept)
        return self._say("network_ok")

    def set_password(self, body: bytes, now: Instant) -> HttpResponse:
        """Change the web password."""
        asked = json_object(body) or {}
        if asked.get("curPwd") != self.password:
            return self._say("password_wrong")
        if not isinstance(asked.get("newPwd"), str) or asked["newPwd"] != asked.get("confirmPwd"):
            return self._say("password_differs")
        self.password = asked["newPwd"][:64]
        return self._say("password_ok")

    def reboot(self, body: bytes, now: Instant) -> HttpResponse:
        """Answer, then restart the control board."""
        return self._say("reboot", then=lambda done: self.unit.run("reboot", done + self.knobs.reboot_after_ns))

    def reset_conf(self, body: bytes, now: Instant) -> HttpResponse:
        """Back to factory settings; a sleeping miner wakes."""
        before, self.conf, self.password = self.conf, FACTORY, FIRMWARE.credentials.password
        changed = (before.mode, before.level) != (FACTORY.mode, FACTORY.level)
        return self._say("reset", then=(lambda done: self._apply(before, now, done)) if changed else None)

    def log(self, body: bytes, now: Instant) -> HttpResponse:
        """The tail of the miner's log."""
        mode = "sleep" if self.running_mode(now) == SLEEP else "mining"
        line = f"{self.host.wall(now):%Y-%m-%d %H:%M:%S} driver-btm-api.c: {self.unit.model.type_string} {mode}\n"
        return HttpResponse(body=line.encode(), content_type=TEXT, takes_ns=self.knobs.read_reply_ns)

    def upgrade(self, body: bytes, now: Instant) -> HttpResponse:
        """No image is ever taken."""
        return self._say("upgrade_refused")


PAGES = {
    "get_system_info": "get_system_info", "miner_type": "miner_type", "summary": "web_summary", "stats": "web_stats",
    "pools": "web_pools", "get_miner_conf": "get_miner_conf", "get_network_info": "get_network_info",
    "get_blink_status": "get_blink_status",
}  # fmt: skip
ACTIONS: dict[str, Callable[[StockDevice, bytes, Instant], HttpResponse]] = {
    "set_miner_conf": StockDevice.set_miner_conf, "blink": StockDevice.set_blink, "passwd": StockDevice.set_password,
    "set_network_conf": StockDevice.set_network, "reboot": StockDevice.reboot, "reset_conf": StockDevice.reset_conf,
    "log": StockDevice.log, "upgrade": StockDevice.upgrade,
}  # fmt: skip


def _report(name: str) -> Handler[StockDevice]:
    return lambda device, _request, now: render(TEMPLATES[name], StockReadings(device, now))


def _check(device: StockDevice, request: Request, now: Instant) -> Reply:
    exists = request.parameter in COMMANDS
    access = exists and not COMMANDS[request.parameter].denied
    row = {"exists": "Y" if exists else "N", "access": "Y" if access else "N"}
    return render(TEMPLATES["check"], StockReadings(device, now), row=row)


COMMANDS: dict[str, Command[StockDevice]] = {name: Command(_report(name)) for name in READ_COMMANDS}
COMMANDS["check"] = Command(_check)
COMMANDS |= {name: Command(_report("version"), denied=True) for name in DENIED_COMMANDS}

_KNOBS = values(FIGURES, "knobs")
ONE_RECV = Dialect("cgminer 1.0.0", COMMANDS, service_ns=_KNOBS["api_reply_ns"], joins=False)
PATIENT = replace(ONE_RECV, one_recv=False)

FIRMWARE = Firmware(
    name="antminer-stock",
    title="Bitmain stock firmware",
    make="Antminer",
    models=MODELS,
    phases="bitmain_stock",
    ports={API: 4028, WEB: 80},
    credentials=Credentials("root", "root"),
    start=StockDevice,
    knobs=Knobs(**_KNOBS),
)


def _pools(given: Any) -> tuple[tuple[str, str, str], ...] | None:
    if not isinstance(given, list) or len(given) > 3 or not given:
        return None
    found = []
    for pool in given:
        fields = [pool.get(key, "") for key in ("url", "user", "pass")] if isinstance(pool, dict) else [None]
        if not all(isinstance(entry, str) and len(entry) < 256 for entry in fields):
            return None
        found.append((str(fields[0]), str(fields[1]), str(fields[2])))
    found += [("", "", "")] * (3 - len(found))
    return tuple(found)
