"""LuxOS on Antminers: the cgminer socket with sessions, curtailment, profiles and pool commands, and a page on port 80.

Owns this vendor's state (session, configuration, curtailment) and what its commands do to the miner. Replies stand in
`luxos.json`, figures with sources in `luxos.toml`, what is shown in `luxos_readings.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from emulator.seed import Seed
from emulator.wire import Conversation, Instant
from firmware_mocks.miners.base import API, WEB, Credentials, Firmware, HostInfo, MinerDevice, MinerUnit
from firmware_mocks.miners.cgminer import ApiConversation, Command, Dialect, Reply, Request, render
from firmware_mocks.miners.http import HTML, HttpConversation, HttpRequest, HttpResponse, error_page, whole_number
from firmware_mocks.miners.luxos_conf import FACTORY, Conf, Pool, add_group, add_pool, edit_group, edit_pool
from firmware_mocks.miners.luxos_readings import FIGURES, LuxReadings, Profile, default_profile, ladder, watts_share
from firmware_mocks.miners.replies import models_with, templates, values

TEMPLATES = templates(__package__, "luxos.json")
INDEX = b"<!doctype html><html><head><title>Luxor Firmware</title></head><body><div id=root></div></body></html>"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SELECTOR = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(kW|W|THs)")
_RELATIVE = re.compile(r"[+-]\d{1,2}")


@dataclass(frozen=True, slots=True)
class Knobs:
    """Parameters of the face; defaults, sources and grades are in the TOML file."""

    api_reply_ns: int
    session_idle_ns: int
    process_stop_ns: int
    process_start_ns: int
    reboot_after_ns: int
    web_workers: int
    one_recv: bool
    pool_urls: tuple[str, ...] = ("stratum+tcp://pool-a.example:3333", "stratum+tcp://pool-b.example:3333")


class LuxDevice(MinerDevice):
    """One Antminer under LuxOS."""

    __slots__ = ("_sid", "_sid_used_ns", "_sids", "_unsafe_ok", "conf", "knobs")

    def __init__(self, unit: MinerUnit, host: HostInfo, seed: Seed, knobs: Knobs) -> None:
        super().__init__(unit, host, seed, tuple(FIRMWARE.ports.values()), knobs.web_workers)
        self.knobs = knobs
        self.conf = FACTORY
        self._sid = ""
        self._sid_used_ns = 0
        self._sids = 0
        self._unsafe_ok = True

    @property
    def pools(self) -> tuple[Pool, ...]:
        """All pools, in order of priority."""
        if self.conf.pools is not None:
            return self.conf.pools
        return tuple(Pool(url, f"farm.{self.host.hostname}") for url in self.knobs.pool_urls)

    @property
    def profile(self) -> Profile:
        """The rung that was chosen last."""
        rungs = ladder(self.unit.model)
        return next((rung for rung in rungs if rung.name == self.conf.profile), default_profile(self.unit.model))

    def session_id(self, now: Instant) -> str:
        """Id of the session alive at `now`, empty when there is none."""
        if self._sid and now - self._sid_used_ns >= self.knobs.session_idle_ns:
            self._sid = ""
        return self._sid

    def _open(self, port: int, peer: str, now: Instant) -> Conversation:
        if port == self.api_port:
            return ApiConversation(self, ONE_RECV if self.knobs.one_recv else PATIENT)
        return HttpConversation(self, self._serve_web, port, "nginx")  # Server header: estimate

    def _booted(self) -> None:
        self._sid = ""
        self._unsafe_ok = not self.conf.asleep

    def _serve_web(self, request: HttpRequest, now: Instant) -> HttpResponse:
        if request.path in ("/", "/index.html") and request.method in ("GET", "HEAD"):
            return HttpResponse(body=INDEX, content_type=HTML)
        return error_page(404)

    # ---- sessions -------------------------------------------------------------------------------------------------

    def logon(self, request: Request, now: Instant) -> Reply:
        """Open the one session, unless it is taken."""
        if self.session_id(now):
            return self._say("session_busy", now)
        self._sids += 1
        draw = (self.seed / "session" / self._sids).key
        self._sid = "".join(_ALPHABET[(draw >> 7 * place) % len(_ALPHABET)] for place in range(8))
        self._sid_used_ns = now
        return self._say("logon", now)

    def privileged(self, action: Action, request: Request, now: Instant) -> Reply:
        """Run `action` if the first parameter is the id of the live session, and keep the session alive."""
        parameters = request.parameters
        if not parameters or not self.session_id(now) or parameters[0] != self._sid:
            return self._say("session_bad", now)
        self._sid_used_ns = now
        return action(self, parameters[1:], now)

    def logoff(self, given: list[str], now: Instant) -> Reply:
        """End the session."""
        self._sid = ""
        return self._say("logoff", now)

    # ---- power ----------------------------------------------------------------------------------------------------

    def curtail(self, given: list[str], now: Instant) -> Reply:
        """`sleep`, or `wakeup` with optional voltage_step, frequency_step and mode=unsafe."""
        action, options = (given[0].lower() if given else ""), _options(given[1:])
        if action not in ("sleep", "wakeup") or options is None:
            return self._bad("action must be sleep or wakeup", now)
        if self.conf.asleep == (action == "sleep"):
            state = "in sleep mode" if self.conf.asleep else "awake"
            return self._say("curtail_already", now, row={"state": state})
        if action == "sleep":
            self.conf = replace(self.conf, asleep=True)
            return self._say("curtail", now, lambda done: self.unit.run("sleep", done), {"action": "sleep mode"})
        unsafe = options.get("mode", "safe").lower() == "unsafe"
        if any(_number(options[key]) is None for key in ("voltage_step", "frequency_step") if key in options):
            return self._bad("step must be a number", now)
        if unsafe and not self._unsafe_ok:
            return self._say("curtail_unsafe", now)
        self.conf, self._unsafe_ok = replace(self.conf, asleep=False), True
        script = "wake_fast" if unsafe else "wake"
        setpoint = self._setpoint()
        return self._say(
            "curtail", now, lambda done: self.unit.run(script, done, setpoint=setpoint), {"action": "wake up"}
        )

    def profileset(self, given: list[str], now: Instant) -> Reply:
        """Choose a profile by name, watts, kilowatts, TH/s or relative step; a leading board number is ignored."""
        if len(given) > 1 and given[0] in ("0", "1", "2", "3"):
            given = given[1:]
        profile = _select(ladder(self.unit.model), given[0] if given else "")
        if profile is None:
            return self._bad("no such profile", now)
        conf = replace(self.conf, profile=profile.name, target_w=None, board_mhz=())
        return self._retune("profileset", conf, now)

    def powertargetset(self, given: list[str], now: Instant) -> Reply:
        """Hold the wall power at `power=W`, within the ladder's range."""
        watts = _number((_options(given) or {}).get("power", ""))
        rungs = ladder(self.unit.model)
        if watts is None or not rungs[0].watts <= watts <= rungs[-1].watts:
            return self._bad(f"power must be between {rungs[0].watts} and {rungs[-1].watts} W", now)
        return self._retune("powertargetset", replace(self.conf, target_w=round(watts), board_mhz=()), now)

    def frequencyset(self, given: list[str], now: Instant) -> Reply:
        """Set the clock of one board."""
        board, mhz = self._board(given[:1]), whole_number(given[1]) if len(given) > 1 else None
        if self.conf.asleep:
            return self._say("asleep", now)
        rungs = ladder(self.unit.model)
        if board is None or mhz is None or not rungs[0].frequency_mhz <= mhz <= rungs[-1].frequency_mhz:
            return self._bad("board or frequency out of range", now)
        boards = dict(self.conf.board_mhz) | {board: mhz}
        conf = replace(self.conf, target_w=None, board_mhz=tuple(sorted(boards.items())))
        return self._retune("frequencyset", conf, now, {"board": board, "mhz": mhz})

    def _retune(self, name: str, conf: Conf, now: Instant, row: dict[str, Any] | None = None) -> Reply:
        before = self._setpoint()
        self.conf = conf
        setpoint = self._setpoint()
        idle = conf.asleep or setpoint == before  # asleep, the new set-point is for the next wake-up
        then = None if idle else lambda done: self.unit.run("retune", done, setpoint=setpoint)
        return self._say(name, now, then, row)

    def _setpoint(self) -> float:
        """Share of nominal power that the configuration asks for."""
        model, conf = self.unit.model, self.conf
        nominal_w = default_profile(model).watts
        if conf.target_w is not None:
            return conf.target_w / nominal_w
        if not conf.board_mhz:
            return self.profile.watts / nominal_w
        boards = dict.fromkeys(range(model.boards), self.profile.frequency_mhz) | dict(conf.board_mhz)
        return sum(watts_share(model, mhz) for mhz in boards.values()) / model.boards

    # ---- settings -------------------------------------------------------------------------------------------------

    def atmset(self, given: list[str], now: Instant) -> Reply:
        """Configure Advanced Thermal Management; it is kept and shown, and moves no profile."""
        options = _options(given)
        changes: dict[str, Any] = {}
        for key, text in (options or {}).items():
            number = whole_number(text)
            if key in ("enabled", "prevent_oc") and text in ("true", "false"):
                changes |= {"atm": text == "true"} if key == "enabled" else {}
            elif key in ("startup_minutes", "post_ramp_minutes", "temp_window") and number is not None:
                changes[_ATM_FIELDS[key]] = number
            elif key in ("min_profile", "max_profile") and (not text or _select(ladder(self.unit.model), text)):
                changes[_ATM_FIELDS[key]] = text
            else:
                return self._bad(key, now)
        if not options:
            return self._bad("key=value is missing", now)
        self.conf = replace(self.conf, **changes)
        return self._say("atmset", now)

    def ledset(self, given: list[str], now: Instant) -> Reply:
        """Set the red or green LED to on, off, blink or auto."""
        if len(given) != 2 or given[0] not in ("red", "green") or given[1] not in ("on", "off", "blink", "auto"):
            return self._bad("colour or mode", now)
        color, mode = given
        self.conf = replace(self.conf, red=mode) if color == "red" else replace(self.conf, green=mode)
        return self._say("ledset", now, row={"color": color, "mode": mode})

    def fanset(self, given: list[str], now: Instant) -> Reply:
        """Fan speed in percent (-1: automatic) and the least number of fans; kept and shown, physics keeps its own."""
        options = _options(given) or {}
        speed, fans = _number(options.get("speed", "-1")), whole_number(options.get("min_fans", self.conf.min_fans))
        if not options or speed is None or not -1 <= speed <= 100 or fans is None or fans > self.unit.model.fans:
            return self._bad("speed or min_fans", now)
        percent = round(speed) if "speed" in options else self.conf.fan_percent
        self.conf = replace(self.conf, min_fans=fans, fan_percent=percent)
        return self._say("fanset", now)

    def tempctrlset(self, given: list[str], now: Instant) -> Reply:
        """Target, hot and dangerous board temperature, rising, as a list or as key=value."""
        conf = self.conf
        keys = ("target_temp", "hot_temp", "dangerous_temp")
        options = _options(given)
        named = dict(zip(keys, given, strict=False)) if options is None else options
        present = dict(zip(keys, (conf.target_c, conf.hot_c, conf.dangerous_c), strict=True))
        wanted = [_number(str(named.get(key, present[key]))) for key in keys]
        target, hot, dangerous = wanted
        if not given or target is None or hot is None or dangerous is None or not 0 < target <= hot <= dangerous < 200:
            return self._bad("temperatures must rise", now)
        self.conf = replace(conf, target_c=target, hot_c=hot, dangerous_c=dangerous)
        return self._say("tempctrlset", now)

    def psuset(self, given: list[str], now: Instant) -> Reply:
        """No PSU here has what this sets."""
        return self._say("psuset_unsupported", now)

    def rebootdevice(self, given: list[str], now: Instant) -> Reply:
        """Answer, then restart the control board."""
        return self._say("rebootdevice", now, lambda done: self.unit.run("reboot", done + self.knobs.reboot_after_ns))

    def resetminer(self, given: list[str], now: Instant) -> Reply:
        """Answer, then restart the mining process; a sleeping miner stays asleep."""

        def then(done: Instant) -> None:
            stops = done + self.knobs.process_stop_ns
            self.restart_process(stops, stops + self.knobs.process_start_ns, now)
            if not self.conf.asleep:
                self.unit.run("restart", done)

        return self._say("resetminer", now, then)

    # ---- pools (no session needed) --------------------------------------------------------------------------------

    def edit(self, name: str, request: Request, now: Instant) -> Reply:
        """The pool and group commands."""
        given = request.parameters
        if name == "addpool":
            self.conf, said, row = add_pool(self.conf, self.pools, given)
        elif name == "addgroup":
            self.conf, said, row = add_group(self.conf, given)
        elif name.endswith("pool"):
            self.conf, said, row = edit_pool(self.conf, self.pools, name, given)
        else:
            self.conf, said, row = edit_group(self.conf, self.pools, name, given)
        return self._say(said, now, row=row)

    # ---- answers --------------------------------------------------------------------------------------------------

    def report(self, name: str, request: Request, now: Instant) -> Reply:
        """A plain report."""
        return self._say(name, now)

    def check(self, request: Request, now: Instant) -> Reply:
        """Whether a command exists; all may be used."""
        known = "Y" if request.parameter in COMMANDS else "N"
        return self._say("check", now, row={"exists": known, "access": known})

    def board_report(self, name: str, request: Request, now: Instant) -> Reply:
        """voltageget (board[, on_board]), frequencyget and healthchipget (board[, chip])."""
        given = request.parameters
        board = self._board(given)
        if board is None:
            return self._bad("board", now)
        row: dict[str, Any] = {"board": board, "on_board": given[1:] == ["true"]}
        reply = render(TEMPLATES[name], _BoardReadings(self, now, board, given[1:]), row=row)
        return reply if name == "voltageget" or reply.sections[next(iter(reply.sections))] else self._bad("chip", now)

    def _board(self, given: list[str]) -> int | None:
        board = whole_number(given[0]) if given else None
        return board if board is not None and board < self.unit.model.boards else None

    def _bad(self, why: str, now: Instant) -> Reply:
        return self._say("bad_parameter", now, row={"why": why})

    def _say(
        self,
        name: str,
        now: Instant,
        then: Callable[[Instant], None] | None = None,
        row: dict[str, Any] | None = None,
    ) -> Reply:
        reply = render(TEMPLATES[name], LuxReadings(self, now), row=row)
        return reply if then is None else replace(reply, then=then)


