"""Faults of what is told about a site: meters with a wrong gain, publishers that are late or dead.

Owns the wrong views of power, voltage, frequency and signals, exact at any instant like the true ones; a meter or a
block reads them as if they were the truth. A frozen meter is in `emulator/faulty_link.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from emulator.faults import Dice, Fault, FaultPlan
from emulator.site import PowerPoint
from emulator.timeline import Signal
from emulator.wire import Instant


class Mains(Protocol):
    """What a meter sees of the grid."""

    def frequency_hz(self, at: Instant) -> float:
        """True frequency."""
        ...

    def mean_frequency_hz(self, start: Instant, stop: Instant) -> float:
        """Exact mean."""
        ...


class _Factors:
    """The product of the active `gain` faults of one quantity, over time."""

    def __init__(self, faults: Sequence[Fault], quantity: str) -> None:
        self._faults = [f for f in faults if f.text("quantity") == quantity]

    def at(self, at: Instant) -> float:
        """Measured over true at one instant."""
        factor = 1.0
        for fault in self._faults:
            if fault.active(at):
                factor *= fault.number("factor")
        return factor

    def weighted(self, start: Instant, stop: Instant, true: Callable[[Instant, Instant], float]) -> float:
        """The integral of factor times truth over [start, stop], given the integral of the truth."""
        edges = {e for f in self._faults for e in (f.start_ns, f.stop_ns) if e is not None and start < e < stop}
        cuts = [start, *sorted(edges), stop]
        return sum(self.at(a) * true(a, b) for a, b in pairwise(cuts))


class MismeasuredPoint:
    """A power point as a meter with a wrong gain sees it; exact through the beginning and the end of a fault."""

    def __init__(self, point: PowerPoint, faults: Sequence[Fault]) -> None:
        self._point = point
        self._power, self._voltage = _Factors(faults, "power"), _Factors(faults, "voltage")

    def power_w(self, at: Instant) -> float:
        """Power as measured, watts."""
        return self._power.at(at) * self._point.power_w(at)

    def energy_j(self, start: Instant, stop: Instant) -> float:
        """Energy as measured, joules."""
        return self._power.weighted(start, stop, self._point.energy_j)

    def voltage_v(self, at: Instant) -> float:
        """Voltage as measured, volts."""
        return self._voltage.at(at) * self._point.voltage_v(at)


class MismeasuredMains:
    """The grid's frequency as a meter with a wrong gain sees it."""

    def __init__(self, grid: Mains, faults: Sequence[Fault]) -> None:
        self._grid = grid
        self._frequency = _Factors(faults, "frequency")

    def frequency_hz(self, at: Instant) -> float:
        """Frequency as measured, Hz."""
        return self._frequency.at(at) * self._grid.frequency_hz(at)

    def mean_frequency_hz(self, start: Instant, stop: Instant) -> float:
        """Mean frequency as measured, Hz."""
        if stop == start:
            return self.frequency_hz(start)
        grid = self._grid
        return self._frequency.weighted(start, stop, lambda a, b: grid.mean_frequency_hz(a, b) * (b - a)) / (
            stop - start
        )


def metered(plan: FaultPlan, target: str, point: PowerPoint, grid: Mains) -> tuple[PowerPoint, Mains]:
    """What the meter `target` measures: point and grid themselves, or as its `gain` faults let it see them."""
    struck = [f for f, seed in plan.aimed(target, "meter") if f.kind == "gain" and Dice(seed).hit(f)]
    return (MismeasuredPoint(point, struck), MismeasuredMains(grid, struck)) if struck else (point, grid)


# ---- signals --------------------------------------------------------------------------------------------------------


def published(plan: FaultPlan, channel: str, signal: Signal) -> Signal:
    """What is published of a channel ("frequency", known to faults as "signal:frequency") under the plan's faults."""
    for fault, seed in plan.aimed(f"signal:{channel}", "signal"):
        if fault.boundary == "signal" and Dice(seed).hit(fault):
            if fault.kind == "stale":
                signal = stale(signal, fault.start_ns, fault.stop_ns)
            else:
                signal = late(signal, fault.nanoseconds("by_ns"), fault.start_ns, fault.stop_ns)
    return signal


def stale(signal: Signal, start: Instant, stop: Instant | None) -> Signal:
    """`signal` with the value it has at `start` held until `stop`; for good without one."""
    return _spliced(signal, Signal.constant(signal.at(start)), start, stop)


def late(signal: Signal, by_ns: int, start: Instant, stop: Instant | None) -> Signal:
    """`signal` that is `by_ns` old in [start, stop)."""
    return signal if by_ns == 0 else _spliced(signal, signal.shifted(by_ns), start, stop)


def _spliced(outside: Signal, inside: Signal, start: Instant, stop: Instant | None) -> Signal:
    """`inside` in [start, stop), `outside` before and after, joined by steps."""
    last = np.iinfo(np.int64).max if stop is None else stop
    before, within, after = outside.t_ns < start, (inside.t_ns > start) & (inside.t_ns < last), outside.t_ns > last
    t: list[ArrayLike] = [outside.t_ns[before], [start, start], inside.t_ns[within]]
    value: list[ArrayLike] = [outside.value[before], [_before(outside, start), inside.at(start)], inside.value[within]]
    if stop is not None:
        t += [[stop, stop], outside.t_ns[after]]
        value += [[_before(inside, stop), outside.at(stop)], outside.value[after]]
    return Signal(np.concatenate(t), np.concatenate(value))


def _before(signal: Signal, instant: Instant) -> float:
    """The value just before `instant`: at a step, the one it steps from."""
    index = int(np.searchsorted(signal.t_ns, instant, side="left"))
    if index == 0:
        return float(signal.value[0])
    if index == signal.t_ns.size or signal.t_ns[index] > instant:
        return signal.at(instant)
    return float(signal.value[index])
