"""Quantities over time as closed forms: piecewise-linear signals, and the append-only log of a fleet's power segments.

Nothing here is stepped or sampled unless a caller asks: values, means and energies are exact at any instant. It owns no
clock and no state machine; `emulator/fleet.py` decides which segment comes next.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.ma  # or np.unique imports it at its first call: 20 to 45 ms, in the middle of an event
from numpy.typing import ArrayLike, NDArray

from emulator.closed_form import Form
from fastpath.single import Curve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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

    __slots__ = ("_area", "_areas", "_instants", "_values", "t_ns", "value")

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
        # one instant is looked up many times a second: lists and bisect beat arrays there
        self._instants: list[int] = self.t_ns.tolist()
        self._values: list[float] = self.value.tolist()
        self._areas: list[float] = self._area.tolist()

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
        index = bisect_right(self._instants, instant)
        if index == 0:
            return self._values[0]
        if index == len(self._instants):
            return self._values[-1]
        left, right = self._instants[index - 1], self._instants[index]
        low, high = self._values[index - 1], self._values[index]
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

    def integrals(self, instants: Instants) -> Floats:
        """Integral from the first breakpoint to each of `instants`, value times seconds, same shape."""
        index = np.clip(np.searchsorted(self.t_ns, instants, side="right") - 1, 0, self.t_ns.size - 1)
        since = (instants - self.t_ns[index]).astype(np.float64)
        drawn: Floats = (self._area[index] + (self.value[index] + self.sample(instants)) / 2 * since) * _S
        return drawn

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

        def beyond(value: float) -> bool:
            return value <= level if falling else value >= level

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
        if instant <= self._instants[0]:
            return self._values[0] * float(instant - self._instants[0])
        index = bisect_right(self._instants, instant) - 1
        since = float(instant - self._instants[index])
        return self._areas[index] + (self._values[index] + self.at(instant)) / 2 * since


FIELDS = (
    "row",
    "t0_ns",
    "base_w",
    "slope_w",
    "amp_w",
    "tau_s",
    "base_ths",
    "slope_ths",
    "amp_ths",
    "joules",
    "work",
    "phase",
)
_INTEGER = {"row": np.int32, "t0_ns": np.int64, "phase": np.int8, "previous": np.int64}


class SegmentLog:
    """Append-only log of what every miner's power and hash rate did: a closed form from `t0_ns` to the next entry.

    power(t) = base_w + slope_w * dt + amp_w * exp(-dt / tau_s) in watts, dt = t - t0 in seconds, and the same for the
    hash rate in TH/s with the same tau. `joules` and `work` (TH) are the row's totals at t0, so that energy at any
    instant is one closed form and not a sum. Columns are arrays of equal length; `previous` links a row's entries.
    `power` and `hash_rate` read one row at a time, in W and J, and in TH/s and TH.
    """

    def __init__(self, rows: int, capacity: int = 1024) -> None:
        self.rows = rows
        self.size = 0
        self.latest: NDArray[np.int64] = np.full(rows, -1, dtype=np.int64)
        """Index of each row's newest entry, shape (rows,)."""
        self._columns: dict[str, NDArray[Any]] = {
            name: np.zeros(capacity, dtype=_INTEGER.get(name, np.float64)) for name in (*FIELDS, "previous")
        }
        self._bind()

    def _bind(self) -> None:
        """One row at a time is read past numpy."""
        c = self._columns
        self._phase = c["phase"].item
        self.power, self.hash_rate = (
            Curve(
                self.latest, c["t0_ns"], c["previous"], c[f"base_{kind}"], c[f"slope_{kind}"], c[f"amp_{kind}"],
                c["tau_s"], c[total],
            )
            for kind, total in (("w", "joules"), ("ths", "work"))
        )  # fmt: skip

    @classmethod
    def restore(cls, rows: int, columns: Mapping[str, NDArray[Any]]) -> SegmentLog:
        """A log again from the columns FIELDS of one, in the order in which its entries were appended."""
        log = cls(rows, capacity=max(1, columns["row"].size))
        log.size = int(columns["row"].size)
        for name in FIELDS:
            log._columns[name][: log.size] = columns[name]
        for entry, row in enumerate(columns["row"].tolist()):
            log._columns["previous"][entry] = log.latest[row]
            log.latest[row] = entry
        return log

    def column(self, name: str) -> NDArray[Any]:
        """One column, shape (size,); a view that the next append may leave behind."""
        return self._columns[name][: self.size]

    def append(self, rows: NDArray[np.int64], **values: ArrayLike) -> None:
        """Add one entry for each of `rows` (each row at most once a call); `values` are the other FIELDS."""
        count = rows.size
        if self.size + count > self._columns["row"].size:
            self._grow(self.size + count)
        window = slice(self.size, self.size + count)
        self._columns["row"][window] = rows
        self._columns["previous"][window] = self.latest[rows]
        for name, value in values.items():
            self._columns[name][window] = value
        self.latest[rows] = np.arange(self.size, self.size + count)
        self.size += count

    def _grow(self, needed: int) -> None:
        capacity = max(needed, 2 * self._columns["row"].size)
        for name, old in self._columns.items():
            fresh = np.zeros(capacity, dtype=old.dtype)
            fresh[: self.size] = old[: self.size]
            self._columns[name] = fresh
        self._bind()

    def entries_at(self, rows: NDArray[np.int64], instant: Instant) -> NDArray[np.int64]:
        """Index of the entry that holds for each row at `instant`; before a row's first entry, the first."""
        index = self.latest[rows]
        t0, previous = self._columns["t0_ns"], self._columns["previous"]
        while True:
            late = t0[index] > instant
            if not late.any():
                return index
            late &= previous[index] >= 0
            if not late.any():
                return index
            index = np.where(late, previous[index], index).astype(np.int64)

    def phase(self, row: int, instant: Instant) -> int:
        """The phase of one row at `instant`."""
        code: int = self._phase(self.power.entry_at(row, instant))
        return code

    def evaluate(self, entries: NDArray[np.int64], instant: Instant | Instants, kind: str = "w") -> Floats:
        """Power in watts (`kind` "w") or hash rate in TH/s ("ths") of the given entries at `instant`."""
        c = self._columns
        dt = (instant - c["t0_ns"][entries]) * _S
        amp = c[f"amp_{kind}"][entries]
        value: Floats = c[f"base_{kind}"][entries] + c[f"slope_{kind}"][entries] * dt
        if amp.any():
            value = value + amp * np.exp(-dt / c["tau_s"][entries])
        return value

    def total(self, entries: NDArray[np.int64], instant: Instant | Instants, kind: str = "w") -> Floats:
        """Energy in joules ("w") or work in TH ("ths") of the given entries' rows from instant 0 until `instant`."""
        c = self._columns
        dt = (instant - c["t0_ns"][entries]) * _S
        amp = c[f"amp_{kind}"][entries]
        start = c["joules" if kind == "w" else "work"][entries]
        value: Floats = start + dt * (c[f"base_{kind}"][entries] + c[f"slope_{kind}"][entries] * dt / 2)
        if amp.any():
            tau = c["tau_s"][entries]
            value = value - amp * tau * np.expm1(-dt / tau)
        return value

    def form(self, entries: NDArray[np.int64], kind: str = "w") -> Form:
        """The sum of the given entries from the newest one's beginning on."""
        c = self._columns
        t0, tau, slope = c["t0_ns"][entries], c["tau_s"][entries], c[f"slope_{kind}"][entries]
        since = int(t0.max())
        dt = (since - t0) * _S
        heights = c[f"amp_{kind}"][entries] * np.exp(-dt / tau)
        taus = np.unique(tau[heights != 0.0]).tolist()
        return Form(
            since,
            float(self.total(entries, since, kind).sum()),
            float((c[f"base_{kind}"][entries] + slope * dt).sum()),
            float(slope.sum()),
            tuple((one, float(heights[tau == one].sum())) for one in taus),
        )

    def power_series(self, t_ns: Instants, weight: ArrayLike = 1.0) -> Floats:
        """Sum over all rows of weight[row] * power at each of the sorted instants, watts, shape of `t_ns`.

        Cost grows with entries plus samples, not with their product: polynomials are summed through difference arrays,
        exponentials of one time constant through one recurrence.
        """
        e = self._spans(t_ns, weight)
        slope = e.weight * e.slope
        const = e.weight * e.base - slope * e.t0
        return self._sum(e, [const, slope], e.weight * e.amp, t_ns)

    def energy_series(self, t_ns: Instants, weight: ArrayLike = 1.0) -> Floats:
        """Sum over all rows of weight[row] * energy since instant 0 at each of the sorted instants, joules."""
        e = self._spans(t_ns, weight)
        square = e.weight * e.slope / 2
        linear = e.weight * e.base - 2 * square * e.t0
        const = e.weight * (e.joules + e.amp * e.tau - e.base * e.t0) + square * e.t0**2
        return self._sum(e, [const, linear, square], -e.weight * e.amp * e.tau, t_ns)

    def _spans(self, t_ns: Instants, weight: ArrayLike) -> _Spans:
        """Every entry as a stretch of sample indices [first, last), times in seconds relative to the first sample."""
        row = self.column("row").astype(np.int64)
        t0 = self.column("t0_ns").astype(np.int64)
        order = np.lexsort((np.arange(self.size), t0, row))
        row, t0 = row[order], t0[order]
        stop = np.full(self.size, np.iinfo(np.int64).max, dtype=np.int64)
        stop[:-1] = np.where(row[1:] == row[:-1], t0[1:], stop[:-1])
        begin = t0.copy()
        begin[np.concatenate([[True], row[1:] != row[:-1]])] = np.iinfo(np.int64).min
        first, last = np.searchsorted(t_ns, begin, side="left"), np.searchsorted(t_ns, stop, side="left")
        seen = first < last
        pick = order[seen]
        weights = np.broadcast_to(np.asarray(weight, dtype=np.float64), (self.rows,))[row[seen]]
        c = self._columns
        return _Spans(
            first=first[seen], last=last[seen], weight=weights, t0=(t0[seen] - t_ns[0]) * _S,
            base=c["base_w"][pick].astype(np.float64), slope=c["slope_w"][pick].astype(np.float64),
            amp=c["amp_w"][pick].astype(np.float64), tau=c["tau_s"][pick].astype(np.float64),
            joules=c["joules"][pick].astype(np.float64),
        )  # fmt: skip

    @staticmethod
    def _sum(e: _Spans, coefficients: list[Floats], amp: Floats, t_ns: Instants) -> Floats:
        n = t_ns.size
        t = (t_ns - t_ns[0]) * _S
        total = np.zeros(n)
        for power, coefficient in enumerate(coefficients):
            delta = np.bincount(e.first, coefficient, n + 1) - np.bincount(e.last, coefficient, n + 1)
            total += np.cumsum(delta[:n]) * t**power
        for tau in np.unique(e.tau[amp != 0.0]):
            total += _decays(e, amp, float(tau), t)
        return total


