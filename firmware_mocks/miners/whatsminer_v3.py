"""MicroBT's WhatsMiner firmware with API V3: port 4433, and beside it a reduced V2 on 4028 and the redirect on port 80.

Owns V3's frames, reads and writes, sans I/O; what a write does is `whatsminer_machine.py`, who may write
`whatsminer_access.py`, replies stand in `whatsminer_v3.json`. Source: vendor manual 3.0.3 (S), reference sheet 6.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.seed import Seed
from emulator.wire import Action, Close, Conversation, Instant, Send
from firmware_mocks.miners.base import API, WEB, Credentials, Firmware, Hangup, HostInfo, Lanes, MinerUnit
from firmware_mocks.miners.replies import compact, templates, values
from firmware_mocks.miners.whatsminer import V2Device, firmware
from firmware_mocks.miners.whatsminer_access import ACCOUNTS, MAX_PASSWORD, SUPER
from firmware_mocks.miners.whatsminer_conf import FIGURES, Pool
from firmware_mocks.miners.whatsminer_crypto import unbase64, unseal
from firmware_mocks.miners.whatsminer_machine import DONE, REFUSED, Knobs, Outcome
from firmware_mocks.miners.whatsminer_readings import WhatsMinerReadings

PORT = 4433
V3 = "v3"
TEMPLATES = templates(__package__, "whatsminer_v3.json")
LIMITS = values(FIGURES, "api")
FAILED, INVALID, MISSING, FORBIDDEN = -1, -2, -3, -4
SECTIONS = ("network", "miner", "system", "power", "salt", "error-code")
STATUS = ("summary", "pools", "edevs")
PLAIN_READS = ("get.miner.setting", "get.fan.setting", "get.system.setting", "get.device.custom_data")
ENCRYPTED = ("set.miner.pools", "set.user.change_passwd")
DOWN = "btminer process is down err"
CUSTOM_KEYS = ("CustomerSn", *(f"msg{n}" for n in range(10)))


@dataclass(frozen=True, slots=True)
class Said:
    """A reply: its code and `msg`, and what follows."""

    code: int
    msg: Any
    outcome: Outcome = DONE


class V3Device(V2Device):
    """One WhatsMiner with API V3."""

    __slots__ = ("_lines", "v3_lane")

    reduced = True

    def __init__(self, unit: MinerUnit, host: HostInfo, seed: Seed, knobs: Knobs) -> None:
        super().__init__(unit, host, seed, knobs)
        self.v3_lane = Lanes(1)
        self._lines: list[V3Conversation] = []

    @staticmethod
    def declared() -> Firmware:
        """The firmware this device belongs to."""
        return FIRMWARE

    def _open(self, port: int, peer: str, now: Instant) -> Conversation:
        if port != PORT:
            return super()._open(port, peer, now)
        self._lines = [line for line in self._lines if line.is_live(now)]
        if len(self._lines) >= self.knobs.v3_clients:
            return Hangup()  # reset at its first byte: estimate
        self._lines.append(V3Conversation(self))
        return self._lines[-1]


class V3Conversation:
    """One connection: any number of frames, each answered by one; a length of 0 is a heartbeat."""

    __slots__ = ("_boot_ns", "_device", "_heard", "_last_ns", "_over")

    idle_timeout_ns: int | None = LIMITS["v3_idle_ns"]

    def __init__(self, device: V3Device) -> None:
        self._device = device
        self._boot_ns = device.boot_ns
        self._heard = b""
        self._last_ns: Instant = -1
        self._over = False

    def is_live(self, now: Instant) -> bool:
        """Whether it takes one of the places; one that vanished without a word does until it is idle for too long."""
        same = self._boot_ns == self._device.boot_ns
        return same and not self._over and (self._last_ns < 0 or now - self._last_ns < LIMITS["v3_idle_ns"])

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Take bytes; answer every frame that is complete."""
        gone = self._device.gone(PORT, self._boot_ns, now)
        if gone is not None:
            self._over = True
            return gone
        if self._over:
            return []
        self._last_ns = now
        self._heard += data
        actions: list[Action] = []
        after = now
        while not self._over and len(self._heard) >= 4:
            (length,) = struct.unpack_from("<I", self._heard)
            if length > LIMITS["max_frame"]:
                self._over = True
                actions.append(Close(reset=True))
            elif len(self._heard) < 4 + length:
                break
            else:
                frame, self._heard = self._heard[4 : 4 + length], self._heard[4 + length :]
                after = self._answer(frame, after, now, actions) if frame else after
        return actions

    def ended(self, now: Instant) -> Sequence[Action]:
        """The peer closed its side; complete frames have been answered already."""
        was_over, self._over = self._over, True
        return [] if was_over else [Close()]

    def _answer(self, frame: bytes, after: Instant, now: Instant, actions: list[Action]) -> Instant:
        command, said = answer(self._device, frame, now)
        outcome = said.outcome
        done = self._device.v3_lane.serve(after, self._device.knobs.v3_reply_ns + outcome.takes_ns)
        if outcome.then is not None:
            outcome.then(done)
        if not outcome.answers:
            self._over = True
            actions.append(Close(done - after))
            return done
        tree = {"code": said.code, "when": self._device.host.unix_s(now), "msg": said.msg, "desc": command}
        text = compact(tree).encode()
        actions.append(Send(struct.pack("<I", len(text)) + text, done - after))
        return done


