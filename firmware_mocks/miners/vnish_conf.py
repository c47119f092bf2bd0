"""The settings of a VNish miner, its autotune presets, and what a partial POST of settings makes of them.

Owns what survives a power cut and its pure edits; tokens, states and replies are other modules'. The ladders stand in
`vnish_presets.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias

from emulator.catalogue import MinerModel
from firmware_mocks.miners.http import whole_number
from firmware_mocks.miners.readings import HASH_EXPONENT
from firmware_mocks.miners.replies import figures, values

PRESETS = figures(__package__, "vnish_presets.toml")
LIMITS = values(figures(__package__, "vnish.toml"), "limits")
DISABLED = "disabled"
"""The preset that is none: clock and voltage are set by hand."""
FACTORY_PW = "admin"  # S: default of the clients
POOLS = 3
FAN_MODES = ("auto", "manual", "immers")
_LONGEST = 256
_COOLING = ("fan_min_count", "fan_min_duty", "fan_max_duty")


@dataclass(frozen=True, slots=True)
class Preset:
    """One rung: power of the boards and rate that its label promises."""

    watts: int
    ths: int

    @property
    def name(self) -> str:
        """Name: the bare watts."""
        return str(self.watts)

    @property
    def pretty(self) -> str:
        """Label: "2970 watt ~ 100 TH"."""
        return f"{self.watts} watt ~ {self.ths} TH"


@dataclass(frozen=True, slots=True)
class Pool:
    """One stratum endpoint; `url` as the settings show it, without a scheme."""

    url: str
    user: str
    password: str = ""


@dataclass(frozen=True, slots=True)
class Conf:
    """The settings. `preset` None is the one the model comes with; `freq` and `volt` (10 mV) None are the model's."""

    preset: str | None = None
    freq: int | None = None
    volt: int | None = None
    pools: tuple[Pool, ...] | None = None
    active_pool: int = 0
    fan_mode: str = "auto"
    fan_param: int = 60
    fan_min_count: int = 4
    fan_min_duty: int = 10
    fan_max_duty: int = 100
    remain_stopped: bool = False
    startup_delay_s: int = 0
    quiet_mode: bool = False
    quick_start: bool = False
    restart_temp: int = 90
    hostname: str = ""
    timezone: str = "GMT"
    password: str = FACTORY_PW


FACTORY = Conf()
Edit: TypeAlias = tuple[Conf | None, int, str]
"""The new settings, or None with the HTTP status and the error text."""


@cache
def ladder(model_id: str) -> tuple[Preset, ...]:
    """The presets of a model, lowest first."""
    return tuple(Preset(watts, ths) for watts, ths in PRESETS[f"{model_id}.rungs"].value)


@cache
def present(model_id: str) -> Preset:
    """The preset a model comes with; its set-point is the nameplate."""
    name = PRESETS[f"{model_id}.present"].value
    return next(preset for preset in ladder(model_id) if preset.name == name)


def preset_of(conf: Conf, model: MinerModel) -> Preset | None:
    """The preset in force; None where clock and voltage are set by hand."""
    if conf.preset is None:
        return present(model.id)
    return next((preset for preset in ladder(model.id) if preset.name == conf.preset), None)


def setpoint(conf: Conf, model: MinerModel) -> float:
    """Share of nominal power that the settings ask for: watts over those of the rung the model comes with."""
    preset = preset_of(conf, model)
    if preset is not None:
        return preset.watts / present(model.id).watts
    return float(((conf.freq or model.frequency_mhz) / model.frequency_mhz) ** (1.0 / HASH_EXPONENT))


def edited(conf: Conf, asked: Mapping[str, Any], model: MinerModel) -> Edit:
    """`conf` with a partial POST of settings taken in; unknown keys are passed over, as are values of a wrong kind."""
    miner = _object(asked, "miner")
    overclock, cooling, misc = _object(miner, "overclock"), _object(miner, "cooling"), _object(miner, "misc")
    if "password" in asked:
        password = _object(asked, "password")
        if password.get("current") != conf.password:
            return None, 403, "Wrong password"
        secret = _text(password.get("pw"))
        if not secret:
            return None, 400, "Invalid password"
        conf = replace(conf, password=secret)
    if "preset" in overclock:
        name = str(overclock["preset"])
        if name != DISABLED and name not in {preset.name for preset in ladder(model.id)}:
            return None, 400, f"Unknown preset {name[:16]!r}"
        conf = replace(conf, preset=name)
    changed = _clock(conf, _object(overclock, "globals"))
    if changed is None:
        return None, 400, "Frequency or voltage out of range"
    conf = _misc(_cooled(changed, cooling), misc)
    if "pools" in miner:
        pools = _pools(miner["pools"])
        if pools is None:
            return None, 400, "Invalid pools"
        conf = replace(conf, pools=pools, active_pool=0)
    hostname = _object(asked, "network").get("hostname")
    timezone = _object(_object(asked, "regional"), "timezone").get("current")
    return replace(conf, hostname=_text(hostname) or conf.hostname, timezone=_text(timezone) or conf.timezone), 200, ""


def _clock(conf: Conf, given: Mapping[str, Any]) -> Conf | None:
    freq, volt = whole_number(given.get("freq")), whole_number(given.get("volt"))
    if freq and not LIMITS["min_freq"] <= freq <= LIMITS["max_freq"]:
        return None
    if volt and not LIMITS["min_volt"] <= volt <= LIMITS["max_volt"]:
        return None
    return replace(conf, freq=freq or conf.freq, volt=volt or conf.volt)


def _cooled(conf: Conf, given: Mapping[str, Any]) -> Conf:
    numbers = {key: whole_number(given.get(key)) for key in _COOLING}
    changes: dict[str, Any] = {key: number for key, number in numbers.items() if number is not None and number <= 100}
    mode = _object(given, "mode")
    if mode.get("name") in FAN_MODES:
        changes["fan_mode"] = mode["name"]
    param = whole_number(mode.get("param"))
    if param is not None and param <= 100:
        changes["fan_param"] = param
    return replace(conf, **changes)


def _misc(conf: Conf, given: Mapping[str, Any]) -> Conf:
    flags = {"remain_stopped_on_reboot": "remain_stopped", "quiet_mode": "quiet_mode", "quick_start": "quick_start"}
    numbers = {"max_startup_delay_time": "startup_delay_s", "restart_temp": "restart_temp"}
    changes: dict[str, Any] = {ours: given[key] for key, ours in flags.items() if isinstance(given.get(key), bool)}
    for key, ours in numbers.items():
        number = whole_number(given.get(key))
        if number is not None and number <= 3600:
            changes[ours] = number
    return replace(conf, **changes)


def _pools(given: Any) -> tuple[Pool, ...] | None:
    if not isinstance(given, list) or len(given) > POOLS:
        return None
    found = []
    for pool in given:
        if not isinstance(pool, dict):
            return None
        url, user, secret = (_text(pool.get(key, "")) for key in ("url", "user", "pass"))
        if url is None or user is None or secret is None:
            return None
        # clients put a scheme before what they read (estimate: the miner drops it)
        found.append(Pool(url.removeprefix("stratum+tcp://"), user, secret))
    return tuple(found)


def _object(given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = given.get(key)
    return found if isinstance(found, dict) else {}


def _text(given: Any) -> str | None:
    return given if isinstance(given, str) and len(given) < _LONGEST else None
