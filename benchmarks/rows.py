"""What a benchmark hands in, and the one way to time two things against each other.

Owns the row and the alternation; the things that are timed stand in `bench_*.py`, one `rows()` in each.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

NANOSECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `value` and `peer_value` are in `unit`; `ratio` says how many times better than `peer`."""

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Duel:
    """Two things timed in turns. `ratio` is the median of the rounds' ratios, above 1 where ours is faster."""

    ours_s: float
    peer_s: float
    ratio: float

    def as_rate(self, name: str, peer: str, unit: str, ours_amount: float, peer_amount: float | None = None) -> Row:
        """A row in amounts a second ("MH/s"), where one call does that many; the peer's call may do another number."""
        theirs = ours_amount if peer_amount is None else peer_amount
        return Row(name, ours_amount / self.ours_s, unit, peer, theirs / self.peer_s, self.ratio * ours_amount / theirs)

    def as_duration(self, name: str, peer: str, unit: str = "s", per_second: float = 1.0) -> Row:
        """A row in time for one call; `per_second` is how many of `unit` are a second."""
        return Row(name, self.ours_s * per_second, unit, peer, self.peer_s * per_second, self.ratio)


def alternate(ours: Callable[[], object], peer: Callable[[], object], *, rounds: int = 15) -> Duel:
    """Call both once to warm them, then in turns for `rounds` rounds, the first to go changing each round.

    Turns share whatever else the machine is doing, so the ratio holds still where the times do not.
    """
    ours(), peer()
    pairs = []
    for number in range(rounds):
        if number % 2:
            theirs, mine = seconds(peer), seconds(ours)
        else:
            mine, theirs = seconds(ours), seconds(peer)
        pairs.append((mine, theirs))
    return Duel(
        ours_s=median(mine for mine, _ in pairs),
        peer_s=median(theirs for _, theirs in pairs),
        ratio=median(theirs / mine for mine, theirs in pairs),
    )


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call, without a garbage collection in the middle."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        start_ns = time.perf_counter_ns()
        call()
        return max(1, time.perf_counter_ns() - start_ns) / NANOSECONDS
    finally:
        if collecting:
            gc.enable()
