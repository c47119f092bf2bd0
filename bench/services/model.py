"""A market rule as values: its figures with their sources, its clock, its checks.

Owns the shapes; the files are read by `bench/services/files.py`, the formulas are `bench/services/checks.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.verdict import Source

STRENGTH: Mapping[str, int] = {"S": 0, "T": 0, "M": 0, "S2": 1, "D": 2, "GK": 3, "estimate": 4}
"""Grades by falling strength: found in a source, tested, measured; secondary; derived; generally known; estimated."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a rule. `shown` and `shown_unit` are as the file has them, `value` is in the base unit `unit`.

    `method`: the number is the bench's own way of measuring, no part of the rule; it does not weaken a check's grade.
    """

    name: str
    shown: float
    shown_unit: str
    value: float
    unit: str
    source: Source
    method: bool = False

    @property
    def factor(self) -> float:
        """Base units in one shown unit."""
        return FACTORS[self.shown_unit][1]

    def __str__(self) -> str:
        return f"{self.shown:g} {self.shown_unit}"


FACTORS: Mapping[str, tuple[str, float]] = {
    "Hz": ("Hz", 1.0),
    "mHz": ("Hz", 1e-3),
    "ms": ("s", 1e-3),
    "s": ("s", 1.0),
    "min": ("s", 60.0),
    "h": ("s", 3600.0),
    "%": ("fraction", 0.01),
    "%/s": ("1/s", 0.01),
    "W": ("W", 1.0),
    "kW": ("W", 1e3),
    "MW": ("W", 1e6),
    "pu": ("pu", 1.0),
    "times": ("1", 1.0),
    "miners": ("1", 1.0),
    "requests": ("1", 1.0),
}
"""Units a figure may be written in, with the base unit and the factor to it."""


@dataclass(frozen=True, slots=True)
class Clock:
    """When a service's obligation begins and ends.

    `starts`: the frequency falls to `level` (or leaves it, `strict`), the dispatched power falls, or the event begins.
    `reaches` and `within`: the frequency must get that low that soon, else the event is not the test this rule means.
    `release`: the recall message, the frequency back at `release_level` (and there for `release_for`), the dispatch
    raised, or the event's end.
    `baseline`: power before this event, or before the first event of the run.
    """

    starts: Literal["frequency", "dispatch", "event"]
    release: Literal["recall", "recall_or_event", "frequency", "dispatch", "event"]
    level: Figure | None = None
    strict: bool = False
    reaches: Figure | None = None
    within: Figure | None = None
    release_level: Figure | None = None
    release_for: Figure | None = None
    baseline: Literal["event", "run"] = "event"


@dataclass(frozen=True, slots=True)
class Check:
    """One judged quantity: a formula, the figures it takes, its limit, and its clock. `kinds`: the events it is for."""

    id: str
    title: str
    sentence: str
    formula: str
    figures: Mapping[str, Figure]
    low: Figure | None
    high: Figure | None
    kinds: tuple[str, ...]
    clock: Clock

    @property
    def source(self) -> Source:
        """Where the check's figures come from, with the weakest grade among those that are part of the rule."""
        clock = self.clock
        used = [*self.figures.values(), self.low, self.high, clock.level, clock.reaches, clock.within]
        return weakest(figure for figure in used if figure is not None)


@dataclass(frozen=True, slots=True)
class Service:
    """A market service: what a site that has sold it must do, and how that is judged."""

    id: str
    title: str
    market: str
    summary: str
    nominal_hz: float | None
    kinds: tuple[str, ...]
    clock: Clock
    checks: tuple[Check, ...]
    not_judged: tuple[str, ...] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)


def weakest(figures: Iterable[Figure]) -> Source:
    """One source for several figures: texts without repetition, weakest first, and the weakest grade."""
    ordered = sorted(figures, key=lambda figure: (-STRENGTH[figure.source.grade], figure.method))
    rule = [figure for figure in ordered if not figure.method] or ordered
    texts = [f"{figure.source.text} ({figure.source.grade})" for figure in rule]
    return Source("; ".join(dict.fromkeys(texts)), rule[0].source.grade if rule else "estimate")
