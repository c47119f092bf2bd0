"""Formulas on how a controller treats the machines of a site: what it asks of them, and what it does to them.

Owns counting in what was recorded beside the power; as in `checks.py`, every limit comes from a service file.
"""

# ruff: noqa: ARG001 - a formula takes what every formula takes

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench import measure
from bench.facts import Phases
from bench.services.deployment import Deployment, next_start
from bench.services.finding import IDLE, Arguments, Finding, Formula, Skip
from bench.verdict import NotComputable, Quantity
from emulator.catalogue import Phase

_S = 10**9
_AT_WORK = (Phase.HASHING, Phase.RETUNE)


def busiest_minute(d: Deployment, a: Arguments) -> Finding:
    """The most requests that any one miner heard within a minute of the run."""
    return _conduct(d, "busiest_minute", "1")


def meter_silence(d: Deployment, a: Arguments) -> Finding:
    """The longest time of the run in which the meter at the point of interconnection was not read."""
    return _conduct(d, "meter_silence_s", "s")


def mains_cycles(d: Deployment, a: Arguments) -> Finding:
    """How often the miner that lost its mains most often lost them in the run."""
    return _entries(d, Phase.OFF)


def sleep_cycles(d: Deployment, a: Arguments) -> Finding:
    """How often the miner that went to sleep most often did so in the run."""
    return _entries(d, Phase.SLEEP)


def hard_cuts(d: Deployment, a: Arguments) -> Finding:
    """Miners that lost their mains while they were at work, from the event's start until the next one."""
    phases = d.facts.phases
    if phases is None:
        return _unknown()
    t_ns, row, before, phase = _changes(phases)
    begin = d.event.start_ns
    stop = min(d.end_ns, next_start(d.facts, begin + 1))
    cut = (phase == Phase.OFF) & np.isin(before, _AT_WORK) & (t_ns >= begin) & (t_ns < stop)
    return Finding(Quantity(float(np.unique(row[cut]).size), "1"))


def uncooled(d: Deployment, a: Arguments) -> Finding:
    """Miners that were stopped together with their cooling, in the whole run."""
    told = (one for one in d.facts.occurrences if one.kind == "miners" and one.data.get("script") == "sleep_no_cool")
    return Finding(Quantity(float(sum(_number(one.data.get("count")) for one in told)), "1"))


def load_off(d: Deployment, a: Arguments) -> Finding:
    """Seconds for which loads other than miners were switched off, from the event's start until the next one."""
    moves: dict[str, list[tuple[int, bool]]] = {}
    for one in d.facts.occurrences:
        if one.kind == "load":
            moves.setdefault(str(one.data.get("load")), []).append((one.t_ns, bool(one.data.get("closed"))))
    worst = 0
    for own in moves.values():
        closed, since, off = True, d.event.start_ns, 0
        for at, now_closed in [*sorted(own), (d.end_ns, True)]:
            until = min(max(at, d.event.start_ns), d.end_ns)
            off += 0 if closed else until - since
            closed, since = now_closed, until
        worst = max(worst, off)
    return Finding(Quantity(worst / _S, "s"))


def limited(d: Deployment, a: Arguments) -> Finding:
    """Seconds from the event's start until consumption is at or below `level` of nominal, until the event is over."""
    stop = min(d.event.stop_ns, d.end_ns)
    return Finding(measure.reach_time(d.power, d.event.start_ns, stop, None, a["level"] * d.facts.nominal_w))


def ridden_through(d: Deployment, a: Arguments) -> Finding | Skip:
    """The least consumption as a share of that before the event, from `after` behind each dip of the voltage below
    `level` until the next one."""
    voltage = d.facts.signals.get("voltage")
    stop = min(d.event.stop_ns, d.end_ns)
    if voltage is None:
        return Skip("the run has no voltage signal")
    if d.p0.value <= 0:
        return Finding(NotComputable(IDLE))
    least: Quantity | None = None
    at = d.event.start_ns
    below = a["level"] * (1 - 1e-9)  # a voltage that comes back to the level itself is in no further dip
    while (down := voltage.first_crossing(below, falling=True, start=at, stop=stop)) is not None:
        back = voltage.first_crossing(a["level"], falling=False, start=down + 1, stop=stop)
        if back is None:
            break
        at = back + 1
        again = voltage.first_crossing(below, falling=True, start=at, stop=stop) or stop
        begin = back + round(a["after"] * _S)
        if begin >= again:
            continue
        found = measure.minimum(d.power, *measure.whole(d.power, begin, again))
        if isinstance(found, NotComputable):
            return Finding(found)
        least = found if least is None or found.value < least.value else least
    if least is None:
        return Skip("the voltage never dipped for a time that shows a recovery")
    return Finding(Quantity(least.value / d.p0.value, "fraction", float(np.hypot(least.u, d.p0.u)) / d.p0.value))


TREATMENT: Mapping[str, Formula] = {
    "busiest_minute": Formula(busiest_minute, "1", {}),
    "meter_silence": Formula(meter_silence, "s", {}),
    "mains_cycles": Formula(mains_cycles, "1", {}),
    "sleep_cycles": Formula(sleep_cycles, "1", {}),
    "hard_cuts": Formula(hard_cuts, "1", {}),
    "uncooled": Formula(uncooled, "1", {}),
    "load_off": Formula(load_off, "s", {}),
    "limited": Formula(limited, "s", {"level": "fraction"}),
    "ridden_through": Formula(ridden_through, "fraction", {"level": "pu", "after": "s"}),
}
"""The formulas of this module by name."""


def _conduct(d: Deployment, name: str, unit: str) -> Finding:
    value = d.facts.conduct.get(name)
    return _unknown() if value is None else Finding(Quantity(value, unit))


def _entries(d: Deployment, phase: Phase) -> Finding:
    phases = d.facts.phases
    if phases is None:
        return _unknown()
    _, row, before, entered = _changes(phases)
    times = np.bincount(row[(entered == phase) & (before != phase)], minlength=1)
    return Finding(Quantity(float(times.max()), "1"))


def _changes(phases: Phases) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8], NDArray[np.int8]]:
    """Each step of a miner from one phase to the next: instant, row, phase before, phase from then on."""
    order = np.lexsort((phases.t_ns, phases.row))
    t_ns, row, phase = phases.t_ns[order], phases.row[order], phases.phase[order]
    same = row[1:] == row[:-1]
    return t_ns[1:][same], row[1:][same], phase[:-1][same], phase[1:][same]


def _unknown() -> Finding:
    return Finding(NotComputable("the recording does not hold it"))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
