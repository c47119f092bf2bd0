"""What a pool knows of its workers: shares accepted, rejected and stale, and the hash rate they tell.

Owns counting and estimating; whether a share is good is decided in `emulator/pool/stratum.py`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from emulator.pool.job import HASHES_PER_DIFFICULTY
from emulator.wire import Instant

_KEPT_SHARES = 4096
"""Shares a worker's account remembers one by one: an error of 1.6 % is as good as the estimate gets."""
_MAX_WORKERS = 250_000
_MAX_NAME_CHARS = 128


class Verdict(Enum):
    """What became of a share."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class HashRate:
    """A hash rate told from shares. The relative error of a Poisson count of n is 1 / sqrt(n)."""

    ths: float
    shares: int

    @property
    def relative_error(self) -> float | None:
        """One standard error as a share of the estimate; None without a share, when nothing is known."""
        return 1.0 / math.sqrt(self.shares) if self.shares else None

    @property
    def standard_error_ths(self) -> float | None:
        """One standard error, TH/s; None without a share."""
        return self.ths / math.sqrt(self.shares) if self.shares else None

    @classmethod
    def of(cls, difficulty_sum: float, shares: int, window_ns: int) -> HashRate:
        """The rate that `shares` with this sum of difficulties, accepted within `window_ns`, stand for."""
        seconds = window_ns * 1e-9
        return cls(difficulty_sum * HASHES_PER_DIFFICULTY / seconds * 1e-12 if seconds > 0 else 0.0, shares)


@dataclass(frozen=True, slots=True)
class Tally:
    """A worker's counts since the start of the run. `difficulty` sums the accepted shares' difficulties.

    `synthetic` of the accepted shares were drawn, not hashed.
    """

    accepted: int = 0
    rejected: int = 0
    stale: int = 0
    difficulty: float = 0.0
    synthetic: int = 0
    last_share_ns: Instant | None = None

    def __add__(self, other: Tally) -> Tally:
        last = [at for at in (self.last_share_ns, other.last_share_ns) if at is not None]
        return Tally(
            self.accepted + other.accepted, self.rejected + other.rejected, self.stale + other.stale,
            self.difficulty + other.difficulty, self.synthetic + other.synthetic, max(last, default=None),
        )  # fmt: skip


@dataclass(slots=True)
class _Account:
    accepted: int = 0
    rejected: int = 0
    stale: int = 0
    difficulty: float = 0.0
    last_share_ns: Instant | None = None
    recent: deque[tuple[Instant, float]] = field(default_factory=lambda: deque(maxlen=_KEPT_SHARES))
    forgotten_ns: Instant = -1
    """Instant of the newest share that `recent` no longer holds."""


class Accounts:
    """Shares that came in over connections, by worker name; bounded in names and in remembered shares."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._accounts)

    def open(self, worker: str) -> bool:
        """Know `worker` from now on; False when the name is too long or the book is full."""
        if worker in self._accounts:
            return True
        if not 0 < len(worker) <= _MAX_NAME_CHARS or len(self._accounts) >= _MAX_WORKERS:
            return False
        self._accounts[worker] = _Account()
        return True

    def enter(self, worker: str, verdict: Verdict, difficulty: float, now: Instant) -> None:
        """Put one share into the book of an open account."""
        account = self._accounts[worker]
        if verdict is Verdict.ACCEPTED:
            if len(account.recent) == _KEPT_SHARES:
                account.forgotten_ns = account.recent[0][0]
            account.recent.append((now, difficulty))
            account.accepted += 1
            account.difficulty += difficulty
            account.last_share_ns = now
        elif verdict is Verdict.STALE:
            account.stale += 1
        else:
            account.rejected += 1

    def tally(self, worker: str) -> Tally:
        """Counts of `worker`; zeros for a name nobody used."""
        account = self._accounts.get(worker)
        if account is None:
            return Tally()
        return Tally(account.accepted, account.rejected, account.stale, account.difficulty, 0, account.last_share_ns)

    def accepted_between(self, worker: str, start: Instant, stop: Instant) -> tuple[float, int, Instant]:
        """Sum of difficulties and number of shares accepted in (start, stop], and where the memory really begins."""
        account = self._accounts.get(worker)
        if account is None:
            return 0.0, 0, start
        start = max(start, account.forgotten_ns)
        found = [difficulty for at, difficulty in account.recent if start < at <= stop]
        return math.fsum(found), len(found), start
