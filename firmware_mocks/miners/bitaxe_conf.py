"""What a Bitaxe is told and what it is: settings of the flash memory, builds of the firmware, boards.

Owns the reading of `bitaxe.toml` and `bitaxe_settings.toml`, and what a PATCH may change; what comes of it is
`bitaxe.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from firmware_mocks.miners.replies import figures, values

FIGURES = figures(__package__, "bitaxe.toml")
METER = values(FIGURES, "meter")
LIMITS = values(FIGURES, "limits")
MODELS = frozenset(key.removesuffix(".device_model") for key in FIGURES if key.endswith(".device_model"))
"""Models with a table of their own in the figures: those that this firmware runs on."""
VALIDATES = 11
"""The first build that looks at what a PATCH says (S: check_settings_and_update appears in v2.11.0)."""
RENAMED_FAN = 11


@dataclass(frozen=True, slots=True)
class Knobs:
    """Parameters of the face; defaults, sources and grades are in the TOML file."""

    build: str
    reply_ns: int
    scan_ns: int
    restart_after_ns: int
    private_only: bool
    identify_ns: int
    pool_difficulty: int
    ssid: str
    rssi_dbm: int
    pool_urls: tuple[str, ...] = ("pool-a.example", "pool-b.example")


@dataclass(frozen=True, slots=True)
class Build:
    """One release of the firmware; `rank` is its minor number."""

    version: str
    idf: str
    sockets: int
    lru: bool
    rank: int
    json_messages: bool
    statistics: str

    @property
    def has_identify(self) -> bool:
        """Whether the unit can be asked to say hello (S: since v2.12.0)."""
        return self.rank >= 12

    @property
    def has_pause(self) -> bool:
        """Whether mining can be paused (S: since v2.14.0)."""
        return self.rank >= 14


@dataclass(frozen=True, slots=True)
class Board:
    """One row of the firmware's device table. Voltages in millivolts."""

    device_model: str
    board: str
    color: str
    small_cores: int
    domains: int
    max_power: int
    offset_w: float
    regulator: bool
    frequencies: list[int]
    voltages: list[int]
    full_rpm: list[float]


@dataclass(frozen=True, slots=True)
class Setting:
    """One entry of the flash memory that a PATCH can write. Bounds are of the length for a text."""

    kind: str
    least: int
    most: int
    default: Any
    since: int


@cache
def build(name: str) -> Build:
    """One release. Raises ValueError naming those there are."""
    table = values(FIGURES, name.replace(".", "_"))
    if "sockets" not in table:
        known = ", ".join(key.split(".")[0].replace("_", ".") for key in FIGURES if key.endswith(".sockets"))
        raise ValueError(f"bitaxe: build {name!r} is not known; one of {known}")
    return Build(**table)


@cache
def board(model_id: str) -> Board:
    """The board of one model."""
    return Board(**values(FIGURES, model_id))


@cache
def settings(rank: int) -> Mapping[str, Setting]:
    """All settings of a build."""
    found = {}
    for key, figure in figures(__package__, "bitaxe_settings.toml").items():
        kind, name = key.split(".")
        least, most, default, since = figure.value
        gone = name == "fanspeed" and rank >= RENAMED_FAN
        if since <= rank and not gone:
            found[name] = Setting(kind, least, most, default, since)
    return found


def patched(asked: Mapping[str, Any], rank: int) -> dict[str, Any] | None:
    """What a PATCH changes; None where the build refuses the whole of it. Unknown names are ignored by all builds."""
    known = settings(rank)
    changes = {}
    for name, given in asked.items():
        if name not in known:
            continue
        taken = _checked(known[name], name, given) if rank >= VALIDATES else _careless(known[name], name, given)
        if taken is None and rank >= VALIDATES:
            return None
        if taken is not None:
            changes[name] = taken
    return changes


def _checked(setting: Setting, name: str, given: Any) -> Any:
    """The value as the flash memory takes it; None for a wrong type or one out of range."""
    if setting.kind == "text":
        fits = isinstance(given, str) and setting.least <= len(given.encode()) <= setting.most
        return given if fits else None
    if isinstance(given, bool) and setting.kind == "flag":
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int | float) or not setting.least <= given <= setting.most:
        return None
    if name == "rotation" and given not in (0, 90, 180, 270):
        return None
    return float(given) if name == "frequency" else int(given)


def _careless(setting: Setting, name: str, given: Any) -> Any:
    """Older builds: texts must be texts, everything else is cut to sixteen bits, a text counts as 0; None: ignored."""
    if setting.kind == "text":
        return given if isinstance(given, str) and len(given) <= setting.most else None
    is_number = isinstance(given, int | float) and not isinstance(given, bool) and abs(given) < 2**31
    whole = int(given) if is_number else int(given is True)
    if name == "overheat_mode":
        return 0
    if name in ("coreVoltage", "frequency") and whole <= 0:
        return None
    return whole if name == "displayTimeout" else whole % 65_536
