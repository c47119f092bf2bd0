"""When the mean of a signal over a window crosses a level: exact to the nanosecond, without stepping through time.

Owns that calculation and nothing else. A piecewise-linear signal has a piecewise-quadratic moving mean, so between two
corners its sign changes at most twice; the sign itself is decided in rational numbers wherever floats might be wrong.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from emulator.timeline import Floats, Instants, Signal
    from emulator.wire import Instant

_SURE = 1e-9
"""Integrals (value times seconds) further from 0 than this have the sign that floats say; their error is 1e-10."""


def beyond(
    signal: Signal, level: float, *, under: bool, window_ns: int, start: Instant, stop: Instant
) -> list[tuple[Instant, bool]]:
    """The spans of [start, stop] in which the mean over the `window_ns` before an instant is beyond `level`.

    `under` asks for mean < level, otherwise mean > level; a mean that equals the level is not beyond it. Returned are
    the instants at which that becomes true or false in turn, beginning with true; each is the first whole nanosecond
    of its kind. Raises ValueError for an empty window.
    """
    if window_ns <= 0:
        raise ValueError(f"a window of {window_ns} ns; it must be longer than 0")
    mean = _Mean(signal, level, -1 if under else 1, window_ns)
    toggles: list[tuple[Instant, bool]] = []

    def enter(at: Instant, state: bool) -> None:
        if state is not bool(toggles and toggles[-1][1]):
            toggles.append((at, state))

    corners = mean.corners(start, stop)
    states = mean.states(corners)
    enter(start, states[0])
    doubtful = mean.bent(corners)
    for (a, b), before, after, bend in zip(pairwise(corners), states, states[1:], doubtful, strict=False):
        if before is after and not bend:
            continue
        vertex = mean.vertex(a, b) if bend else None
        parts = [a, b] if vertex is None else sorted({a, *(v for v in vertex if a < v < b), b})
        for low, high in pairwise(parts):
            state = mean.beyond(high)
            if mean.beyond(low) is not state:
                enter(mean.first(low, high, state), state)
    return toggles


class _Mean:
    """The moving mean of how far a signal is beyond a level, times the window; all instants in nanoseconds."""

    def __init__(self, signal: Signal, level: float, sign: int, window_ns: int) -> None:
        self._signal = signal
        self._sign = sign
        self._window_ns = window_ns
        self._t: list[int] = signal.t_ns.tolist()
        self._level = level
        self._values: dict[int, Fraction] = {}

    def corners(self, start: Instant, stop: Instant) -> list[Instant]:
        """The instants between which the mean is one quadratic, `start` and `stop` among them."""
        t = np.asarray(self._signal.t_ns)
        both = np.unique(np.concatenate([t, t + self._window_ns]))
        inside: list[int] = both[(both > start) & (both < stop)].tolist()
        return [start, *inside, stop] if stop > start else [start]

    def states(self, corners: list[Instant]) -> list[bool]:
        """`beyond` at each corner."""
        over = self._over(np.array(corners, dtype=np.int64))
        return [bool(v > 0) if abs(v) > _SURE else self.beyond(at) for at, v in zip(corners, over, strict=True)]

    def bent(self, corners: list[Instant]) -> list[bool]:
        """For each piece, whether its vertex may lie on another side of the level than its ends."""
        if len(corners) < 2:
            return []
        at = np.array(corners, dtype=np.int64)
        a, b = at[:-1], at[1:]
        ends = self._over(at)
        middle = self._over(a + (b - a) // 2)
        # a parabola leaves the range of its ends by less than it leaves its chord in the middle
        sag = np.abs(middle - (ends[:-1] + ends[1:]) / 2)
        nearest = np.minimum(np.abs(ends[:-1]), np.abs(ends[1:]))
        bent: list[bool] = (nearest <= sag + _SURE).tolist()
        return bent

    def _over(self, at: Instants) -> Floats:
        drawn = self._signal.integrals(at) - self._signal.integrals(at - self._window_ns)
        over: Floats = self._sign * (drawn - self._level * self._window_ns * 1e-9)
        return over

    # ---- exact ------------------------------------------------------------------------------------------------------

    def beyond(self, at: Instant) -> bool:
        """Whether the mean over the window before `at` is beyond the level."""
        begin = at - self._window_ns
        low, high = bisect_right(self._t, begin), bisect_left(self._t, at)
        points = [begin, *dict.fromkeys(self._t[low:high]), at]
        return sum((self._after(a) + self._until(b)) * (b - a) for a, b in pairwise(points)) > 0

    def first(self, low: Instant, high: Instant, state: bool) -> Instant:
        """The first instant after `low` with that state, given that the state changes once in (low, high]."""
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.beyond(middle) is state else (middle, high)
        return high

    def vertex(self, a: Instant, b: Instant) -> tuple[Instant, Instant] | None:
        """The whole nanoseconds on both sides of the extremum of the piece [a, b]; None where it is straight."""
        window = self._window_ns
        slope = self._after(a) - self._after(a - window)
        bend = (self._until(b) - self._after(a) - self._until(b - window) + self._after(a - window)) / (b - a)
        if bend == 0:
            return None
        whole = int(-slope // bend)
        return a + whole, a + whole + 1

    def _after(self, at: Instant) -> Fraction:
        """How far the signal is beyond the level just after `at`."""
        return self._on(bisect_right(self._t, at), at)

    def _until(self, at: Instant) -> Fraction:
        """And just before."""
        return self._on(bisect_left(self._t, at), at)

    def _on(self, index: int, at: Instant) -> Fraction:
        if index == 0:
            return self._value(0)
        if index == len(self._t):
            return self._value(index - 1)
        left, right = self._t[index - 1], self._t[index]
        low, high = self._value(index - 1), self._value(index)
        return low + (high - low) * Fraction(at - left, right - left)

    def _value(self, index: int) -> Fraction:
        if index not in self._values:
            self._values[index] = self._sign * (Fraction(float(self._signal.value[index])) - Fraction(self._level))
        return self._values[index]
