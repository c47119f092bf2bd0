"""The configuration of an Auradine miner, and what the fields of a POST make of it.

Owns the settings that survive a power cut, the operating modes and their share of power; tokens and replies are
`auradine.py`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from emulator.catalogue import MinerModel
from firmware_mocks.miners.readings import HASH_EXPONENT
from firmware_mocks.miners.replies import figures, values

FIGURES = figures(__package__, "auradine.toml")
IMAGE = values(FIGURES, "image")
MODES = values(FIGURES, "modes")
MODELS = frozenset(key.removesuffix(".model") for key in FIGURES if key.endswith(".model"))
"""Models with a table of their own in the figures: those that this firmware runs on."""
NAMED_MODES = ("normal", "eco", "turbo")
MOST_POOLS = 3  # S: client source


class RefusedError(ValueError):
    """A field of a POST that cannot be; the message names it."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One stratum endpoint."""

    url: str
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Conf:
    """What stands in flash. In mode "custom" either `power_w` or `ths` is the target.

    Fan speeds and the PSU's voltage are kept and shown; the emulated physics keeps its own.
    """

    asleep: bool = False
    mode: str = "normal"
    power_w: int | None = None
    ths: int | None = None
    board_mhz: tuple[tuple[int, float], ...] = ()
    pools: tuple[Pool, ...] | None = None
    fan_percent: tuple[tuple[int, int], ...] = ()
    psu_v: float = float(IMAGE["psu_v"])
    company: str = ""
    ztp: str = "off"
    network: tuple[tuple[str, str], ...] = ()
    ntp: str = ""
    timezone: str = "UTC"


FACTORY = Conf()
Edit: TypeAlias = Callable[[Conf, Mapping[str, Any], MinerModel], Conf]


def power_share(conf: Conf, model: MinerModel) -> float:
    """Share of nominal power that a configuration asks for."""
    if conf.board_mhz:
        shares = [(mhz / model.frequency_mhz) ** (1.0 / HASH_EXPONENT) for _, mhz in conf.board_mhz]
        return float(sum(shares)) / model.boards
    if conf.power_w is not None:
        return conf.power_w / model.nominal_w
    if conf.ths is not None:
        return float((conf.ths / model.nominal_ths) ** (1.0 / HASH_EXPONENT))
    return float(MODES[conf.mode])


def most_w(model: MinerModel) -> float:
    """Greatest input power: what the PSU can give, over its efficiency."""
    return float(values(FIGURES, model.id)["psu_max_w"]) / float(IMAGE["psu_efficiency"])


def number(given: Any, low: float, high: float, name: str) -> float:
    """A finite number from `low` to `high`. Raises RefusedError."""
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not math.isfinite(given) or not low <= given <= high:
        raise RefusedError(name)
    return float(given)


def set_mode(conf: Conf, asked: Mapping[str, Any], model: MinerModel) -> Conf:
    """mode: sleep on or off, a named mode, or custom with power (W) or ths (TH/s); what is not named stays."""
    if "sleep" not in asked and "mode" not in asked:
        raise RefusedError("mode")
    if "sleep" in asked:
        if asked["sleep"] not in ("on", "off"):
            raise RefusedError("sleep")
        conf = replace(conf, asleep=asked["sleep"] == "on")
    if "mode" not in asked:
        return conf
    mode = asked["mode"]
    if mode in NAMED_MODES:
        return replace(conf, mode=str(mode), power_w=None, ths=None, board_mhz=())
    if mode != "custom" or asked.get("tune") not in ("power", "ths"):
        raise RefusedError("mode")
    least, most = model.nominal_w * float(MODES["least"]), most_w(model)
    if asked["tune"] == "power":
        power_w = round(number(asked.get("power"), least, most, "power"))
        return replace(conf, mode="custom", power_w=power_w, ths=None, board_mhz=())
    rates = [model.nominal_ths * (watts / model.nominal_w) ** HASH_EXPONENT for watts in (least, most)]
    ths = round(number(asked.get("ths"), rates[0], rates[1], "ths"))
    return replace(conf, mode="custom", power_w=None, ths=ths, board_mhz=())


