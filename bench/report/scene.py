"""The drawing of one case as plain data: panels, lines, limits, spans and the legend line of each.

Owns the form that templates/report.js reads; what goes into it is decided in `bench/report/plot.py`. Times are seconds
since the profile's time zero, values are in the unit of their panel.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from bench.report.heat import Heat
from bench.report.thin import Coded


@dataclass(frozen=True, slots=True)
class Line:
    """A drawn quantity, one value for each instant of its panel."""

    tag: str
    label: str
    style: str
    values: Coded


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line from start to stop: baseline, committed level, nominal value."""

    tag: str
    style: str
    start: float
    stop: float
    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Edge:
    """A limit band: the quantity must stay within [low, high] from start to stop. The far side is drawn hatched."""

    tag: str
    start: float
    stop: float
    low: float | None
    high: float | None
    outcome: str
    label: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram of the stack."""

    id: str
    label: str
    unit: str
    low: float
    high: float
    t: Coded
    lines: list[Line]
    levels: list[Level] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time across all panels. An instant has start == stop."""

    tag: str
    style: str
    start: float
    stop: float
    label: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of the timeline on top: spans, or ticks for things that only have an instant."""

    label: str
    spans: list[Span]
    ticks: Coded | None = None


@dataclass(frozen=True, slots=True)
class Zoom:
    """A stretch worth a button."""

    label: str
    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class Explained:
    """The legend line of one drawn thing."""

    tag: str
    style: str
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything the page draws for a case, ready for JSON."""

    start: float
    stop: float
    lanes: list[Lane]
    panels: list[Panel]
    zooms: list[Zoom]
    explained: list[Explained]
    heat: Heat | None = None

    def to_json(self) -> dict[str, object]:
        """Without the legend, which the page prints as text."""
        data = asdict(self)
        del data["explained"]
        return data

    @property
    def spans(self) -> list[Span]:
        return [span for lane in self.lanes for span in lane.spans]
