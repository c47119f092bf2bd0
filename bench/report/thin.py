"""Fewer points that draw the same picture: a minimum-maximum envelope per pixel, and every sample where it matters.

Owns the reduction of a series for display and its compact text form; nothing is ever judged on what comes out of here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Instants = NDArray[np.int64]
Values = NDArray[np.float64]

_BEFORE_NS = 250_000_000  # enough of the level before a step to see that it is one
_AFTER_NS = 1_250_000_000  # the fastest rules judge within the first second
_EXACT_SHARE = 0.6  # of the points go to the stretches that are kept sample by sample


@dataclass(frozen=True, slots=True)
class Coded:
    """Numbers as steps of a quantum: value[k] = quantum * (d[0] + ... + d[k]); None is a gap and adds nothing."""

    quantum: float
    d: list[int | None]


def encode(values: NDArray[np.float64], quantum: float) -> Coded:
    """Differences of the values rounded to multiples of `quantum`; rounding errors do not add up."""
    held = np.isfinite(values)
    steps = np.rint(values[held] / quantum).astype(np.int64)
    d: list[int | None] = [None] * values.size
    for place, step in zip(np.flatnonzero(held).tolist(), np.diff(steps, prepend=0).tolist(), strict=True):
        d[place] = step
    return Coded(quantum, d)


def decode(coded: Coded) -> Values:
    """What the page computes from `coded`; a gap is NaN."""
    total, out = 0, []
    for step in coded.d:
        total += step or 0
        out.append(math.nan if step is None else total * coded.quantum)
    return np.array(out, dtype=np.float64)


def thin(t_ns: Instants, value: Values, *, around: Sequence[int] = (), budget: int = 8000) -> tuple[Instants, Values]:
    """At most about `budget` of the points: all of them near the instants `around`, lowest and highest elsewhere.

    t_ns must not go back. Every extreme of the series survives, and so do the start, the end and the edges of gaps
    (those wider than a pixel, where there are very many). No point is invented.
    """
    if t_ns.size <= budget:
        return t_ns, value
    near = _near(t_ns, around, int(budget * _EXACT_SHARE))
    buckets = max(1, (budget - int(np.count_nonzero(near))) // 2)
    span = int(t_ns[-1] - t_ns[0]) + 1
    bucket = (t_ns - t_ns[0]) * buckets // span
    edge = np.zeros(t_ns.size, dtype=bool)
    edge[1:] = (np.diff(bucket) != 0) | (np.diff(near.astype(np.int8)) != 0)
    gap = np.isnan(value)
    starts = np.concatenate([[0], np.flatnonzero(edge)])
    lengths = np.diff(np.append(starts, t_ns.size))
    gap_edges = _gap_edges(gap)
    if np.count_nonzero(gap_edges) > budget // 4:  # a series that is all holes shows those wider than a pixel
        gap_edges = _gap_edges(np.repeat(np.logical_and.reduceat(gap, starts), lengths))
    keep = near | gap_edges
    keep[[0, -1]] = True
    for reduce in (np.fmin, np.fmax):
        extreme = np.repeat(reduce.reduceat(value, starts), lengths)
        hits = np.flatnonzero(value == extreme)
        group = np.searchsorted(starts, hits, side="right")
        keep[hits[np.flatnonzero(np.diff(group, prepend=-1))]] = True
    return t_ns[keep], value[keep]


def _near(t_ns: Instants, around: Sequence[int], most: int) -> NDArray[np.bool_]:
    """The points within the windows around the instants, the windows shortened until at most `most` points are in."""
    shrink = 1.0
    near = _within(t_ns, around, shrink)
    while np.count_nonzero(near) > most:
        shrink *= 0.8 * most / np.count_nonzero(near)
        near = _within(t_ns, around, shrink)
        if shrink < 1e-6:
            return np.zeros(t_ns.size, dtype=bool)
    return near


def _within(t_ns: Instants, around: Sequence[int], shrink: float) -> NDArray[np.bool_]:
    near = np.zeros(t_ns.size, dtype=bool)
    for instant in around:
        first, last = np.searchsorted(t_ns, [instant - int(_BEFORE_NS * shrink), instant + int(_AFTER_NS * shrink)])
        near[first:last] = True
    return near


def _gap_edges(gap: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """First point of each gap, and the samples on either side of it."""
    edges = np.zeros(gap.size, dtype=bool)
    change = np.flatnonzero(gap[1:] != gap[:-1])
    edges[change] = True
    edges[change + 1] = True
    return edges
