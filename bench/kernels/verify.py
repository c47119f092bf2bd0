"""Proof of each tier on this machine: published vectors, real headers, and runs against hashlib.

Owns what is asked of a tier and its pass or fail; the published answers stand in `vectors.py`. Everything asked follows
from the seed, so a failure can be asked for again.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise

import fastpath
from bench.kernels.vectors import BLOCKS, MONTE_CARLO_FIRST, MONTE_CARLO_SEED, ROLLED_MASK, VECTORS

NONCES = 1 << 32
LANES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65)
"""Numbers of items around every width a batch kernel may have."""
COUNTS = (0, 1, 2, 7, 15, 16, 17, 63, 65, 255, 257, 1023, 1025, 2047, 2048, 2049)
"""Numbers of nonces around every block a scan kernel may have."""
TARGETS = (0, 2**224 - 1, 0x7FFFFF << 8 * (0x20 - 3), 2**248 - 1, 2**255 - 1, 2**256 - 1)
"""None or almost none, regtest, several hits in one vector, all."""
VERSION_COUNTS = (1, 4, 7, 16, 33, 64, 65)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing asked of one tier. `problem` is empty where it passed."""

    tier: str
    name: str
    cases: int
    problem: str

    @property
    def passed(self) -> bool:
        """Whether every case gave the right answer."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class Proof:
    """All that was asked. `skipped` maps a tier that cannot run here to the reason."""

    checks: tuple[Check, ...]
    skipped: dict[str, str]
    seed: int

    @property
    def passed(self) -> bool:
        """Whether every tier that runs here is right."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def tiers(self) -> dict[str, tuple[Check, ...]]:
        """The checks by tier, in the order they were made."""
        names = dict.fromkeys(check.tier for check in self.checks)
        return {name: tuple(check for check in self.checks if check.tier == name) for name in names}


Cases = Iterator[str]
"""Yields once a case: an empty text, or what was wrong."""


def verify(kernels: tuple[fastpath.Kernel, ...], seed: int = 1, hashes: int = 40_000) -> Proof:
    """Ask every tier that runs here; `hashes` bounds the differential hashes of each work of a tier.

    First come the oracle itself (hashlib, by the Monte Carlo vector) and the single hash that belongs to no tier.
    """
    checks = [
        _check("hashlib", "CAVP Monte Carlo, count 0: the oracle of what follows", _oracle()),
        _check("single hash", "FIPS 180-4 and CAVP vectors through sha256d", _single()),
        _check("single hash", "midstate of every one-block vector", _midstates()),
    ]
    for kernel in kernels:
        if kernel.available:
            for work in kernel.works:
                for name, cases in _WORKS[work](kernel.name, seed, hashes):
                    checks.append(_check(kernel.name, f"{work}: {name}", cases))
    skipped = {kernel.name: kernel.why for kernel in kernels if not kernel.available}
    return Proof(tuple(checks), skipped, seed)


def as_json(proof: Proof) -> dict[str, object]:
    """The proof for scripts."""
    return {
        "passed": proof.passed,
        "seed": proof.seed,
        "tiers": {
            tier: {
                "passed": all(check.passed for check in checks),
                "checks": [
                    {"name": check.name, "passed": check.passed, "cases": check.cases, "problem": check.problem}
                    for check in checks
                ],
            }
            for tier, checks in proof.tiers().items()
        },
        "skipped": proof.skipped,
    }


def _check(tier: str, name: str, cases: Cases) -> Check:
    asked = 0
    try:
        for problem in cases:
            asked += 1
            if problem:
                return Check(tier, name, asked, problem)
    except RuntimeError as error:  # a kernel that fails its own re-hash
        return Check(tier, name, asked, str(error))
    return Check(tier, name, asked, "" if asked else "nothing was asked")


def _wrong(what: str, found: object, expected: object) -> str:
    return "" if found == expected else f"{what}: expected {expected}, got {found}"


