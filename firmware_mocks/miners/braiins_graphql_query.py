"""What GraphQL of Braiins OS shows: the tree of values behind the Query type of `braiins_graphql.toml`.

Owns the names of that schema; mutations and the session are `braiins_graphql.py`'s.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from firmware_mocks.miners.braiins_conf import HASHRATE, POWER, TUNER, Group, board_ids, limits, target_w
from firmware_mocks.miners.braiins_readings import TUNING, BraiinsReadings
from firmware_mocks.miners.graphql import Schema
from firmware_mocks.miners.graphql_syntax import GraphError

if TYPE_CHECKING:
    from firmware_mocks.miners.braiins import BraiinsDevice

SCHEMA = Schema(tomllib.loads((files(__package__) / "braiins_graphql.toml").read_text(encoding="utf-8")))
Value = dict[str, Any]
_WINDOWS = {
    "mhsAv": "av", "mhs5S": "5s", "mhs15S": "15s", "mhs30S": "30s", "mhs1M": "1m", "mhs5M": "5m", "mhs15M": "15m",
    "mhs30M": "30m", "mhs1H": "1h", "mhs24H": "24h", "mhsSinceRestart": "av",
}  # fmt: skip


def query(seen: BraiinsReadings) -> Value:
    """The Query object."""
    return {
        "bos": lambda _: _bos(seen), "events": {"appeals": []},
        "bosminer": {
            "info": lambda _: _info(seen), "metadata": lambda _: _metadata(seen), "config": lambda _: _config(seen),
            "uptime": lambda _: _uptime(seen, seen.elapsed_s) if seen.is_running else None, "defaultDevfeeRatio": 0.025,
        },
    }  # fmt: skip


def _uptime(seen: BraiinsReadings, seconds: int) -> Value:
    return {"since": seen.when - seconds, "durationS": seconds}


def _bos(seen: BraiinsReadings) -> Value:
    return {
        "hostname": seen.hostname, "macAddress": seen.ours, "uptime": _uptime(seen, seen.system_uptime_s),
        "logTargets": SCHEMA.enums["LogTarget"], "log": lambda _: [], "errors": [], "hwid": seen.uid,
        "serialNumber": seen.host.serial, "faultLight": seen.device.light,
        "info": {
            "mode": "NAND", "version": {"full": seen.figures["current"], "isPlus": True},
            "controlBoardSocFamily": "AML", "platform": "AM3_AML",
        },
    }  # fmt: skip


def _real(mhs: Mapping[str, float]) -> Value:
    return {name: mhs[window] for name, window in _WINDOWS.items()}


def _shares(seen: BraiinsReadings, accepted: int, rejected: int) -> Value:
    ratio = rejected / (accepted + rejected) if accepted + rejected else 0.0
    return {
        "acceptedDifficulty": round(accepted * seen.share_difficulty), "acceptedSolutions": accepted,
        "rejectedDifficulty": round(rejected * seen.share_difficulty), "rejectedSolutions": rejected,
        "rejectedRatio": ratio, "staleDifficulty": 0, "staleSolutions": 0, "staleRatio": 0.0,
    }  # fmt: skip


def _power(seen: BraiinsReadings, share: float | None = None) -> Value:
    efficiency = seen.efficiency
    watts = seen.watts
    return {
        "limitW": seen.limit_w if share is None else round(seen.limit_w * share),
        "approxConsumptionW": watts if share is None or watts is None else round(seen.chain_watts * share),
        "efficiencyWMhs": None if efficiency is None else efficiency["joule_per_terahash"] / 1e6,
    }


def _tuner(seen: BraiinsReadings) -> Value:
    words = {1: "DISABLED", 2: "STABLE", TUNING: "RUNNING"}
    messages = [] if seen.tuner_text == "Stable" else [seen.tuner_text]
    return {
        "status": words[seen.tuner_state], "statusMessages": messages, "iteration": 0, "uptimeS": seen.elapsed_s,
        "stageDurationS": seen.elapsed_s,
    }  # fmt: skip


def _info(seen: BraiinsReadings) -> Value:
    if not seen.is_running:
        away = dict.fromkeys(("poolGroups", "summary", "workSolver", "fans"), _away)
        return {"modelName": seen.model.type_string, "tempCtrl": None, **away}
    pools = seen.pool_rows
    status = "ALIVE" if any(row["alive"] for row in pools) else "DEAD"
    groups = []
    for number, one in enumerate(seen.device.groups(seen.device.conf)):
        mine = [_pool(seen, row) for row in pools if row["group"] == number]
        groups.append({"name": one.name, "pools": mine})
    scaling = {"status": "INITIAL_POWER_TARGET" if seen.device.conf.dps.enabled else "DISABLED", "statusMessage": ""}
    hottest = max((row["chip_c"] for row in seen.boards), default=None)
    return {
        "modelName": seen.model.type_string, "poolGroups": groups,
        "summary": {
            "realHashrate": _real(seen.mhs), "poolStatus": status, "foundBlocks": 0, "bestShare": seen.best_share,
            "shares": _shares(seen, seen.accepted, seen.rejected), "power": _power(seen),
            "tunerStatus": _tuner(seen)["status"], "dynamicPerformanceScaling": scaling,
            "temperatureChip": {"name": "MAX_CHIP", "degreesC": hottest},
        },
        "workSolver": _solver(seen),
        "fans": [{"name": str(row["id"]), "speed": row["percent"], "rpm": row["rpm"]} for row in seen.fan_list],
        "tempCtrl": {f"{name}C": degrees for name, degrees in seen.cooling.items()},
    }  # fmt: skip


def _away(_: Mapping[str, Any]) -> Any:
    raise GraphError("BOSminer is not running")  # text: estimate


def _pool(seen: BraiinsReadings, row: Mapping[str, Any]) -> Value:
    return {
        "url": row["url"], "user": row["user"], "status": row["status"].upper(), "active": row["active"],
        "shares": _shares(seen, row["accepted"], row["rejected"]), "lastDifficulty": row["difficulty"],
        "generatedWork": row["work"], "bestShare": row["best"],
    }  # fmt: skip


def _solver(seen: BraiinsReadings) -> Value:
    psu = {
        "version": seen.figures["psu_version"], "fwVersion": None, "serialNumber": None,
        "modelName": seen.figures["psu"], "minVoltage": seen.psu["0"], "maxVoltage": seen.psu["1"],
    }  # fmt: skip
    children = []
    for row in seen.boards:
        degrees = {"MAX_BOARD": "board_c", "MAX_CHIP": "chip_c", "INLET": "inlet_c", "OUTLET": "board_c"}
        children.append({
            "name": row["id"], "nominalMhs": row["nominal_mhs"], "realHashrate": _real(row["mhs"]),
            "hwErrorMhs15M": 0.0, "hwDetails": {
                "chips": row["chips"], "frequencyMhz": float(row["mhz"]), "voltageV": row["volts"],
                "hbSerialNumber": row["sn"], "hashboardName": seen.figures["board"], "chipType": seen.model.chip,
            },
            "psuInfo": None, "power": _power(seen, row["share"]), "tuner": _tuner(seen), "childSolvers": [],
            "temperatures": [{"name": name, "degreesC": row[key]} for name, key in degrees.items()],
        })  # fmt: skip
    return {
        "name": "", "nominalMhs": seen.ideal_ghs * 1e3, "realHashrate": _real(seen.mhs), "hwErrorMhs15M": 0.0,
        "hwDetails": None, "psuInfo": psu, "power": _power(seen), "tuner": _tuner(seen), "temperatures": [],
        "childSolvers": children,
    }  # fmt: skip


def _metadata(seen: BraiinsReadings) -> Value:
    watts, ths = limits(seen.model).power_w, limits(seen.model).hash_ths
    step = {"default": TUNER["dps_power_step_w"], "min": 100, "max": 1000, "unit": "W"}
    return {
        "autotuning": {
            "enabled": {"default": True}, "modes": SCHEMA.enums["TunerMode"], "modeDefault": "POWER_TARGET",
            "powerTarget": {"default": watts[0], "min": watts[1], "max": watts[2], "unit": "W"},
            "hashrateTarget": {"default": ths[0], "min": ths[1], "max": ths[2], "unit": "TH/s"},
        },
        "performanceScaling": {
            "enabled": {"default": False}, "powerStep": step, "shutdownEnabled": {"default": False},
            "minPowerTarget": {"default": seen.dps_floor_w, "min": watts[1], "max": watts[2], "unit": "W"},
        },
    }  # fmt: skip


def _config(seen: BraiinsReadings) -> Value:
    device = seen.device
    groups = [group_config(one) for one in device.groups(device.saved)]
    return {"__typename": "BosminerConfig", "groups": groups, **tuning(device)}


def tuning(device: BraiinsDevice) -> Value:
    """Autotuning, DPS and hash chains as configured."""
    conf, model = device.saved, device.unit.model
    own = dict(conf.boards_hz)
    chains = [
        {"name": board, "enabled": board not in conf.boards_off, "voltage": None,
         "frequency": own[board] / 1e6 if board in own else None} for board in board_ids(model)
    ]  # fmt: skip
    mode = {POWER: "POWER_TARGET", HASHRATE: "HASHRATE_TARGET"}.get(conf.mode)
    dps = conf.dps
    return {
        "autotuning": {
            "enabled": mode is not None, "mode": mode, "powerTarget": target_w(conf, model),
            "hashrateTarget": conf.hash_ths,
        },
        "performanceScaling": {
            "enabled": dps.enabled, "powerStep": dps.power_step_w, "minPowerTarget": dps.min_power_w,
            "hashrateStep": dps.hash_step_ths, "minHashrateTarget": dps.min_hash_ths, "shutdownEnabled": dps.shutdown,
            "shutdownDuration": None if dps.hours is None else float(dps.hours),
            "dpsMode": SCHEMA.enums["DpsMode"][dps.mode - 1],
        },
        "hashChains": chains,
    }  # fmt: skip


def group_config(one: Group) -> Value:
    """A GroupConfig."""
    if one.ratio is None:
        strategy: Value = {"__typename": "QuotaStrategy", "quota": one.quota}
    else:
        strategy = {"__typename": "FixedShareRatioStrategy", "fixedShareRatio": one.ratio}
    pools = [
        {"id": pool.uid, "enabled": pool.enabled, "url": pool.url, "user": pool.user, "password": pool.password}
        for pool in one.pools
    ]
    return {"id": one.uid, "name": one.name, "strategy": strategy, "pools": pools}
