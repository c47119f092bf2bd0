"""What a trace says: pure functions from a series and a window of time to a quantity with its uncertainty.

Owns the definitions (reaction, reach, hold, ramp, ...) and the uncertainty budget; limits and verdicts are
`bench/judge.py`. Between samples a series is taken as a straight line, so every answer is exact on steps and ramps.

Budget of an instant (standard uncertainties, in quadrature, but window and sampling add up:
docs/explanations/how-a-verdict-is-made.md):

* amplitude: how far the crossing moves when the level moves by `Series.u`, which is u over the slope on a slope;
* window: half of the averaging window at most, less where the trace is straight (none on a ramp);
* sampling: the interval between the two samples at the crossing, less where the trace is straight;
* time stamps: `Series.u_time_ns`.

What never came is `NotReached`; what the recording cannot tell (a gap, too short) is `NotComputable`. No function
raises for either, and neither becomes a number.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import numpy as np

from bench.facts import Series
from bench.trace import Floats, Instants, Local, Piece, UnrecordedError, cut, range_max, window_ends
from bench.verdict import Measured, NotComputable, NotReached, Quantity

P = ParamSpec("P")
T = TypeVar("T")

_S = 1e9  # nanoseconds in a second
_FUZZ = 1e-9  # a value this close to a bound (relative) is on it: it is where rounding of P0 - P would decide


@dataclass(frozen=True, slots=True)
class Baseline:
    """Level before an event. `unsteadiness` is the standard deviation over time, in the series' unit."""

    mean: Quantity
    unsteadiness: Quantity


def _or_reason(function: Callable[P, T]) -> Callable[P, T | NotComputable]:
    """Turn the error `UnrecordedError` into the value NotComputable."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T | NotComputable:
        try:
            return function(*args, **kwargs)
        except UnrecordedError as silent:
            return NotComputable(str(silent))

    return wrapped


def whole(series: Series, start_ns: int, stop_ns: int) -> tuple[int, int]:
    """The first and the last stamp whose samples average over nothing outside of [start, stop].

    A sample that reaches beyond a window of time tells what came before or after it as well, and so does a straight
    line to the sample behind it. Where no sample lies inside, start and stop themselves.
    """
    half = series.window_ns - series.window_ns // 2
    first = int(np.searchsorted(series.t_ns, start_ns + half, side="left"))
    last = int(np.searchsorted(series.t_ns, stop_ns - half, side="right")) - 1
    return (start_ns, stop_ns) if first > last else (int(series.t_ns[first]), int(series.t_ns[last]))


# ---------------------------------------------------------------------------------------------------- levels and areas


@_or_reason
def baseline(series: Series, start_ns: int, stop_ns: int) -> Baseline:
    """Mean and unsteadiness over [start, stop]. The mean's u holds the meter's and the scatter of the samples."""
    piece = cut(series, start_ns, stop_ns)
    mean = _mean(piece)
    off = piece.value - mean
    run = np.diff(piece.t_ns).astype(np.float64)
    square = float(np.sum(run * (off[:-1] ** 2 + off[:-1] * off[1:] + off[1:] ** 2) / 3)) / max(float(run.sum()), 1.0)
    deviation = math.sqrt(square)
    u = math.hypot(series.u, deviation / math.sqrt(piece.value.size))
    return Baseline(Quantity(mean, series.unit, u), Quantity(deviation, series.unit, series.u))


def delivered(power: Series, p0: Quantity) -> Series:
    """The reduction y = P0 - P as a series of its own; P0's uncertainty joins that of every sample."""
    u = math.hypot(power.u, p0.u)
    return Series(power.t_ns, p0.value - power.value, power.unit, power.window_ns, u, power.u_time_ns)


@_or_reason
def mean(series: Series, start_ns: int, stop_ns: int) -> Quantity:
    """Mean over [start, stop], weighted by time."""
    return Quantity(_mean(cut(series, start_ns, stop_ns)), series.unit, series.u)


