"""WhatsMiner API V2 on port 4028, sans I/O: framing, the encrypted envelope, reads, joins and writes.

Owns the dialect; what a write does is `whatsminer_machine.py`, who may write `whatsminer_access.py`, replies stand in
`whatsminer.json`. Source: vendor manual 2.0.5 (S), reference sheet 5, unless a line says otherwise.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.wire import Action, Close, Instant, Send
from firmware_mocks.miners.cgminer import MAX_REQUEST
from firmware_mocks.miners.replies import Row, compact, templates, values
from firmware_mocks.miners.whatsminer_access import MAX_PASSWORD
from firmware_mocks.miners.whatsminer_conf import FIGURES, Pool
from firmware_mocks.miners.whatsminer_crypto import md5_hex, seal, unbase64, unseal
from firmware_mocks.miners.whatsminer_machine import REFUSED, Effect, Outcome, WhatsMinerDevice
from firmware_mocks.miners.whatsminer_readings import WhatsMinerReadings

PORT = 4028
TEMPLATES = templates(__package__, "whatsminer.json")
API = values(FIGURES, "api")
REDUCED = {name: frozenset(keys) for name, keys in values(FIGURES, "reduced").items()}
REPORTS = {"summary": "summary", "devs": "devs", "edevs": "devs", "pools": "pools", "devdetails": "devdetails"}
"""Asked of the mining process, and may be joined."""
READS = ("get_version", "status", "get_psu", "get_miner_info", "get_error_code")
"""Answered by the API itself, singly."""
BANNER = "btminer"
_CLOSE = Close()
_WHOLE = re.compile(r"-?\d{1,9}(\.0+)?")
_PASSWORD = re.compile(rf"\w{{1,{MAX_PASSWORD}}}", re.ASCII)  # letters, digits and underscores
_ERROR_LIST = re.compile(r'"error_code":\[[^\]]*\]')
_NO_BRACES = str.maketrans("", "", "{}")
Asked = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a tree, or None where the connection just ends. `challenge` keeps it open for its answer."""

    tree: dict[str, Any] | None
    takes_ns: int = 0
    then: Effect | None = None
    challenge: str = ""


