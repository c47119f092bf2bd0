"""The configuration of a Braiins OS miner, its limits, and the pure edits that calls make of it.

Owns the settings in `/etc/bosminer.toml`: targets, DPS, cooling, quick ramping, hash boards and pool groups. When an
edit is applied, and what the miner does then, is `braiins.py`'s; figures with sources stand in `braiins.toml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from emulator.catalogue import MinerModel
from emulator.seed import Seed
from firmware_mocks.miners.protobuf import Tree, is_finite
from firmware_mocks.miners.readings import HASH_EXPONENT
from firmware_mocks.miners.replies import figures, values

FIGURES = figures(__package__, "braiins.toml")
TUNER = values(FIGURES, "tuner")
COOLING = values(FIGURES, "cooling")
MOST_GROUPS = 8
MOST_POOLS = 8
"""Pools of one group and groups. estimate: a bound, so that callers cannot grow the bench's memory."""
LONGEST = 256
"""Characters of a name, a user or a URL. estimate"""
POWER, HASHRATE, MANUAL = "power", "hashrate", "manual"
SAVE, APPLY, FORCE = 1, 2, 3


class ConfError(ValueError):
    """A setting that the firmware refuses; its text goes to the caller."""


@dataclass(frozen=True, slots=True)
class Dps:
    """Dynamic Performance Scaling; None is the default of the model."""

    enabled: bool = False
    shutdown: bool = False
    hours: int | None = None
    mode: int = 1
    power_step_w: int | None = None
    min_power_w: int | None = None
    hash_step_ths: float | None = None
    min_hash_ths: float | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """One stratum endpoint of a group."""

    uid: str
    url: str
    user: str
    password: str | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    """Pools that share work by fail-over; groups share it by quota, or by a fixed ratio."""

    uid: str
    name: str
    pools: tuple[Pool, ...]
    quota: int | None = 1
    ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Conf:
    """What stands in the configuration file; it survives power and reboot. A target of None is the model's default."""

    mode: str = POWER
    power_w: int | None = None
    hash_ths: float | None = None
    manual_hz: float | None = None
    manual_v: float | None = None
    boards_hz: tuple[tuple[str, float], ...] = ()
    boards_off: frozenset[str] = frozenset()
    dps: Dps = Dps()
    groups: tuple[Group, ...] | None = None
    cooling: str = "auto"
    cooling_set: tuple[tuple[str, Any], ...] = ()
    up_s: int | None = None
    down_s: int | None = None
    hostname: str | None = None


FACTORY = Conf()


@dataclass(frozen=True, slots=True)
class Limits:
    """Default, least and greatest target of a model."""

    power_w: tuple[int, int, int]
    hash_ths: tuple[float, float, float]


def limits(model: MinerModel) -> Limits:
    """The tuner's constraints for a model: those of an S19k Pro, scaled to its nominal values (D)."""
    watts, ths = model.nominal_w, model.nominal_ths
    return Limits(
        (round(watts), round(watts * TUNER["min_power_share"]), round(watts * TUNER["max_power_share"])),
        (ths, round(ths * TUNER["min_hash_share"], 2), round(ths * TUNER["max_hash_share"], 2)),
    )


def board_ids(model: MinerModel) -> list[str]:
    """Ids of the hash boards, from "1"."""
    return [str(n + 1) for n in range(model.boards)]


def target_w(conf: Conf, model: MinerModel) -> int:
    """Power target; the one that is kept, in another mode."""
    return limits(model).power_w[0] if conf.power_w is None else conf.power_w


def target_ths(conf: Conf, model: MinerModel) -> float:
    """Hash-rate target; the one that is kept, in another mode."""
    return limits(model).hash_ths[0] if conf.hash_ths is None else conf.hash_ths


def setpoint(conf: Conf, model: MinerModel) -> float:
    """Share of nominal power that the miner settles at under a configuration, within what its PSU and boards give."""
    enabled = [board for board in board_ids(model) if board not in conf.boards_off]
    part = len(enabled) / model.boards
    share: float
    if conf.mode == MANUAL:
        own = dict(conf.boards_hz)
        common_hz = model.frequency_mhz * 1e6 if conf.manual_hz is None else conf.manual_hz
        clocks = [own.get(board, common_hz) / (model.frequency_mhz * 1e6) for board in enabled]
        share = sum(clock ** (1.0 / HASH_EXPONENT) for clock in clocks) / model.boards
    elif conf.mode == HASHRATE:
        share = float((target_ths(conf, model) / model.nominal_ths) ** (1.0 / HASH_EXPONENT))
    else:
        share = target_w(conf, model) / model.nominal_w
    return min(share, float(TUNER["reach_share"]) * part)


# ---- targets -------------------------------------------------------------------------------------------------------


