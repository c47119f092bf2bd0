"""What goes into a formula and what comes out of it.

Owns the shapes only; the formulas are `bench/services/checks.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.services.deployment import Deployment
from bench.verdict import Band, Measured

IDLE = "the site drew no power before the event"
"""Why there is no share of the level before: a site that was off, or fed power in."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a service file gives a formula, in base units: figures by parameter, and the limit's bounds."""

    figures: Mapping[str, float]
    least: float | None = None
    most: float | None = None

    def __getitem__(self, name: str) -> float:
        return self.figures[name]

    def get(self, name: str) -> float | None:
        """The figure of an optional parameter."""
        return self.figures.get(name)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a formula found. `note` joins the check's sentence; `unproven` says what the run was too short to show.

    `doubtful`: never reached, but within the uncertainty of the trace. `beyond`: outside of the limit by any reading of
    the trace, however uncertain the value itself is.
    """

    measured: Measured
    bands: tuple[Band, ...] = ()
    note: str = ""
    unproven: str = ""
    doubtful: bool = False
    beyond: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """The event gives this check nothing to judge."""

    reason: str


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula with the units of its parameters and of its result."""

    run: Callable[[Deployment, Arguments], Finding | Skip]
    unit: str
    needs: Mapping[str, str]
    takes: Mapping[str, str] = field(default_factory=dict)
