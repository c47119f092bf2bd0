"""VNish (AnthillOS) on Antminers: REST under /api/v1 on port 80 behind an unlock, and cgminer reads on 4028.

Owns what the paths do to the miner: stop, start, restart, presets, light, reboot. Replies stand in `vnish.json`,
figures with sources in `vnish.toml` and `vnish_presets.toml`; settings, doors, states and readings are other modules'.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from emulator.seed import Seed
from emulator.wire import SECOND, Conversation, Instant
from firmware_mocks.miners.base import API, WEB, Credentials, Firmware, HostInfo, MinerDevice, MinerUnit
from firmware_mocks.miners.cgminer import ApiConversation, Command, Dialect, Handler, render
from firmware_mocks.miners.http import (
    HTML,
    TEXT,
    HttpConversation,
    HttpRequest,
    HttpResponse,
    error_page,
    json_object,
    whole_number,
)
from firmware_mocks.miners.replies import templates, values
from firmware_mocks.miners.vnish_access import Doors, same
from firmware_mocks.miners.vnish_conf import FACTORY, Conf, Pool, edited, ladder, preset_of, setpoint
from firmware_mocks.miners.vnish_history import (
    LOGS,
    LONGEST_SLICE_S,
    SHORTEST_STEP_S,
    SLICE_S,
    STEP_S,
    VnishHistory,
)
from firmware_mocks.miners.vnish_readings import FIGURES, VnishReadings
from firmware_mocks.miners.vnish_state import Orders, State, state_at

TEMPLATES = templates(__package__, "vnish.json")
ROOT = "/api/v1/"
INDEX = b"<!doctype html><html><head><title>AnthillOS</title></head><body><div id=app></div></body></html>"
PAGES = {
    "info": "info", "model": "model", "summary": "web_summary", "perf-summary": "perf_summary", "chains": "chains",
    "chips": "chips", "chains/factory-info": "factory_info",
}  # fmt: skip
"""Reads that need no token (S2: public API note, client sources)."""
_PAUSE_REFUSED = "CGMiner err: Cgminer error failed-to-activate-pause-mode "
_RESUME_REFUSED = "CGMiner err: Cgminer error failed-to-activate-resume-mode "
"""S2: public API note, answers of a unit that did not mine; the blank at the end is genuine."""
_NO_OBJECT = "Invalid JSON"
Effect = Callable[[Instant], None]


@dataclass(frozen=True, slots=True)
class Knobs:
    """Parameters of the face; defaults, sources and grades are in the TOML file."""

    read_reply_ns: int
    api_reply_ns: int
    web_workers: int
    one_recv: bool
    status_refresh_ns: int
    token_idle_ns: int
    tries: int
    tries_window_ns: int
    reload_ns: int
    process_stop_ns: int
    reboot_after_ns: int
    tune_ns: int
    tuned: str | tuple[str, ...]
    untuned_preset: str
    empty_mining_body: bool
    pool_urls: tuple[str, ...] = ("pool-a.example:3333", "pool-b.example:3333")


class VnishDevice(MinerDevice):
    """One Antminer under VNish."""

    __slots__ = ("_starts", "calls", "conf", "doors", "finding", "halted", "knobs", "orders", "pane", "untuned")

    def __init__(self, unit: MinerUnit, host: HostInfo, seed: Seed, knobs: Knobs) -> None:
        super().__init__(unit, host, seed, tuple(FIRMWARE.ports.values()), knobs.web_workers)
        self.knobs = knobs
        self.conf = FACTORY
        self.doors = Doors(seed, knobs.token_idle_ns, knobs.tries, knobs.tries_window_ns)
        self.orders = Orders()
        self.halted: str | None = None
        self.finding = False
        self.calls: deque[str] = deque(maxlen=12)
        names = [preset.name for preset in ladder(unit.model.id)]
        self.untuned = frozenset() if knobs.tuned == "all" else frozenset(names).difference(knobs.tuned)
        self.pane: tuple[object, Instant] | None = None
        self._starts = 0

    @property
    def pools(self) -> tuple[Pool, ...]:
        """All pools, in order of priority."""
        if self.conf.pools is not None:
            return self.conf.pools
        return tuple(Pool(url, f"farm.{self.host.hostname}") for url in self.knobs.pool_urls)

    def state(self, at: Instant) -> State:
        """What the miner does at `at`."""
        name = VnishReadings(self, at).preset_name
        return state_at(self.unit, self.orders, self.knobs.reload_ns, partial(self.is_tuned, name), at)

    def is_tuned(self, name: str, at: Instant) -> bool:
        """Whether a preset has been tuned by `at`; the one in force is, once it has hashed for long enough."""
        if name not in self.untuned:
            return True
        mining = self.unit.mining_since_ns(at)
        in_force = name == VnishReadings(self, at).preset_name
        return in_force and mining is not None and at - mining >= self.knobs.tune_ns

    def _open(self, port: int, peer: str, now: Instant) -> Conversation:
        if port == self.api_port:
            return ApiConversation(self, ONE_RECV if self.knobs.one_recv else PATIENT)
        return HttpConversation(self, partial(self._serve_web, peer), port, "nginx")  # Server header: estimate

    def _booted(self) -> None:
        self.doors.booted()
        self.calls.clear()
        self.finding = False
        self.halted = self.halted if self.conf.remain_stopped else None
        self.orders.booted(self._since_ns, self.halted)

    # ---- port 80 --------------------------------------------------------------------------------------------------

    def _serve_web(self, peer: str, request: HttpRequest, now: Instant) -> HttpResponse:
        if request.path in ("/", "/index.html") and request.method in ("GET", "HEAD"):
            return HttpResponse(body=INDEX, content_type=HTML)
        if not request.path.startswith(ROOT):
            return error_page(404 if request.method in ("GET", "HEAD") else 405)  # S2: access log, POST of a CGI path
        response = self._serve_api(request.path.removeprefix(ROOT), request, now)
        if request.method not in ("GET", "HEAD"):
            asked = f'{peer} "{request.method} {request.path[:80]}"'
            self.calls.append(f"[{self.host.wall(now):%d %b %H:%M:%S}] {asked} {response.status}")
        return response if response.takes_ns else replace(response, takes_ns=self.knobs.read_reply_ns)

    def _serve_api(self, name: str, request: HttpRequest, now: Instant) -> HttpResponse:
        reads, holder = request.method in ("GET", "HEAD"), self.doors.holder(request.headers, now)
        if reads and (public := self._public(name, request, holder, now)) is not None:
            return public
        asked = json_object(request.body) if request.body.strip() else {}
        if not reads and request.method == "POST" and name in ("unlock", "find-miner"):
            if asked is None:
                return self._refuse(400, _NO_OBJECT)
            return self._unlock(asked, now) if name == "unlock" else self._find(asked, now)
        action = (READS if reads else WRITES if request.method == "POST" else {}).get(name)
        if action is None:
            return self._refuse(404, "Not found")
        if holder is None:
            return self._refuse(401, "Unauthorized")
        if asked is None and not reads:
            return self._refuse(400, _NO_OBJECT)
        return action(self, Call(asked or {}, holder), now)

    def _public(self, name: str, request: HttpRequest, holder: str | None, now: Instant) -> HttpResponse | None:
        if name in PAGES:
            return self._say(PAGES[name], now)
        if name == "status":
            left = None if holder is None else self.doors.left_s(holder, now)
            return self._say("status", now, {"unlocked": holder is not None, "unlock_timeout": left})
        if name == "metrics":
            asked = parse_qs(request.target.partition("?")[2])
            slice_s = _asked(asked, "time_slice", SLICE_S, SHORTEST_STEP_S, LONGEST_SLICE_S)
            step_s = _asked(asked, "step", STEP_S, SHORTEST_STEP_S, slice_s)
            return HttpResponse(body=TEMPLATES["metrics"].text(VnishHistory(self, now, slice_s, step_s)))
        kind = name.removeprefix("logs/")
        if name == f"logs/{kind}" and kind in LOGS:
            return HttpResponse(body=VnishHistory(self, now).log(kind).encode(), content_type=TEXT)
        return None

    # ---- doors ----------------------------------------------------------------------------------------------------

    def _unlock(self, asked: Mapping[str, Any], now: Instant) -> HttpResponse:
        shut_s = self.doors.shut_s(now)
        if shut_s:
            return self._refuse_unlock(429, "Too many attempts", shut_s)
        if not same(asked.get("pw"), self.conf.password):
            self.doors.wrong(now)
            return self._refuse_unlock(403, "Wrong password", self.doors.shut_s(now))
        return self._say("unlocked", now, {"token": self.doors.unlock(now)})

    def _refuse_unlock(self, status: int, err: str, shut_s: int) -> HttpResponse:
        text = TEMPLATES["refused_unlock"].text(None, {"err": err, "unlock_timeout": shut_s})
        return HttpResponse(status, text)

    def auth_check(self, call: Call, now: Instant) -> HttpResponse:
        """How long the caller's session still lives."""
        return self._say("auth_check", now, {"unlock_timeout": self.doors.left_s(call.holder, now)})

    def lock(self, call: Call, now: Instant) -> HttpResponse:
        """End the caller's session."""
        self.doors.lock(call.holder)
        return self._done()

    def lock_others(self, call: Call, now: Instant) -> HttpResponse:
        """End all sessions but the caller's, who gives the password again."""
        if not same(call.asked.get("pw"), self.conf.password):
            self.doors.wrong(now)
            return self._refuse(403, "Wrong password")
        self.doors.lock_others(call.holder)
        return self._done()

    def keys(self, call: Call, now: Instant) -> HttpResponse:
        """The API keys."""
        rows = [{"key": key, "description": text} for key, text in self.doors.keys.items()]
        return self._say("keys", now, {"keys": rows})

    def add_key(self, call: Call, now: Instant) -> HttpResponse:
        """Insert an API key of exactly 32 characters."""
        status = self.doors.add_key(call.asked.get("key"), call.asked.get("description", ""))
        return self._refuse(400, "Invalid key") if status is None else self._say("key_added", now, {"status": status})

    def delete_key(self, call: Call, now: Instant) -> HttpResponse:
        """Delete an API key."""
        key = call.asked.get("key")
        if not isinstance(key, str) or self.doors.keys.pop(key, None) is None:
            return self._refuse(404, "Key not found")
        return self._done()

    # ---- mining ---------------------------------------------------------------------------------------------------

    def halt(self, name: str, call: Call, now: Instant) -> HttpResponse:
        """Stop or pause: the process stays, the rail goes. A miner that stands already refuses."""
        if self.halted is not None:
            return self._refuse(500, _PAUSE_REFUSED)
        self.halted = name
        script = "sleep_kept" if self.conf.remain_stopped else "sleep"
        return self._mining(lambda done: self._run(script, name, done))

    def start(self, call: Call, now: Instant) -> HttpResponse:
        """Start or resume, after the start-up delay that is set."""
        if self.halted is None:
            return self._refuse(500, _RESUME_REFUSED)
        self.halted = None
        share, delay_ns = setpoint(self.conf, self.unit.model), self._delay_ns()
        return self._mining(lambda done: self._run("wake", "start", done, done + delay_ns, share))

    def restart(self, call: Call, now: Instant) -> HttpResponse:
        """Reload the mining process; one that stands begins to mine."""
        self.halted = None
        return self._mining(lambda done: self._reload("restart", "restart", done, now))

    def switch_pool(self, call: Call, now: Instant) -> HttpResponse:
        """Mine on another of the pools."""
        n = whole_number(call.asked.get("pool_id"))
        if n is None or n >= len(self.pools) or not self.pools[n].url:
            return self._refuse(500, "Could not find pool")
        self.conf = replace(self.conf, active_pool=n)
        return self._mining(None)

    def _delay_ns(self) -> int:
        self._starts += 1
        share = float((self.seed / "start" / self._starts).uniforms(1)[0])
        return round(share * self.conf.startup_delay_s * SECOND)

    def _run(
        self, script: str, name: str, done: Instant, at: Instant | None = None, share: float | None = None
    ) -> None:
        self.orders.note(name, done)
        self.unit.run(script, done if at is None else at, setpoint=share)

    def _reload(self, script: str, name: str, done: Instant, now: Instant) -> None:
        stops = done + self.knobs.process_stop_ns
        self.restart_process(stops, stops + self.knobs.reload_ns, now)
        self._run(script, name, done, share=setpoint(self.conf, self.unit.model))

    def _mining(self, then: Effect | None) -> HttpResponse:
        body = b"" if self.knobs.empty_mining_body else TEMPLATES["done"].text(None)
        return HttpResponse(body=body, then=then)

    # ---- settings -------------------------------------------------------------------------------------------------

    def settings(self, call: Call, now: Instant) -> HttpResponse:
        """All settings."""
        return self._say("settings", now)

    def presets(self, call: Call, now: Instant) -> HttpResponse:
        """The autotune presets."""
        return self._say("presets", now)

    def save(self, call: Call, now: Instant) -> HttpResponse:
        """Take in part of the settings; another set-point restarts mining by itself."""
        self._note_tuned(now)
        conf, status, err = edited(self.conf, call.asked, self.unit.model)
        if conf is None:
            return self._refuse(status, err)
        if conf.preset in self.untuned and conf.preset != self.conf.preset and self.knobs.untuned_preset == "ignored":
            conf = replace(conf, preset=self.conf.preset)
        before, self.conf = self.conf, conf
        model = self.unit.model
        moved = (preset_of(conf, model), setpoint(conf, model)) != (preset_of(before, model), setpoint(before, model))
        said = self._say("saved", now, {"restart_required": moved})
        return replace(said, then=partial(self._take, before, moved, now))

    def _take(self, before: Conf, moved: bool, now: Instant, done: Instant) -> None:
        """What new settings do to the miner once the reply has left."""
        if self.halted is None:
            if moved:
                self._reload("retune", "preset", done, now)
        elif self.conf.remain_stopped != before.remain_stopped:
            self.unit.run("stay_stopped" if self.conf.remain_stopped else "forget_stopped", done)

    def _note_tuned(self, now: Instant) -> None:
        """Write down that the preset in force has been tuned, before another takes its place."""
        name = VnishReadings(self, now).preset_name
        if name in self.untuned and self.is_tuned(name, now):
            self.untuned -= {name}

    def reset_tuning(self, call: Call, now: Instant) -> HttpResponse:
        """Forget how presets were tuned: those named, or all; with `restart` the present one is tuned at once."""
        known = frozenset(preset.name for preset in ladder(self.unit.model.id))
        named = call.asked.get("presets")
        asked = known if named is None else frozenset(map(str, named)) if isinstance(named, list) else frozenset()
        if not asked or not asked <= known:
            return self._refuse(400, "Unknown preset")
        self._note_tuned(now)
        self.untuned |= asked
        if call.asked.get("restart") is True:
            return self.restart(call, now)
        return self._done()

    def _find(self, asked: Mapping[str, Any], now: Instant) -> HttpResponse:
        """The light: {"on": bool} sets it, anything else toggles it."""
        on = asked.get("on")
        self.finding = on if isinstance(on, bool) else not self.finding
        return self._say("find", now)

    def reboot(self, call: Call, now: Instant) -> HttpResponse:
        """Answer, then restart the control board."""
        after_ns = self.knobs.reboot_after_ns
        said = self._say("after", now, {"after": after_ns // SECOND})
        return replace(said, then=lambda done: self._run("reboot", "reboot", done + after_ns))

    def factory_reset(self, call: Call, now: Instant) -> HttpResponse:
        """Back to factory settings, then reboot; a stopped miner mines again."""
        self.conf = FACTORY
        share = setpoint(FACTORY, self.unit.model)
        after_ns = self.knobs.reboot_after_ns
        said = self._say("after", now, {"after": after_ns // SECOND})

        def then(done: Instant) -> None:
            if self.halted is not None:
                self.unit.run("forget_stopped", done)
            self._run("reboot", "reboot", done + after_ns, share=share)

        return replace(said, then=then)

    # ---- answers --------------------------------------------------------------------------------------------------

    def _say(self, name: str, now: Instant, row: Mapping[str, Any] | None = None) -> HttpResponse:
        return HttpResponse(body=TEMPLATES[name].text(VnishReadings(self, now), row or {}))

    def _refuse(self, status: int, err: str) -> HttpResponse:
        return HttpResponse(status, TEMPLATES["refused"].text(None, {"err": err}))

    def _done(self) -> HttpResponse:
        return HttpResponse(body=TEMPLATES["done"].text(None))


@dataclass(frozen=True, slots=True)
class Call:
    """A request of somebody who may: the object in its body, and the token or key it carries."""

    asked: Mapping[str, Any]
    holder: str


Action = Callable[[VnishDevice, Call, Instant], HttpResponse]
READS: dict[str, Action] = {
    "settings": VnishDevice.settings, "autotune/presets": VnishDevice.presets, "apikeys": VnishDevice.keys,
    "auth-check": VnishDevice.auth_check,
}  # fmt: skip
WRITES: dict[str, Action] = {
    "mining/stop": lambda device, call, now: device.halt("stop", call, now),
    "mining/pause": lambda device, call, now: device.halt("pause", call, now),
    "mining/start": VnishDevice.start, "mining/resume": VnishDevice.start, "mining/restart": VnishDevice.restart,
    "mining/switch-pool": VnishDevice.switch_pool, "settings": VnishDevice.save,
    "settings/factory-reset": VnishDevice.factory_reset, "autotune/reset": VnishDevice.reset_tuning,
    "autotune/reset-all": VnishDevice.reset_tuning, "system/reboot": VnishDevice.reboot, "lock": VnishDevice.lock,
    "lock/others": VnishDevice.lock_others, "apikeys": VnishDevice.add_key, "apikeys/delete": VnishDevice.delete_key,
}  # fmt: skip
REPORTS = ("version", "summary", "stats", "pools", "devs", "devdetails")


def _report(name: str) -> Handler[VnishDevice]:
    return lambda device, _request, now: render(TEMPLATES[name], VnishReadings(device, now))


def _asked(query: Mapping[str, list[str]], key: str, default: int, least: int, most: int) -> int:
    number = whole_number(query.get(key, [""])[0])
    return default if number is None else min(most, max(least, number))


_KNOBS = values(FIGURES, "knobs")
COMMANDS: dict[str, Command[VnishDevice]] = {name: Command(_report(name)) for name in REPORTS}
ONE_RECV = Dialect("cgminer 4.11.1", COMMANDS, service_ns=_KNOBS["api_reply_ns"])
PATIENT = replace(ONE_RECV, one_recv=False)

FIRMWARE = Firmware(
    name="vnish",
    title="VNish (AnthillOS)",
    make="Antminer",
    models=frozenset(key.removesuffix(".code") for key in FIGURES if key.endswith(".code")),
    phases="vnish",
    ports={API: 4028, WEB: 80},
    credentials=Credentials("", FACTORY.password),
    start=VnishDevice,
    knobs=Knobs(**_KNOBS),
)
