"""Work as a pool hands it out: a block template as data, made from the seed, and the header a miner builds from it.

Owns the job's bytes, the way from difficulty to target and back, and when which job is current. The words it travels in
are `emulator/pool/stratum.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import fastpath
from emulator.seed import Seed
from emulator.wire import SECOND, Instant

EXTRANONCE1_BYTES = 4
EXTRANONCE2_BYTES = 8
"""Sizes that ckpool gives out (M: one ckpool-lhr session)."""
VERSION_MASK = 0x1FFFE000
"""The 16 version bits a miner may roll (S: BIP 320)."""
HASHES_PER_DIFFICULTY = 2.0**32
"""Hashes a share of difficulty 1 takes on average, as pools count it; 2^48 / 0xffff exactly, 15 ppm more."""
DIFFICULTY_1 = 0xFFFF << 208
"""The target of difficulty 1 (S: bitcoin's pool difficulty)."""

_VERSION = 0x20000000
_NBITS = 0x17023774
_FIRST_HEIGHT = 900_000
_SUBSIDY_SATOSHI = 312_500_000
_BRANCH_LEVELS = 12
"""A block of 2 049 to 4 096 transactions. GK"""
_HEADER = struct.Struct("<I32s32sIII")


def target_of(difficulty: float) -> int:
    """The highest hash, as an integer, that is a share of `difficulty` (> 0, finite)."""
    return min((1 << 256) - 1, int(DIFFICULTY_1 / Fraction(difficulty)))


def difficulty_of(digest: bytes) -> float:
    """The highest difficulty that a hash (32 bytes in hash order) is a share of."""
    return DIFFICULTY_1 / max(1, int.from_bytes(digest, "little"))


@dataclass(frozen=True, slots=True)
class Job:
    """One block template. Hashes are in hash order, integers are plain; `ntime` is in seconds since 1970."""

    id: str
    index: int
    block: int
    """Number of the block it builds on, since the start of the run; work for an older block is stale."""
    at_ns: Instant
    previous: bytes
    coinbase1: bytes
    coinbase2: bytes
    branch: tuple[bytes, ...]
    version: int
    nbits: int
    ntime: int
    clean: bool
    """The first job on a new block: older work is worthless."""

    def merkle_root(self, extranonce1: bytes, extranonce2: bytes) -> bytes:
        """Root over the coinbase with these extranonces and the other transactions, 32 bytes in hash order."""
        root = fastpath.sha256d(self.coinbase1 + extranonce1 + extranonce2 + self.coinbase2)
        for sibling in self.branch:
            root = fastpath.sha256d(root + sibling)
        return root

    def header(self, extranonce1: bytes, extranonce2: bytes, ntime: int, nonce: int, version: int) -> bytes:
        """The 80 bytes that are hashed."""
        root = self.merkle_root(extranonce1, extranonce2)
        return _HEADER.pack(version, self.previous, root, ntime, self.nbits, nonce)

    def notify(self, *, clean: bool | None = None) -> list[object]:
        """Parameters of `mining.notify`.

        The previous hash has the bytes of each 4-byte word reversed, branches are in hash order, version, bits and time
        are big-endian hex (S: ESP-Miner, miner_physics E). `clean` overrides the job's own flag: the first job of a
        connection always is.
        """
        words = struct.unpack("<8I", self.previous)
        return [
            self.id,
            struct.pack(">8I", *words).hex(),
            self.coinbase1.hex(),
            self.coinbase2.hex(),
            [sibling.hex() for sibling in self.branch],
            f"{self.version:08x}",
            f"{self.nbits:08x}",
            f"{self.ntime:08x}",
            self.clean if clean is None else clean,
        ]


@dataclass(frozen=True, slots=True)
class JobPlan:
    """Which job is current when: a function of the seed and the instant, so that two runs hand out the same work."""

    seed: Seed
    every_ns: int = 30 * SECOND
    """ckpool sends work at least every 30 s (S: ckpool)."""
    block_jobs: int = 20
    """Jobs on one block: 20 * 30 s is the network's mean of 600 s. GK"""
    epoch_s: int = 1_735_689_600
    """Seconds since 1970 at instant 0; the default is that of a virtual run, the first of January 2025, UTC."""

    def at(self, now: Instant) -> Job:
        """The current job."""
        return self.job(max(0, now) // self.every_ns)

    def next_ns(self, now: Instant) -> Instant:
        """When the next job comes."""
        return (max(0, now) // self.every_ns + 1) * self.every_ns

    def clean_instants(self, start: Instant, stop: Instant) -> Sequence[Instant]:
        """Instants in (start, stop] at which a new block made older work worthless."""
        period = self.every_ns * self.block_jobs
        return range((max(0, start) // period + 1) * period, stop + 1, period)

    def job(self, index: int) -> Job:
        """The job with this number."""
        return _job(self, index)


@lru_cache(maxsize=256)
def _job(plan: JobPlan, index: int) -> Job:
    block = index // plan.block_jobs
    at_ns = index * plan.every_ns
    fresh = plan.seed / "job" / index
    coinbase1, coinbase2 = _coinbase(_FIRST_HEIGHT + block, _bytes(plan.seed / "payee", 20))
    return Job(
        id=f"{index:x}", index=index, block=block, at_ns=at_ns,
        # A real block's hash ends in zeros; clients do not look, hashing does not care.
        previous=_bytes(plan.seed / "block" / block, 24) + bytes(8),
        coinbase1=coinbase1, coinbase2=coinbase2,
        branch=tuple(_bytes(fresh / level, 32) for level in range(_BRANCH_LEVELS)),
        version=_VERSION, nbits=_NBITS, ntime=plan.epoch_s + at_ns // SECOND, clean=index % plan.block_jobs == 0,
    )  # fmt: skip


def _coinbase(height: int, payee: bytes) -> tuple[bytes, bytes]:
    """A coinbase transaction around the place of the extranonces: one input (S: BIP 34), one P2WPKH output."""
    tag = b"/ramprig/"
    number = height.to_bytes(3, "little")
    script_bytes = 1 + len(number) + EXTRANONCE1_BYTES + EXTRANONCE2_BYTES + len(tag)
    before = struct.pack("<IB32sIB", 2, 1, bytes(32), 0xFFFFFFFF, script_bytes) + bytes([len(number)]) + number
    output = struct.pack("<QBBB", _SUBSIDY_SATOSHI, 22, 0, 20) + payee
    after = tag + struct.pack("<IB", 0xFFFFFFFF, 1) + output + struct.pack("<I", 0)
    return before, after


def _bytes(seed: Seed, size: int) -> bytes:
    return seed.rng().bytes(size)
