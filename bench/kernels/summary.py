"""Records in, figures out: best, median, quartiles, ratios to a peer, cycles, share of the limit, thread scaling.

Owns the arithmetic; it reads no clock and prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from bench.kernels.contestants import PEER_WORK, key_of
from bench.kernels.machine import Machine, limit_hashes_per_s
from bench.kernels.measure import Record


class NoSuchPeerError(ValueError):
    """The peer that was named takes no part."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles."""

    median: float
    q1: float
    q3: float


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant over all rounds. Rates in hashes a second, all threads together; ratios above 1 are faster.

    `peer_ratio` is the spread of the rounds' own ratios, `best_ratio` best over best. Cycles count each thread's.
    `limit_share` is the best rate over what an all-SHA-NI kernel could do; None where that is unknown or no measure.
    `scaling` is the spread of the rounds' ratios to the same kernel on one thread.
    """

    key: str
    work: str
    kernel: str
    threads: int
    rounds: int
    best: float
    rate: Spread
    peer: str
    peer_ratio: Spread
    best_ratio: float
    cycles_best: float | None
    cycles_median: float | None
    limit_share: float | None
    scaling: Spread | None
    against: Spread | None


def spread(values: Iterable[float]) -> Spread:
    """Median and quartiles (inclusive method) of at least one value."""
    known = list(values)
    if len(known) == 1:
        return Spread(known[0], known[0], known[0])
    low, middle, high = quantiles(known, n=4, method="inclusive")
    return Spread(middle, low, high)


def peer_key(work: str, name: str, keys: Iterable[str]) -> str:
    """The key of the peer called `name` for a work: the one of that work, else the one that stands for it.

    Raises NoSuchPeerError with the names there are.
    """
    known = list(keys)
    for candidate in (key_of(work, name), key_of(PEER_WORK[work], name)):
        if candidate in known:
            return candidate
    names = dict.fromkeys(key.split("/", 1)[1] for key in known if " x" not in key)
    raise NoSuchPeerError(f"--peer: nothing called {name!r} takes part for {work}; there are {', '.join(names)}")


def by_key(records: Iterable[Record]) -> dict[str, dict[int, Record]]:
    """key -> round -> record, keys in the order they first appear by work and name."""
    found: dict[str, dict[int, Record]] = {}
    for record in records:
        found.setdefault(record.key, {})[record.round] = record
    return found


def ratios(ours: dict[int, Record], theirs: dict[int, Record]) -> list[float]:
    """The ratio of rates in each round that has both, in the order of the rounds."""
    return [ours[n].hashes_per_s / theirs[n].hashes_per_s for n in sorted(ours) if n in theirs]


def summary(
    records: Sequence[Record],
    keys: Sequence[str],
    needs: dict[str, tuple[str, ...]],
    peer: str,
    machine: Machine,
    against: Sequence[tuple[range, float]] = (),
) -> list[Row]:
    """One row for each of `keys` (the order of the table); `needs` are the instructions a key's tier uses.

    `against` are runs of an external program: the rounds around it, and its rate in hashes a second.
    """
    grouped = by_key(records)
    frequencies = [record.frequency_hz for record in records if record.frequency_hz is not None]
    fastest_hz = max(frequencies, default=None)
    rows = []
    for key in keys:
        mine = grouped[key]
        first = next(iter(mine.values()))
        peer_of = peer_key(first.work, peer, grouped)
        rates = [record.hashes_per_s for record in mine.values()]
        best, rate = max(rates), spread(rates)
        limit = limit_hashes_per_s(first.work, needs[key], fastest_hz, machine)
        one = grouped.get(key_of(first.work, first.kernel))
        rows.append(
            Row(
                key=key,
                work=first.work,
                kernel=first.kernel,
                threads=first.threads,
                rounds=len(mine),
                best=best,
                rate=rate,
                peer=peer_of,
                peer_ratio=spread(ratios(mine, grouped[peer_of])),
                best_ratio=best / max(record.hashes_per_s for record in grouped[peer_of].values()),
                cycles_best=None if fastest_hz is None else first.threads * fastest_hz / best,
                cycles_median=_cycles(mine.values()),
                limit_share=None if limit is None else best / (first.threads * limit),
                scaling=spread(ratios(mine, one)) if one is not None and first.threads > 1 else None,
                against=_against(mine, against),
            )
        )
    return rows


def _cycles(mine: Iterable[Record]) -> float | None:
    """Median of the rounds' cycles a hash, each by its own round's frequency."""
    cycles = [r.threads * r.frequency_hz / r.hashes_per_s for r in mine if r.frequency_hz is not None]
    return median(cycles) if cycles else None


def _against(mine: dict[int, Record], runs: Sequence[tuple[range, float]]) -> Spread | None:
    """Ratios to an external program: the median of the rounds around each of its runs over its rate."""
    found = []
    for around, rate in runs:
        rates = [mine[number].hashes_per_s for number in around if number in mine]
        if rates:
            found.append(median(rates) / rate)
    return spread(found) if found else None
