"""A site on paper whose answer is known exactly: power as a signal, seen by the analyser of a run, in a run's facts.

Owns the way from a programmed answer to `RunFacts`; what is programmed stands in `answers.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.facts import Occurrence, Phases, ProfileEvent, RunFacts, Series
from bench.record import Truth
from bench.services.model import Service
from emulator.timeline import SegmentLog, Signal

S = 10**9
ZERO_S = 20.0
"""When the event begins: the level before it is measured until then."""
MOST_SAMPLES = 8_000
_BEFORE_S = -10.0
"""A first event of the run, for rules that compare with the level before it."""

Points = Sequence[tuple[float, float]]
"""(seconds after the event begins, share of what was asked that is delivered), straight lines between; two at one
instant are a step."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the site does: its delivery, and what else a check may look at. Times count from the event's begin, seconds.

    `release_s`: when the grid lets go; `stop_s`: the event's end; `end_s`: the recording's.
    """

    delivery: Points
    stop_s: float
    end_s: float
    release_s: float = np.inf
    signals: Mapping[str, Points] = field(default_factory=dict)
    conduct: Mapping[str, float] = field(default_factory=dict)
    busiest: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    phases: Phases | None = None
    occurrences: tuple[Occurrence, ...] = ()


@dataclass(frozen=True, slots=True)
class Size:
    """How large the site is, and how good its analyser: standard uncertainty as a share of nominal power."""

    nominal_w: float = 650e3
    commitment_w: float = 400e3
    accuracy: float = 0.001
    rate_hz: float = 1000.0
    window_ns: int = 10_000_000


def facts(service: Service, kind: str, answer: Answer, size: Size) -> RunFacts:
    """The facts of a run in which the grid called `service` by an event of `kind` and the site gave this answer."""
    end_ns = _ns(answer.end_s)
    nominal_hz = service.nominal_hz or 60.0
    signals = {name: _signal(points) for name, points in _grid(service, answer, size, nominal_hz).items()}
    return RunFacts(
        run_id="boundary",
        title="a site on paper",
        power=_power(answer, end_ns, size),
        signals=signals,
        events=(
            ProfileEvent("before", "quiet", _ns(_BEFORE_S), _ns(_BEFORE_S) + S),
            ProfileEvent("event", kind, _ns(0.0), min(_ns(answer.stop_s), end_ns)),
        ),
        armed_ns=0,
        stop_ns=end_ns,
        nominal_hz=nominal_hz,
        nominal_w=size.nominal_w,
        commitment_w=size.commitment_w,
        complete=True,
        contacts={"meter": 1},
        conduct=answer.conduct,
        busiest=answer.busiest,
        phases=answer.phases,
        occurrences=answer.occurrences,
    )


def _power(answer: Answer, end_ns: int, size: Size) -> Series:
    """Consumption as the analyser of a run samples it, by the recorder's own function."""
    drawn = [(at, size.nominal_w - size.commitment_w * share) for at, share in answer.delivery]
    log = SegmentLog(1)
    log.append(np.zeros(1, np.int64), tau_s=1.0)
    truth = Truth(log, np.ones(1), np.ones(1), ("site",), [(_signal(drawn), 1.0)], 0.0)
    rate_hz = min(size.rate_hz, MOST_SAMPLES * S / end_ns)
    power = truth.power(0, end_ns, rate_hz, size.window_ns)
    return Series(power.t_ns, power.value, "W", power.window_ns, size.accuracy * size.nominal_w)


def _grid(service: Service, answer: Answer, size: Size, nominal_hz: float) -> dict[str, Points]:
    """What calls the service at zero, and releases it."""
    clock, back = service.clock, answer.release_s
    grid: dict[str, Points] = {"frequency": [(0.0, nominal_hz)], "dispatch": [(0.0, size.nominal_w)]}
    if clock.starts == "frequency" and clock.level is not None:
        level = clock.level.value
        before = level if clock.strict else nominal_hz
        low = clock.reaches.value if clock.reaches is not None else level - 0.1
        fall_s = clock.within.value * 0.8 if clock.within is not None else 0.0
        grid["frequency"] = [(0.0, before), (fall_s, low)] if fall_s else [(0.0, before), (0.0, low)]
        if clock.release == "frequency" and np.isfinite(back) and clock.release_level is not None:
            grid["frequency"] = [*grid["frequency"], (back, low), (back, clock.release_level.value)]
    if clock.starts == "dispatch":
        asked = size.nominal_w - size.commitment_w
        grid["dispatch"] = [(0.0, size.nominal_w), (0.0, asked)]
        if np.isfinite(back):
            grid["dispatch"] = [*grid["dispatch"], (back, asked), (back, size.nominal_w)]
    if np.isfinite(back):
        grid["recall"] = [(0.0, 0.0), (back, 0.0), (back, 1.0)]
    return {**grid, **answer.signals}


def _signal(points: Points) -> Signal:
    return Signal([_ns(at) for at, _ in points], [value for _, value in points])


def _ns(seconds: float) -> int:
    return round((ZERO_S + seconds) * S)


def phases_of(entries: Sequence[tuple[float, int, Any]], miners: int) -> Phases:
    """Phases from (seconds after the event begins, row, phase)."""
    ordered = sorted(entries, key=lambda entry: entry[0])
    return Phases(
        np.array([_ns(at) for at, _, _ in ordered], np.int64),
        np.array([row for _, row, _ in ordered], np.int64),
        np.array([phase for _, _, phase in ordered], np.int8),
        tuple(f"miner-{row + 1:04d}" for row in range(miners)),
    )


def occurrence(at_s: float, kind: str, **data: object) -> Occurrence:
    """Something that happened, seconds after the event begins."""
    return Occurrence(_ns(at_s), kind, data)