class _BoardReadings(LuxReadings):
    """Readings that know which board and chip were asked for."""

    def __init__(self, device: LuxDevice, now: Instant, board: int, chip: list[str]) -> None:
        super().__init__(device, now)
        self._board, self._chip = board, chip

    @property
    def chip_list(self) -> list[dict[str, Any]]:
        """Rows of the chips asked for; empty for a chip that is not there."""
        if not self._chip:
            return self.chips(self._board, None)
        chip = whole_number(self._chip[0])
        return [] if chip is None or chip >= self.model.chips_per_board else self.chips(self._board, chip)


Action = Callable[[LuxDevice, list[str], Instant], Reply]
_ATM_FIELDS = {
    "startup_minutes": "atm_startup_min", "post_ramp_minutes": "atm_post_ramp_min", "temp_window": "atm_window_k",
    "min_profile": "atm_min", "max_profile": "atm_max",
}  # fmt: skip
REPORTS = (
    "version", "summary", "stats", "devs", "devdetails", "asccount", "coin", "power", "profiles", "fans", "temps",
    "tempctrl", "groups", "pools", "atm", "config", "events", "limits", "session",
)  # fmt: skip
EDITS = ("addpool", "removepool", "switchpool", "enablepool", "disablepool", "addgroup", "removegroup", "groupquota")
PRIVILEGED: dict[str, Action] = {
    "logoff": LuxDevice.logoff, "curtail": LuxDevice.curtail, "profileset": LuxDevice.profileset,
    "powertargetset": LuxDevice.powertargetset, "frequencyset": LuxDevice.frequencyset, "atmset": LuxDevice.atmset,
    "ledset": LuxDevice.ledset, "fanset": LuxDevice.fanset, "tempctrlset": LuxDevice.tempctrlset,
    "psuset": LuxDevice.psuset, "rebootdevice": LuxDevice.rebootdevice, "resetminer": LuxDevice.resetminer,
}  # fmt: skip