def with_power(conf: Conf, model: MinerModel, watts: float) -> Conf:
    """The configuration with a power target. Raises ConfError outside the limits."""
    _, low, high = limits(model).power_w
    if not is_finite(watts) or not low <= round(watts) <= high:
        raise ConfError(f"Invalid power target: {_shown(watts)} W is not in range {low}..={high} W")
    return replace(conf, mode=POWER, power_w=round(watts))


def with_hashrate(conf: Conf, model: MinerModel, ths: float) -> Conf:
    """The configuration with a hash-rate target. Raises ConfError outside the limits."""
    _, low, high = limits(model).hash_ths
    if not is_finite(ths) or not low <= ths <= high:
        raise ConfError(f"Invalid hashrate target: {_shown(ths)} TH/s is not in range {low}..={high} TH/s")
    return replace(conf, mode=HASHRATE, hash_ths=float(ths))


def with_manual(conf: Conf, model: MinerModel, asked: Mapping[str, Any]) -> Conf:
    """The configuration with fixed clocks (and voltages, which are kept and shown). Raises ConfError."""
    common = _within("frequency", asked["global_frequency"], "hertz", TUNER["max_mhz"] * 1e6)
    volts = _within("voltage", asked["global_voltage"], "volt", TUNER["psu_max_v"])
    own = []
    for board in asked["hashboards"]:
        if board["id"] not in board_ids(model):
            raise ConfError(f"Unknown hashboard id {board['id'][:LONGEST]!r}")
        hertz = _within("frequency", board["frequency"], "hertz", TUNER["max_mhz"] * 1e6)
        _within("voltage", board["voltage"], "volt", TUNER["psu_max_v"])
        if hertz is not None:
            own.append((board["id"], hertz))
    kept = dict(conf.boards_hz if conf.mode == MANUAL else ()) | dict(own)
    common = common if common is not None or conf.mode != MANUAL else conf.manual_hz
    volts = volts if volts is not None or conf.mode != MANUAL else conf.manual_v
    return replace(conf, mode=MANUAL, manual_hz=common, manual_v=volts, boards_hz=tuple(sorted(kept.items())))


def with_dps(conf: Conf, model: MinerModel, asked: Mapping[str, Any]) -> Conf:
    """The configuration with DPS settings; what is not set stays. Raises ConfError."""
    dps = conf.dps
    if asked["enable"] is not None:
        dps = replace(dps, enabled=asked["enable"])
    if asked["enable_shutdown"] is not None:
        dps = replace(dps, shutdown=asked["enable_shutdown"])
    if asked["shutdown_duration"] is not None:
        if not 1 <= asked["shutdown_duration"]["hours"] <= 24:
            raise ConfError("Invalid shutdown duration: not in range 1..=24 h")
        dps = replace(dps, hours=asked["shutdown_duration"]["hours"])
    if asked["mode"] is not None:
        if asked["mode"] not in (1, 2):
            raise ConfError("Invalid DPS mode")
        dps = replace(dps, mode=asked["mode"])
    target = asked["target"] or {"power_target": None, "hashrate_target": None}
    watts, ths = target["power_target"], target["hashrate_target"]
    if watts is not None:
        _, low, high = limits(model).power_w
        step, floor = (
            None if part is None else part["watt"] for part in (watts["power_step"], watts["min_power_target"])
        )
        if (step is not None and not 1 <= step <= high) or (floor is not None and not low <= floor <= high):
            raise ConfError(f"Invalid DPS power step or minimum: minimum must be in range {low}..={high} W")
        dps = replace(dps, power_step_w=_either(step, dps.power_step_w), min_power_w=_either(floor, dps.min_power_w))
    if ths is not None:
        _, least, most = limits(model).hash_ths
        parts = (ths["hashrate_step"], ths["min_hashrate_target"])
        rise, bottom = (None if part is None else part["terahash_per_second"] for part in parts)
        wrong = (rise is not None and not (is_finite(rise) and 0 < rise <= most)) or (
            bottom is not None and not (is_finite(bottom) and least <= bottom <= most)
        )
        if wrong:
            raise ConfError(f"Invalid DPS hashrate step or minimum: minimum must be in range {least}..={most} TH/s")
        dps = replace(
            dps, hash_step_ths=_either(rise, dps.hash_step_ths), min_hash_ths=_either(bottom, dps.min_hash_ths)
        )
    return replace(conf, dps=dps)


def with_boards(conf: Conf, model: MinerModel, ids: Iterable[str], on: bool) -> Conf:
    """The configuration with some hash boards on or off. Raises ConfError for an unknown board, or with none left."""
    asked = set(ids)
    unknown = asked - set(board_ids(model))
    if unknown:
        raise ConfError(f"Unknown hashboard id {min(unknown)[:LONGEST]!r}")
    off = conf.boards_off - asked if on else conf.boards_off | asked
    if len(off) == model.boards:
        raise ConfError("At least one hashboard must stay enabled")
    return replace(conf, boards_off=frozenset(off))