@_or_reason
def value_at(series: Series, at_ns: int) -> Quantity:
    """Value at one instant. Where the trace bends, what averaging and sampling may hide is in its u."""
    value = float(cut(series, at_ns, at_ns).value[0])
    here = Local.of(series, at_ns)
    return Quantity(value, series.unit, math.hypot(series.u, here.slope * series.u_time_ns, here.hidden))


@_or_reason
def minimum(series: Series, start_ns: int, stop_ns: int) -> Quantity:
    """Lowest value in [start, stop]."""
    return Quantity(float(cut(series, start_ns, stop_ns).value.min()), series.unit, series.u)


@_or_reason
def maximum(series: Series, start_ns: int, stop_ns: int) -> Quantity:
    """Highest value in [start, stop]."""
    return Quantity(float(cut(series, start_ns, stop_ns).value.max()), series.unit, series.u)


@_or_reason
def delivered_energy(series: Series, start_ns: int, stop_ns: int) -> Quantity:
    """Integral over [start, stop] in joules (the series in watts). A gain error holds for all samples alike."""
    piece = cut(series, start_ns, stop_ns)
    edges = (abs(float(piece.value[0])) + abs(float(piece.value[-1]))) * series.u_time_ns / _S
    return Quantity(piece.area, "J", math.hypot(series.u * piece.span_s, edges))


@_or_reason
def share_inside(
    series: Series, start_ns: int, stop_ns: int, low: float | None = None, high: float | None = None
) -> Quantity:
    """Share of the time in [start, stop] that the series spends in [low, high], 0 to 1."""
    piece = cut(series, start_ns, stop_ns)
    share = _share(piece, low, high, 0.0)
    u = abs(_share(piece, low, high, series.u) - _share(piece, low, high, -series.u)) / 2
    return Quantity(share, "fraction", u)


@_or_reason
def overshoot(series: Series, start_ns: int, stop_ns: int, target: float) -> Quantity:
    """How far the highest value in [start, stop] lies above `target`, as a share of it; 0 where it does not."""
    peak = float(cut(series, start_ns, stop_ns).value.max())
    return Quantity(max(0.0, peak / target - 1.0), "fraction", abs(series.u / target))


@_or_reason
def rebound(power: Series, start_ns: int, stop_ns: int, p0: Quantity) -> Quantity:
    """Highest power in [start, stop] as a share of the level before the event."""
    if p0.value <= 0:
        raise UnrecordedError("the site drew no power before the event")
    peak = float(cut(power, start_ns, stop_ns).value.max())
    return Quantity(peak / p0.value, "fraction", math.hypot(power.u, peak / p0.value * p0.u) / p0.value)


# ------------------------------------------------------------------------------------------------------------ instants


@_or_reason
def reach_time(
    series: Series, start_ns: int, stop_ns: int, low: float | None = None, high: float | None = None
) -> Quantity | NotReached:
    """Seconds from `start` until the series is in [low, high] for good: it enters and never leaves before `stop`.

    A value on the bound is inside. NotReached where the series is outside at `stop`.
    """
    piece = cut(series, start_ns, stop_ns)
    entry = _entry(piece, low, high, 0.0)
    if entry is None:
        edge = float(piece.value[-1])
        return NotReached(
            f"not in the band for good within {piece.span_s:g} s; at the end it was {edge:.6g} {series.unit}"
        )
    moved = 0.0
    if series.u:
        later, earlier = _entry(piece, low, high, -series.u), _entry(piece, low, high, series.u)
        late = float(stop_ns) if later is None else later
        moved = max(abs(late - entry), abs(entry - (entry if earlier is None else earlier)))
    return _instant(series, entry, start_ns, moved)


