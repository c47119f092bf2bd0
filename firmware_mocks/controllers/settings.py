"""What the reference controller can be told, read from TOML over the documented defaults of reference.toml.

Owns the names, types and ranges of the settings and the error texts; it decides nothing (`decision.py`).
"""

from __future__ import annotations

import difflib
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Way: TypeAlias = Literal["contactor", "firmware"]
"""A way to take load off: open the outlet's contactor, or ask the miner's firmware to sleep."""

DEFAULTS = Path(__file__).with_name("reference.toml")


class ConfigError(ValueError):
    """A setting that cannot be used; the message names file, key, value and remedy."""


@dataclass(frozen=True, slots=True)
class Frequency:
    """When the meter's frequency sheds load, and how much. `full_hz` None means everything at `trip_hz`."""

    follow: bool
    trip_hz: float
    steps: int
    full_within_s: float
    confirm_readings: int
    full_hz: float | None = None


@dataclass(frozen=True, slots=True)
class Dispatch:
    """How the operator's set-point is followed, and where it is read: the block, or the feed over HTTP.

    `dead_s` None: the last word of a silent one holds for ever.
    """

    follow: bool
    source: Literal["dispatch", "rest"]
    full_within_s: float
    margin_share: float
    settle_s: float
    failsafe_share: float
    dead_s: float | None = None


@dataclass(frozen=True, slots=True)
class Return:
    """When and in which stages load comes back. `pause_hz` None never interrupts a return."""

    on: Literal["recall", "frequency"]
    above_hz: float
    hold_off_s: float
    min_shed_s: float
    stage_share: float
    stage_interval_s: float
    pause_hz: float | None = None


@dataclass(frozen=True, slots=True)
class Paths:
    """Which ways to shed are open, and what is known of firmware sleep."""

    allowed: tuple[Way, ...]
    firmware_s: float
    sleep_w: float

    def for_deadline(self, full_within_s: float) -> Way:
        """The contactor for what firmware is too slow for; firmware, which is kinder to machines, for the rest."""
        wish: Way = "contactor" if full_within_s < self.firmware_s else "firmware"
        return wish if wish in self.allowed else self.allowed[0]


@dataclass(frozen=True, slots=True)
class Commitment:
    """What was sold. `power_w` None takes the inventory's figure."""

    target_share: float
    power_w: float | None = None


@dataclass(frozen=True, slots=True)
class Poll:
    """How often devices are asked."""

    meter_s: float
    dispatch_s: float
    pdu_s: float
    timeout_s: float
    baseline_s: float


@dataclass(frozen=True, slots=True)
class Retry:
    """How a command is repeated."""

    attempts: int
    backoff_s: float
    backoff_max_s: float
    request_timeout_s: float
    firmware_timeout_s: float
    concurrency: int


@dataclass(frozen=True, slots=True)
class Verify:
    """How long after a shed the meter must show it, by path."""

    contactor_s: float
    firmware_s: float