def _report(name: str) -> Command[LuxDevice]:
    return Command(lambda device, request, now: device.report(name, request, now))


def _board_report(name: str) -> Command[LuxDevice]:
    return Command(lambda device, request, now: device.board_report(name, request, now), joinable=False)


def _privileged(action: Action) -> Command[LuxDevice]:
    return Command(lambda device, request, now: device.privileged(action, request, now), joinable=False)


def _edit(name: str) -> Command[LuxDevice]:
    return Command(lambda device, request, now: device.edit(name, request, now), joinable=False)


COMMANDS: dict[str, Command[LuxDevice]] = {
    **{name: _report(name) for name in REPORTS},
    "edevs": _report("devs"),
    "estats": _report("stats"),
    "check": Command(LuxDevice.check, joinable=False),
    "logon": Command(LuxDevice.logon, joinable=False),
    **{name: _board_report(name) for name in ("voltageget", "frequencyget", "healthchipget")},
    **{name: _edit(name) for name in EDITS},
    **{name: _privileged(action) for name, action in PRIVILEGED.items()},
}
_KNOBS = values(FIGURES, "knobs")
ONE_RECV = Dialect(f"LUXminer {FIGURES['image.build'].value}", COMMANDS, service_ns=_KNOBS["api_reply_ns"])
PATIENT = replace(ONE_RECV, one_recv=False)