@_or_reason
def reaction_time(
    series: Series, start_ns: int, stop_ns: int, threshold: float, dwell_ns: int = 0
) -> Quantity | NotReached:
    """Seconds from `start` until the series is at or above `threshold` and stays there for `dwell`.

    The dwell keeps a single noisy sample from passing for a response.
    """
    piece = cut(series, start_ns, stop_ns)
    first = _first_stay(piece, threshold, dwell_ns)
    if first is None:
        peak = float(piece.value.max())
        return NotReached(f"no response within {piece.span_s:g} s; the highest value was {peak:.6g} {series.unit}")
    moved = 0.0
    if series.u:
        later = _first_stay(piece, threshold + series.u, dwell_ns)
        earlier = _first_stay(piece, threshold - series.u, dwell_ns)
        late = float(stop_ns) if later is None else later
        moved = max(abs(late - first), abs(first - (first if earlier is None else earlier)))
    return _instant(series, first, start_ns, moved)


def settle_time(
    series: Series, start_ns: int, stop_ns: int, target: float, tolerance: float
) -> Quantity | NotReached | NotComputable:
    """Seconds from `start` until the series stays within `tolerance` of `target`, for good."""
    return reach_time(series, start_ns, stop_ns, target - tolerance, target + tolerance)


# ------------------------------------------------------------------------------------------------------- moving windows


@_or_reason
def largest_change(series: Series, start_ns: int, stop_ns: int, window_ns: int, *, rising: bool) -> Quantity:
    """The largest rise (or fall, as a positive number) between two instants `window` apart in [start, stop]."""
    piece = cut(series, start_ns, stop_ns)
    ends = window_ends(piece, window_ns)
    change = piece.at(ends) - piece.at(ends - window_ns)
    worst = float((change if rising else -change).max())
    return Quantity(worst, series.unit, math.sqrt(2) * series.u)


def ramp_rate(series: Series, start_ns: int, stop_ns: int, window_ns: int, *, rising: bool = True) -> Measured:
    """The steepest mean slope over any `window` in [start, stop], per second; 0 or more where it moves that way."""
    change = largest_change(series, start_ns, stop_ns, window_ns, rising=rising)
    if isinstance(change, NotComputable):
        return change
    window_s = window_ns / _S
    return Quantity(change.value / window_s, f"{series.unit}/s", change.u / window_s)


@_or_reason
def peak_to_peak(series: Series, start_ns: int, stop_ns: int, window_ns: int) -> Quantity:
    """The largest difference between highest and lowest value inside any `window` in [start, stop]."""
    piece = cut(series, start_ns, stop_ns)
    if window_ns >= piece.t_ns[-1] - piece.t_ns[0]:
        return Quantity(float(np.ptp(piece.value)), series.unit, math.sqrt(2) * series.u)
    # the worst window of a piecewise-linear trace begins or ends at a sample
    worst = max(_widest(piece.t_ns, piece.value, window_ns), _widest(-piece.t_ns[::-1], piece.value[::-1], window_ns))
    return Quantity(worst, series.unit, math.sqrt(2) * series.u)


@_or_reason
def moving_mean_range(series: Series, start_ns: int, stop_ns: int, window_ns: int) -> tuple[Quantity, Quantity]:
    """Lowest and highest mean over the `window` before each sample in [start, stop]."""
    piece = cut(series, start_ns - window_ns, stop_ns)
    t = piece.t_ns.astype(np.float64)
    area = np.concatenate([[0.0], np.cumsum(np.diff(t) * (piece.value[1:] + piece.value[:-1]) / 2)])
    ends = window_ends(piece, window_ns)
    means = (_area_at(piece, area, ends) - _area_at(piece, area, ends - window_ns)) / window_ns
    return Quantity(float(means.min()), series.unit, series.u), Quantity(float(means.max()), series.unit, series.u)


# ------------------------------------------------------------------------------------------------------------ machinery


def _mean(piece: Piece) -> float:
    first = float(piece.value[0])
    if piece.t_ns.size == 1:
        return first
    # about the first value, so that the mean of a constant is that constant to the last bit
    return first + Piece(piece.t_ns, piece.value - first).area / piece.span_s


def _bounds(low: float | None, high: float | None, widen: float) -> tuple[float, float]:
    fuzz = _FUZZ * max(abs(low or 0.0), abs(high or 0.0))
    return (
        -math.inf if low is None else low - widen - fuzz,
        math.inf if high is None else high + widen + fuzz,
    )


