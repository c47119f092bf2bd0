"""A stretch of a series as a piecewise-linear function, and what can be known of a series near one instant.

Owns interpolation, the search for gaps and the local terms of the uncertainty budget; what a quantity means is
`bench/measure.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.facts import Series

Floats = NDArray[np.float64]
Instants = NDArray[np.int64]

_S = 1e9  # nanoseconds in a second


class UnrecordedError(Exception):
    """The recording does not tell; carries the reason."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a series, its ends put in by interpolation, without gaps.

    t_ns: int64, value: float64, shape (n,); n is 1 where the stretch is an instant.
    """

    t_ns: Instants
    value: Floats

    @property
    def span_s(self) -> float:
        return float(self.t_ns[-1] - self.t_ns[0]) / _S

    @property
    def area(self) -> float:
        """Integral in value times seconds."""
        return float(np.trapezoid(self.value, self.t_ns.astype(np.float64))) / _S

    def at(self, t_ns: Instants) -> Floats:
        drawn: Floats = np.interp(t_ns.astype(np.float64), self.t_ns.astype(np.float64), self.value)
        return drawn


def cut(series: Series, start_ns: int, stop_ns: int) -> Piece:
    """The series over [start, stop]; half a window and one interval beyond its ends the end value is taken to hold."""
    t, value = series.t_ns, series.value
    if t.size == 0:
        raise UnrecordedError("the recording holds no samples")
    if stop_ns < start_ns:
        raise UnrecordedError("the window ends before it begins")
    slack = series.window_ns // 2
    head, tail = (int(t[1] - t[0]), int(t[-1] - t[-2])) if t.size > 1 else (0, 0)
    if start_ns < t[0] - slack - head or stop_ns > t[-1] + slack + tail:
        raise UnrecordedError(
            f"{start_ns / _S:.3f} s to {stop_ns / _S:.3f} s is not in the recording, "
            f"which has {t[0] / _S:.3f} s to {t[-1] / _S:.3f} s"
        )
    left = max(0, int(np.searchsorted(t, start_ns, side="right")) - 1)
    right = min(t.size, int(np.searchsorted(t, stop_ns, side="left")) + 1)
    near_t, near = t[left:right], value[left:right]
    bad = ~np.isfinite(near)
    if bad.any():
        raise UnrecordedError(f"the recording has a gap at {near_t[int(np.argmax(bad))] / _S:.3f} s")
    inside = (near_t > start_ns) & (near_t < stop_ns)
    ends = np.interp([float(start_ns), float(stop_ns)], near_t.astype(np.float64), near)
    if start_ns == stop_ns:
        return Piece(np.array([start_ns]), ends[:1])
    return Piece(
        np.concatenate([[start_ns], near_t[inside], [stop_ns]]), np.concatenate([ends[:1], near[inside], ends[1:]])
    )


@dataclass(frozen=True, slots=True)
class Local:
    """A series near one instant: `slope` per ns, and what averaging and sampling may hide there.

    A step seen through an averaging window W is a ramp of length W. At a crossing off its middle the error is
    |x(t + W/2) - 2 x(t) + x(t - W/2)| over the slope, which is zero on a true ramp; it is taken as a half-width.
    Between two samples the truth may cross anywhere unless their neighbours lie on the same line.
    """

    slope: float
    window_ns: float
    sampling_ns: float
    hidden: float

    @classmethod
    def of(cls, series: Series, at_ns: int) -> Local:
        t, value, window = series.t_ns, series.value, series.window_ns
        k = int(np.clip(np.searchsorted(t, at_ns, side="left") - 1, 0, max(t.size - 2, 0)))
        if t.size < 2 or not np.all(np.isfinite(value[k : k + 2])):
            return cls(0.0, window / math.sqrt(12), 0.0, 0.0)
        interval, step = float(t[k + 1] - t[k]), float(value[k + 1] - value[k])
        bend = max(_bend(t, value, k), _bend(t, value, k + 1))
        straight = min(1.0, bend / abs(step)) if step else 0.0
        place = min(1.0, max(0.0, (at_ns - float(t[k])) / interval)) - 0.5
        sampling = interval * math.sqrt(1 / 12 + place**2) * straight
        slope = step / interval
        half, whole = window / 2, float(window)
        left = max(0, int(np.searchsorted(t, at_ns - whole)) - 1)
        right = int(np.searchsorted(t, at_ns + whole)) + 1
        around = np.interp(
            [at_ns - whole, at_ns - half, float(at_ns), at_ns + half, at_ns + whole],
            t[left:right].astype(np.float64), value[left:right],
        )  # fmt: skip
        if not np.all(np.isfinite(around)):
            around = np.full(5, value[k])
        far_before, before, now, after, far_after = around.tolist()
        error = min(half, abs(after - 2 * now + before) / abs(slope)) if slope else 0.0
        off_line = max(abs(far_after - now - slope * whole), abs(now - far_before - slope * whole))
        averaging = min(off_line, abs(after - before)) / math.sqrt(3)
        between = bend * (1.0 - (2 * place) ** 2) / math.sqrt(3)
        return cls(abs(slope), error / math.sqrt(3), sampling, math.hypot(averaging, between))


def _bend(t: Instants, value: Floats, k: int) -> float:
    """How far sample k's neighbours are off the straight line through it, over the shorter interval."""
    if k < 1 or k + 1 >= t.size or not np.all(np.isfinite(value[k - 1 : k + 2])):
        return 0.0
    left, right = float(t[k] - t[k - 1]), float(t[k + 1] - t[k])
    slopes = float(value[k + 1] - value[k]) / right - float(value[k] - value[k - 1]) / left
    return abs(slopes) * min(left, right)


def window_ends(piece: Piece, window_ns: int) -> Instants:
    """Every instant at which a window of this length that fits the piece can end on, or begin at, a sample."""
    first = int(piece.t_ns[0]) + window_ns
    if first > piece.t_ns[-1]:
        raise UnrecordedError(f"{piece.span_s:g} s of recording is shorter than the window of {window_ns / _S:g} s")
    ends = np.unique(np.concatenate([piece.t_ns, piece.t_ns + window_ns]))
    fitting: Instants = ends[(ends >= first) & (ends <= piece.t_ns[-1])]
    return fitting


def range_max(value: Floats, begin: NDArray[np.intp], end: NDArray[np.intp]) -> Floats:
    """max(value[begin[i] : end[i] + 1]) for each i, by tables of doubling length."""
    level = np.floor(np.log2(end - begin + 1)).astype(np.intp)
    answer, table = np.empty(begin.size), value
    for power in range(int(level.max()) + 1):
        mine = level == power
        answer[mine] = np.maximum(table[begin[mine]], table[end[mine] - (1 << power) + 1])
        table = np.maximum(table[: -(1 << power)], table[1 << power :]) if table.size > 1 << power else table
    return answer
