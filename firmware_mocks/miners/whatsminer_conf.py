"""What a WhatsMiner keeps in flash: pools, power settings, switches, and the power they lead to.

Owns the configuration and the law from it to a set-point; figures with sources are in `whatsminer.toml`, what is only
in memory is `whatsminer_machine.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from emulator.catalogue import MinerModel
from firmware_mocks.miners.readings import HASH_EXPONENT
from firmware_mocks.miners.replies import figures, values

FIGURES = figures(__package__, "whatsminer.toml")
POWER = values(FIGURES, "power")
MODES = ("low", "normal", "high")
HEAT_MODES = ("normal", "heating", "anti-freezing")
MAX_POOLS = 3


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool."""

    url: str
    user: str
    password: str = "x"  # noqa: S105 - what pools that ask for none are given


@dataclass(frozen=True, slots=True)
class Conf:
    """Settings that survive everything but a factory reset. Powers in watts, `freq_percent` from nominal clock."""

    limit_w: int | None = None
    watts: int | None = None
    mode: str = "normal"
    freq_percent: int = 0
    upfreq_speed: int = 0
    fast_boot: bool = False
    fast_hash: bool = False
    init: bool = True
    """Whether the mining service starts by itself after a boot."""
    heat_mode: str = "normal"
    temp_offset: int = 0
    poweroff_cool: bool = True
    fan_zero_speed: bool = False
    pools: tuple[Pool, ...] | None = None
    web_pools: bool = True
    hostname: str = ""
    network: tuple[tuple[str, str], ...] = ()
    timezone: str = "CST-8"
    zonename: str = "Asia/Shanghai"
    ntp: str = "0.cn.pool.ntp.org,0.openwrt.pool.ntp.org"
    random_start_s: int = 0
    random_stop_s: int = 0
    custom: tuple[tuple[str, str], ...] = field(default=())


@cache
def identity(model_id: str) -> dict[str, Any]:
    """What the image of one model says of itself: strings and figures of its table."""
    return values(FIGURES, model_id)


def is_liquid(model: MinerModel) -> bool:
    """Whether the model is cooled by water or oil: some settings are only for those."""
    return model.cooling != "air"


def default_limit_w(model: MinerModel) -> int:
    """Power limit of the factory."""
    return int(identity(model.id)["limit_w"])


def mode_share(model: MinerModel, mode: str) -> float:
    """Share of nominal power of a power mode."""
    return float(identity(model.id).get(f"{mode}_share", POWER[f"{mode}_share"]))


def shown_limit_w(model: MinerModel, conf: Conf) -> int:
    """The limit in force: the user's, else that of the power mode."""
    if conf.limit_w is not None:
        return conf.limit_w
    factory = default_limit_w(model)
    if conf.mode == "normal":
        return factory
    return round(factory * mode_share(model, conf.mode))


def target_clock(conf: Conf) -> float:
    """Clock that is aimed at, as a share of nominal."""
    return 1.0 + conf.freq_percent / 100.0


def base_share(model: MinerModel, conf: Conf) -> float:
    """Stable power of the settings as a share of nominal: lowest of mode and clock, limit, watts; above the floor."""
    share = mode_share(model, conf.mode) * max(0.0, target_clock(conf)) ** (1.0 / HASH_EXPONENT)
    for cap_w in (conf.limit_w, conf.watts):
        if cap_w is not None:
            share = min(share, cap_w / model.nominal_w)
    return float(max(POWER["floor_share"], share))


def speed_suffix(conf: Conf) -> str:
    """Which of the start scripts the settings lead to; fast boot shuts the speed out."""
    if conf.fast_boot:
        return "_fast"
    return "" if conf.upfreq_speed < 3 else "_medium" if conf.upfreq_speed < 8 else "_quick"