@dataclass(frozen=True, slots=True)
class Calendar:
    """Windows of local time in which the site is to be down: "2026-07-15T16:30/2026-07-15T16:45" in `zone`."""

    zone: str
    windows: tuple[str, ...]
    lead_s: float
    limit_share: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Where to keep what must outlive a restart. `file` None keeps it in the process."""

    file: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What the world does to the controller, for trials: a restart, and the time of day at its start."""

    down_s: float
    restart_after_s: float | None = None
    utc_at_start: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the controller can be told."""

    frequency: Frequency
    dispatch: Dispatch
    back: Return
    paths: Paths
    commitment: Commitment
    poll: Poll
    retry: Retry
    verify: Verify
    calendar: Calendar
    memory: Memory
    trial: Trial


_TABLES: dict[str, tuple[str, type]] = {
    "frequency": ("frequency", Frequency),
    "dispatch": ("dispatch", Dispatch),
    "return": ("back", Return),
    "paths": ("paths", Paths),
    "commitment": ("commitment", Commitment),
    "poll": ("poll", Poll),
    "retry": ("retry", Retry),
    "verify": ("verify", Verify),
    "calendar": ("calendar", Calendar),
    "memory": ("memory", Memory),
    "trial": ("trial", Trial),
}
_ZERO_ALLOWED = {"min_shed_s", "hold_off_s", "margin_share", "settle_s", "sleep_w", "lead_s", "limit_share"}


def load(source: Settings | Mapping[str, Any] | str | Path | None = None) -> Settings:
    """Settings from a TOML file or an already parsed mapping, over the defaults; ready ones are returned as they are.

    Raises ConfigError for a file that cannot be read and for an unknown, mistyped or impossible setting.
    """
    if isinstance(source, Settings):
        return source
    origin = "config" if source is None or isinstance(source, Mapping) else str(source)
    given: Mapping[str, Any] = {}
    if isinstance(source, Mapping):
        given = source
    elif source is not None:
        try:
            given = tomllib.loads(Path(source).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{origin}: cannot be read ({error.strerror}); give the path of a TOML file") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{origin}: is not TOML: {error}") from error
    defaults = tomllib.loads(DEFAULTS.read_text(encoding="utf-8"))
    _no_stranger(origin, "", given, _TABLES)
    parts: dict[str, Any] = {}
    for table, (attribute, kind) in _TABLES.items():
        own = given.get(table, {})
        if not isinstance(own, Mapping):
            raise ConfigError(f"{origin}: {table} = {own!r} is not a table; write [{table}] and its keys below")
        parts[attribute] = _section(origin, table, kind, defaults[table], own)
    settings = Settings(**parts)
    _check(origin, settings)
    return settings


def _section(origin: str, table: str, kind: type, defaults: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    _no_stranger(origin, f"{table}.", own, hints)
    merged = {**defaults, **own}
    return kind(**{key: _value(f"{origin}: {table}.{key}", key, hints[key], raw) for key, raw in merged.items()})


def _no_stranger(origin: str, prefix: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), list(known), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{origin}: {prefix}{key}: unknown key; {hint}")


def _value(where: str, key: str, hint: Any, raw: object) -> Any:
    if isinstance(hint, types.UnionType):  # an optional number: the key stands or is left out
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if hint is bool:
        if not isinstance(raw, bool):
            raise ConfigError(f"{where} = {raw!r}: write true or false")
        return raw
    if hint is int or hint is float:
        return _number(where, key, hint, raw)
    if hint == tuple[str, ...]:
        if not isinstance(raw, list | tuple) or not all(isinstance(item, str) for item in raw):
            raise ConfigError(f"{where} = {raw!r}: write a list of texts")
        return tuple(raw)
    if typing.get_origin(hint) is tuple:
        choice = typing.get_args(typing.get_args(hint)[0])
        if not isinstance(raw, list | tuple) or not raw:
            raise ConfigError(f"{where} = {raw!r}: write a list of one or more of {', '.join(map(repr, choice))}")
        return tuple(_choice(where, choice, item) for item in raw)
    if hint is str:
        if not isinstance(raw, str):
            raise ConfigError(f"{where} = {raw!r}: write a text")
        return raw
    return _choice(where, typing.get_args(hint), raw)


def _number(where: str, key: str, hint: type, raw: object) -> float | int:
    if isinstance(raw, bool) or not isinstance(raw, int if hint is int else int | float):
        wanted = "a whole number" if hint is int else "a number"
        raise ConfigError(f"{where} = {raw!r}: write {wanted}; its unit stands in the key")
    if not math.isfinite(raw) or raw < 0 or (raw == 0 and key not in _ZERO_ALLOWED):
        raise ConfigError(f"{where} = {raw!r}: must be {'0 or more' if key in _ZERO_ALLOWED else 'above 0'} and finite")
    return hint(raw)  # type: ignore[no-any-return]


def _choice(where: str, allowed: tuple[Any, ...], raw: object) -> Any:
    if raw not in allowed:
        near = difflib.get_close_matches(str(raw), list(allowed), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"write one of {', '.join(map(repr, allowed))}"
        raise ConfigError(f"{where} = {raw!r}: {hint}")
    return raw


def windows(calendar: Calendar) -> list[tuple[datetime, datetime]]:
    """Begin and end of each window, local time. Raises ValueError."""
    found = []
    for text in calendar.windows:
        start, _, stop = text.partition("/")
        begin, end = datetime.fromisoformat(start), datetime.fromisoformat(stop)
        if begin.tzinfo or end.tzinfo or begin >= end:
            raise ValueError(f"{text!r} is no window")
        found.append((begin, end))
    return found


def _check(origin: str, settings: Settings) -> None:
    """Rules between keys."""
    try:
        windows(settings.calendar)
    except ValueError as error:
        raise ConfigError(
            f'{origin}: calendar.windows: {error}; write local times like "2026-07-15T16:30/2026-07-15T16:45"'
        ) from None
    try:
        ZoneInfo(settings.calendar.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError(
            f'{origin}: calendar.zone = "{settings.calendar.zone}": no such time zone; write one like "America/Chicago"'
        ) from None
    if (text := settings.trial.utc_at_start) is not None:
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise ConfigError(
                f'{origin}: trial.utc_at_start = "{text}": is no time; write one like "2026-07-15T21:29:00"'
            ) from None
    frequency, back = settings.frequency, settings.back
    if frequency.full_hz is not None and frequency.full_hz > frequency.trip_hz:
        raise ConfigError(
            f"{origin}: frequency.full_hz = {frequency.full_hz}: lies above trip_hz = {frequency.trip_hz}; "
            "a staircase goes down from trip_hz to full_hz"
        )
    if (frequency.steps > 1) != (frequency.full_hz not in (None, frequency.trip_hz)):
        raise ConfigError(
            f"{origin}: frequency.steps = {frequency.steps} with full_hz = {frequency.full_hz}: a staircase needs "
            f"full_hz below trip_hz = {frequency.trip_hz} and more than one step; a single threshold needs neither"
        )
    if frequency.follow and back.above_hz < frequency.trip_hz:
        raise ConfigError(
            f"{origin}: return.above_hz = {back.above_hz}: lies below frequency.trip_hz = {frequency.trip_hz}; "
            "load would return into the event"
        )
    target_share = settings.commitment.target_share
    if target_share < 1.0:
        raise ConfigError(f"{origin}: commitment.target_share = {target_share}: aims too low; write 1.0 or more")
    if back.stage_share > 1.0:
        raise ConfigError(f"{origin}: return.stage_share = {back.stage_share}: is a fraction; write 1.0 or less")