def with_cooling(conf: Conf, mode: str, asked: Mapping[str, Any]) -> Conf:
    """The configuration with a cooling mode; within one mode, what is not set stays. Raises ConfError."""
    before = dict(conf.cooling_set) if conf.cooling == mode else {}
    given = {key: entry for key, entry in asked.items() if entry is not None}
    merged = before | given
    degrees = [_degrees(merged, key) for key in ("target_temperature", "hot_temperature", "dangerous_temperature")]
    if not 0.0 <= degrees[0] <= degrees[1] <= degrees[2] <= 200.0:
        raise ConfError("Invalid temperatures: target <= hot <= dangerous is needed, within 0..=200")
    ratio = merged.get("fan_speed_ratio", 0.0)
    low, high = merged.get("min_fan_speed", 0), merged.get("max_fan_speed", 100)
    if not (is_finite(ratio) and 0.0 <= ratio <= 1.0) or not low < high <= 100:
        raise ConfError("Invalid fan speed")
    return replace(conf, cooling=mode, cooling_set=tuple(sorted(merged.items())))


# ---- pools ---------------------------------------------------------------------------------------------------------


def group(asked: Mapping[str, Any], seed: Seed, before: Group | None = None) -> Group:
    """A pool group from a PoolGroupConfiguration; uids are made where there is none. Raises ConfError."""
    quota = None if asked["quota"] is None else asked["quota"]["value"]
    ratio = None if asked["fixed_share_ratio"] is None else asked["fixed_share_ratio"]["value"]
    if not asked["name"].strip() or len(asked["name"]) > LONGEST:
        raise ConfError("Invalid pool group: name must not be empty")
    if ratio is not None and not (is_finite(ratio) and 0.0 <= ratio <= 1.0):
        raise ConfError("Invalid pool group: fixed share ratio must be in range 0..=1")
    if not 1 <= len(asked["pools"]) <= MOST_POOLS:
        raise ConfError(f"Invalid pool group: needs 1 to {MOST_POOLS} pools")
    known = {} if before is None else {pool.uid: pool for pool in before.pools}
    pools = []
    for n, pool in enumerate(asked["pools"]):
        if "://" not in pool["url"] or not pool["user"] or max(map(len, (pool["url"], pool["user"]))) > LONGEST:
            raise ConfError(f"Invalid pool {n}: url or user")
        if pool["uid"] and pool["uid"] not in known:
            raise ConfError(f"Unknown pool uid {pool['uid'][:LONGEST]!r}")
        secret = None if pool["password"] is None else pool["password"][:LONGEST]
        enabled = pool["enabled"] is not False
        pools.append(Pool(pool["uid"] or uid(seed / n), pool["url"], pool["user"], secret, enabled))
    name = before.uid if before is not None else uid(seed)
    return Group(name, asked["name"], tuple(pools), None if ratio is not None else 1 if quota is None else quota, ratio)


def group_tree(one: Group) -> Tree:
    """A group as a PoolGroupConfiguration."""
    pools = [
        {"uid": pool.uid, "url": pool.url, "user": pool.user, "password": pool.password, "enabled": pool.enabled}
        for pool in one.pools
    ]
    share: Tree = {"quota": {"value": one.quota}} if one.ratio is None else {"fixed_share_ratio": {"value": one.ratio}}
    return {"uid": one.uid, "name": one.name, "pools": pools, **share}


def checked(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """The groups, if they may stand together. Raises ConfError."""
    if not 1 <= len(groups) <= MOST_GROUPS:
        raise ConfError(f"Needs 1 to {MOST_GROUPS} pool groups")
    if len({one.name for one in groups}) != len(groups):
        raise ConfError("Pool group names must differ")
    if sum(one.ratio or 0.0 for one in groups) > 1.0:
        raise ConfError("Sum of fixed share ratios must not exceed 1")
    return groups


def uid(seed: Seed) -> str:
    """Sixteen characters that name a pool or a group."""
    return f"{seed.key:016x}"


def _within(what: str, given: Mapping[str, Any] | None, unit: str, most: float) -> float | None:
    if given is None:
        return None
    if not is_finite(given[unit]) or not 0.0 < given[unit] <= most:
        raise ConfError(f"Invalid {what}: not in range 0..={most:g}")
    return float(given[unit])


def _degrees(asked: Mapping[str, Any], key: str) -> float:
    if asked.get(key) is None:
        return float(COOLING[key.replace("temperature", "c")])
    found = asked[key]["degree_c"]
    return found if is_finite(found) else -1.0


def _either(new: Any, old: Any) -> Any:
    return old if new is None else new


def _shown(number: float) -> str:
    return f"{number:g}" if is_finite(number) else str(number)
