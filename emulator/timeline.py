"""Quantities over time as closed forms: piecewise-linear signals, and the append-only log of a fleet's power segments.

Nothing here is stepped or sampled unless a caller asks: values, means and energies are exact at any instant. It owns no
clock and no state machine; `emulator/fleet.py` decides which segment comes next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from emulator.wire import Instant

Floats = NDArray[np.float64]
Instants = NDArray[np.int64]

_S = 1e-9  # seconds in a nanosecond
_NEGLIGIBLE_EXPONENT = 40.0  # e^-40 of a megawatt is 4e-12 W


class Signal:
    """A quantity that is linear between breakpoints and constant outside them.

    Two breakpoints at one instant are a step; at that instant the later value holds. `t_ns` is int64, shape (n,),
    non-decreasing; `value` is float64, shape (n,), finite. Raises ValueError where that does not hold.
    """

    __slots__ = ("_area", "t_ns", "value")

    def __init__(self, t_ns: ArrayLike, value: ArrayLike) -> None:
        self.t_ns: Instants = np.asarray(t_ns, dtype=np.int64)
        self.value: Floats = np.asarray(value, dtype=np.float64)
        if self.t_ns.ndim != 1 or self.t_ns.shape != self.value.shape or self.t_ns.size == 0:
            raise ValueError("a signal needs two one-dimensional arrays of the same length, at least one point")
        if not np.all(np.isfinite(self.value)):
            raise ValueError("a signal has a value that is not finite")
        if np.any(np.diff(self.t_ns) < 0):
            raise ValueError("a signal's instants must not go back")
        mean = (self.value[1:] + self.value[:-1]) / 2
        self._area: Floats = np.concatenate([[0.0], np.cumsum(mean * np.diff(self.t_ns))])

    @classmethod
    def constant(cls, value: float) -> Signal:
        """The signal that never moves."""
        return cls([0], [value])

    @classmethod
    def steps(cls, points: Sequence[tuple[Instant, float]]) -> Signal:
        """A staircase: each value holds from its instant until the next point."""
        t: list[int] = []
        value: list[float] = []
        for instant, level in points:
            if value:
                t.append(instant)
                value.append(value[-1])
            t.append(instant)
            value.append(level)
        return cls(t, value)

    def at(self, instant: Instant) -> float:
        """Value at one instant."""
        index = int(np.searchsorted(self.t_ns, instant, side="right"))
        if index == 0:
            return float(self.value[0])
        if index == self.t_ns.size:
            return float(self.value[-1])
        left, right = int(self.t_ns[index - 1]), int(self.t_ns[index])
        low, high = float(self.value[index - 1]), float(self.value[index])
        return low + (high - low) * ((instant - left) / (right - left))

    def sample(self, instants: ArrayLike) -> Floats:
        """Values at many instants, same shape."""
        at = np.asarray(instants, dtype=np.int64)
        index = np.searchsorted(self.t_ns, at, side="right")
        left = np.clip(index - 1, 0, self.t_ns.size - 1)
        right = np.clip(index, 0, self.t_ns.size - 1)
        span = (self.t_ns[right] - self.t_ns[left]).astype(np.float64)
        part = np.where(span > 0, (at - self.t_ns[left]) / np.where(span > 0, span, 1.0), 0.0)
        part = np.where(index == 0, 0.0, part)
        drawn: Floats = self.value[left] + (self.value[right] - self.value[left]) * part
        return drawn

    def integral(self, start: Instant, stop: Instant) -> float:
        """Integral over [start, stop], in value times seconds."""
        return (self._area_at(stop) - self._area_at(start)) * _S

    def mean(self, start: Instant, stop: Instant) -> float:
        """Mean over [start, stop]; the value itself where the two coincide."""
        if stop == start:
            return self.at(start)
        return self.integral(start, stop) / ((stop - start) * _S)

    def shifted(self, by_ns: int) -> Signal:
        """The same signal `by_ns` later."""
        return Signal(self.t_ns + by_ns, self.value)

    def scaled(self, factor: float) -> Signal:
        """The same signal with every value multiplied."""
        return Signal(self.t_ns, self.value * factor)

    def first_crossing(self, level: float, *, falling: bool, start: Instant, stop: Instant) -> Instant | None:
        """First instant in [start, stop] at which the signal is at or beyond `level`; None if it never is.

        `falling` asks for value <= level, otherwise value >= level. A step counts at the instant of the step; inside a
        slope the crossing is interpolated and rounded up to the next nanosecond.
        """
        beyond = (lambda v: v <= level) if falling else (lambda v: v >= level)
        if beyond(self.at(start)):
            return start
        first = int(np.searchsorted(self.t_ns, start, side="right"))
        last = int(np.searchsorted(self.t_ns, stop, side="right"))
        t, value = start, self.at(start)
        knots = [*zip(self.t_ns[first:last].tolist(), self.value[first:last].tolist(), strict=True)]
        for knot_t, knot_value in [*knots, (stop, self.at(stop))]:
            if beyond(knot_value):
                if knot_t == t:
                    return int(knot_t)
                share = (level - value) / (knot_value - value)
                return t + int(np.ceil(share * (knot_t - t)))
            t, value = knot_t, knot_value
        return None

    def _area_at(self, instant: Instant) -> float:
        """Integral from the first breakpoint, in value times nanoseconds."""
        if instant <= self.t_ns[0]:
            return float(self.value[0]) * float(instant - self.t_ns[0])
        index = int(np.searchsorted(self.t_ns, instant, side="right")) - 1
        since = float(instant - self.t_ns[index])
        return float(self._area[index]) + (float(self.value[index]) + self.at(instant)) / 2 * since \
            if index + 1 < self.t_ns.size else float(self._area[index]) + float(self.value[index]) * since
