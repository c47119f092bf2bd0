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
from emulator.faulty_notices import strikes
from emulator.seed import Seed
from emulator.signals.notices import Change, changes
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


def published(
    plan: FaultPlan, channel: str, signal: Signal, *, interface: str = "", nominal: float | None = None
) -> Signal:
    """What is published of a channel ("frequency", known to faults as "signal:frequency") under the plan's faults.

    With `interface` (the id of a register block) those aimed at it come on top. `nominal` is the set-point that asks
    for nothing, for faults of orders.
    """
    faults = plan.aimed(f"signal:{channel}", "signal")
    faults += plan.aimed(interface, "signal") if interface else []
    for fault, seed in faults:
        if fault.kind in ("stale", "late") and Dice(seed).hit(fault):
            if fault.kind == "stale":
                signal = stale(signal, fault.start_ns, fault.stop_ns)
            else:
                signal = late(signal, fault.nanoseconds("by_ns"), fault.start_ns, fault.stop_ns)
        elif fault.kind in ORDER_EDITS.get(channel, {}):
            signal = ORDER_EDITS[channel][fault.kind](signal, fault, seed, nominal)
    return signal


def _orders(signal: Signal, fault: Fault, seed: Seed, nominal: float | None) -> list[tuple[Change, Instant | None]]:
    """The changes that a fault hits and that ask for something, each with the instant of the next change."""
    moves = changes(signal)
    following: list[Instant | None] = [*(move.at_ns for move in moves[1:]), None]
    return [
        (move, after)
        for move, after in zip(moves, following, strict=False)
        if strikes(fault, seed, move.at_ns, move.number) and (nominal is None or move.after_w < nominal)
    ]


def _cancelled(signal: Signal, fault: Fault, seed: Seed, nominal: float | None) -> Signal:
    """From its withdrawal until the next order nothing is asked."""
    whole = signal
    for move, next_ns in _orders(whole, fault, seed, nominal):
        start = move.at_ns + fault.nanoseconds("after_ns")
        if next_ns is None or start < next_ns:
            signal = _spliced(signal, Signal.constant(move.before_w if nominal is None else nominal), start, next_ns)
    return signal


def _overlapping(signal: Signal, fault: Fault, seed: Seed, nominal: float | None) -> Signal:
    """A register shows the word that came last: the second order while it stands."""
    whole = signal
    for move, _ in _orders(whole, fault, seed, nominal):
        start = move.at_ns + fault.nanoseconds("after_ns")
        second = Signal.constant(move.after_w * fault.number("factor"))
        if fault.nanoseconds("lasts_ns"):
            signal = _spliced(signal, second, start, start + fault.nanoseconds("lasts_ns"))
    return signal


def _reordered(signal: Signal, fault: Fault, seed: Seed, _nominal: float | None) -> Signal:
    """An order that is overtaken shows late, and then stands although a newer one was given."""
    moves, whole = changes(signal), signal
    place = 0
    while place + 1 < len(moves):
        first, second = moves[place], moves[place + 1]
        waits = second.at_ns - first.at_ns <= fault.nanoseconds("wait_ns")
        if waits and strikes(fault, seed, first.at_ns, first.number):
            third = moves[place + 2].at_ns if place + 2 < len(moves) else None
            if second.at_ns > first.at_ns:
                signal = _spliced(signal, Signal.constant(first.before_w), first.at_ns, second.at_ns)
            if third is None or third > second.at_ns:
                signal = _spliced(signal, Signal.constant(whole.at(second.at_ns - 1)), second.at_ns, third)
            place += 1
        place += 1
    return signal


OrderEdit = Callable[[Signal, Fault, Seed, float | None], Signal]
_PRICE_EDITS: dict[str, OrderEdit] = {"overlapping": _overlapping, "reordered": _reordered}
ORDER_EDITS: dict[str, dict[str, OrderEdit]] = {
    "dispatch": {**_PRICE_EDITS, "cancelled": _cancelled},
    "price": _PRICE_EDITS,
}
"""By channel, kinds that change what a register shows of it; a message that comes twice is the same register."""


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