@dataclass(frozen=True, slots=True)
class _Spans:
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    weight: Floats
    t0: Floats
    base: Floats
    slope: Floats
    amp: Floats
    tau: Floats
    joules: Floats


def _decays(e: _Spans, amp: Floats, tau: float, t: Floats) -> Floats:
    """Sum of amp * exp(-(t - t0) / tau) over the spans with this time constant, at each sample."""
    pick = np.flatnonzero((e.tau == tau) & (amp != 0.0))
    first, t0, a = e.first[pick], e.t0[pick], amp[pick]
    faded = np.searchsorted(t, t0 + _NEGLIGIBLE_EXPONENT * tau, side="left")
    last = np.minimum(e.last[pick], np.maximum(faded, first))
    n = t.size
    kick = np.bincount(first, a * np.exp(-(t[np.minimum(first, n - 1)] - t0) / tau) * (first < last), n + 1)
    ends = last < n
    kick -= np.bincount(last[ends], a[ends] * np.exp(-(t[last[ends]] - t0[ends]) / tau) * (first < last)[ends], n + 1)
    begin, stop = int(first.min()), int(last.max())
    drawn = np.zeros(n)
    decay = np.exp(-np.diff(t[begin:stop], prepend=t[begin]) / tau).tolist()
    level = 0.0
    values = []
    for factor, push in zip(decay, kick[begin:stop].tolist(), strict=True):
        level = level * factor + push
        values.append(level)
    drawn[begin:stop] = values
    return drawn
