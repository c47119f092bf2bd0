"""The verbs of `ascset` on an Avalon: soft-off by the miner's clock, work modes, fans, LED, pools, password, reboot.

Owns what each verb accepts and says; what it does to the miner is `AvalonDevice`'s. Sources: reference sheet 10, the
A1346 mock and the captures named in `avalon.toml`, and the vendor's published driver for home models ("home driver").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from emulator.wire import SECOND, Instant
from firmware_mocks.miners.avalon_conf import FACTORY, MODES, identity
from firmware_mocks.miners.avalon_readings import TEMPLATES, AvalonReadings
from firmware_mocks.miners.cgminer import Reply, Request, render
from firmware_mocks.miners.turnstile import NO_REPLY

if TYPE_CHECKING:
    from firmware_mocks.miners.avalon import AvalonDevice

FACTORY_USER = "root"
AUTH_FAILED = "Auth Failed! password invalid!"
LONGEST_PASSWORD = 64
LONGEST_URL = 255
FARTHEST_S = 366 * 86_400
"""How far ahead a switch may be planned (estimate: a bound)."""
MOST_REBOOT_DELAY_S = 300
LEAST_FAN, MOST_FAN = 15, 100
BAD_FAN = f"invalid fan value, valid range {LEAST_FAN}-{MOST_FAN} for stable pwm,-1 for auto adjust"
LEAST_MHZ, MOST_MHZ = 25, 1200
_PLAN = re.compile(r"([01]):\s*(\d{1,12})")
_LEADING = re.compile(r"\s*([+-]?\d{1,18})")
Then: TypeAlias = Callable[[Instant], None]


def ascset(device: AvalonDevice, request: Request, now: Instant) -> Reply:
    """`ascset|0,VERB[,value...]`. Errors are E/120 where the verb itself refuses."""
    given = request.parameters
    if not given or not given[0]:
        return _say("asc_missing", device, now)
    if given[0] != "0":
        return _say("asc_invalid", device, now, given[0][:16])
    if len(given) < 2 or not given[1]:
        return _say("option_missing", device, now)
    name, values = given[1].lower(), given[2:]
    verb = VERBS.get(name)
    if verb is None or (name == "worklevel" and not identity(device.unit.model.id).has_levels):
        return failed(device, now, f"Unknown option: {given[1][:64]}")
    if name in NEED_VALUE and not any(values):
        return failed(device, now, f"missing {name} setting")
    return verb(device, values, now)


def ok(device: AvalonDevice, now: Instant, then: Then | None = None) -> Reply:
    """S/119."""
    return replace(_say("set_ok", device, now), then=then)


def info(device: AvalonDevice, now: Instant, what: str, then: Then | None = None) -> Reply:
    """I/118."""
    return replace(_say("set_info", device, now, what), then=then)


def failed(device: AvalonDevice, now: Instant, what: str) -> Reply:
    """E/120."""
    return _say("set_failed", device, now, what)


def _say(name: str, device: AvalonDevice, now: Instant, what: str = "") -> Reply:
    return render(TEMPLATES[name], AvalonReadings(device, now), row={"what": what})


# ---- power ----------------------------------------------------------------------------------------------------------


def softoff(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """Boards off: at once, or `1:UNIX` by the miner's clock; `0:UNIX` plans nothing."""
    return _soft(device, "softoff", device.knobs.softoff_reply, values, now)


