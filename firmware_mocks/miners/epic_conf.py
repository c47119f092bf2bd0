"""The configuration of an ePIC miner, and what the value of a POST makes of it.

Owns the settings that survive a power cut and the reading of their values; passwords, power and replies are
`epic.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from firmware_mocks.miners.http import whole_number

POWER_ALGORITHMS = ("Power", "PowerTune")
"""Two names of the algorithm that holds watts: the vendor's interface file 1.30 (S), asic-rs (S)."""
RATE_ALGORITHMS = ("VoltageOptimizer", "ChipTune", "BoardTune")
ID_VARIANTS = ("IpAddress", "MacAddress", "CpuId")
MOST_POOLS = 3  # S: vendor's interface file


class RefusedError(ValueError):
    """The value of a POST is none; the message is the error that the miner answers."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One stratum endpoint."""

    url: str
    login: str
    password: str = ""


@dataclass(frozen=True, slots=True)
class Conf:
    """What stands in flash. `target` is TH/s, or W under a power algorithm; None is the model's default.

    Temperatures and fan settings are kept and shown; the emulated physics keeps its own.
    """

    stopped: bool = False
    tuning: bool = True
    algo: str = "VoltageOptimizer"
    target: int | None = None
    min_throttle: int | None = None
    throttle_step: int | None = None
    clock_mhz: float | None = None
    target_mv: int | None = None
    pools: tuple[Pool, ...] | None = None
    unique_id: bool = False
    id_variant: str = "IpAddress"
    fan_manual: int | None = None
    fan_target_c: int = 60
    fan_idle: int = 20
    min_fans: int = 0
    shutdown_c: float = 85.0
    critical_c: float = 100.0
    idle_on_loss: bool = True
    overdrive: bool = False
    disable_on_failure: bool = True
    enable_on_idle: bool = False
    cooldown_s: int = 300
    timezone: str = "UTC"
    static: tuple[tuple[str, str], ...] = ()


FACTORY = Conf()
Edit: TypeAlias = Callable[[Conf, Any], Conf]


def flag(param: Any) -> bool:
    """A boolean. Raises RefusedError for anything else."""
    if not isinstance(param, bool):
        raise RefusedError("Invalid param: expected a boolean")
    return param


def number(param: Any, low: int, high: int) -> int:
    """A whole number from `low` to `high`; text of one is taken too, clients send both. Raises RefusedError."""
    found = whole_number(param)
    if found is None or not low <= found <= high:
        raise RefusedError(f"Invalid param: expected a number from {low} to {high}")
    return found


def text(param: Any, most: int = 64) -> str:
    """A short text. Raises RefusedError for anything else."""
    if not isinstance(param, str) or not 0 < len(param) <= most:
        raise RefusedError("Invalid param: expected a text")
    return param


def set_coin(conf: Conf, param: Any) -> Conf:
    """coin: up to three pools. Clients write the coin as BTC or Btc."""
    given = param if isinstance(param, Mapping) else {}
    if str(given.get("coin", "")).upper() != "BTC":
        raise RefusedError("Invalid pool config")
    configs = given.get("stratum_configs")
    if not isinstance(configs, list) or not 0 < len(configs) <= MOST_POOLS:
        raise RefusedError("Invalid pool config")
    unique = given.get("unique_id")
    unique_id = conf.unique_id if unique is None else flag(unique)
    return replace(conf, pools=tuple(_pool(entry) for entry in configs), unique_id=unique_id)


def set_fan(conf: Conf, param: Any) -> Conf:
    """fanspeed: {"Auto": {...}}, {"Manual": percent}, or the bare percentage of older clients."""
    if not isinstance(param, Mapping):
        return replace(conf, fan_manual=number(param, 0, 100))
    if "Manual" in param:
        return replace(conf, fan_manual=number(param["Manual"], 0, 100))
    auto = param.get("Auto")
    if not isinstance(auto, Mapping):
        raise RefusedError("Invalid param: expected Auto or Manual")
    target_c = number(auto.get("Target Temperature", conf.fan_target_c), 0, 120)
    idle = number(auto.get("Idle Speed", conf.fan_idle), 0, 100)
    return replace(conf, fan_manual=None, fan_target_c=target_c, fan_idle=idle)


def set_network(conf: Conf, param: Any) -> Conf:
    """network: "dhcp", {"dhcp": ...} or {"static": {...}}. The rig owns the plan: no address moves."""
    if param == "dhcp" or (isinstance(param, Mapping) and "dhcp" in param):
        return replace(conf, static=())
    static = param.get("static") if isinstance(param, Mapping) else None
    keys = ("address", "netmask", "gateway", "dns")
    if not isinstance(static, Mapping) or not all(isinstance(static.get(key), str) for key in keys):
        raise RefusedError("Invalid param: expected dhcp or static")
    return replace(conf, static=tuple((key, static[key][:64]) for key in keys))


def set_id_variant(conf: Conf, param: Any) -> Conf:
    """id/variant: what makes the worker's name unique."""
    if param not in ID_VARIANTS:
        raise RefusedError("Unique id parse error")
    return replace(conf, id_variant=str(param))


EDITS: dict[str, Edit] = {
    "fanspeed": set_fan,
    "fans/minimum": lambda conf, param: replace(conf, min_fans=number(param, 0, 12)),
    "shutdowntemp": lambda conf, param: replace(conf, shutdown_c=float(number(param, 1, 150))),
    "criticaltemp": lambda conf, param: replace(conf, critical_c=float(number(param, 1, 150))),
    "id": lambda conf, param: replace(conf, unique_id=flag(param)),
    "id/variant": set_id_variant,
    "idleonconnectionlost": lambda conf, param: replace(conf, idle_on_loss=flag(param)),
    "disableboardonfailure": lambda conf, param: replace(conf, disable_on_failure=flag(param)),
    "enableboardsonidle": lambda conf, param: replace(conf, enable_on_idle=flag(param)),
    "overdrive": lambda conf, param: replace(conf, overdrive=flag(param)),
    "preinitcooldownmaxduration": lambda conf, param: replace(conf, cooldown_s=number(param, 0, 86_400)),
    "timezone": lambda conf, param: replace(conf, timezone=text(param)),
    "network": set_network,
}
"""POSTs that only change a setting, each a pure function of (configuration, param); they raise RefusedError."""


def _pool(entry: Any) -> Pool:
    fields = entry if isinstance(entry, Mapping) else {}
    given = [fields.get("pool"), fields.get("login"), fields.get("password") or ""]
    if not all(isinstance(part, str) and len(part) < 256 for part in given):
        raise RefusedError("Invalid pool config")
    url, login, password = map(str, given)
    try:
        parts = urlsplit(url if "://" in url else f"stratum+tcp://{url}")
        is_known = bool(parts.hostname) and parts.port is not None
    except ValueError:
        is_known = False
    if not is_known:
        raise RefusedError(f"Invalid pool address: {url}")
    return Pool(url, login, password)
