"""ESP-Miner with AxeOS on a Bitaxe: HTTP on port 80 without a password, in three builds, and the log as a WebSocket.

Owns this firmware's state (flash settings, pause, identify) and its routes; what is shown is in `bitaxe_readings.py`,
settings and builds in `bitaxe_conf.py`, places and log in `esp_httpd.py`, figures with sources in the two TOML files.
"""

from __future__ import annotations

import gzip
import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from emulator.seed import Seed
from emulator.wire import SECOND, Conversation, Instant
from firmware_mocks.miners.base import WEB, Credentials, Firmware, HostInfo, MinerDevice, MinerUnit
from firmware_mocks.miners.bitaxe_conf import FIGURES, LIMITS, METER, MODELS, Knobs, board, build, patched
from firmware_mocks.miners.bitaxe_readings import (
    COLUMNS,
    DASHBOARD_COLUMNS,
    MOST_ROWS,
    OLD_COLUMNS,
    BitaxeReadings,
)
from firmware_mocks.miners.esp_httpd import EspConversation, Places
from firmware_mocks.miners.http import HTML, JSON, TEXT, HttpRequest, HttpResponse
from firmware_mocks.miners.replies import templates, values

TEMPLATES = templates(__package__, "bitaxe.json")
INDEX = gzip.compress(b"<!doctype html><html><head><title>AxeOS</title></head><body></body></html>", mtime=0)
LOG = "/api/ws"
PRIVATE = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
LONGEST_PATCH = 10_240  # S: SCRATCH_BUFSIZE
MOST_EVENTS = 64
CORS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    ("Access-Control-Allow-Headers", "Content-Type"),
)
_LINE = "\033[0;32mI ({ms}) {tag}: {text}\033[0m\n"


