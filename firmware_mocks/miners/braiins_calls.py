"""The methods of the Braiins OS public API that log in, act and read; and all methods as an application for gRPC.

Owns authentication and the way of a call, whether it came over gRPC or over REST (`braiins_rest.py`); settings are in
`braiins_settings.py`, what is read in `braiins.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emulator.wire import SECOND, Instant
from firmware_mocks.miners.braiins_api import MESSAGES, METHODS, Answer, Ask, CallError, Run
from firmware_mocks.miners.braiins_conf import (
    HASHRATE,
    LONGEST,
    MANUAL,
    Conf,
    ConfError,
    board_ids,
    group_tree,
    target_w,
)
from firmware_mocks.miners.braiins_readings import BraiinsReadings
from firmware_mocks.miners.braiins_settings import SETTINGS, dps_parts, ready
from firmware_mocks.miners.grpc import App, GrpcCall, GrpcReply, Status
from firmware_mocks.miners.protobuf import Tree, WireError
from firmware_mocks.miners.replies import templates
from firmware_mocks.miners.tokens import same_secret

if TYPE_CHECKING:
    from firmware_mocks.miners.braiins import BraiinsDevice

TEMPLATES = templates(__package__, "braiins.json")
OPEN = frozenset({"/braiins.bos.ApiVersionService/GetApiVersion", "/braiins.bos.v1.AuthenticationService/Login"})
"""Methods that need no token (S2: bos-plus-api issue 18)."""


def call(device: BraiinsDevice, path: str, asked: Mapping[str, Any], token: str, now: Instant) -> Answer:
    """Run a method with a request tree. Raises CallError, having changed nothing."""
    method = METHODS[path]
    if path not in OPEN and not device.tokens.use(token, now):
        raise CallError(Status.UNAUTHENTICATED, "Bad credentials")  # S2: the text of bos-plus-api issue 33
    try:
        return _RUNS[path.rpartition("/")[2]](Ask(device, MESSAGES.full(method.asks, asked), now))
    except ConfError as error:
        raise CallError(Status.INVALID_ARGUMENT, str(error)) from None


def grpc_app(device: BraiinsDevice) -> App:
    """The methods as an application of the gRPC server."""

    def answer(asked: GrpcCall, now: Instant) -> GrpcReply:
        takes_ns = device.knobs.grpc_reply_ns
        method = METHODS.get(asked.path)
        if method is None:
            return GrpcReply(status=Status.UNIMPLEMENTED, takes_ns=takes_ns)
        try:
            tree = MESSAGES.decode(method.asks, asked.message)
            given = call(device, method.path, tree, asked.metadata.get("authorization", ""), now)
        except WireError as error:
            why = f"failed to decode Protobuf message: {error}"
            return GrpcReply(status=Status.INTERNAL, detail=why, takes_ns=takes_ns)
        except CallError as error:
            return GrpcReply(status=error.status, detail=error.detail, takes_ns=takes_ns)
        if method.streams:
            return GrpcReply(takes_ns=takes_ns, watch=lambda at: MESSAGES.encode(method.gives, _status(device, at)))
        metadata = (("authorization", given.token),) if given.token else ()
        message = MESSAGES.encode(method.gives, given.tree)
        return GrpcReply(message, metadata=metadata, takes_ns=takes_ns, then=given.then)

    return answer


# ---- authentication ------------------------------------------------------------------------------------------------


def login(device: BraiinsDevice, username: str, password: str) -> bool:
    """Whether name and password are those of the one account."""
    return same_secret(password, device.password or "") and same_secret(username, "root")


def _login(ask: Ask) -> Answer:
    if not login(ask.device, ask.tree["username"], ask.tree["password"]):
        raise CallError(Status.UNAUTHENTICATED, "Bad credentials")
    token = ask.device.tokens.issue(ask.now)
    return Answer({"token": token, "timeout_s": ask.device.knobs.token_life_ns // SECOND}, token=token)


def _set_password(ask: Ask) -> Answer:
    if ask.tree["password"] is not None and len(ask.tree["password"]) > LONGEST:
        raise CallError(Status.INVALID_ARGUMENT, "Password is too long")
    ask.device.password = ask.tree["password"]
    return Answer()


# ---- actions -------------------------------------------------------------------------------------------------------


def _pause(ask: Ask) -> Answer:
    ready(ask)
    then = ask.device.pause(ask.now)
    return Answer({"already_paused": then is None}, then)


def _resume(ask: Ask) -> Answer:
    ready(ask)
    then = ask.device.resume(ask.now)
    return Answer({"already_mining": then is None}, then)


def _start(ask: Ask) -> Answer:
    then = ask.device.start(ask.now)
    return Answer({"already_running": then is None}, then)


def _stop(ask: Ask) -> Answer:
    then = ask.device.stop(ask.now)
    return Answer({"already_stopped": then is None}, then)


def _restart(ask: Ask) -> Answer:
    return Answer({"already_running": ask.device.is_running(ask.now)}, ask.device.restart(ask.now))


def _reboot(ask: Ask) -> Answer:
    return Answer(then=ask.device.reboot(ask.now))


def _set_locate(ask: Ask) -> Answer:
    ask.device.light = ask.tree["enable"]
    return Answer({"enabled": ask.device.light})


def _get_locate(ask: Ask) -> Answer:
    return Answer({"enabled": ask.device.light})


# ---- reads ---------------------------------------------------------------------------------------------------------


def _report(name: str) -> Run:
    body = TEMPLATES[name].body
    return lambda ask: Answer(body(ask.seen, {}))


def _version(ask: Ask) -> Answer:
    return Answer({"major": 1, "minor": ask.seen.figures["api_minor"], "patch": 0})


def _status(device: BraiinsDevice, now: Instant) -> Tree:
    return {"status": BraiinsReadings(device, now).status}


def _profiles(ask: Ask) -> Answer:
    seen = ask.seen
    found = {f"{mode}_target_profiles": seen.profile_list(mode) for mode in ("power", "hashrate")}
    return Answer(found)


def _groups(ask: Ask) -> Answer:
    shown = ask.seen.group_rows if ask.device.is_running(ask.now) else []
    return Answer({"pool_groups": shown})


def _configuration(ask: Ask) -> Answer:
    conf, model = ask.device.saved, ask.model
    dps = conf.dps
    tuner: Tree = {"enabled": conf.mode != MANUAL, "tuner_mode": 2 if conf.mode == HASHRATE else 1}
    tuner["power_target"] = {"watt": target_w(conf, model)}
    if conf.hash_ths is not None:
        tuner["hashrate_target"] = {"terahash_per_second": conf.hash_ths}
    boards = [
        {"id": board, "enabled": board not in conf.boards_off, **_clock(conf, board)} for board in board_ids(model)
    ]
    hashboard: Tree = {"hashboards": boards, "quick_ramping_time_up_s": conf.up_s}
    hashboard |= {"quick_ramping_time_down_s": conf.down_s}
    if conf.manual_hz is not None:
        hashboard["global_frequency"] = {"hertz": conf.manual_hz}
    if conf.manual_v is not None:
        hashboard["global_voltage"] = {"volt": conf.manual_v}
    return Answer({
        "pool_groups": [group_tree(one) for one in ask.device.groups(conf)],
        "temperature": {conf.cooling: dict(conf.cooling_set)}, "tuner": tuner,
        "dps": {"enabled": dps.enabled, "shutdown_enabled": dps.shutdown, "mode": dps.mode, **dps_parts(conf)},
        "hashboard_config": hashboard,
    })  # fmt: skip


def _clock(conf: Conf, board: str) -> Tree:
    own = dict(conf.boards_hz)
    return {"frequency": {"hertz": own[board]}} if board in own else {}


_RUNS: dict[str, Run] = SETTINGS | {
    "GetApiVersion": _version, "Login": _login, "SetPassword": _set_password,
    "PauseMining": _pause, "ResumeMining": _resume, "Start": _start, "Stop": _stop, "Restart": _restart,
    "Reboot": _reboot, "SetLocateDeviceStatus": _set_locate, "GetLocateDeviceStatus": _get_locate,
    **{name: _report(name) for name in (
        "GetMinerDetails", "GetMinerStats", "GetHashboards", "GetCoolingState", "GetTunerState", "GetNetworkInfo",
        "GetConstraints", "GetLicenseState",
    )},
    "GetMinerStatus": lambda ask: Answer(_status(ask.device, ask.now)),
    "GetErrors": lambda _ask: Answer({"errors": []}),
    "ListTargetProfiles": _profiles, "GetPoolGroups": _groups, "GetMinerConfiguration": _configuration,
}  # fmt: skip
