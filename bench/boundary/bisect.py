"""The boundary of a check: up to which value it passes and from which it fails, found by bisection.

Owns the search and what is demanded of its end: the flips lie within the stated uncertainty of the limit. It knows no
formula (`answers.py`) and judges nothing itself (`bench/judge.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from bench.boundary.answers import ANSWERS, COUNTS, Case, size_for, span_of
from bench.boundary.site import facts
from bench.judge import Rule, judge
from bench.rounding import COVERAGE
from bench.services import list_services, load_service
from bench.services.model import Check, Figure, Service
from bench.verdict import Outcome, Quantity

_STEPS = 13
"""Halvings: from 20 % around a limit to a twenty-thousandth of it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One value that was tried, in the unit of the limit, and what came of it."""

    value: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Boundary:
    """What bisection found on one bound of one check. Values are in the limit's unit.

    `flips` is where the measured value crosses the limit, `u` its standard uncertainty as stated there. Under the
    guarded rule `passes` is the last value that passed, `fails` the first that failed. `resolution` is how near the
    search came.
    """

    service: str
    check: str
    side: str
    """`low` or `high`."""
    limit: float
    unit: str
    flips: float
    passes: float
    fails: float
    u: float
    resolution: float
    probes: tuple[Probe, ...]

    @property
    def name(self) -> str:
        """service.check, as in a kill matrix."""
        return f"{self.service}.{self.check}"

    @property
    def kills(self) -> bool:
        """Whether the check was made to fail, and to pass."""
        return {Outcome.PASS, Outcome.FAIL} <= {probe.outcome for probe in self.probes}

    @property
    def expanded(self) -> float:
        """The stated uncertainty, k = 2, and the resolution of the search."""
        return COVERAGE * self.u + 2 * self.resolution

    @property
    def holds(self) -> bool:
        """Whether the verdict flips within the stated uncertainty of the limit, and the guard band is as wide as that.

        A guard band of one expanded uncertainty around a flip that is off by up to one more: two in all.
        """
        sign = 1.0 if self.side == "high" else -1.0
        inside, outside = sign * (self.limit - self.passes), sign * (self.fails - self.limit)
        slack = 2 * self.resolution
        near = abs(self.flips - self.limit) <= self.expanded
        guarded = all(-slack <= distance <= 2 * self.expanded for distance in (inside, outside))
        return near and guarded

    def to_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "check": self.name, "side": self.side, "limit": self.limit, "unit": self.unit, "passes_to": self.passes,
            "flips_at": self.flips, "fails_from": self.fails, "u": self.u, "resolution": self.resolution,
            "holds": self.holds,
        }  # fmt: skip


def bounds(names: Iterable[str] | None = None) -> Iterator[tuple[Service, Check, str, Figure]]:
    """Every bound of every check of the services (those that ship, by default)."""
    for name in list_services() if names is None else names:
        service = load_service(name)
        for check in service.checks:
            for side, figure in (("low", check.low), ("high", check.high)):
                if figure is not None:
                    yield service, check, side, figure


def families() -> Iterator[tuple[Service, Check, str, Figure]]:
    """One bound for each formula that ships, the first."""
    seen: set[str] = set()
    for bound in bounds():
        formula = bound[1].formula
        if formula not in seen:
            seen.add(formula)
            yield bound


def found(service: str, check: str, side: str) -> Boundary:
    """The boundary of one bound that ships, by names: what is given to another process."""
    mine = (bound for bound in bounds([service]) if (bound[1].id, bound[2]) == (check, side))
    return boundary(*next(mine))


def boundary(service: Service, check: Check, side: str, figure: Figure) -> Boundary:
    """Bisect both flips of one bound."""
    search = _Search(service, check, side, figure)
    span = span_of(check, figure.value) / figure.factor
    sign = 1.0 if side == "high" else -1.0
    good, bad = search.usable(figure.shown - sign * span), figure.shown + sign * span
    if check.formula in COUNTS:
        good = figure.shown
    last_inside, first_outside = search.flip(good, bad, Outcome.FAIL, "simple")
    u = max(search.uncertainty(last_inside), search.uncertainty(first_outside))
    last_pass, not_pass = search.flip(good, bad, Outcome.INCONCLUSIVE, "guarded")
    last_alive, first_fail = search.flip(last_pass, bad, Outcome.FAIL, "guarded")
    if check.formula in COUNTS:
        resolution = 0.5
    else:
        resolution = max(abs(first_outside - last_inside), abs(not_pass - last_pass), abs(first_fail - last_alive))
    flips = (last_inside + first_outside) / 2
    return Boundary(
        service.id, check.id, side, figure.shown, figure.shown_unit, flips, last_pass, first_fail, u, resolution,
        tuple(search.probes),
    )  # fmt: skip


class _Search:
    """The outcomes of one check at values of its knob, in the unit of the limit."""

    def __init__(self, service: Service, check: Check, side: str, figure: Figure) -> None:
        self._service = replace(service, checks=(check,))
        self._check, self._figure = check, figure
        self._case = Case(check, size_for(check))
        self._u: dict[float, float] = {}
        self.probes: list[Probe] = []

    def usable(self, shown: float) -> float:
        """A value that the site can be told: times, counts and watts are not negative."""
        return max(shown, 0.0) if self._figure.unit in ("s", "1", "W") else shown

    def uncertainty(self, shown: float) -> float:
        """The standard uncertainty stated where the site's answer was `shown`; infinite where none was."""
        return self._u.get(shown, math.inf)

    def flip(self, good: float, bad: float, worse: Outcome, rule: Rule) -> tuple[float, float]:
        """The last value with an outcome better than `worse`, and the first without; twice `bad` where none flips."""
        if self._outcome(good, rule) >= worse or self._outcome(bad, rule) < worse:
            return bad, bad
        for _ in range(0 if self._check.formula in COUNTS else _STEPS):
            middle = (good + bad) / 2
            good, bad = (middle, bad) if self._outcome(middle, rule) < worse else (good, middle)
        return good, bad

    def _outcome(self, shown: float, rule: Rule) -> Outcome:
        answer = ANSWERS[self._check.formula](self._case, shown * self._figure.factor)
        run = facts(self._service, self._check.kinds[0], answer, self._case.size)
        result = next((one for one in judge(run, [self._service], rule=rule).checks if one.event == "event"), None)
        if result is None or result.outcome is Outcome.DONE:
            return Outcome.ERROR  # judged nothing: no boundary is to be found here
        if isinstance(result.measured, Quantity):
            self._u[shown] = result.measured.u
        if rule == "guarded":
            self.probes.append(Probe(shown, result.outcome))
        return result.outcome
