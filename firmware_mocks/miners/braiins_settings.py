"""The methods of the Braiins OS public API that change settings: targets, tuner, DPS, ramping, boards, cooling, pools.

Owns which setting a request means and what it answers; the edits themselves are in `braiins_conf.py`, the methods that
act and read in `braiins_calls.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firmware_mocks.miners.braiins_api import Answer, Ask, CallError, Run
from firmware_mocks.miners.braiins_conf import (
    APPLY,
    FORCE,
    HASHRATE,
    MANUAL,
    SAVE,
    TUNER,
    Conf,
    Group,
    board_ids,
    checked,
    group,
    group_tree,
    limits,
    target_ths,
    target_w,
    with_boards,
    with_cooling,
    with_dps,
    with_hashrate,
    with_manual,
    with_power,
)
from firmware_mocks.miners.grpc import Status
from firmware_mocks.miners.protobuf import Tree, is_finite

if TYPE_CHECKING:
    from firmware_mocks.miners.braiins import Then


def ready(ask: Ask) -> None:
    """Refuse what BOSminer would have to do while it does not run. Raises CallError."""
    if not ask.device.is_running(ask.now):
        raise CallError(Status.UNAVAILABLE, "Not ready")  # S2: reports of calls right after a start


# ---- performance ---------------------------------------------------------------------------------------------------


def _apply(ask: Ask, conf: Conf) -> Then | None:
    """Check the save action and write a configuration."""
    action = ask.tree["save_action"]
    if action not in (SAVE, APPLY, FORCE):
        raise CallError(Status.INVALID_ARGUMENT, "Invalid save action")
    if action != SAVE:
        ready(ask)
    return ask.device.apply(conf, action, ask.now)


def _power(ask: Ask, watts: float) -> Answer:
    conf = with_power(ask.device.saved, ask.model, watts)
    return Answer({"power_target": {"watt": conf.power_w}}, _apply(ask, conf))


def _hashrate(ask: Ask, ths: float) -> Answer:
    conf = with_hashrate(ask.device.saved, ask.model, ths)
    return Answer({"hashrate_target": {"terahash_per_second": conf.hash_ths}}, _apply(ask, conf))


def _amount(ask: Ask, name: str, unit: str) -> float:
    if ask.tree[name] is None:
        raise CallError(Status.INVALID_ARGUMENT, f"Missing {name}")
    return float(ask.tree[name][unit])


def _set_power(ask: Ask) -> Answer:
    return _power(ask, _amount(ask, "power_target", "watt"))


def _step_power(sign: int, name: str) -> Run:
    def run(ask: Ask) -> Answer:
        watts = target_w(ask.device.saved, ask.model) + sign * _amount(ask, name, "watt")
        if ask.device.knobs.increments_apply:
            return _power(ask, watts)
        return replace(_power(ask, watts), then=None)

    return run


def _default_power(ask: Ask) -> Answer:
    return _power(ask, limits(ask.model).power_w[0])


def _relative_power(ask: Ask) -> Answer:
    nominal, low, high = limits(ask.model).power_w
    return _power(ask, _relative(ask, (nominal, low, high, target_w(ask.device.saved, ask.model))))


def _set_hashrate(ask: Ask) -> Answer:
    return _hashrate(ask, _amount(ask, "hashrate_target", "terahash_per_second"))


def _step_hashrate(sign: int, name: str) -> Run:
    def run(ask: Ask) -> Answer:
        by = _amount(ask, name, "terahash_per_second")
        return _hashrate(ask, target_ths(ask.device.saved, ask.model) + sign * by)

    return run


def _default_hashrate(ask: Ask) -> Answer:
    return _hashrate(ask, limits(ask.model).hash_ths[0])


def _relative_hashrate(ask: Ask) -> Answer:
    nominal, low, high = limits(ask.model).hash_ths
    present = target_ths(ask.device.saved, ask.model)
    return _hashrate(ask, _relative(ask, (nominal, low, high, present)))


def _relative(ask: Ask, references: tuple[float, float, float, float]) -> float:
    if not 1 <= ask.tree["reference"] <= len(references) or not is_finite(ask.tree["percentage"]):
        raise CallError(Status.INVALID_ARGUMENT, "Invalid percentage or reference")
    return references[ask.tree["reference"] - 1] * float(ask.tree["percentage"]) / 100.0


def _set_dps(ask: Ask) -> Answer:
    conf = with_dps(ask.device.saved, ask.model, ask.tree)
    then = _apply(ask, conf)
    parts = dps_parts(conf)
    said: Tree = {"enabled": conf.dps.enabled, "shutdown_enabled": conf.dps.shutdown, "mode": conf.dps.mode}
    said["shutdown_duration"] = parts.get("shutdown_duration")
    said["power_target"] = {key: parts.get(key) for key in ("power_step", "min_power_target")}
    said["hashrate_target"] = {key: parts.get(key) for key in ("hashrate_step", "min_hashrate_target")}
    return Answer(said, then)


def _mode(ask: Ask, conf: Conf) -> Tree:
    if conf.mode == MANUAL:
        manual: Tree = {"hashboards": [{"id": board, "frequency": {"hertz": hertz}} for board, hertz in conf.boards_hz]}
        manual["global_frequency"] = None if conf.manual_hz is None else {"hertz": conf.manual_hz}
        manual["global_voltage"] = None if conf.manual_v is None else {"volt": conf.manual_v}
        return {"manual_mode": manual}
    if conf.mode == HASHRATE:
        goal: Tree = {"hashrate_target": {"hashrate_target": {"terahash_per_second": target_ths(conf, ask.model)}}}
    else:
        goal = {"power_target": {"power_target": {"watt": target_w(conf, ask.model)}}}
    return {"tuner_mode": goal}


def _set_mode(ask: Ask) -> Answer:
    mode, conf, model = ask.tree["mode"] or {}, ask.device.saved, ask.model
    tuner = mode.get("tuner_mode") or {}
    if mode.get("manual_mode") is not None:
        conf = with_manual(conf, model, mode["manual_mode"])
    elif tuner.get("power_target") is not None:
        goal = tuner["power_target"]["power_target"]
        conf = with_power(conf, model, target_w(conf, model) if goal is None else goal["watt"])
    elif tuner.get("hashrate_target") is not None:
        goal = tuner["hashrate_target"]["hashrate_target"]
        conf = with_hashrate(conf, model, target_ths(conf, model) if goal is None else goal["terahash_per_second"])
    else:
        raise CallError(Status.INVALID_ARGUMENT, "Missing performance mode")
    then = _apply(ask, conf)
    return Answer(_mode(ask, conf), then)


def _get_mode(ask: Ask) -> Answer:
    return Answer(_mode(ask, ask.device.conf))


def _remove_profiles(ask: Ask) -> Answer:
    ask.device.forget_profiles()
    return Answer()


def _set_ramping(ask: Ask) -> Answer:
    most = TUNER["ramp_max_s"]
    if not 1 <= ask.tree["up_s"] <= most or not 1 <= ask.tree["down_s"] <= most:
        raise CallError(Status.INVALID_ARGUMENT, f"Invalid quick ramping time: not in range 1..={most} s")
    conf = replace(ask.device.saved, up_s=ask.tree["up_s"], down_s=ask.tree["down_s"])
    return Answer({"up_s": conf.up_s, "down_s": conf.down_s}, _apply(ask, conf))


def _default_ramping(ask: Ask) -> Answer:
    usual = TUNER["ramp_default_s"]
    then = _apply(ask, replace(ask.device.saved, up_s=None, down_s=None))
    return Answer({"up_s": usual, "down_s": usual}, then)


def _boards(on: bool) -> Run:
    def run(ask: Ask) -> Answer:
        conf = with_boards(ask.device.saved, ask.model, ask.tree["hashboard_ids"], on)
        then = _apply(ask, conf)
        states = [{"id": board, "is_enabled": board not in conf.boards_off} for board in board_ids(ask.model)]
        return Answer({"hashboards": states}, then)

    return run


# ---- cooling, pools, network ---------------------------------------------------------------------------------------


def _set_cooling(ask: Ask) -> Answer:
    mode = next((name for name in ("auto", "manual", "immersion", "hydro") if ask.tree[name] is not None), None)
    if mode is None:
        raise CallError(Status.INVALID_ARGUMENT, "Missing cooling mode")
    conf = with_cooling(ask.device.saved, mode, ask.tree[mode])
    then = _apply(ask, conf)
    return Answer({mode: dict(conf.cooling_set)}, then)


def _set_immersion(ask: Ask) -> Answer:
    on = ask.tree["enable_immersion_mode"]
    conf = with_cooling(ask.device.saved, "immersion" if on else "auto", {})
    return Answer({"immersion_mode": on}, _apply(ask, conf))


def _write_groups(ask: Ask, groups: tuple[Group, ...]) -> Then | None:
    """Write the pool groups; applied, BOSminer restarts (S: public API, SetPoolGroups)."""
    then = _apply(ask, replace(ask.device.saved, groups=checked(groups)))
    return then if ask.tree["save_action"] == SAVE else ask.device.restart(ask.now)


def _set_groups(ask: Ask) -> Answer:
    seed = ask.device.seed / "group" / ask.now
    groups = tuple(group(one, seed / n) for n, one in enumerate(ask.tree["pool_groups"]))
    then = _write_groups(ask, groups)
    return Answer({"pool_groups": [group_tree(one) for one in groups]}, then)


def _create_group(ask: Ask) -> Answer:
    if ask.tree["group"] is None or ask.tree["group"]["uid"]:
        raise CallError(Status.INVALID_ARGUMENT, "Pool group is missing, or has a uid already")
    made = group(ask.tree["group"], ask.device.seed / "group" / ask.now)
    then = _write_groups(ask, (*ask.device.groups(ask.device.saved), made))
    return Answer({"group": group_tree(made)}, then)


def _update_group(ask: Ask) -> Answer:
    name = (ask.tree["group"] or {"uid": None})["uid"]
    present = ask.device.groups(ask.device.saved)
    before = next((one for one in present if one.uid == name), None)
    if before is None:
        raise CallError(Status.NOT_FOUND, "Pool group not found")
    made = group(ask.tree["group"], ask.device.seed / "group" / ask.now, before)
    groups = tuple(made if one is before else one for one in present)
    return Answer({"group": group_tree(made)}, _write_groups(ask, groups))


def _remove_group(ask: Ask) -> Answer:
    present = ask.device.groups(ask.device.saved)
    kept = tuple(one for one in present if one.uid != ask.tree["uid"])
    if len(kept) == len(present):
        raise CallError(Status.NOT_FOUND, "Pool group not found")
    return Answer(then=_write_groups(ask, kept))


def _network(ask: Ask) -> Answer:
    return Answer({"network": {"dhcp": {}, "hostname": ask.seen.hostname}})


def _set_network(ask: Ask) -> Answer:
    name = ask.tree["hostname"]
    if name is not None:
        if not 1 <= len(name) <= 63 or not name.replace("-", "a").isalnum():
            raise CallError(Status.INVALID_ARGUMENT, "Invalid hostname")
        ask.device.saved, ask.device.conf = (
            replace(conf, hostname=name) for conf in (ask.device.saved, ask.device.conf)
        )
    return _network(ask)


def dps_parts(conf: Conf) -> Tree:
    """Those settings of DPS that are not the model's default, as messages."""
    dps = conf.dps
    parts = {
        "power_step": ("watt", dps.power_step_w), "min_power_target": ("watt", dps.min_power_w),
        "hashrate_step": ("terahash_per_second", dps.hash_step_ths),
        "min_hashrate_target": ("terahash_per_second", dps.min_hash_ths), "shutdown_duration": ("hours", dps.hours),
    }  # fmt: skip
    return {name: {unit: given} for name, (unit, given) in parts.items() if given is not None}