def set_frequency(conf: Conf, asked: Mapping[str, Any], model: MinerModel) -> Conf:
    """frequency: the clock of one board (from 1), MHz; the others keep theirs."""
    board = round(number(asked.get("board"), 1, model.boards, "board"))
    mhz = number(asked.get("frequency"), 0.4 * model.frequency_mhz, 1.2 * model.frequency_mhz, "frequency")
    present_mhz = model.frequency_mhz * float(power_share(conf, model) ** HASH_EXPONENT)
    clocks = dict(conf.board_mhz) or dict.fromkeys(range(1, model.boards + 1), present_mhz)
    clocks[board] = mhz
    return replace(conf, mode="custom", power_w=None, ths=None, board_mhz=tuple(sorted(clocks.items())))


def set_fan(conf: Conf, asked: Mapping[str, Any], model: MinerModel) -> Conf:
    """fan: percentage of one fan (from 1), or of all."""
    percent = round(number(asked.get("percentage"), 0, 100, "percentage"))
    if "index" not in asked:
        return replace(conf, fan_percent=tuple((n, percent) for n in range(1, model.fans + 1)))
    fan = round(number(asked["index"], 1, model.fans, "index"))
    return replace(conf, fan_percent=tuple(sorted((dict(conf.fan_percent) | {fan: percent}).items())))


def set_psu(conf: Conf, asked: Mapping[str, Any], _model: MinerModel) -> Conf:
    """psu: output voltage, within 10 % of nominal (estimate)."""
    nominal_v = float(IMAGE["psu_v"])
    return replace(conf, psu_v=number(asked.get("voltage"), 0.9 * nominal_v, 1.1 * nominal_v, "voltage"))


def set_pools(conf: Conf, asked: Mapping[str, Any], _model: MinerModel) -> Conf:
    """updatepools: one to three pools with url, user and pass."""
    given = asked.get("pools")
    if not isinstance(given, list) or not 0 < len(given) <= MOST_POOLS:
        raise RefusedError("pools")
    pools = []
    for entry in given:
        fields = [entry.get(key, "") for key in ("url", "user", "pass")] if isinstance(entry, Mapping) else [None]
        if not all(isinstance(part, str) and len(part) < 256 for part in fields) or not fields[0]:
            raise RefusedError("pools")
        pools.append(Pool(*map(str, fields)))
    return replace(conf, pools=tuple(pools))


def set_register(conf: Conf, asked: Mapping[str, Any], _model: MinerModel) -> Conf:
    """register: the company."""
    return replace(conf, company=_text(asked.get("parameter"), "parameter"))


def set_ztp(conf: Conf, asked: Mapping[str, Any], _model: MinerModel) -> Conf:
    """ztp: zero-touch provisioning on or off."""
    if asked.get("parameter") not in ("on", "off"):
        raise RefusedError("parameter")
    return replace(conf, ztp=str(asked["parameter"]))


def set_timedate(conf: Conf, asked: Mapping[str, Any], _model: MinerModel) -> Conf:
    """timedate: time server and zone."""
    return replace(conf, ntp=_text(asked.get("ntp"), "ntp"), timezone=_text(asked.get("timezone"), "timezone"))


def set_network(conf: Conf, asked: Mapping[str, Any], _model: MinerModel) -> Conf:
    """network: kept and shown. The emulated address does not move: the rig owns the plan."""
    kept = {key: text for key, text in asked.items() if key != "command" and isinstance(text, str)}
    if not kept or len(kept) > 16:
        raise RefusedError("network")
    return replace(conf, network=tuple((key[:32], text[:64]) for key, text in sorted(kept.items())))


EDITS: dict[str, Edit] = {
    "mode": set_mode, "frequency": set_frequency, "fan": set_fan, "psu": set_psu, "updatepools": set_pools,
    "register": set_register, "ztp": set_ztp, "timedate": set_timedate, "network": set_network,
}  # fmt: skip
"""POSTs that change the configuration, each a pure function; they raise RefusedError."""


def _text(given: Any, name: str) -> str:
    if not isinstance(given, str) or not 0 < len(given) <= 64:
        raise RefusedError(name)
    return given
