"""Grid-event profiles: what the grid does over time, as breakpoints or records, and which stretches of it are judged.

Owns the profile file, its library and the way from a file to signals; it plays nothing (`emulator/grid.py`) and judges
nothing. A profile knows no site: dispatch may be a share of nominal power, which `expand` turns into watts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from bench import library
from bench.config import ConfigError, Document, DurationNs, FrequencyHz, Table, load_toml
from bench.facts import ProfileEvent
from bench.profile_csv import CsvTable, read_record
from bench.verdict import Source
from emulator import units
from emulator.seed import Seed
from emulator.timeline import Signal

Grade = Literal["S", "S2", "GK", "D", "T", "M", "estimate"]


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """What a channel carries: unit, legal range, and whether a value holds until the next one or is a corner."""

    unit: str
    low: float
    high: float
    steps: bool = False


CHANNELS: Mapping[str, ChannelKind] = {
    "frequency": ChannelKind("Hz", 0.0, 100.0),
    "voltage": ChannelKind("pu", 0.0, 2.0),
    "dispatch": ChannelKind("W", 0.0, 1e12),
    "recall": ChannelKind("1", 0.0, 65_535.0, steps=True),
    "price": ChannelKind("USD/MWh", -1e6, 1e6, steps=True),
    "solar": ChannelKind("pu", 0.0, 2.0),
}
"""Channels a profile may drive. What a profile leaves out stays at the grid's nominal value."""


class ChannelTable(Table):
    """One `[channel.NAME]`: inline `points` or a `csv` record, not both."""

    points: tuple[Any, ...] | None = None
    csv: CsvTable | None = None
    shape: Literal["linear", "steps"] | None = None


class ChannelsTable(Table):
    frequency: ChannelTable | None = None
    voltage: ChannelTable | None = None
    dispatch: ChannelTable | None = None
    recall: ChannelTable | None = None
    price: ChannelTable | None = None
    solar: ChannelTable | None = None