def _double(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _hits(header: bytes, start: int, count: int, target: int) -> list[int]:
    """What hashlib says."""
    tried = range(start, start + count)
    return [n for n in tried if int.from_bytes(_double(header[:76] + struct.pack("<I", n)), "little") <= target]


def _bytes(seed: int, *path: object, size: int) -> bytes:
    """Made-up bytes that follow from the seed and the path."""
    return hashlib.shake_128(repr((seed, *path)).encode()).digest(size)


def _oracle() -> Cases:
    digests = [MONTE_CARLO_SEED] * 3
    for _ in range(1000):
        digests = [*digests[1:], hashlib.sha256(b"".join(digests)).digest()]
    yield _wrong("digest", digests[-1].hex(), MONTE_CARLO_FIRST)


def _single() -> Cases:
    for vector in VECTORS:
        expected = hashlib.sha256(bytes.fromhex(vector.sha256)).hexdigest()
        yield _wrong(vector.source, fastpath.sha256d(vector.message).hex(), expected)


def _midstates() -> Cases:
    for vector in VECTORS:
        if len(vector.message) <= 55:
            padded = vector.message + b"\x80" + bytes(55 - len(vector.message))
            block = padded + struct.pack(">Q", 8 * len(vector.message))
            yield _wrong(vector.source, fastpath.midstate(block).hex(), vector.sha256)


def _scan_checks(kernel: str, seed: int, hashes: int) -> Iterator[tuple[str, Cases]]:
    scan = partial(fastpath.scan, kernel=kernel)
    yield "nonces of real headers", _real_nonces(scan)
    yield "hits of made-up headers equal hashlib's", _made_up(scan, seed, hashes)
    yield "a range cut in pieces gives the hits of the whole", _pieces(scan, seed, hashes)


def _real_nonces(scan: Callable[..., list[int]]) -> Cases:
    for block in BLOCKS:
        for before, count in ((0, 1), (1, 2), (700, 2_000), (2_047, 2_048)):
            start = max(0, block.nonce - before)
            found = scan(block.header, start, min(count, NONCES - start), block.target)
            yield _wrong(f"block {block.height} from nonce {start}", found, [block.nonce])


def _made_up(scan: Callable[..., list[int]], seed: int, hashes: int) -> Cases:
    asked, number = 0, 0
    while asked < hashes:
        header = _bytes(seed, "header", number, size=80)
        drawn = _bytes(seed, "start", number, size=6)
        count, target = COUNTS[number % len(COUNTS)], TARGETS[drawn[5] % len(TARGETS)]
        start = int.from_bytes(drawn[:4], "little")
        start = (start, NONCES - count, start & 0xFFFFFF00, NONCES - count - 1)[drawn[4] % 4]
        count = min(count, NONCES - start)
        expected = _hits(header, start, count, target)
        what = f"header {header.hex()} start {start} count {count} target {target:#x}"
        yield _wrong(what, scan(header, start, count, target), expected)
        asked, number = asked + count, number + 1


def _pieces(scan: Callable[..., list[int]], seed: int, hashes: int) -> Cases:
    header, start, count, target = _bytes(seed, "pieces", size=80), 0xFFFF_0000, min(hashes, 65_000), 2**248 - 1
    whole = scan(header, start, count, target)
    yield _wrong("the whole", whole, _hits(header, start, count, target))
    for parts in (2, 7, 64):
        edges = [start + count * part // parts for part in range(parts + 1)]
        pieces = [scan(header, low, high - low, target) for low, high in pairwise(edges)]
        yield _wrong(f"{parts} pieces", [nonce for piece in pieces for nonce in piece], whole)


def _version_checks(kernel: str, seed: int, hashes: int) -> Iterator[tuple[str, Cases]]:
    yield "real headers found by rolling to their version", _real_versions(kernel)
    yield "hits equal a scan by hashlib for each version", _each_version(kernel, seed, hashes)


def _real_versions(kernel: str) -> Cases:
    for block in BLOCKS:
        version = int.from_bytes(block.header[:4], "little")
        for others in (3, 15, 63):
            base = version & ~ROLLED_MASK
            rolled = [base | (version + (i << 13) & ROLLED_MASK) for i in range(others)]
            rolled.insert(others // 2, rolled.pop(0))
            header = struct.pack("<I", rolled[0]) + block.header[4:]
            start = max(0, block.nonce - 5)
            found = fastpath.scan_versions(header, ROLLED_MASK, rolled, start, 40, block.target, kernel=kernel)
            yield _wrong(f"block {block.height} among {others} versions", found, [(version, block.nonce)])


def _each_version(kernel: str, seed: int, hashes: int) -> Cases:
    asked, number = 0, 0
    while asked < hashes:
        header = _bytes(seed, "versions", number, size=80)
        drawn = _bytes(seed, "rolled", number, size=6)
        versions, target = VERSION_COUNTS[number % len(VERSION_COUNTS)], TARGETS[drawn[5] % len(TARGETS)]
        count = (1, 5, 16, 17)[drawn[4] % 4]
        start = NONCES - count if drawn[4] & 4 else int.from_bytes(drawn[:4], "little") >> 1
        fixed = int.from_bytes(header[:4], "little") & ~ROLLED_MASK
        words = [fixed | i << 13 for i in range(versions)]
        rolled = {word: struct.pack("<I", word) + header[4:] for word in words}
        expected = sorted((nonce, word) for word in words for nonce in _hits(rolled[word], start, count, target))
        found = fastpath.scan_versions(header, ROLLED_MASK, versions, start, count, target, kernel=kernel)
        what = f"header {header.hex()} versions {versions} start {start} count {count} target {target:#x}"
        yield _wrong(what, found, [(word, nonce) for nonce, word in expected])
        asked, number = asked + versions * count, number + 1


def _batch_checks(kernel: str, seed: int, hashes: int) -> Iterator[tuple[str, Cases]]:
    yield "FIPS 180-4 and CAVP vectors in every lane", _batch_vectors(kernel)
    yield "hashes of real headers in every lane", _batch_headers(kernel)
    yield "digests of made-up items equal hashlib's", _batch_made_up(kernel, seed, hashes)


def _batch_vectors(kernel: str) -> Cases:
    for vector in VECTORS:
        if 0 < len(vector.message) < 1000:
            expected = hashlib.sha256(bytes.fromhex(vector.sha256)).digest()
            found = fastpath.sha256d_many(vector.message * 33, len(vector.message), kernel=kernel)
            yield _wrong(f"{vector.source} 33 times", found.hex(), (expected * 33).hex())


def _batch_headers(kernel: str) -> Cases:
    for turn in range(len(BLOCKS)):
        blocks = list(islice((*BLOCKS[turn:], *BLOCKS * 6), 33))
        found = fastpath.sha256d_many(b"".join(block.header for block in blocks), 80, kernel=kernel)
        hashes = [found[32 * i : 32 * i + 32][::-1].hex() for i in range(33)]
        yield _wrong(f"33 headers from block {blocks[0].height}", hashes, [block.hash for block in blocks])


def _batch_made_up(kernel: str, seed: int, hashes: int) -> Cases:
    asked = 0
    for turn in range(1000):
        for size in (64, 80, 1, 55, 56, 119, 120):
            for count in LANES:
                if asked >= hashes:
                    return
                data = bytes(1) + _bytes(seed, "items", turn, size, count, size=size * count)
                items = memoryview(data)[1:]  # never aligned
                expected = b"".join(_double(bytes(items[size * i : size * i + size])) for i in range(count))
                found = fastpath.sha256d_many(items, size, kernel=kernel)
                yield _wrong(f"{count} items of {size} bytes, turn {turn}", found.hex(), expected.hex())
                asked += count


_WORKS: dict[str, Callable[[str, int, int], Iterator[tuple[str, Cases]]]] = {
    "scan": _scan_checks,
    "versions": _version_checks,
    "batch": _batch_checks,
}
