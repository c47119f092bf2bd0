"""The configuration of a miner under MARA firmware, and what a POST of miner_config makes of it.

Owns what survives a power cut and its pure edits; digest, power and replies are `mara.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, TypeAlias

from emulator.catalogue import MinerModel
from firmware_mocks.miners.readings import HASH_EXPONENT
from firmware_mocks.miners.replies import figures, values

LIMITS = values(figures(__package__, "mara.toml"), "limits")
SLEEP, AUTO, STOCK, FIXED = "Sleep", "Auto", "Stock", "Fixed"
MODES = (SLEEP, AUTO, STOCK, FIXED)
BY_POWER, BY_HASH = "PowerTarget", "Hashrate"
ENVIRONMENTS = ("AirCooling", "OilImmersionCooling")
MOST = 9  # estimate: three pools in each of three groups, as clients send them
GROUPS = 3  # S: client source, "ignores groups past three"
_LONGEST = 256


@dataclass(frozen=True, slots=True)
class Pool:
    """One stratum endpoint of a group."""

    url: str
    user: str
    password: str = ""
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """A share of the work, in percent."""

    alias: str
    percent: int


@dataclass(frozen=True, slots=True)
class Conf:
    """The configuration; a target or clock that is None is the model's nameplate."""

    mode: str = AUTO
    select: str = BY_POWER
    power_target_w: float | None = None
    hash_target_ths: float | None = None
    fixed_mhz: float | None = None
    fixed_v: float | None = None
    pools: tuple[Pool, ...] | None = None
    groups: tuple[Group, ...] = (Group("default", 100),)
    environment: str = "AirCooling"
    fan_override: bool = False
    fan_percent: int = 0
    hostname: str = ""


FACTORY = Conf()
Edit: TypeAlias = tuple[Conf | None, str]
"""The new configuration, or None and why not."""


def setpoint(conf: Conf, model: MinerModel) -> float:
    """Share of nominal power that the configuration asks for once awake."""
    if conf.mode == FIXED:
        mhz, volts = conf.fixed_mhz or model.frequency_mhz, conf.fixed_v or model.voltage_v
        return float(mhz / model.frequency_mhz * (volts / model.voltage_v) ** 2)
    if conf.mode == AUTO and conf.select == BY_HASH:
        return float(((conf.hash_target_ths or model.nominal_ths) / model.nominal_ths) ** (1.0 / HASH_EXPONENT))
    if conf.mode == AUTO:
        return (conf.power_target_w or model.nominal_w) / model.nominal_w
    return 1.0


def edited(conf: Conf, asked: Mapping[str, Any], model: MinerModel) -> Edit:
    """`conf` with a POST of miner_config taken in; it is the whole or a part, and unknown keys are passed over."""
    mode = _object(asked, "mode")
    if mode.get("work-mode-selector", conf.mode) not in MODES:
        return None, "work-mode-selector"
    conf = replace(conf, mode=mode.get("work-mode-selector", conf.mode))
    concorde, fixed = _object(mode, "concorde"), _object(mode, "fixed")
    if concorde.get("mode-select", conf.select) not in (BY_POWER, BY_HASH):
        return None, "mode-select"
    conf = replace(conf, select=concorde.get("mode-select", conf.select))
    changes: dict[str, Any] = {}
    low, high = LIMITS["target_low"], LIMITS["target_high"]
    for key, ours, part, least, most in (
        ("power-target", "power_target_w", concorde, low * model.nominal_w, high * model.nominal_w),
        ("hash-target", "hash_target_ths", concorde, low * model.nominal_ths, high * model.nominal_ths),
        ("frequency", "fixed_mhz", fixed, LIMITS["min_mhz"], LIMITS["max_mhz"]),
        ("voltage", "fixed_v", fixed, LIMITS["min_v"], LIMITS["max_v"]),
    ):
        if key in part:
            number = _number(part[key])
            if number is None or not least <= number <= most:
                return None, f"{key} must be between {least:.0f} and {most:.0f}"
            changes[ours] = number
    return _rest(replace(conf, **changes), asked)


def _rest(conf: Conf, asked: Mapping[str, Any]) -> Edit:
    environment = _object(asked, "general-config").get("environment-profile", conf.environment)
    if environment not in ENVIRONMENTS:
        return None, "environment-profile"
    fans = _object(asked, "advance-config")
    override, percent = fans.get("override-fan-control", conf.fan_override), _number(fans.get("fan-fixed-percent", 0))
    if not isinstance(override, bool) or percent is None or not 0 <= percent <= 100:
        return None, "advance-config"
    conf = replace(conf, environment=environment, fan_override=override, fan_percent=round(percent))
    groups = _groups(asked["pool-group"]) if "pool-group" in asked else conf.groups
    pools = _pools(asked["pools"]) if "pools" in asked else conf.pools
    if groups is None or (pools is None and "pools" in asked):
        return None, "pools"
    return replace(conf, groups=groups, pools=pools), ""


def _groups(given: Any) -> tuple[Group, ...] | None:
    if not isinstance(given, list) or len(given) > GROUPS:
        return None
    found = []
    for group in given:
        alias = _text(group.get("alias", "")) if isinstance(group, dict) else None
        percent = _number(group.get("percent")) if isinstance(group, dict) else None
        if alias is None or percent is None or not 0 <= percent <= 100:
            return None
        found.append(Group(alias, round(percent)))
    return tuple(found)


def _pools(given: Any) -> tuple[Pool, ...] | None:
    if not isinstance(given, list) or len(given) > MOST:
        return None
    found = []
    for pool in given:
        if not isinstance(pool, dict):
            return None
        url, user, secret = (_text(pool.get(key, "")) for key in ("url", "user", "pass"))
        gid = _number(pool.get("gid", 0))
        if url is None or user is None or secret is None or gid is None or not 0 <= gid < GROUPS:
            return None
        found.append(Pool(url, user, secret, round(gid)))
    return tuple(found)


def _object(given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = given.get(key)
    return found if isinstance(found, dict) else {}


def _text(given: Any) -> str | None:
    return given if isinstance(given, str) and len(given) < _LONGEST else None


def _number(given: Any) -> float | None:
    if isinstance(given, bool) or not isinstance(given, int | float | str) or len(str(given)) > 24:
        return None
    try:
        number = float(given)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None