def softon(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """Boards on again, as `softoff`."""
    return _soft(device, "softon", device.knobs.softon_reply, values, now)


def _soft(device: AvalonDevice, name: str, style: str, values: list[str], now: Instant) -> Reply:
    at, shown, is_planned = now, str(device.host.unix_s(now)), True
    if any(values):
        plan = _PLAN.fullmatch(values[0])
        if plan is None:
            return failed(device, now, f"{name} unknown argument")
        own_ns = round(device.host.wall(now).timestamp() * SECOND) + device.knobs.clock_skew_ns
        ahead_ns = int(plan[2]) * SECOND - own_ns
        if ahead_ns > FARTHEST_S * SECOND:
            return failed(device, now, f"{name} unknown argument")
        at, shown, is_planned = now + max(0, ahead_ns), plan[2], plan[1] == "1"

    def then(done: Instant) -> None:
        if is_planned:
            device.switch(name == "softoff", max(at, done))

    if style == "silent":
        return replace(NO_REPLY, then=then)
    return info(device, now, f"success {name}:{shown}", then) if style == "info" else ok(device, now, then)


def hashpower(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """Without a value the PS item; 0 and 1 switch the boards."""
    if not any(values):
        return info(device, now, f"PS[{AvalonReadings(device, now).ps_text}]")
    if values[0] not in ("0", "1"):
        return failed(device, now, "")
    off = values[0] == "0"
    return ok(device, now, lambda done: device.switch(off, done))


def workmode(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """`N`, `set,N`, `get`, `255` (asks). It takes effect at the next start, unless the knob says at once."""
    if values[0] == "get":
        return info(device, now, f"workmode {device.conf.mode}")
    if values == ["255"]:
        return info(device, now, f"WORKMODE[{device.conf.mode}] success")
    is_set = values[0] == "set"
    mode = _number(values[1] if is_set and len(values) > 1 else values[0])
    if mode is None or not 0 <= mode <= 2:
        return failed(device, now, "error:1 not support set workmode max_mode[2]" if is_set else "")
    conf = replace(device.conf, mode=mode)
    at_once = not device.knobs.mode_needs_reboot

    def then(done: Instant) -> None:
        device.configure(conf, done, at_once=at_once)

    return ok(device, now, then) if is_set else info(device, now, f"WORKMODE[{mode}] success", then)


def worklevel(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """`get`, or `set,N` with N as C's scanf reads it: its leading number, lowest eight bits, signed (home driver)."""
    if values[0] == "get":
        return info(device, now, f"worklevel {device.conf.level}")
    number = _number(values[1]) if values[0] == "set" and len(values) > 1 else None
    level = 0 if number is None else (number + 128) % 256 - 128
    if number is None or abs(level) > MODES["level_most"]:
        return failed(device, now, "worklevel unknown argument")
    conf = replace(device.conf, level=level)
    return ok(device, now, lambda done: device.configure(conf, done, at_once=True))


def frequency(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """Clocks `f[:f:f:f][-module[-board[-chip]]]` in MHz; whatever the address, the whole miner follows their mean."""
    clocks = [_number(part) for part in values[0].partition("-")[0].split(":")]
    mhz = [clock for clock in clocks if clock is not None and LEAST_MHZ <= clock <= MOST_MHZ]
    if len(mhz) != len(clocks) or len(mhz) not in (1, 4):
        return failed(device, now, "Invalid value passed to set_avalon_device_freq")
    model, shares = device.unit.model, identity(device.unit.model.id).clocks
    nominal = model.frequency_mhz * sum(shares) / len(shares)
    conf = replace(device.conf, clock_share=sum(mhz) / len(mhz) / nominal)
    return ok(device, now, lambda done: device.configure(conf, done, at_once=True))


def voltage(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """Without a value the PS item; otherwise the hash rail in 0.01 V, within 5 % of nominal (range: estimate)."""
    if not any(values):
        return info(device, now, f"PS[{AvalonReadings(device, now).ps_text}]")
    nominal = device.unit.model.voltage_v * 100.0
    least, most = round(0.95 * nominal), round(1.05 * nominal)
    wanted = _number(values[0])
    if wanted is None or not least <= wanted <= most:
        return failed(device, now, f"Setting invalid: voltage range {least}~{most}")
    conf = replace(device.conf, voltage_share=wanted / nominal)
    return ok(device, now, lambda done: device.configure(conf, done, at_once=True))


# ---- the rest -------------------------------------------------------------------------------------------------------


def fan_spd(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """Fan speed in percent, -1 for automatic; kept, physics keeps its own fans."""
    wanted = _number(values[0])
    if wanted is None or (wanted != -1 and not LEAST_FAN <= wanted <= MOST_FAN):
        return failed(device, now, BAD_FAN)
    device.conf = replace(device.conf, fan=wanted)
    return ok(device, now)


def led(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """`1-1` on, `1-0` off, `1-255` asks; the module number may be 0."""
    module, _, wanted = values[0].partition("-")
    if module not in ("0", "1") or wanted not in ("0", "1", "255"):
        return failed(device, now, "")
    if wanted == "255":
        return info(device, now, f"LED[{int(device.led)}]")
    device.led = wanted == "1"
    return ok(device, now)


def reboot(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """Restart the control board after so many seconds; no reply comes."""
    delay_s = _number(values[0])
    if delay_s is None:
        return failed(device, now, "reboot value not number")
    if not 0 <= delay_s <= MOST_REBOOT_DELAY_S:
        return failed(device, now, f"reboot value should be 0~{MOST_REBOOT_DELAY_S} seconds")
    after_ns = device.knobs.reboot_after_ns + delay_s * SECOND
    return replace(NO_REPLY, then=lambda done: device.reboot(done + after_ns))


def restore(device: AvalonDevice, _values: list[str], now: Instant) -> Reply:
    """Back to the factory's configuration, and reboot."""

    def then(done: Instant) -> None:
        device.conf = FACTORY
        device.reboot(done + device.knobs.reboot_after_ns)

    return ok(device, now, then)


def setpool(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """`user,password,n,url,worker,password`; n left out means 0. In use after the next start."""
    if len(values) == 5:
        values = [*values[:2], "0", *values[2:]]
    if len(values) != 6 or (values[0], values[1]) != (FACTORY_USER, device.password):
        return failed(device, now, AUTH_FAILED)
    n, pool = values[2], (values[3], values[4], values[5])
    if n not in ("0", "1", "2") or not pool[0] or any(len(part) > LONGEST_URL for part in pool):
        return failed(device, now, "pool unknown argument")
    pools = list(device.pools)
    pools[int(n)] = pool
    device.conf = replace(device.conf, pools=tuple(pools))
    return info(device, now, f"success setpool:{n}")  # text: estimate; clients look for "success"


def password(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """`old,new`; `default` sets the factory's without asking (A1346 mock)."""
    if values == ["default"]:
        device.conf = replace(device.conf, password="")
        return ok(device, now)
    if len(values) != 2:
        return failed(device, now, f"we need 2 arguments, your input is {len(values)} arguments.")
    old, new = values
    if old != device.password or not new or len(new) > LONGEST_PASSWORD:
        return failed(device, now, AUTH_FAILED)
    device.conf = replace(device.conf, password=new)
    return info(device, now, "new password success set.")


def network(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """`dhcp`, or `static,address,mask,gateway`. Kept; the emulated address does not move: the rig owns the plan."""
    if values == ["dhcp"]:
        device.conf = replace(device.conf, network=())
        return ok(device, now)
    if len(values) != 4 or values[0] != "static" or any(len(part) > 39 for part in values):
        return failed(device, now, "")
    device.conf = replace(device.conf, network=tuple(values[1:]))
    return info(device, now, f"IP[S {' '.join(values[1:])}]")


def dns(device: AvalonDevice, values: list[str], now: Instant) -> Reply:
    """Two name servers; said back, not used."""
    if len(values) != 2 or any(len(part) > 39 for part in values):
        return failed(device, now, "")
    return info(device, now, f"DNS[{' '.join(values)}]")


def bootby(device: AvalonDevice, _values: list[str], now: Instant) -> Reply:
    """Why the control board started."""
    return info(device, now, f"BOOTBY[{identity(device.unit.model.id).bootby}]")


def loop(device: AvalonDevice, _values: list[str], now: Instant) -> Reply:
    """Chips found on each board."""
    model = device.unit.model
    return info(device, now, f"LOOP[{' '.join([str(model.chips_per_board)] * model.boards)} ]")


def help_(device: AvalonDevice, _values: list[str], now: Instant) -> Reply:
    """All verbs."""
    return info(device, now, "".join(f"{name}|" for name in VERBS))


def _number(text: str) -> int | None:
    """The number a text begins with, as C's scanf reads it; None where there is none."""
    found = _LEADING.match(text)
    return int(found[1]) if found else None


Verb: TypeAlias = "Callable[[AvalonDevice, list[str], Instant], Reply]"
VERBS: dict[str, Verb] = {
    "help": help_, "voltage": voltage, "fan-spd": fan_spd, "led": led, "workmode": workmode, "worklevel": worklevel,
    "reboot": reboot, "softon": softon, "softoff": softoff, "hashpower": hashpower, "frequency": frequency,
    "loop": loop, "password": password, "setpool": setpool, "ip": network, "dns": dns, "bootby": bootby,
    "restore": restore,
}  # fmt: skip
NEED_VALUE = frozenset(
    {"fan-spd", "led", "workmode", "worklevel", "reboot", "frequency", "password", "setpool", "ip", "dns"}
)
"""Verbs that refuse to be called without a value (home driver)."""