def _entry(piece: Piece, low: float | None, high: float | None, widen: float) -> float | None:
    """The instant from which the piece stays inside the band, widened by `widen`; None if it ends outside."""
    bottom, top = _bounds(low, high, widen)
    outside = np.flatnonzero((piece.value < bottom) | (piece.value > top))
    if outside.size == 0:
        return float(piece.t_ns[0])
    last = int(outside[-1])
    if last == piece.t_ns.size - 1:
        return None
    before, after = float(piece.value[last]), float(piece.value[last + 1])
    bound = bottom if before < bottom else top
    run = float(piece.t_ns[last + 1] - piece.t_ns[last])
    return float(piece.t_ns[last]) + run * (bound - before) / (after - before)


def _first_stay(piece: Piece, threshold: float, dwell_ns: int) -> float | None:
    """The first instant from which the piece stays at or above `threshold` for `dwell`, or to its end."""
    bottom = threshold - _FUZZ * abs(threshold)
    above = np.concatenate([[False], piece.value >= bottom, [False]])
    begins, ends = np.flatnonzero(above[1:] & ~above[:-1]), np.flatnonzero(above[:-1] & ~above[1:]) - 1
    t, value = piece.t_ns.astype(np.float64), piece.value
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        rise, fall = float(t[begin]), math.inf
        if begin > 0:
            share = (bottom - value[begin - 1]) / (value[begin] - value[begin - 1])
            rise = float(t[begin - 1] + share * (t[begin] - t[begin - 1]))
        if end + 1 < t.size:
            share = (bottom - value[end]) / (value[end + 1] - value[end])
            fall = float(t[end] + share * (t[end + 1] - t[end]))
        if fall - rise >= dwell_ns:
            return rise
    return None


def _share(piece: Piece, low: float | None, high: float | None, widen: float) -> float:
    """Share of time inside the band; each segment is a straight line, so its part inside is a ratio of values."""
    bottom, top = _bounds(low, high, widen)
    a, b = piece.value[:-1], piece.value[1:]
    lower, upper = np.minimum(a, b), np.maximum(a, b)
    rise = upper - lower
    inside = np.clip(np.minimum(upper, top) - np.maximum(lower, bottom), 0.0, None)
    flat = (lower >= bottom) & (upper <= top)
    part = np.where(rise > 0, inside / np.where(rise > 0, rise, 1.0), flat)
    run = np.diff(piece.t_ns).astype(np.float64)
    if run.size == 0:
        return float(bottom <= piece.value[0] <= top)
    return float(np.sum(part * run) / np.sum(run))


def _instant(series: Series, instant: float, start_ns: int, moved_ns: float) -> Quantity:
    """A crossing as seconds since `start`, with the whole budget."""
    here = Local.of(series, round(instant))
    # at the foot and the head of a step averaging and sampling hide it to the same side: their terms add up
    u_ns = math.sqrt(moved_ns**2 + (here.window_ns + here.sampling_ns) ** 2 + series.u_time_ns**2)
    return Quantity((instant - start_ns) / _S, "s", u_ns / _S)


def _area_at(piece: Piece, area: Floats, at_ns: Instants) -> Floats:
    k = np.clip(np.searchsorted(piece.t_ns, at_ns, side="right") - 1, 0, piece.t_ns.size - 1)
    since = (at_ns - piece.t_ns[k]).astype(np.float64)
    total: Floats = area[k] + since * (piece.value[k] + piece.at(at_ns)) / 2
    return total


def _widest(t: Instants, value: Floats, window_ns: int) -> float:
    """Largest max-min over windows that begin at a sample."""
    begin = np.arange(t.size)
    end = np.searchsorted(t, t + window_ns, side="right") - 1
    edge = np.interp((t + window_ns).astype(np.float64), t.astype(np.float64), value)
    top = np.maximum(range_max(value, begin, end), edge)
    bottom = np.minimum(-range_max(-value, begin, end), edge)
    return float((top - bottom).max())
