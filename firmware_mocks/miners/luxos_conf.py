"""The configuration of a LuxOS miner, and what the pool and group commands make of it.

Owns the settings that survive a power cut and their pure edits; sessions, power and replies are `luxos.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from firmware_mocks.miners.http import whole_number

MOST = 32  # estimate: a bound on pools and groups, so that callers cannot grow the bench's memory


@dataclass(frozen=True, slots=True)
class Pool:
    """One stratum endpoint of a group."""

    url: str
    user: str
    password: str = ""
    group: int = 0
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Conf:
    """The configuration; autosave is on, so it survives power and reboot, curtailment with it."""

    asleep: bool = False
    profile: str = "default"
    target_w: int | None = None
    board_mhz: tuple[tuple[int, int], ...] = ()
    pools: tuple[Pool, ...] | None = None
    active_pool: int = 0
    groups: tuple[tuple[str, int], ...] = (("default", 1),)
    red: str = "auto"
    green: str = "auto"
    fan_percent: int = -1
    min_fans: int = 3
    target_c: float = 65.0
    hot_c: float = 80.0
    dangerous_c: float = 90.0
    atm: bool = True
    atm_min: str = ""
    atm_max: str = ""
    atm_post_ramp_min: int = 15
    atm_startup_min: int = 15
    atm_window_k: float = 5.0


FACTORY = Conf()
Edit: TypeAlias = tuple[Conf, str, dict[str, Any]]
"""The new configuration, the name of the reply, and its values."""


def add_pool(conf: Conf, pools: tuple[Pool, ...], given: list[str]) -> Edit:
    """addpool: url, user, password and optionally a group."""
    group = whole_number(given[3]) if len(given) > 3 and given[3] else 0
    if len(given) < 3 or not given[0] or not given[1]:
        return conf, "pool_details", {}
    if group is None or group >= len(conf.groups) or len(pools) >= MOST:
        return conf, "bad_parameter", {"why": "group"}
    added = Pool(given[0], given[1], given[2], group)
    return replace(conf, pools=(*pools, added)), "addpool", {"n": len(pools), "url": added.url}


def edit_pool(conf: Conf, pools: tuple[Pool, ...], name: str, given: list[str]) -> Edit:
    """removepool, switchpool, enablepool and disablepool, each with a pool number."""
    if not given:
        return conf, "pool_missing", {}
    n = whole_number(given[0])
    if n is None or n >= len(pools):
        return conf, "pool_invalid", {"n": given[0], "last": len(pools) - 1}
    row = {"n": n, "url": pools[n].url}
    active = conf.active_pool
    if name == "removepool":
        if len(pools) == 1:
            return conf, "pool_last", row
        active = 0 if active == n else active - (active > n)
        return replace(conf, pools=pools[:n] + pools[n + 1 :], active_pool=active), name, row
    kept = replace(pools[n], enabled=name != "disablepool")
    active = n if name == "switchpool" else active
    return replace(conf, pools=(*pools[:n], kept, *pools[n + 1 :]), active_pool=active), name, row


def add_group(conf: Conf, given: list[str]) -> Edit:
    """addgroup: name, quota."""
    quota = whole_number(given[1]) if len(given) > 1 else 1
    if not given or not given[0] or quota is None or len(conf.groups) >= MOST:
        return conf, "bad_parameter", {"why": "group"}
    name = given[0][:64]
    return replace(conf, groups=(*conf.groups, (name, quota))), "addgroup", {"n": len(conf.groups), "name": name}


def edit_group(conf: Conf, pools: tuple[Pool, ...], name: str, given: list[str]) -> Edit:
    """groupquota (n, quota) and removegroup (n), which takes the group's pools along, and the last group, too.

    Source: asic-rs 0.8.6 (S) removes every group as it is and then builds its own from number 0.
    """
    groups = conf.groups
    n = whole_number(given[0]) if given else None
    quota = whole_number(given[1]) if len(given) > 1 else None
    if n is None or n >= len(groups) or (name == "groupquota" and quota is None):
        return conf, "bad_parameter", {"why": "group"}
    if name == "groupquota" and quota is not None:
        return (
            replace(conf, groups=(*groups[:n], (groups[n][0], quota), *groups[n + 1 :])),
            name,
            {"n": n, "quota": quota},
        )
    left = [(place, pool) for place, pool in enumerate(pools) if pool.group != n]
    kept = tuple(replace(pool, group=pool.group - (pool.group > n)) for _, pool in left)
    active = next((at for at, (place, _) in enumerate(left) if place == conf.active_pool), 0)
    return replace(conf, pools=kept, active_pool=active, groups=groups[:n] + groups[n + 1 :]), name, {"n": n}