class V2Conversation:
    """One connection: one request, one reply without NUL, close; or the write-API challenge, which takes two."""

    __slots__ = ("_boot_ns", "_challenge", "_device", "_heard", "_over", "_peer", "_reduced")

    idle_timeout_ns: int | None = API["idle_ns"]

    def __init__(self, device: WhatsMinerDevice, peer: str, reduced: bool) -> None:
        self._device, self._peer, self._reduced = device, peer, reduced
        self._boot_ns = device.boot_ns
        self._heard = b""
        self._challenge = ""
        self._over = False

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Serve the request that `data` is (or, without `one_recv`, completes)."""
        if self._over or not data:
            return []
        gone = self._device.gone(PORT, self._boot_ns, now)
        if gone is not None:
            return gone
        self._heard = (self._heard + data)[:MAX_REQUEST]
        if not self._device.knobs.one_recv and len(self._heard) < MAX_REQUEST and _parse(self._heard) is None:
            return []
        return self._serve(now)

    def ended(self, now: Instant) -> Sequence[Action]:
        """The peer closed its side: half a request is served as what it is, silence gets silence."""
        if self._over or self._device.gone(PORT, self._boot_ns, now) is not None:
            return []
        return self._serve(now) if self._heard else [Close()]

    def _serve(self, now: Instant) -> Sequence[Action]:
        heard, self._heard = self._heard, b""
        given = answer_challenge(self._device, self._challenge, heard, now) if self._challenge else None
        reply = given or answer(self._device, heard, self._peer, self._reduced, now)
        self._challenge = reply.challenge
        self._over = not reply.challenge
        done = self._device.api_lane.serve(now, self._device.knobs.api_reply_ns + reply.takes_ns)
        if reply.then is not None:
            reply.then(done)
        if reply.tree is None:
            return [Close(done - now)]
        text = compact(reply.tree)
        if self._device.knobs.broken_error_list:
            text = _ERROR_LIST.sub(lambda found: found[0].translate(_NO_BRACES), text)
        sent = Send(text.encode(), done - now)
        return [sent] if reply.challenge else [sent, _CLOSE]


def answer(device: WhatsMinerDevice, heard: bytes, peer: str, reduced: bool, now: Instant) -> Answer:
    """Serve one request in plain text or in the envelope."""
    asked = _parse(heard)
    if asked is None:
        return _say(device, "bad_json", now)
    if "enc" in asked:
        return _enclosed(device, asked, reduced, now)
    command = _command(asked)
    if command in WRITES:  # in plain text never: estimate
        return _say(device, "closed", now)
    if command == "get_token":
        return _token(device, peer, now)
    if command == "open_write_api" and device.knobs.open_write_api:
        return _challenge(device, asked, now)
    return Answer(_read(device, command, reduced, now))


def _enclosed(device: WhatsMinerDevice, envelope: Asked, reduced: bool, now: Instant) -> Answer:
    data = unbase64(envelope.get("data"))
    if data is None:
        return _say(device, "bad_base64", now)
    asked = unseal(device.access.aes_key, data)
    if not isinstance(asked, dict):
        return _say(device, "wrong_key", now)
    command = _command(asked)
    write = WRITES.get(command)
    if write is not None and not device.access.doors.is_open:
        return _say(device, "closed", now)
    key = device.access.key  # a new password is for the next envelope
    if not device.access.holds(asked.get("token"), now):
        return _sealed(key, _say(device, "bad_token", now))
    if write is None:
        return _sealed(key, Answer(_read(device, command, reduced, now)))
    outcome = write(Call(device, asked, now))
    tree = _tree(device, "ok" if outcome.ok else "failed", now)
    if outcome.said is not None:
        tree["Msg"] = dict(outcome.said)
    return _sealed(key, Answer(tree if outcome.answers else None, outcome.takes_ns, outcome.then))


def _sealed(key: str, reply: Answer) -> Answer:
    if reply.tree is None:
        return reply
    return Answer({"enc": seal(key, compact(reply.tree))}, reply.takes_ns, reply.then)


def _token(device: WhatsMinerDevice, peer: str, now: Instant) -> Answer:
    token = device.access.issue(peer, device.host.unix_s(now), now)
    if token is None:
        return _say(device, "too_many", now)
    row = {"time": token.time, "salt": device.access.salt, "newsalt": token.newsalt}
    return _say(device, "get_token", now, row)


def _challenge(device: WhatsMinerDevice, asked: Asked, now: Instant) -> Answer:
    if asked.get("client") != API["unlock_client"] or asked.get("enable") is not True:
        return _say(device, "failed", now)
    newsalt, time = device.access.fresh_salt(), f"{device.host.unix_s(now) % 10_000:04}"
    expected = md5_hex(f"{time}{newsalt}{API['unlock_magic']}{device.access.key}")
    row = {"time": time, "salt": device.access.salt, "newsalt": newsalt}
    return Answer(_tree(device, "get_token", now, row), challenge=expected)


def answer_challenge(device: WhatsMinerDevice, expected: str, heard: bytes, now: Instant) -> Answer:
    """The second half of `open_write_api`: the right answer turns the API switch on."""
    token = (_parse(heard) or {}).get("token")
    if not isinstance(token, str) or not hmac.compare_digest(token.encode("utf-8", "replace"), expected.encode()):
        return _say(device, "bad_token", now)
    device.access.open_switch()
    return _say(device, "ok", now)


# ---- reads ----------------------------------------------------------------------------------------------------------


def _read(device: WhatsMinerDevice, command: str, reduced: bool, now: Instant) -> dict[str, Any]:
    if "+" not in command:
        return _report(device, command, reduced, now)
    parts = list(dict.fromkeys(command.split("+")))
    if not all(part in REPORTS for part in parts):
        known = all(part in REPORTS or part in READS for part in parts)
        return _tree(device, "not_joinable" if known else "invalid", now)
    if device.is_down(now):
        return _tree(device, "down", now)
    return {part: [_report(device, part, reduced, now)] for part in parts} | {"id": 1}


def _report(device: WhatsMinerDevice, command: str, reduced: bool, now: Instant) -> dict[str, Any]:
    if command in READS:
        return _tree(device, command, now)
    if command not in REPORTS:
        return _tree(device, "invalid", now)
    if device.is_down(now):
        return _tree(device, "down", now)
    tree = _tree(device, REPORTS[command], now)
    if command == "edevs" and device.is_stopped:
        tree["DEVS"] = []  # only boards that are alive
    if reduced and REPORTS[command] in REDUCED:
        section = REPORTS[command].upper()
        missing = REDUCED[REPORTS[command]]
        tree[section] = [{key: entry for key, entry in row.items() if key not in missing} for row in tree[section]]
    return tree


def _say(device: WhatsMinerDevice, name: str, now: Instant, row: Row | None = None) -> Answer:
    return Answer(_tree(device, name, now, row))


def _tree(device: WhatsMinerDevice, name: str, now: Instant, row: Row | None = None) -> dict[str, Any]:
    template, readings, row = TEMPLATES[name], WhatsMinerReadings(device, now), row or {}
    head = {"STATUS": template.status, "When": readings.when, "Code": template.code, "Msg": template.msg(readings, row)}
    if not template.sections:
        return head | {"Description": ""}
    sections = {section: rows(readings, row) for section, rows in template.sections.items()}
    return {"STATUS": [head | {"Description": BANNER}], **sections, "id": 1}


def _parse(heard: bytes) -> dict[str, Any] | None:
    try:
        asked = json.loads(heard.rstrip(b"\x00\r\n").decode())
    except (ValueError, RecursionError):
        return None
    return asked if isinstance(asked, dict) else None


def _command(asked: Asked) -> str:
    name = asked.get("cmd", asked.get("command"))
    return name if isinstance(name, str) else ""


# ---- writes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """A permitted write: on which miner, with which parameters, when."""

    device: WhatsMinerDevice
    asked: Asked
    now: Instant


def whole(given: object) -> int | None:
    """A whole number sent as a number or as text; None for anything else."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    text = str(given).strip()
    return int(text.partition(".")[0]) if _WHOLE.fullmatch(text) and text.isascii() else None


