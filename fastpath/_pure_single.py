"""One element of what numpy holds by the thousand, in Python alone: the twin of `_single.pyx`, equal to the last bit.

Owns the arithmetic of a single segment and a single draw; what a segment or a draw is for is told to it.
"""

from __future__ import annotations

from math import cos, exp, expm1, log, pi, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FORGOTTEN = 40.0
_64_BITS = 2**64 - 1


class Curve:
    """What every row of a log did, one row at a time: constant + slope + one exponential from an entry to the next one.

    All arguments but `latest`, shape (rows,), have the shape (entries,). An entry holds from `t0_ns` on: a value of
    base + slope * dt + amp * exp(-dt / tau_s), dt in seconds, and `total`, its integral up to there. `previous` is the
    entry before it of its row, -1 for none, and `latest` the row's last one. The arrays are looked into anew at each
    call; where they are replaced, a new curve is needed. Compiled, others than contiguous ones of 64 bits raise
    ValueError. Rows without an entry, or none, raise IndexError.
    """

    def __init__(
        self,
        latest: NDArray[np.int64],
        t0_ns: NDArray[np.int64],
        previous: NDArray[np.int64],
        base: NDArray[np.float64],
        slope: NDArray[np.float64],
        amp: NDArray[np.float64],
        tau_s: NDArray[np.float64],
        total: NDArray[np.float64],
    ) -> None:
        self._latest, self._t0, self._previous = latest.item, t0_ns.item, previous.item
        self._base, self._slope, self._amp, self._tau, self._total = (
            column.item for column in (base, slope, amp, tau_s, total)
        )
        self._rows = latest.size

    def entry_at(self, row: int, instant: int) -> int:
        """The entry that holds at `instant`; before the row's first one, the first."""
        if not 0 <= row < self._rows:
            raise IndexError(f"row {row} of {self._rows}")
        entry: int = self._latest(row)
        if entry < 0:
            raise IndexError(f"row {row} has no entry")
        while self._t0(entry) > instant and (before := self._previous(entry)) >= 0:
            entry = before
        return entry

    def value(self, row: int, instant: int) -> float:
        """The value at `instant`."""
        entry = self.entry_at(row, instant)
        dt = (instant - self._t0(entry)) * 1e-9
        value: float = self._base(entry) + self._slope(entry) * dt
        height = self._amp(entry)
        return value + height * exp(-dt / self._tau(entry)) if height else value

    def between(self, row: int, start: int, stop: int) -> float:
        """The integral of the value from `start` to `stop`, in the unit of `total`."""
        last, first = self.entry_at(row, stop), self.entry_at(row, start)
        return self._until(last, stop) - self._until(first, start)

    def lagged(self, row: int, instant: int, tau_s: float) -> float:
        """What a first-order lag of time constant `tau_s` makes of the values up to `instant`, as of a sensor.

        What lies further back than forty time constants is forgotten; before its first entry a row did what that says.
        """
        entry, rate, total, stop, earliest = self.entry_at(row, instant), 1.0 / tau_s, 0.0, 0.0, -_FORGOTTEN * tau_s
        while True:
            base, slope, height, tau = self._base(entry), self._slope(entry), self._amp(entry), self._tau(entry)
            start = (self._t0(entry) - instant) * 1e-9
            before = self._previous(entry)
            begin = earliest if before < 0 or start < earliest else start
            since = begin - start
            total += (base + slope * (stop - start - tau_s)) * exp(stop * rate)
            total -= (base + slope * (since - tau_s)) * exp(begin * rate)
            if height:
                pace = rate - 1.0 / tau
                if pace > 0.0:
                    height = height * exp(-(stop - start) / tau + stop * rate) * -expm1(pace * (begin - stop)) / pace
                elif pace < 0.0:
                    height = height * exp(-since / tau + begin * rate) * expm1(pace * (stop - begin)) / pace
                else:
                    height = height * exp(-since / tau + begin * rate) * (stop - begin)
                total += height * rate
            if begin == earliest:
                return total
            stop, entry = begin, before

    def _until(self, entry: int, instant: int) -> float:
        dt = (instant - self._t0(entry)) * 1e-9
        value: float = self._total(entry) + dt * (self._base(entry) + self._slope(entry) * dt / 2.0)
        height = self._amp(entry)
        if height:
            value -= height * self._tau(entry) * expm1(-dt / self._tau(entry))
        return value


def uniform(key: int, index: int) -> float:
    """A draw from (0, 1): number `index` of the stream `key`, 64 bits, by SplitMix64's finaliser."""
    z = (key + (index + 1) * 0x9E3779B97F4A7C15) & _64_BITS
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return (((z ^ (z >> 31)) >> 11) + 0.5) * 2.0**-53


def normal(radius_key: int, angle_key: int, index: int) -> float:
    """A standard normal draw from two streams (Box-Muller): number `index` of both."""
    radius = sqrt(-2.0 * log(uniform(radius_key, index)))
    return radius * cos(2.0 * pi * uniform(angle_key, index))