class EventTable(Table):
    """One `[[event]]`: a stretch that services judge. Without `stop` it lasts to the end of the profile."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    kind: Literal["deployment", "dispatch", "disturbance", "return", "quiet", "linearity"]
    start: DurationNs
    stop: DurationNs | None = None
    label: str = ""
    phase_jitter: DurationNs | None = None


class SourceTable(Table):
    text: str
    grade: Grade


class ProfileFile(Document):
    """The file as a whole. See docs/reference/profile-file.md."""

    title: str
    source: SourceTable
    description: str = ""
    approximation: bool = False
    nominal_frequency: FrequencyHz | None = None
    duration: DurationNs | None = None
    phase_jitter: DurationNs = 0
    channel: ChannelsTable = ChannelsTable()
    event: tuple[EventTable, ...] = ()


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel as read. `relative`: the value is a share of the site's nominal power."""

    signal: Signal
    unit: str
    relative: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """A profile made ready for one site and one seed. Zero is the start of the profile.

    `signals` holds the channels the profile drives, in the units of `RunFacts.signals`. `jitter_ns` says by how much
    the content of each event was moved.
    """

    signals: Mapping[str, Signal]
    events: tuple[ProfileEvent, ...]
    duration_ns: int
    jitter_ns: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile file, read and checked. `jitter_ns` is the largest shift of each event."""

    name: str
    title: str
    description: str
    source: Source
    approximation: bool
    nominal_hz: float | None
    duration_ns: int
    channels: Mapping[str, Channel]
    events: tuple[ProfileEvent, ...]
    jitter_ns: Mapping[str, int]

    def expand(self, nominal_w: float, seed: Seed) -> Timeline:
        """Signals, events and duration for a site of `nominal_w`.

        Each event's content is moved later by a share of its jitter drawn from `seed`, so that no event falls on a
        controller's poll by accident: the grid waits a little longer before the event, and all that follows moves too.
        """
        by_start: dict[int, int] = {}
        for event in self.events:
            wait = int(self.jitter_ns[event.id] * (seed / "profile" / "phase" / event.id).uniform())
            by_start.setdefault(event.start_ns, wait)  # events that begin together stay together
        waits = sorted(by_start.items())

        def moved(instant: int) -> int:
            return instant + sum(wait for start, wait in waits if start <= instant)

        signals = {
            name: _delayed(channel.signal.scaled(nominal_w) if channel.relative else channel.signal, waits)
            for name, channel in self.channels.items()
        }
        events = tuple(
            ProfileEvent(event.id, event.kind, moved(event.start_ns), moved(event.stop_ns), event.label)
            for event in self.events
        )
        jitter_ns = {event.id: by_start[event.start_ns] for event in self.events}
        return Timeline(signals, events, moved(self.duration_ns), jitter_ns)


def load_profile(name: str | Path) -> Profile:
    """Read a profile by its shipped name (`gb_2019_08_09`, `profile:gb_2019_08_09`) or by path.

    Raises ConfigError naming file, key, value and remedy.
    """
    path = name if isinstance(name, Path) else _named(name)
    return _Assembly(load_toml(path, ProfileFile, partial(library.expect, "profile")), path).profile()


def list_profiles() -> tuple[str, ...]:
    """Names of the profiles that ship."""
    return tuple(library.names("profile"))


def _named(name: str) -> Path:
    return library.resolve("profile", f"profile:{name}" if name in list_profiles() else name)


def _delayed(signal: Signal, waits: Sequence[tuple[int, int]]) -> Signal:
    """The signal with a wait put in before each instant of `waits`; it holds its value meanwhile."""
    for start, wait in reversed(waits):
        if wait == 0:
            continue
        before = signal.t_ns < start
        held = _value_before(signal, start)
        signal = Signal(
            np.concatenate([signal.t_ns[before], [start, start + wait], signal.t_ns[~before] + wait]),
            np.concatenate([signal.value[before], [held, held], signal.value[~before]]),
        )
    return signal


def _value_before(signal: Signal, instant: int) -> float:
    """The value just before `instant`: at a step, the one that ends there."""
    index = int(np.searchsorted(signal.t_ns, instant, side="left"))
    if index < signal.t_ns.size and signal.t_ns[index] == instant:
        return float(signal.value[index])
    return signal.at(instant)


@dataclass(frozen=True, slots=True)
class _Assembly:
    """From the validated file to a Profile: everything that needs more than one key to be checked."""

    table: ProfileFile
    path: Path

    def profile(self) -> Profile:
        channels = dict(self._channels())
        duration = self._duration(channels)
        for name, channel in channels.items():
            self._ends(name, channel, duration)
        events = tuple(self._events(duration))
        jitter = self.table.phase_jitter
        return Profile(
            name=self.path.stem,
            title=self.table.title,
            description=self.table.description,
            source=Source(self.table.source.text, self.table.source.grade),
            approximation=self.table.approximation,
            nominal_hz=self.table.nominal_frequency,
            duration_ns=duration,
            channels=channels,
            events=events,
            jitter_ns={e.id: jitter if e.phase_jitter is None else e.phase_jitter for e in self.table.event},
        )

    def _channels(self) -> Iterator[tuple[str, Channel]]:
        for name, kind in CHANNELS.items():
            table: ChannelTable | None = getattr(self.table.channel, name)
            if table is not None:
                channel = self._channel(name, kind, table)
                self._in_range(name, kind, channel)
                yield name, channel

    def _channel(self, name: str, kind: ChannelKind, table: ChannelTable) -> Channel:
        key = f"channel.{name}"
        if (table.points is None) == (table.csv is None):
            raise self._bad(key, "has both points and csv" if table.csv else "is empty", "give either points or csv")
        steps = kind.steps if table.shape is None else table.shape == "steps"
        if table.csv is not None:
            relative = name == "dispatch" and table.csv.unit in ("%", "pu")
            unit = "fraction" if relative else kind.unit
            record = read_record(table.csv, self.path.parent, unit, f"{self.path}: {key}.csv")
            t_ns, value = (record.t_ns + table.csv.at).tolist(), record.value.tolist()
        else:
            t_ns, value, relative = self._points(key, name, kind, table.points or ())
        if steps:
            return Channel(Signal.steps(list(zip(t_ns, value, strict=True))), kind.unit, relative)
        return Channel(Signal(t_ns, value), kind.unit, relative)

    def _points(
        self, key: str, name: str, kind: ChannelKind, points: Sequence[Any]
    ) -> tuple[list[int], list[float], bool]:
        t_ns: list[int] = []
        value: list[float] = []
        shares: set[bool] = set()
        for index, point in enumerate(points):
            where = f"{key}.points[{index}]"
            if not isinstance(point, tuple) or len(point) != 2:
                raise self._bad(where, f"{point!r} is no point", f'write ["10 s", "{_example(kind.unit)}"]')
            share = name == "dispatch" and str(point[1]).rstrip().endswith(("%", "pu"))
            try:
                instant = units.duration_ns(point[0])
                value.append(units.parse(point[1], "fraction" if share else kind.unit))
            except units.UnitError as error:
                raise ConfigError(f"{self.path}: {where}: {error}") from None
            if t_ns and instant < t_ns[-1]:
                raise self._bad(where, f"{point[0]!r} comes before the point above it", "put the points in order")
            t_ns.append(instant)
            shares.add(share)
        if not t_ns:
            raise self._bad(f"{key}.points", "is empty", "give at least one point")
        if len(shares) > 1:
            raise self._bad(f"{key}.points", "mixes watts and shares of nominal power", "write all in % or all in W")
        return t_ns, value, shares == {True}

    def _in_range(self, name: str, kind: ChannelKind, channel: Channel) -> None:
        low, high = float(channel.signal.value.min()), float(channel.signal.value.max())
        if not kind.low <= low <= high <= kind.high:
            wrong = low if low < kind.low else high
            raise self._bad(
                f"channel.{name}", f"{wrong:g} {kind.unit} is outside {kind.low:g}..{kind.high:g}", "check the unit"
            )
        if name == "recall" and (np.any(channel.signal.value % 1) or np.any(np.diff(channel.signal.value) < 0)):
            raise self._bad("channel.recall", "counts messages", "give whole numbers that never go down")

    def _duration(self, channels: Mapping[str, Channel]) -> int:
        ends = [int(channel.signal.t_ns[-1]) for channel in channels.values()]
        ends += [event.stop or event.start for event in self.table.event]
        duration = max(ends, default=0) if self.table.duration is None else self.table.duration
        if duration == 0:
            raise self._bad("duration", "the profile lasts no time", 'give a duration, for example "60 s"')
        return duration

    def _ends(self, name: str, channel: Channel, duration: int) -> None:
        """A record must last as long as the profile, points must not lie beyond its end."""
        table: ChannelTable = getattr(self.table.channel, name)
        last = int(channel.signal.t_ns[-1])
        if table.csv is None and last > duration:
            raise self._bad(
                f"channel.{name}.points", f"the last is at {last / 1e9:g} s, after the end at {duration / 1e9:g} s",
                "lengthen duration or remove it",
            )  # fmt: skip
        if table.csv is not None and last < duration and not table.csv.hold_last:
            raise self._bad(
                "duration", f"{duration / 1e9:g} s is longer than the record {table.csv.file}, which ends at "
                f"{last / 1e9:g} s", f"shorten it, or set channel.{name}.csv.hold_last = true",
            )  # fmt: skip

    def _events(self, duration: int) -> Iterator[ProfileEvent]:
        seen: set[str] = set()
        for index, event in enumerate(self.table.event):
            key = f"event[{index}]"
            if event.id in seen:
                raise self._bad(f"{key}.id", f'"{event.id}" is used twice', "give each event its own id")
            seen.add(event.id)
            stop = duration if event.stop is None else event.stop
            if stop < event.start:
                raise self._bad(f"{key}.stop", "the event stops before it starts", "exchange start and stop")
            if stop > duration:
                raise self._bad(
                    f"{key}.stop", f"{stop / 1e9:g} s is after the end of the profile at {duration / 1e9:g} s",
                    "lengthen duration",
                )  # fmt: skip
            yield ProfileEvent(event.id, event.kind, event.start, stop, event.label)

    def _bad(self, key: str, what: str, remedy: str) -> ConfigError:
        return ConfigError(f"{self.path}: {key}: {what}; {remedy}")


def _example(unit: str) -> str:
    return {"Hz": "59.85 Hz", "pu": "0.9 pu", "W": "40 %", "1": "1", "USD/MWh": "35 USD/MWh"}[unit]