def answer(device: V3Device, frame: bytes, now: Instant) -> tuple[str, Said]:
    """Serve one request; its command and the reply."""
    try:
        asked = json.loads(frame.decode())
    except (ValueError, RecursionError):
        return "", Said(INVALID, "invalid json")
    command = asked.get("cmd") if isinstance(asked, dict) else None
    if not isinstance(command, str):
        return "", Said(INVALID, "invalid command")
    if command in WRITES:
        return command, _write(device, command, asked, now)
    return command[:64], _read(device, command, asked.get("param"), now)


# ---- reads ----------------------------------------------------------------------------------------------------------


def _read(device: V3Device, command: str, param: object, now: Instant) -> Said:
    readings = WhatsMinerReadings(device, now)
    if command == "get.device.info":
        return _device_info(device, param, readings, now)
    if command == "get.miner.status":
        return _miner_status(device, param, readings, now)
    if command in PLAIN_READS:
        return Said(0, TEMPLATES[command].body(readings, {}))
    return Said(INVALID, "invalid command")


def _device_info(device: V3Device, param: object, readings: WhatsMinerReadings, now: Instant) -> Said:
    if param is not None and param not in SECTIONS:
        return Said(INVALID, "invalid param")
    found: dict[str, Any] = {}
    for section in SECTIONS if param is None else (str(param),):
        if section == "salt":
            found[section] = device.access.v3_salt
        elif section == "error-code":
            lost = device.process_since_ns(now) is None  # S2: then a text instead of the list
            found[section] = DOWN if lost else readings.errors_with_reason
        else:
            found[section] = TEMPLATES[section].body(readings, {})
    return Said(0, found)


def _miner_status(device: V3Device, param: object, readings: WhatsMinerReadings, now: Instant) -> Said:
    if param is None:
        return Said(MISSING, "param is missing")
    views = list(dict.fromkeys(param.split("+"))) if isinstance(param, str) else []
    if not views or not all(view in STATUS for view in views):
        return Said(INVALID, "invalid param")
    if device.is_down(now):
        return Said(FAILED, DOWN)
    if device.is_stopped:  # S2: an idle miner refuses pools alone and leaves them out beside others
        views = [view for view in views if view != "pools"]
    if not views:
        return Said(FAILED, "no pools")
    return Said(0, {view: TEMPLATES[view].body(readings, {}) for view in views})


# ---- writes ---------------------------------------------------------------------------------------------------------