def _text(asked: Asked, key: str) -> str:
    found = asked.get(key)
    return found if isinstance(found, str) else ""


def _power_off(call: Call) -> Outcome:
    return call.device.stop(call.now, reply_first=_text(call.asked, "respbefore") != "false")


def _update_pools(call: Call) -> Outcome:
    rows = [[_text(call.asked, f"{key}{n}") for key in ("pool", "worker", "passwd")] for n in (1, 2, 3)]
    return call.device.set_pools([Pool(*row) for row in rows])


def _set_led(call: Call) -> Outcome:
    if call.asked.get("param") == "auto":
        return call.device.set_led("auto")
    light = {key: whole(call.asked.get(key)) for key in ("period", "duration", "start")}
    return call.device.set_led([{"color": call.asked.get("color"), **light}])


def _update_pwd(call: Call) -> Outcome:
    new = _text(call.asked, "new")
    fits = _PASSWORD.fullmatch(new)
    if call.asked.get("old") != call.device.access.doors.admin or not fits:
        return REFUSED
    call.device.access.change_admin(new)
    return Outcome()


def _net_config(call: Call) -> Outcome:
    if call.asked.get("param") == "dhcp":
        call.device.keep(network=(("proto", "dhcp"),))
        return call.device.reboot(call.now)
    names = ("ip", "mask", "gate", "dns", "host")
    given = tuple((name, _text(call.asked, name)[:64]) for name in names)
    if not all(text for _, text in given):
        return REFUSED
    call.device.keep(network=(("proto", "static"), *given))
    return call.device.reboot(call.now)


def _set_hostname(call: Call) -> Outcome:
    name = _text(call.asked, "hostname")
    return call.device.keep(hostname=name) if 0 < len(name) <= 64 else REFUSED


def _set_zone(call: Call) -> Outcome:
    zone, name = _text(call.asked, "timezone"), _text(call.asked, "zonename")
    return call.device.keep(timezone=zone[:64], zonename=name[:64]) if zone and name else REFUSED


def _refuse(_call: Call) -> Outcome:
    """Firmware images and log transfers are never taken or given."""
    return REFUSED


Write = Callable[[Call], Outcome]
WRITES: dict[str, Write] = {
    "power_off": _power_off,
    "power_on": lambda call: call.device.start(call.now),
    "restart_btminer": lambda call: call.device.restart(call.now),
    "reboot": lambda call: call.device.reboot(call.now),
    "factory_reset": lambda call: call.device.factory_reset(call.now),
    "set_low_power": lambda call: call.device.set_mode("low", call.now),
    "set_normal_power": lambda call: call.device.set_mode("normal", call.now),
    "set_high_power": lambda call: call.device.set_mode("high", call.now),
    "adjust_power_limit": lambda call: call.device.set_limit(whole(call.asked.get("power_limit")), call.now),
    "set_target_freq": lambda call: call.device.set_target_freq(whole(call.asked.get("percent")), call.now),
    "set_power_pct": lambda call: call.device.trim(whole(call.asked.get("percent")), True, call.now),
    "set_power_pct_v2": lambda call: call.device.trim(whole(call.asked.get("percent")), False, call.now),
    "restore_power_pct": lambda call: call.device.restore_trim(call.now),
    "set_power": lambda call: call.device.set_watts(whole(call.asked.get("power")), call.now),
    "pre_power_on": lambda call: call.device.preheat(call.now),
    "adjust_upfreq_speed": lambda call: call.device.set_upfreq_speed(whole(call.asked.get("upfreq_speed")), 9),
    "enable_btminer_fast_boot": lambda call: call.device.set_fast_boot(True),
    "disable_btminer_fast_boot": lambda call: call.device.set_fast_boot(False),
    "enable_btminer_init": lambda call: call.device.set_init(True, call.now),
    "disable_btminer_init": lambda call: call.device.set_init(False, call.now),
    "set_temp_offset": lambda call: call.device.set_temp_offset(whole(call.asked.get("temp_offset"))),
    "set_poweroff_cool": lambda call: call.device.set_flag("poweroff_cool", whole(call.asked.get("poweroff_cool"))),
    "set_fan_zero_speed": lambda call: call.device.set_flag("fan_zero_speed", whole(call.asked.get("fan_zero_speed"))),
    "set_heat_mode": lambda call: call.device.set_heat_mode(call.asked.get("mode")),
    "set_fast_mining": lambda call: call.device.set_flag("fast_hash", whole(call.asked.get("fast_mining"))),
    "update_pools": _update_pools,
    "enable_web_pools": lambda call: call.device.keep(web_pools=True),
    "disable_web_pools": lambda call: call.device.keep(web_pools=False),
    "set_led": _set_led,
    "update_pwd": _update_pwd,
    "net_config": _net_config,
    "set_hostname": _set_hostname,
    "set_zone": _set_zone,
    "update_firmware": _refuse,
    "upgrade_firmware": _refuse,
    "download_logs": _refuse,
    "load_log": _refuse,
}