class BitaxeDevice(MinerDevice):
    """One Bitaxe."""

    __slots__ = (
        "_events", "_ready_ns", "_told_ns", "build", "conf", "hash_began_ns", "identify_until_ns", "knobs", "paused",
        "pauses", "places", "stats_since_ns",
    )  # fmt: skip

    api_port = 0

    def __init__(self, unit: MinerUnit, host: HostInfo, seed: Seed, knobs: Knobs) -> None:
        super().__init__(unit, host, seed, tuple(FIRMWARE.ports.values()))
        self.knobs = knobs
        self.build = build(knobs.build)
        self.conf: Mapping[str, Any] = {}
        """The flash memory; it survives everything."""
        self.places = Places(self.build.sockets, self.build.lru)
        self._told_ns: Instant | None = None
        self._forget()

    def _forget(self) -> None:
        """What stands in RAM only: a restart forgets a pause."""
        self.paused = False
        self.pauses: list[tuple[Instant, Instant | None]] = []
        """Since when the chip has been held in reset, and until when; None while it is."""
        self.hash_began_ns: Instant | None = None
        self.identify_until_ns: Instant = 0
        self.stats_since_ns: Instant | None = None
        self._ready_ns: Instant = 0
        self._events: list[tuple[Instant, str]] = []

    def _open(self, port: int, peer: str, now: Instant) -> Conversation:
        return EspConversation(self, lambda request, at: self._serve(request, peer, at), port, peer, LOG)

    def _booted(self) -> None:
        self.places.clear()
        self._forget()
        if self.conf.get("statsFrequency"):
            self.stats_since_ns = self.boot_ns

    def allows(self, peer: str) -> bool:
        """Whether a caller may use the API: from a private address, where the knob asks for one."""
        if not self.knobs.private_only:
            return True
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in PRIVATE)

    def was_told_to_restart(self, now: Instant) -> bool:
        """Whether the processor has been restarted by the API since it got its power."""
        return self._told_ns is not None and self._told_ns == self.unit.powered_since_ns(now)

    # ---- power ----------------------------------------------------------------------------------------------------

    def is_held(self, now: Instant) -> bool:
        """Whether the chip is held in reset, or has not been set up again."""
        return any(start <= now and (stop is None or now < stop) for start, stop in self.pauses)

    def goal(self) -> tuple[float, float]:
        """Shares of nominal power and rate that clock and voltage ask for: core power goes with f times V squared."""
        model, table = self.unit.model, board(self.unit.model.id)
        most_mhz = LIMITS["frequency_over"] * table.frequencies[-1]
        most_mv = LIMITS["voltage_over"] * table.voltages[-1]
        clock = min(float(self.conf.get("frequency", model.frequency_mhz)), most_mhz) / model.frequency_mhz
        volts = min(float(self.conf.get("coreVoltage", 1e3 * model.voltage_v)), most_mv) / (1e3 * model.voltage_v)
        idle = model.sleep_w / model.nominal_w
        return idle + (1.0 - idle) * clock * volts**2, clock

    def pause(self, now: Instant) -> HttpResponse:
        """Wind the clock down and hold the chip in reset, if it is not held already."""

        def then(done: Instant) -> None:
            self._note(done, "http_server", "Mining paused by API request")
            if not self.paused:
                self.paused = True
                at = max(done, self._ready_ns)
                if self.hash_began_ns is None:
                    self.hash_began_ns = self.unit.mining_since_ns(done)
                self._ready_ns = at + LIMITS["stop_ns"]
                self.pauses = [*self.pauses[-7:], (self._ready_ns, None)]
                self.unit.run("sleep", at)

        return self._say("pause", now, then)

    def resume(self, now: Instant) -> HttpResponse:
        """Set the chip up again, as soon as it has been wound down."""

        def then(done: Instant) -> None:
            self._note(done, "http_server", "Mining resumed by API request")
            if self.paused:
                self.paused = False
                at = max(done, self._ready_ns)
                self._ready_ns = at + LIMITS["start_ns"]
                self.pauses = [*self.pauses[:-1], (self.pauses[-1][0], self._ready_ns)]
                power, rate = self.goal()
                self.unit.run("wake", at, setpoint=power, hash_share=rate)

        return self._say("resume", now, then)

    def restart(self, now: Instant) -> HttpResponse:
        """Answer, keep the server busy for a second, and restart the processor."""

        def then(done: Instant) -> None:
            self.web_lanes.serve(done, self.knobs.restart_after_ns)
            self._told_ns = self.unit.powered_since_ns(done)
            power, rate = self.goal()
            self.unit.run("reboot", done + self.knobs.restart_after_ns, setpoint=power, hash_share=rate)

        if self.build.json_messages:
            return self._say("restart", now, then)
        return self._text(200, "System will restart shortly.", TEXT if self.build.rank >= 12 else HTML, then)

    # ---- routes ---------------------------------------------------------------------------------------------------

    def _serve(self, request: HttpRequest, peer: str, now: Instant) -> HttpResponse:
        if not request.path.startswith("/api/"):
            return self._page(request)
        if not self.allows(peer):
            return self._text(401, "Unauthorized")
        if request.method == "OPTIONS":
            return self._text(200, "")
        route = ROUTES.get((request.method, request.path.removeprefix("/api/")))
        if route is None or self.build.rank < route[0] or self.build.rank > route[1]:
            return self._json("unknown_route", now, status=404)
        return route[2](self, request, now)

    def _page(self, request: HttpRequest) -> HttpResponse:
        """The web application, packed; every other address leads back to it."""
        if request.method != "GET":
            return HttpResponse(405, b"Specified method is invalid for this resource", HTML)
        if request.path in ("/", "/index.html"):
            packed = (("Content-Encoding", "gzip"),)
            return HttpResponse(200, INDEX, HTML, packed, takes_ns=self.knobs.reply_ns)
        return HttpResponse(302, b"Redirect to the captive portal", HTML, (("Location", "/"),))

    def info(self, now: Instant) -> HttpResponse:
        """Everything in one flat object, as the build writes it."""
        return self._json(f"info_{self._build_key}", now)

    def asic(self, now: Instant) -> HttpResponse:
        """What the chip is and what it may be set to."""
        return self._json(f"asic_{self._build_key}", now)

    def patch(self, request: HttpRequest, now: Instant) -> HttpResponse:
        """Write settings: all of them or none, on builds that look; clock and voltage take effect at once."""
        if len(request.body) >= LONGEST_PATCH:
            return self._text(500, "content too long")
        try:
            asked = json.loads(request.body)
        except (ValueError, RecursionError):
            return self._text(400, "Invalid JSON")
        changes = patched(asked if isinstance(asked, dict) else {}, self.build.rank)
        if changes is None:
            return self._text(400, "Wrong API input")

        def then(done: Instant) -> None:
            before = self.goal()
            self.conf = {**self.conf, **changes}
            if "statsFrequency" in changes:
                on = bool(changes["statsFrequency"])
                self.stats_since_ns = (self.stats_since_ns if self.stats_since_ns is not None else done) if on else None
            after = self.goal()
            if after != before:
                self._note(done, "power_management", f"New ASIC frequency requested: {after[1]:.3f} of nominal")
                self.unit.run("retune", done, setpoint=after[0], hash_share=after[1])

        return self._text(200, "", HTML, then)

    def identify(self, now: Instant) -> HttpResponse:
        """Say hello on the display for half a minute, or stop saying so."""
        said = now < self.identify_until_ns
        self.identify_until_ns = 0 if said else now + self.knobs.identify_ns
        name = "identify_off" if said else "identify_on"
        if self.build.json_messages:
            return self._say(name, now)
        return self._text(200, TEMPLATES[name].body(None, {})["message"], TEXT)

    def statistics(self, request: HttpRequest, now: Instant) -> HttpResponse:
        """What was noted down since it was asked to: newer builds with chosen columns."""
        if self.build.statistics == "all":
            return self._table(OLD_COLUMNS, now)
        wanted = parse_qs(request.target.partition("?")[2]).get("columns", [""])[0].split(",")
        chosen = {name: path for name, path in COLUMNS.items() if name in wanted}
        return self._table(chosen or COLUMNS, now)

    def dashboard(self, now: Instant) -> HttpResponse:
        """Rate, temperature and watts only, without their names."""
        return self._table(DASHBOARD_COLUMNS, now, name="statistics_dashboard")

    def _table(self, columns: Mapping[str, str], now: Instant, name: str = "statistics") -> HttpResponse:
        rows = [BitaxeReadings(self, at).row(columns) for at in self._noted(now)]
        labels = [*columns, "timestamp"]
        text = TEMPLATES[name].text(BitaxeReadings(self, now), {"labels": labels, "rows": rows})
        return HttpResponse(200, text, JSON, CORS, takes_ns=self.knobs.reply_ns)

    def _noted(self, now: Instant) -> Iterator[Instant]:
        """When the rows were noted: each second and thinned out later, or each so many seconds on old builds."""
        every_s = int(self.conf.get("statsFrequency", 0))
        since = self.stats_since_ns
        if not every_s or since is None:
            return
        if self.build.statistics == "columns":
            span_s = min((now - since) // SECOND, MOST_ROWS * every_s)
            step_ns = max(1, -(-span_s // MOST_ROWS)) * SECOND
        else:
            step_ns = max(5, every_s) * SECOND
        count = min((now - since) // step_ns, MOST_ROWS)
        last = since + (now - since) // step_ns * step_ns
        for n in range(count - 1, -1, -1):
            yield last - n * step_ns

    def scan(self, now: Instant) -> HttpResponse:
        """The networks it hears: its own."""
        return self._json("wifi_scan", now, takes_ns=self.knobs.scan_ns)

    def upgrade(self) -> HttpResponse:
        """No image is ever taken."""
        return self._text(500, "Validation / Activation Error")

    # ---- the log --------------------------------------------------------------------------------------------------

    def _note(self, at: Instant, tag: str, text: str) -> None:
        line = _LINE.format(ms=(at - (self.boot_ns or 0)) // 1_000_000, tag=tag, text=text)
        self._events = [*self._events[1 - MOST_EVENTS :], (at, line)]

    def log_lines(self, start: Instant, stop: Instant) -> Iterator[str]:
        """Orders that came in, and one line for each nonce of the chip (Poisson, by the seed)."""
        yield from (line for at, line in self._events if start <= at < stop)
        readings = BitaxeReadings(self, stop)
        if not readings.is_hashing or self.is_held(stop):
            return
        step = stop // SECOND
        draws = (self.seed / "log" / step).uniforms(64)
        count, chance = 0, float(draws[0])
        limit = 2.718281828 ** -min(8.0, readings.chip_nonces_per_s * (stop - start) / SECOND)
        while chance > limit and count < 20:
            count += 1
            chance *= float(draws[count])
        for n in range(count):
            job, nonce, luck = (float(draws[21 + 2 * n + part]) for part in (0, 1, 1))
            core, small = int(job * 128.0), int(nonce * 16.0)
            diff = METER["asic_difficulty"] / max(1e-9, (luck * 7919.0) % 1.0)
            where = f", Core: {core}/{small}" if self.build.rank >= 14 else ""
            chip = f", ASIC nr: 0{where}" if self.build.rank >= 12 else ""
            text = (
                f"ID: {int(job * 65_536):x}{chip}, ver: {int(job * 65_536) << 13:08X} Nonce {int(nonce * 2**32):08X} "
                f"diff {diff:.1f} of {self.knobs.pool_difficulty}."
            )
            yield _LINE.format(ms=readings.boot_ms, tag="asic_result", text=text)

    # ---- answers --------------------------------------------------------------------------------------------------

    @property
    def _build_key(self) -> str:
        return self.knobs.build.replace(".", "_")

    def _say(self, name: str, now: Instant, then: Callable[[Instant], None] | None = None) -> HttpResponse:
        return self._json(name, now, then=then)

    def _json(
        self,
        name: str,
        now: Instant,
        *,
        status: int = 200,
        takes_ns: int | None = None,
        then: Callable[[Instant], None] | None = None,
    ) -> HttpResponse:
        text = TEMPLATES[name].text(BitaxeReadings(self, now))
        takes_ns = self.knobs.reply_ns if takes_ns is None else takes_ns
        return HttpResponse(status, text, JSON, CORS, takes_ns=takes_ns, then=then)

    def _text(
        self, status: int, text: str, content_type: str = HTML, then: Callable[[Instant], None] | None = None
    ) -> HttpResponse:
        return HttpResponse(status, text.encode(), content_type, CORS, takes_ns=self.knobs.reply_ns, then=then)


EVER = 99
Route = tuple[int, int, Callable[[BitaxeDevice, HttpRequest, Instant], HttpResponse]]
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "system/info"): (0, EVER, lambda device, _, now: device.info(now)),
    ("GET", "system/asic"): (0, EVER, lambda device, _, now: device.asic(now)),
    ("GET", "system/statistics"): (0, EVER, BitaxeDevice.statistics),
    ("GET", "system/statistics/dashboard"): (0, 10, lambda device, _, now: device.dashboard(now)),
    ("GET", "system/wifi/scan"): (0, EVER, lambda device, _, now: device.scan(now)),
    ("PATCH", "system"): (0, EVER, BitaxeDevice.patch),
    ("POST", "system/restart"): (0, EVER, lambda device, _, now: device.restart(now)),
    ("POST", "system/identify"): (12, EVER, lambda device, _, now: device.identify(now)),
    ("POST", "system/pause"): (14, EVER, lambda device, _, now: device.pause(now)),
    ("POST", "system/resume"): (14, EVER, lambda device, _, now: device.resume(now)),
    ("POST", "system/blockFound/dismiss"): (14, EVER, lambda device, _, now: device._say("dismiss", now)),  # noqa: SLF001
    ("POST", "system/OTA"): (0, EVER, lambda device, _request, _now: device.upgrade()),
    ("POST", "system/OTAWWW"): (0, EVER, lambda device, _request, _now: device.upgrade()),
}
"""Route: the first and the last build that has it, and what serves it."""

FIRMWARE = Firmware(
    name="bitaxe",
    title="ESP-Miner (AxeOS)",
    make="Bitaxe",
    models=MODELS,
    phases="esp_miner",
    ports={WEB: 80},
    credentials=Credentials(),
    start=BitaxeDevice,
    knobs=Knobs(**values(FIGURES, "knobs")),
)