def _write(device: V3Device, command: str, asked: dict[str, Any], now: Instant) -> Said:
    access, account = device.access, asked.get("account")
    digest = access.digest(command, account, asked.get("token"), asked.get("ts"))
    if digest is None or not access.doors.is_open:
        return Said(FORBIDDEN, "no permission")
    param = asked.get("param")
    if param is None and command not in WITHOUT_PARAM:
        return Said(MISSING, "param is missing")
    if command in ENCRYPTED:
        data = unbase64(param)
        param = None if data is None else unseal(digest, data)
        if param is None:
            return Said(FAILED, "invalid encrypted param")
    if command == "set.user.permission" and account != SUPER:
        return Said(FORBIDDEN, "no permission")
    outcome = WRITES[command](Call(device, param, now))
    if not outcome.ok:
        return Said(FAILED, "failed")
    if device.knobs.v3_reply_style == "object":
        return Said(0, {command.rpartition(".")[2]: param}, outcome)
    return Said(0, "ok", outcome)


@dataclass(frozen=True, slots=True)
class Call:
    """A permitted write: on which miner, with which parameter, when."""

    device: V3Device
    param: Any
    now: Instant


def number(given: object) -> int | None:
    """A whole number sent as a number, 2600.0 too; None for anything else, texts among them."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    return int(given) if abs(given) < 1e9 and int(given) == given else None


def _field(param: object, key: str) -> object:
    return param.get(key) if isinstance(param, dict) else None


def _text(param: object, key: str, longest: int = 64) -> str:
    found = _field(param, key)
    return found if isinstance(found, str) and len(found) <= longest else ""


def _service(call: Call) -> Outcome:
    if call.param in ("enable", "disable"):
        return call.device.set_init(call.param == "enable", call.now)
    action = {"start": call.device.start, "stop": call.device.stop, "restart": call.device.restart}.get(str(call.param))
    return REFUSED if action is None else action(call.now)


def _power_percent(call: Call) -> Outcome:
    percent, mode = _field(call.param, "percent"), _field(call.param, "mode")
    # The manual says number, the firmware reads the text only (S2).
    if not isinstance(percent, str) or not percent.isascii() or not percent.isdigit() or len(percent) > 3:
        return REFUSED
    return call.device.trim(int(percent), mode == "fast", call.now) if mode in ("fast", "normal") else REFUSED


def _pools(call: Call) -> Outcome:
    if not isinstance(call.param, list):
        return REFUSED
    rows = [[_text(row, key, 255) for key in ("pool", "worker", "passwd")] for row in call.param[:8]]
    return call.device.set_pools([Pool(*row) for row in rows])


def _switch(name: str) -> Callable[[Call], Outcome]:
    """A setting that is "enable" or "disable"."""

    def write(call: Call) -> Outcome:
        return (
            REFUSED if call.param not in ("enable", "disable") else call.device.keep(**{name: call.param == "enable"})
        )

    return write


def _flag(name: str) -> Callable[[Call], Outcome]:
    """A setting that is 1 or 0."""
    return lambda call: call.device.set_flag(name, number(call.param))


def _fastboot(call: Call) -> Outcome:
    return REFUSED if call.param not in ("enable", "disable") else call.device.set_fast_boot(call.param == "enable")


def _hostname(call: Call) -> Outcome:
    name = _text(call.param, "hostname")
    return call.device.keep(hostname=name) if name else REFUSED


def _net_config(call: Call) -> Outcome:
    given = tuple((key, _text(call.param, key)) for key in ("ip", "netmask", "gateway", "dns"))
    if call.param == "dhcp":
        call.device.keep(network=(("proto", "dhcp"),))
    elif all(text for _, text in given):
        call.device.keep(network=(("proto", "static"), *given))
    else:
        return REFUSED
    return call.device.reboot(call.now)


def _timezone(call: Call) -> Outcome:
    zone, name = _text(call.param, "timezone"), _text(call.param, "zonename")
    return call.device.keep(timezone=zone, zonename=name) if zone and name else REFUSED


def _ntp(call: Call) -> Outcome:
    return call.device.keep(ntp=call.param) if isinstance(call.param, str) and 0 < len(call.param) <= 255 else REFUSED


def _time_randomized(call: Call) -> Outcome:
    start, stop = number(_field(call.param, "start")), number(_field(call.param, "stop"))
    if start is None or stop is None or not 0 <= start <= 120 or not 0 <= stop <= 120:
        return REFUSED
    return call.device.keep(random_start_s=start, random_stop_s=stop)


def _custom_data(call: Call) -> Outcome:
    key, text = _text(call.param, "key"), _field(call.param, "value")
    if key not in CUSTOM_KEYS or not isinstance(text, str) or len(text) > 127 or not text.isprintable():
        return REFUSED
    return call.device.keep(custom=tuple(sorted((dict(call.device.conf.custom) | {key: text}).items())))


def _permission(call: Call) -> Outcome:
    user, names = _text(call.param, "user"), _text(call.param, "permission", 2048)
    if user not in ACCOUNTS[1:]:
        return REFUSED
    call.device.access.permit(user, tuple(name for name in names.split(",") if name in WRITES))
    return DONE


def _change_passwd(call: Call) -> Outcome:
    account, old, new = (_text(call.param, key) for key in ("account", "old", "new"))
    if account not in ACCOUNTS or not 0 < len(new) <= 4 * MAX_PASSWORD:
        return REFUSED
    if old != call.device.access.doors.accounts[ACCOUNTS.index(account)]:
        return REFUSED
    call.device.access.change_account(account, new)
    return DONE


Write = Callable[[Call], Outcome]
WRITES: dict[str, Write] = {
    "set.miner.service": _service,
    "set.miner.power_limit": lambda call: call.device.set_limit(number(call.param), call.now),
    "set.miner.power_mode": lambda call: call.device.set_mode(call.param, call.now),
    "set.miner.power_percent": _power_percent,
    "set.miner.power": lambda call: call.device.set_watts(number(call.param), call.now),
    "set.miner.target_freq": lambda call: call.device.set_target_freq(number(call.param), call.now),
    "set.miner.upfreq_speed": lambda call: call.device.set_upfreq_speed(number(call.param), 10),
    "set.miner.fastboot": _fastboot,
    "set.miner.fast_hash": _flag("fast_hash"),
    "set.miner.heat_mode": lambda call: call.device.set_heat_mode(call.param),
    "set.miner.pre_power_on": lambda call: call.device.preheat(call.now),
    "set.miner.restore_setting": lambda call: call.device.restore_setting(call.now),
    "set.miner.pools": _pools,
    "set.system.reboot": lambda call: call.device.reboot(call.now),
    "set.system.factory_reset": lambda call: call.device.factory_reset(call.now),
    "set.system.led": lambda call: call.device.set_led(call.param),
    "set.system.hostname": _hostname,
    "set.system.net_config": _net_config,
    "set.system.timezone": _timezone,
    "set.system.ntp_server": _ntp,
    "set.system.time_randomized": _time_randomized,
    "set.system.webpools": _switch("web_pools"),
    "set.system.update_firmware": lambda _call: REFUSED,  # no image is ever taken
    "set.fan.poweroff_cool": _flag("poweroff_cool"),
    "set.fan.zero_speed": _flag("fan_zero_speed"),
    "set.fan.temp_offset": lambda call: call.device.set_temp_offset(number(call.param)),
    "set.device.custom_data": _custom_data,
    "set.user.permission": _permission,
    "set.user.change_passwd": _change_passwd,
}
WITHOUT_PARAM = frozenset({
    "set.miner.pre_power_on", "set.miner.restore_setting", "set.system.reboot", "set.system.factory_reset",
    "set.system.update_firmware",
})  # fmt: skip

FIRMWARE = firmware(
    "whatsminer-v3",
    "WhatsMiner firmware, API V3",
    frozenset({"m60s", "m63s"}),
    {API: 4028, WEB: 80, V3: PORT},
    credentials=Credentials(SUPER, SUPER),
    start=V3Device,
)
