"""The shares that the miners of a fleet find: drawn, or really hashed.

Owns the law that ties shares to work: finds are a Poisson process on the axis of *hashes made*, so a miner that sleeps
finds none, and one that ramps finds them as its hash rate goes. It neither sends nor counts them; see `server.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

import fastpath
from emulator.fleet import Fleet, Rows
from emulator.pool.job import EXTRANONCE2_BYTES, HASHES_PER_DIFFICULTY, Job, JobPlan, difficulty_of, target_of
from emulator.seed import Seed
from emulator.timeline import Floats
from emulator.wire import Instant

_CELL_BITS = 40
"""Cells of one expected share each: 2^40 for each row, and 2^24 rows."""
_CELLS_AT_ONCE = 1 << 20
_SHARES_PER_MINUTE = 18.0
"""What pools aim for (S: ckpool's rule D = 3.33 times the difficulty-1 shares per second)."""
_LONGEST_SCAN = 1 << 31
_NONCES = 1 << 32
_CHUNK = 1 << 22


def _poisson_table() -> Floats:
    """P(count <= k) of a Poisson variable of mean 1, k = 0 .. 20; the rest is under 1e-19."""
    k = np.arange(21)
    factorial = np.cumprod(np.concatenate([[1.0], np.arange(1.0, 21.0)]))
    table: Floats = np.cumsum(np.exp(-1.0) / factorial[k])
    return table


_AT_MOST = _poisson_table()


@dataclass(frozen=True, slots=True)
class Shares:
    """Drawn shares, in order of time; arrays of one length. `difficulty` is what each share would be good for."""

    at_ns: NDArray[np.int64]
    row: NDArray[np.int64]
    difficulty: Floats
    synthetic: ClassVar[bool] = True
    """These were drawn, not hashed: a verdict may not rest on them."""

    def __len__(self) -> int:
        return int(self.at_ns.size)


class ShareSource:
    """Synthetic shares of every miner of `fleet`, at a difficulty for all or one for each row.

    On the axis of expected shares (work / work per share) finds have unit rate. That axis is cut into cells of length
    1; the number of finds in a cell and their places are drawn from the seed, the row and the number of the cell alone.
    So every question has one answer, whatever was asked before, and a row's answer knows of no other row. Nothing is
    stored. Instants asked for must not lie ahead of the run's present: the fleet is brought up to them.
    """

    def __init__(self, fleet: Fleet, seed: Seed, difficulty: float | Floats | None = None) -> None:
        if difficulty is None:
            rate = fleet.nominal_ths * 1e12 / HASHES_PER_DIFFICULTY
            difficulty = rate * 60.0 / _SHARES_PER_MINUTE
        self.difficulty: Floats = np.broadcast_to(np.asarray(difficulty, dtype=np.float64), (len(fleet),)).copy()
        """Difficulty of each row's shares."""
        if not (np.isfinite(self.difficulty) & (self.difficulty > 0.0)).all():
            raise ValueError("a share difficulty must be positive and finite")
        self._fleet = fleet
        self._seed = seed / "shares"
        self._work_per_share = self.difficulty * (HASHES_PER_DIFFICULTY * 1e-12)

    def expected(self, at: Instant, rows: slice | Rows = slice(None)) -> Floats:
        """Expected number of shares of each of `rows` from instant 0 until `at`."""
        mean: Floats = self._fleet.work_th(max(0, at), rows) / self._work_per_share[rows]
        return mean

    def counts_between(self, start: Instant, stop: Instant, rows: slice | Rows = slice(None)) -> NDArray[np.int64]:
        """Number of shares found in (start, stop] by each of `rows`; those before instant 0 are nobody's."""
        chosen, low, high = self._axis(start, stop, rows)
        counts = np.zeros(chosen.size, dtype=np.int64)
        for part in _parts(low, high):
            owner, cell, index = _cells(chosen[part], low[part], high[part])
            found = np.searchsorted(_AT_MOST, (self._seed / "count").uniforms_at(index), side="left")
            # The places within a cell matter only where the interval begins or ends.
            edge = np.flatnonzero((found > 0) & ((cell <= low[part][owner]) | (cell + 1 > high[part][owner])))
            inner = found.copy()
            inner[edge] = 0
            of, _, _ = self._places(owner[edge], cell[edge], index[edge], found[edge], low[part], high[part])
            size = counts[part].size
            counts[part] = np.bincount(owner, inner, size).astype(np.int64) + np.bincount(of, minlength=size)
        return counts

    def shares_between(self, start: Instant, stop: Instant, rows: slice | Rows = slice(None)) -> Shares:
        """The shares found in (start, stop] by `rows`, in order of time; identical however the interval is split."""
        chosen, low, high = self._axis(start, stop, rows)
        at: list[NDArray[np.int64]] = []
        row: list[NDArray[np.int64]] = []
        difficulty: list[Floats] = []
        for part in _parts(low, high):
            owner, cell, index = _cells(chosen[part], low[part], high[part])
            found = np.searchsorted(_AT_MOST, (self._seed / "count").uniforms_at(index), side="left")
            of, place, luck = self._places(owner, cell, index, found, low[part], high[part])
            of = chosen[part][of]
            at.append(instants_of(self._fleet, of, place, self._work_per_share[of], stop))
            row.append(of)
            difficulty.append(self.difficulty[of] / luck)
        when, who, good = np.concatenate(at), np.concatenate(row), np.concatenate(difficulty)
        order = np.lexsort((good, who, when))
        return Shares(when[order], who[order], good[order])

    def _axis(self, start: Instant, stop: Instant, rows: slice | Rows) -> tuple[Rows, Floats, Floats]:
        chosen = np.arange(len(self._fleet), dtype=np.int64)[rows]
        self._fleet.advance(max(0, stop))
        return chosen, self.expected(start, chosen), self.expected(stop, chosen)

    def _places(
        self,
        owner: NDArray[np.int64],
        cell: NDArray[np.int64],
        index: NDArray[np.uint64],
        found: NDArray[np.int64],
        low: Floats,
        high: Floats,
    ) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Owner, place on the axis and luck (uniform) of each find that lies in its owner's (low, high]."""
        owners, places, lucks = [owner[:0]], [np.zeros(0)], [np.zeros(0)]
        for k in range(int(found.max(initial=0))):
            pick = np.flatnonzero(found > k)
            place = cell[pick] + (self._seed / "place" / k).uniforms_at(index[pick])
            inside = (place > low[owner[pick]]) & (place <= high[owner[pick]])
            owners.append(owner[pick][inside])
            places.append(place[inside])
            lucks.append((self._seed / "luck" / k).uniforms_at(index[pick][inside]))
        return np.concatenate(owners), np.concatenate(places), np.concatenate(lucks)


def _parts(low: Floats, high: Floats) -> Iterator[slice]:
    """Cut the rows so that no part has many more cells than fit a comfortable array; always at least one part."""
    cells = np.cumsum(np.floor(high) - np.floor(low) + 1.0)
    begin = 0
    while begin < low.size or begin == 0:
        before = cells[begin - 1] if begin else 0.0
        end = max(begin + 1, int(np.searchsorted(cells, before + _CELLS_AT_ONCE, side="right")))
        yield slice(begin, end)
        begin = end


def _cells(rows: Rows, low: Floats, high: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
    """Every cell that touches a row's (low, high]: position of its row in `rows`, its number, its index for draws."""
    first = np.floor(low).astype(np.int64)
    count = np.where(high > low, np.floor(high).astype(np.int64) - first + 1, 0)
    owner = np.repeat(np.arange(rows.size, dtype=np.int64), count)
    offset = np.arange(owner.size, dtype=np.int64) - np.repeat(np.cumsum(count) - count, count)
    cell = first[owner] + offset
    index = (rows[owner].astype(np.uint64) << np.uint64(_CELL_BITS)) + cell.astype(np.uint64)
    return owner, cell, index


def instants_of(fleet: Fleet, rows: Rows, place: Floats, work_per_unit: Floats, stop: Instant) -> NDArray[np.int64]:
    """The first instant at which the work of each of `rows` (TH, over `work_per_unit`) has reached `place`.

    Same shape as `rows`, which may repeat; `place` must be above 0 and reached by `stop`. The answer is found in the
    log's closed form bit by bit, so it depends on the log alone and not on the interval it was asked for.
    """
    log = fleet.log
    t0, work, previous = log.column("t0_ns"), log.column("work"), log.column("previous")
    entry = log.entries_at(rows, stop)
    limit = np.full(rows.size, stop, dtype=np.int64)
    while True:
        early = (work[entry] / work_per_unit >= place) & (previous[entry] >= 0)
        if not early.any():
            break
        limit = np.where(early, t0[entry], limit)
        entry = np.where(early, previous[entry], entry)
    begin = t0[entry]
    span = limit - begin
    before = np.zeros(rows.size, dtype=np.int64)
    for bit in reversed(range(int(span.max(initial=0)).bit_length())):
        trial = before + (1 << bit)
        short = trial < span
        short &= log.total(entry, begin + np.where(short, trial, 0), "ths") / work_per_unit < place
        before = np.where(short, trial, before)
    found: NDArray[np.int64] = begin + before + 1
    return found


# ---- real hashes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HashedShare:
    """A share that was really hashed; `difficulty` is what it is good for, `counter` its place in the search."""

    job_id: str
    extranonce2: bytes
    ntime: int
    nonce: int
    difficulty: float
    counter: int
    at_ns: Instant | None = None
    synthetic: ClassVar[bool] = False

    def submit(self, worker: str) -> list[str]:
        """Parameters of `mining.submit`."""
        return [worker, self.job_id, self.extranonce2.hex(), f"{self.ntime:08x}", f"{self.nonce:08x}"]


def hashed_share(
    job: Job, target: int, extranonce1: bytes, *, start: int = 0, limit: int = _NONCES
) -> HashedShare | None:
    """The first share at or below `target` among `limit` hashes from `start` on; None when there is none.

    The search counts through the nonce (low 32 bits of the counter) and then extranonce2. To go on, start at the
    found counter plus one.
    """
    for begin in range(start, start + limit, _CHUNK):
        for share in _scan(job, target, extranonce1, begin, min(begin + _CHUNK, start + limit)):
            return share
    return None


def _scan(job: Job, target: int, extranonce1: bytes, start: int, stop: int) -> Iterator[HashedShare]:
    """Every share among the hashes with counters in [start, stop)."""
    while start < stop:
        block, nonce = divmod(start, _NONCES)
        count = min(stop - start, _NONCES - nonce)
        extranonce2 = block.to_bytes(EXTRANONCE2_BYTES)
        header = job.header(extranonce1, extranonce2, job.ntime, 0, job.version)
        for hit in fastpath.scan(header, nonce, count, target):
            digest = fastpath.sha256d(header[:76] + hit.to_bytes(4, "little"))
            yield HashedShare(job.id, extranonce2, job.ntime, hit, difficulty_of(digest), block * _NONCES + hit)
        start += count


class HashedSource:
    """Real shares of one sampled miner: software hashes for its work, `hashes_per_th` for each TH the machine makes.

    The n-th hash falls to the instant at which the machine's work reaches n / `hashes_per_th`, on the job current then;
    which of them hit is up to SHA-256. One real hash stands for `stands_for` of the machine's, so hash rates told from
    these shares are multiplied by it.
    """

    def __init__(
        self, fleet: Fleet, row: int, jobs: JobPlan, extranonce1: bytes, *, difficulty: float, hashes_per_th: float
    ) -> None:
        if hashes_per_th <= 0.0:
            raise ValueError(f"hashes_per_th must be positive, not {hashes_per_th}")
        self._fleet = fleet
        self._row = np.array([row], dtype=np.int64)
        self._jobs = jobs
        self._extranonce1 = extranonce1
        self._target = target_of(difficulty)
        self._work_per_hash = np.array([1.0 / hashes_per_th])
        self.stands_for = 1e12 / hashes_per_th

    def hashes(self, at: Instant) -> int:
        """Number of hashes made from instant 0 until `at`."""
        return int(self._fleet.work_th(max(0, at), self._row)[0] / self._work_per_hash[0])

    def shares_between(self, start: Instant, stop: Instant) -> list[HashedShare]:
        """The shares found in (start, stop], in order; identical however the interval is split.

        Raises ValueError when that takes more than 2^31 hashes.
        """
        self._fleet.advance(max(0, stop))
        asked = self.hashes(stop) - self.hashes(start)
        if asked > _LONGEST_SCAN:
            raise ValueError(f"{asked} hashes in one call would take minutes; lower hashes_per_th or ask more often")
        found: list[HashedShare] = []
        begin = max(0, start)
        while begin < stop:
            end = min(stop, self._jobs.next_ns(begin))
            found += _scan(self._jobs.at(begin), self._target, self._extranonce1, self.hashes(begin), self.hashes(end))
            begin = end
        rows = np.repeat(self._row, len(found))
        place = np.array([share.counter + 1.0 for share in found])
        at = instants_of(self._fleet, rows, place, np.repeat(self._work_per_hash, len(found)), max(0, stop))
        return [
            HashedShare(s.job_id, s.extranonce2, s.ntime, s.nonce, s.difficulty, s.counter, instant)
            for s, instant in zip(found, at.tolist(), strict=True)
        ]
