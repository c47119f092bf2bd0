"""Which services a machine can judge in real time: what the bench itself adds to a reaction, against the rule's time.

Owns the rule and no measuring; it is pure. Lateness is graded by the very gates of a run (`bench/judge.py`), so that
the doctor never calls fit what a run on the same machine calls suspect.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from bench import measure
from bench.facts import Series
from bench.judge import punctuality
from bench.rig_file import AnalyserTable
from bench.rounding import COVERAGE
from bench.verdict import Quantity, Validity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.doctor.spread import Spread
    from bench.services.model import Figure, Service
    from bench.verdict import Gate

CLEARLY, BARELY = 10.0, 4.0
"""How many times the doubt the rule's time must be, to be judged well, and at all: the two ratios of tolerance to
uncertainty that calibration laboratories go by, ten to one and four to one (ANSI/NCSL Z540). GK"""
_S = 1e9


class Fit(StrEnum):
    """Whether a service can be judged in real time."""

    YES = "yes"
    JUST = "only just"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Judged:
    """What the rule says of one service.

    `check` and `limit_s` are its tightest time; None where the service names none. `times` is how many times
    `doubt_s` that is.
    """

    service: str
    check: str | None
    limit_s: float | None
    doubt_s: float
    times: float | None
    fit: Fit
    why: str


def doubt_s(lateness: Spread, trip: Spread) -> float:
    """What the bench is in doubt of a reaction by, seconds: its timers, a round trip, and what the verdict allows."""
    return (lateness.p99_ns + trip.p99_ns) / _S + COVERAGE * instant_u_s()


def instant_u_s() -> float:
    """Standard uncertainty of the instant of a step, seconds, seen by the analyser of a rig that says nothing else."""
    analyser = AnalyserTable()
    step_ns, window_ns = round(_S / analyser.rate), analyser.window
    t_ns = np.arange(0, 20 * window_ns, step_ns, dtype=np.int64)
    at_ns = 10 * window_ns + step_ns // 2
    share = np.clip((t_ns + window_ns / 2 - at_ns) / window_ns, 0.0, 1.0)
    found = measure.reach_time(Series(t_ns, share, window_ns=window_ns), 0, int(t_ns[-1]), 0.95)
    assert isinstance(found, Quantity)  # noqa: S101 the step is in the middle of the series
    return found.u


def tightest(service: Service) -> tuple[str, Figure] | None:
    """The check with the shortest time that the service's rule names, and that time."""
    found = [
        (check.id, figure)
        for check in service.checks
        for figure in (*check.figures.values(), check.low, check.high)
        if figure is not None and figure.unit == "s" and not figure.method and figure.value > 0
    ]
    return min(found, key=lambda one: one[1].value, default=None)


def gates(lateness: Spread) -> tuple[Gate, Gate]:
    """What a run that was so late would say of itself."""
    return punctuality(lateness.p99_ns, lateness.max_ns)


def judged(services: Sequence[Service], lateness: Spread, trip: Spread) -> list[Judged]:
    """Every service, by its tightest time against what the bench is in doubt of; no better than a run's own gates."""
    doubt, late = doubt_s(lateness, trip), gates(lateness)
    worst = max(late, key=lambda gate: gate.validity)
    return [_judged(service, doubt, worst) for service in services]


def _judged(service: Service, doubt: float, worst: Gate) -> Judged:
    found = tightest(service)
    check, limit_s = (None, None) if found is None else (found[0], found[1].value)
    times = None if limit_s is None else limit_s / doubt
    fit, why = Fit.YES, "the rule names no time" if found is None else ""
    if times is not None and times < CLEARLY:
        fit = Fit.JUST if times >= BARELY else Fit.NO
        why = f"{CLEARLY if fit is Fit.JUST else BARELY:g} times are needed"
    if worst.validity is not Validity.VALID:
        fit = Fit.NO if fit is Fit.NO or worst.validity is Validity.VOID else Fit.JUST
        why = f"a run would be {worst.validity.name}"
    return Judged(service.id, check, limit_s, doubt, times, fit, why)