SETTINGS: dict[str, Run] = {
    "EnableHashboards": _boards(True), "DisableHashboards": _boards(False), "SetPowerTarget": _set_power,
    "SetDefaultPowerTarget": _default_power, "IncrementPowerTarget": _step_power(1, "power_target_increment"),
    "DecrementPowerTarget": _step_power(-1, "power_target_decrement"), "SetRelativePowerTarget": _relative_power,
    "SetHashrateTarget": _set_hashrate, "SetDefaultHashrateTarget": _default_hashrate,
    "IncrementHashrateTarget": _step_hashrate(1, "hashrate_target_increment"),
    "DecrementHashrateTarget": _step_hashrate(-1, "hashrate_target_decrement"),
    "SetRelativeHashrateTarget": _relative_hashrate, "SetDPS": _set_dps, "SetPerformanceMode": _set_mode,
    "GetActivePerformanceMode": _get_mode, "RemoveTunedProfiles": _remove_profiles, "SetQuickRamping": _set_ramping,
    "SetDefaultQuickRamping": _default_ramping, "SetCoolingMode": _set_cooling, "SetImmersionMode": _set_immersion,
    "SetPoolGroups": _set_groups, "CreatePoolGroup": _create_group, "UpdatePoolGroup": _update_group,
    "RemovePoolGroup": _remove_group, "GetNetworkConfiguration": _network, "SetNetworkConfiguration": _set_network,
}  # fmt: skip
