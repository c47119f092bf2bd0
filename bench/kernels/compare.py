"""Two measurements against each other: has a kernel become slower, and is that more than chance?

Owns the bootstrap and the verdict on each kernel; it measures nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.kernels.measure import Record
from bench.kernels.summary import by_key, peer_key, ratios
from emulator.seed import Seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 4_000
SHARE = 0.95
"""Share of the draws inside the interval."""
TOLERANCE = 0.05
"""How much slower is no regression: the same build differs by that from run to run (measured on a shared machine)."""
By = Literal["ratio", "rate"]


@dataclass(frozen=True, slots=True)
class Change:
    """One kernel, now over then: ratio of medians with its bootstrap interval, and best over best; above 1 is faster.

    `regression`: the whole interval lies below 1 - tolerance, and so does the best. `under_load`: only the interval
    does; an undisturbed core is as fast as before, so it may be the neighbours that changed. `gain`: both lie above
    1 + tolerance.
    """

    key: str
    ratio: float
    low: float
    high: float
    best_ratio: float
    now: float
    then: float
    regression: bool
    under_load: bool
    gain: bool


def compare(
    now: Sequence[Record],
    then: Sequence[Record],
    peer: str,
    *,
    by: By = "ratio",
    tolerance: float = TOLERANCE,
    seed: int = 1,
) -> list[Change]:
    """Every kernel that both measurements have, in the order of `now`.

    `by` "ratio" compares each round's ratio to the peer of the same round, so that a busier machine is no slower
    kernel; "rate" compares hashes a second. The best slices are compared by rate: peers feel a neighbour otherwise
    than kernels do, and the best slice had none. Raises NoSuchPeerError where a measurement lacks the peer.
    """
    new, old = _values(now, peer, by), _values(then, peer, by)
    new_best, old_best = _bests(now), _bests(then)
    changes = []
    for key, values in new.items():
        if key in old:
            low, high = interval(values, old[key], Seed(seed) / "compare" / key)
            middle, before = float(np.median(values)), float(np.median(old[key]))
            best, least, most = new_best[key] / old_best[key], 1.0 - tolerance, 1.0 + tolerance
            changes.append(
                Change(
                    key, middle / before, low, high, best, middle, before,
                    regression=high < least and best < least,
                    under_load=high < least <= best,
                    gain=low > most and best > most,
                )
            )  # fmt: skip
    return changes


def interval(now: Sequence[float], then: Sequence[float], seed: Seed) -> tuple[float, float]:
    """Bootstrap interval of median(now) / median(then), by percentiles.

    Whole stretches of about sqrt(n) rounds are drawn (circular block bootstrap), because rounds are no independent
    draws: what disturbs a machine lasts longer than one of them.
    """
    drawn = _medians(np.asarray(now, float), seed / "now") / _medians(np.asarray(then, float), seed / "then")
    low, high = np.quantile(drawn, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return float(low), float(high)


def _medians(values: NDArray[np.float64], seed: Seed) -> NDArray[np.float64]:
    """Medians of `DRAWS` resampled series, shape (DRAWS,)."""
    size = values.size
    stretch = max(1, isqrt(size))
    stretches = -(-size // stretch)
    starts = (seed.uniforms(DRAWS * stretches) * size).astype(np.intp).reshape(DRAWS, stretches, 1)
    picked = (starts + np.arange(stretch)) % size
    medians: NDArray[np.float64] = np.median(values[picked.reshape(DRAWS, -1)[:, :size]], axis=1)
    return medians


def _bests(records: Sequence[Record]) -> dict[str, float]:
    """Hashes a second of each kernel's best slice."""
    return {key: max(record.hashes_per_s for record in mine.values()) for key, mine in by_key(records).items()}


def _values(records: Sequence[Record], peer: str, by: By) -> dict[str, list[float]]:
    """The series of each kernel, in the order of its rounds; by ratio the peer itself is left out."""
    grouped = by_key(records)
    if by == "rate":
        return {key: [mine[n].hashes_per_s for n in sorted(mine)] for key, mine in grouped.items()}
    found = {}
    for key, mine in grouped.items():
        other = peer_key(next(iter(mine.values())).work, peer, grouped)
        if other != key:
            found[key] = ratios(mine, grouped[other])
    return found
