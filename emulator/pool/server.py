"""The pool as a device on the network, and its books over real and drawn shares.

Owns the address's one port, the extranonces and what a caller may ask about a worker; the dialect is
`emulator/pool/stratum.py`, the law of the drawn shares `emulator/pool/shares.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emulator.fleet import Rows
from emulator.pool.accounts import Accounts, HashRate, Tally
from emulator.pool.job import EXTRANONCE1_BYTES, JobPlan
from emulator.pool.shares import ShareSource
from emulator.pool.stratum import StratumConversation, Terms
from emulator.seed import Seed
from emulator.wire import MILLISECOND, Instant, Reach

PORT = 3333
LATENCY_NS = 38 * MILLISECOND
"""From a find to the pool and from new work to the miner (S: one capture); a drawn share found within it is stale."""


class Pool:
    """A Stratum V1 pool. Real shares come over connections; `attach` adds those of a source, by worker name."""

    def __init__(self, seed: Seed, terms: Terms | None = None, jobs: JobPlan | None = None, port: int = PORT) -> None:
        self.ports: tuple[int, ...] = (port,)
        self.terms = terms if terms is not None else Terms()
        self.jobs = jobs if jobs is not None else JobPlan(seed / "pool")
        self.accounts = Accounts()
        self._connections = 0
        self._source: ShareSource | None = None
        self._rows: dict[str, int] = {}

    def reach(self, port: int, now: Instant) -> Reach:
        """Always there."""
        return Reach.ANSWERS if port in self.ports else Reach.REFUSES

    def converse(self, port: int, peer: str, now: Instant) -> StratumConversation:
        """Begin a connection with an extranonce1 of its own."""
        self._connections += 1
        extranonce1 = (self._connections % (1 << 8 * EXTRANONCE1_BYTES)).to_bytes(EXTRANONCE1_BYTES)
        return StratumConversation(self.jobs, self.accounts, self.terms, extranonce1)

    def attach(self, source: ShareSource, workers: Sequence[str | None]) -> None:
        """Credit the drawn shares of each row of `source` to its worker; None leaves a row out (it hashes for real).

        Raises ValueError when a name stands for two rows.
        """
        rows = {name: row for row, name in enumerate(workers) if name is not None}
        if len(rows) != sum(name is not None for name in workers):
            raise ValueError("a worker name stands for two miners; give each row a name of its own")
        self._source, self._rows = source, rows

    def tally(self, worker: str, now: Instant) -> Tally:
        """Counts of `worker` from instant 0 until `now`."""
        return self.accounts.tally(worker) + self._drawn(worker, 0, now)

    def hash_rate(self, worker: str, start: Instant, stop: Instant) -> HashRate:
        """The hash rate that the shares of (start, stop] tell, with its standard error."""
        difficulty, shares, begin = self.accounts.accepted_between(worker, max(0, start), stop)
        drawn = self._drawn(worker, begin, stop)
        return HashRate.of(difficulty + drawn.difficulty, shares + drawn.accepted, stop - begin)

    def site_hash_rate(self, start: Instant, stop: Instant) -> HashRate:
        """The hash rate of all attached rows together, from their drawn shares in (start, stop]."""
        if self._source is None:
            return HashRate(0.0, 0)
        rows = np.array(sorted(self._rows.values()), dtype=np.int64)
        start = max(0, start)
        counts = self._source.counts_between(start, stop, rows)
        counts -= self._stale(start, stop, rows)
        difficulty = float(counts @ self._source.difficulty[rows])
        return HashRate.of(difficulty, int(counts.sum()), stop - start)

    def _drawn(self, worker: str, start: Instant, stop: Instant) -> Tally:
        row = self._rows.get(worker)
        if self._source is None or row is None:
            return Tally()
        rows = np.array([row], dtype=np.int64)
        found = int(self._source.counts_between(start, stop, rows)[0])
        stale = int(self._stale(start, stop, rows)[0])
        accepted = found - stale
        return Tally(accepted, 0, stale, accepted * float(self._source.difficulty[row]), accepted, None)

    def _stale(self, start: Instant, stop: Instant, rows: Rows) -> NDArray[np.int64]:
        """Drawn shares in (start, stop] that were found on a block already gone."""
        stale: NDArray[np.int64] = np.zeros(rows.size, dtype=np.int64)
        if self._source is not None:
            for gone in self.jobs.clean_instants(start - LATENCY_NS, stop):
                stale += self._source.counts_between(max(start, gone), min(stop, gone + LATENCY_NS), rows)
        return stale