FIRMWARE = Firmware(
    name="luxos",
    title="LuxOS",
    make="Antminer",
    models=models_with(FIGURES, "full_rpm"),
    phases="luxos",
    ports={API: 4028, WEB: 80},
    credentials=Credentials(),
    start=LuxDevice,
    knobs=Knobs(**_KNOBS),
)


def _options(given: list[str]) -> dict[str, str] | None:
    """key=value parameters; None when one of them is no pair."""
    pairs = [entry.partition("=") for entry in given]
    return {key.strip(): text.strip() for key, _, text in pairs} if all(mark for _, mark, _ in pairs) else None


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?\d{1,6}(\.\d{1,6})?", text) else None


def _select(rungs: tuple[Profile, ...], wanted: str) -> Profile | None:
    """A rung by name, "+1" or "-2" (its step), or the one nearest to "2600W", "2.6kW" or "90THs"."""
    named = next((rung for rung in rungs if rung.name == wanted), None)
    if named is not None:
        return named
    if _RELATIVE.fullmatch(wanted) or wanted == "0":
        return next((rung for rung in rungs if rung.step == int(wanted)), None)
    asked = _SELECTOR.fullmatch(wanted)
    if asked is None:
        return None
    amount = float(asked[1]) * (1000.0 if asked[2] == "kW" else 1.0)
    return min(rungs, key=lambda rung: abs((rung.hash_ths if asked[2] == "THs" else rung.watts) - amount))
