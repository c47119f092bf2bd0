"""Faults as data: what goes wrong where, from when to when, and with which parameters.

Owns the matching of ids, the seeds and the reading of fault tables. The kinds are `emulator/fault_kinds.py`'s; what one
does is in `emulator/faulty_link.py` (connections, replies) and `emulator/faulty_site.py` (miners, outlets, feeders).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TypeAlias

from emulator.fault_kinds import FILTERS, KINDS, FaultError, Kind, Parameter, Type, Value, kind_named, near, spans
from emulator.seed import Seed
from emulator.units import UnitError, duration_ns
from emulator.wire import Instant

__all__ = [
    "KINDS", "Dice", "Fault", "FaultError", "FaultHook", "FaultPlan", "Kind", "Parameter", "Type", "Value",
    "read_fault", "seeds_of",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `kind` at every id that the glob `where` matches, in [start_ns, stop_ns); without a stop, for good.

    `parameters` holds plain numbers under the names that code sees (`delay_ns`); what is left out has its default.
    Raises FaultError for an unknown kind or parameter, a value out of range, or a window that is empty or before the
    run.
    """

    where: str
    kind: str
    start_ns: Instant = 0
    stop_ns: Instant | None = None
    parameters: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kind = kind_named(self.kind)
        for name, value in self.parameters.items():
            parameter = kind.parameters.get(name)
            if parameter is None:
                raise FaultError(f"{self.kind}: unknown parameter {name!r}; {near(name, kind.parameters)}")
            refusal = parameter.refusal(value)
            if refusal is not None:
                raise FaultError(f"{self.kind}: {parameter.key}: {refusal}")
        if self.start_ns < 0:
            raise FaultError(f"{self.kind}: start: {self.start_ns} ns lies before the run; 0 is its beginning")
        if self.stop_ns is not None and self.stop_ns <= self.start_ns:
            raise FaultError(
                f"{self.kind}: stop: {self.stop_ns} ns is not after start, {self.start_ns} ns; move it or leave it out"
            )
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))

    @property
    def boundary(self) -> str:
        """Where it bites: link, device, meter, signal or site."""
        return KINDS[self.kind].boundary

    def active(self, now: Instant) -> bool:
        """Whether `now` lies in its window."""
        return self.start_ns <= now and (self.stop_ns is None or now < self.stop_ns)

    def hits(self, target: str) -> bool:
        """Whether `where` matches this id."""
        return fnmatchcase(target, self.where)

    def number(self, name: str) -> float:
        """A numeric parameter, or its default."""
        return float(self.text(name))

    def nanoseconds(self, name: str) -> int:
        """A duration or count, or its default."""
        return int(self.text(name))

    def text(self, name: str) -> Value:
        """A parameter, or its default. Raises KeyError for a name that the kind does not have."""
        return self.parameters.get(name, KINDS[self.kind].parameters[name].default)

    def globs(self, name: str) -> tuple[str, ...]:
        """A list of globs, or its default."""
        return tuple(str(self.text(name)).split())

    def spans(self, name: str) -> tuple[range, ...]:
        """Numbers, or the default; empty for all of them."""
        return spans(str(self.text(name)))

    def lets_by(self, filter_name: str, names: Iterable[str]) -> bool:
        """Whether a filter ("ports", "requests") keeps the fault off something known by these names."""
        if filter_name not in KINDS[self.kind].parameters:
            return False
        globs = self.globs(filter_name)
        return "*" not in globs and not any(fnmatchcase(name, glob) for name in names for glob in globs)

    @property
    def is_narrow(self) -> bool:
        """Whether a filter keeps it off some requests."""
        given = self.parameters
        return any(given.get(name, "*") != "*" for name in FILTERS if name != "ports" and name in given)

    def record(self) -> dict[str, object]:
        """The fault as plain JSON values, for the run's record."""
        return {
            "where": self.where, "kind": self.kind, "boundary": self.boundary,
            "start_ns": self.start_ns, "stop_ns": self.stop_ns, "parameters": dict(self.parameters),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All faults of a run and the seed their draws come from."""

    faults: tuple[Fault, ...]
    seed: Seed

    def __init__(self, faults: Sequence[Fault], seed: Seed) -> None:
        object.__setattr__(self, "faults", tuple(faults))
        object.__setattr__(self, "seed", seed / "faults")

    def of(self, target: str, sort: str) -> tuple[Fault, ...]:
        """The faults that hit this id, a thing of this sort ("miner", "meter", ...), in the plan's order."""
        return tuple(f for f in self.faults if sort in KINDS[f.kind].targets and f.hits(target))

    def aimed(self, target: str, sort: str, *also: str) -> list[tuple[Fault, Seed]]:
        """The faults that hit this id, or one of the ids in `also` that stand for it, each with its seed there."""
        faults = [
            f for f in self.faults if sort in KINDS[f.kind].targets and any(f.hits(name) for name in (target, *also))
        ]
        return list(zip(faults, seeds_of(faults, self.seed_of(target)), strict=True))

    def seed_of(self, target: str) -> Seed:
        """The seed of everything drawn for this id: no other id and no fault elsewhere changes it."""
        return self.seed / target

    def check(self, targets: Iterable[str] | Mapping[str, str]) -> None:
        """Make sure that every fault hits something; where `targets` maps ids to their sorts, something it can hit.

        Raises FaultError naming the fault, with a near match.
        """
        sorts = targets if isinstance(targets, Mapping) else None
        ids = list(targets)
        for index, fault in enumerate(self.faults):
            hit = [target for target in ids if fault.hits(target)]
            if not hit:
                raise FaultError(
                    f"faults[{index}].where: {fault.where!r} matches nothing; {_near_glob(fault.where, ids)}"
                )
            fits = KINDS[fault.kind].targets
            if sorts is not None and not any(sorts[target] in fits for target in hit):
                raise FaultError(
                    f"faults[{index}].where: {fault.where!r} matches {hit[0]!r}, a {sorts[hit[0]]}; "
                    f"{fault.kind!r} needs a {' or '.join(fits)}"
                )
            if "other" in KINDS[fault.kind].parameters and fault.text("other") not in ids:
                other = str(fault.text("other"))
                raise FaultError(f"faults[{index}].other: {other!r} is nothing of the rig; {near(other, ids[:1000])}")

    def record(self) -> list[dict[str, object]]:
        """All faults as plain JSON values."""
        return [fault.record() for fault in self.faults]


FaultHook: TypeAlias = Callable[[Instant, Fault, str], object]
"""Hears (instant, fault, id of what it hit) whenever a fault does something."""


class Dice:
    """The draws of one fault at one target, in order: the n-th draw is the same whatever the draws are used for."""

    __slots__ = ("_drawn", "_seed")

    def __init__(self, seed: Seed) -> None:
        self._seed = seed
        self._drawn = 0

    def share(self) -> float:
        """A uniform draw in (0, 1)."""
        self._drawn += 1
        return float(self._seed.uniforms(1, start=self._drawn)[0])

    def hit(self, fault: Fault) -> bool:
        """Whether the fault strikes this time."""
        return self.share() < fault.number("probability")

    def data(self, size: int) -> bytes:
        """Random bytes."""
        self._drawn += 1
        return (self._seed / self._drawn).rng().bytes(size)


def seeds_of(faults: Iterable[Fault], seed: Seed) -> list[Seed]:
    """A seed for each of one target's faults, by kind, glob and how many like it came before."""
    seen: dict[tuple[str, str], int] = {}
    seeds = []
    for fault in faults:
        key = (fault.kind, fault.where)
        seen[key] = seen.get(key, 0) + 1
        seeds.append(seed / fault.kind / fault.where / seen[key])
    return seeds


def read_fault(raw: Mapping[str, object], place: str) -> Fault:
    """A fault as people write it: `{where, kind, start, stop}` and the kind's parameters, quantities with units.

    Raises FaultError that begins with `place` ("cases/x.toml: faults[2]").
    """
    rest = dict(raw)
    where, kind_name = rest.pop("where", None), rest.pop("kind", None)
    for key, given in (("where", where), ("kind", kind_name)):
        if not isinstance(given, str) or not given:
            raise FaultError(f"{place}.{key}: {given!r} is not text; every fault names where it strikes and its kind")
    try:
        kind = kind_named(str(kind_name))
        start = _instant("start", rest.pop("start", "0 s"))
        stop = _instant("stop", rest.pop("stop")) if "stop" in rest else None
        return Fault(str(where), kind.name, start, stop, _read_parameters(kind, rest))
    except FaultError as error:
        raise FaultError(f"{place}: {error}") from None


def _instant(key: str, text: object) -> Instant:
    try:
        return duration_ns(text)
    except UnitError as error:
        raise FaultError(f"{key}: {error}") from None


def _read_parameters(kind: Kind, raw: Mapping[str, object]) -> dict[str, Value]:
    by_key = {p.key: p for p in kind.parameters.values()}
    found: dict[str, Value] = {}
    for key, text in raw.items():
        if key not in by_key:
            raise FaultError(f"{kind.name}: unknown key {key!r}; {near(key, [*by_key, 'start', 'stop'])}")
        try:
            found[by_key[key].name] = by_key[key].read(text)
        except UnitError as error:
            raise FaultError(f"{kind.name}: {key}: {error}") from None
    return found


def _near_glob(where: str, ids: Sequence[str]) -> str:
    """A glob with the same wild cards that does match something, else the nearest id."""
    stem = where.partition("*")[0]
    stems = sorted({target[: len(stem)] for target in ids} | {target[: len(stem) + 1] for target in ids})
    for close in difflib.get_close_matches(stem, stems, n=3, cutoff=0.6):
        proposed = close + where[len(stem) :]
        if any(fnmatchcase(target, proposed) for target in ids):
            return f"did you mean {proposed!r}?"
    return near(where, ids[:1000])
