"""SHA-256d of fastpath, called from Python, against hashlib called from Python.

Everything is timed in one process, in slices of some milliseconds and in an order that rotates, so that a busy
neighbour meets all alike. A ratio is the median of the rounds' ratios; a best slice says what the core can do when
nobody is there.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import fastpath
from benchmarks.rows import Row, seconds

HEADER = bytes(range(80))
MASK = 0x1FFFE000
NO_HIT = 0
ROUNDS = 32
CALIBRATED_EVERY = 8
SCANNED = 1 << 18
HASHED = 2_000
ITEMS, BATCHES = 1 << 10, 32
EMPTY_CALLS = 500
TXIDS = [bytes([i & 0xFF, i >> 8]) * 16 for i in range(2_000)]

HASH = "hashlib: double hash"
SCAN = "hashlib: scan"
pack = struct.Struct("<I").pack


@dataclass(frozen=True, slots=True)
class Measured:
    """One call: how much of its unit it does, and against whom it stands."""

    call: Callable[[], object]
    amount: float
    unit: str
    peer: str


def rows() -> list[Row]:
    """Every kernel this processor runs, batches, trees, threads and the cost of a call.

    Two peers: a double hash of a header with the next nonce, nothing compared (the least a Python program can do for a
    hash), and the scan a Python program would write with it.
    """
    peers = {
        HASH: Measured(_hash_by_hashlib, HASHED / 1e6, "", ""),
        SCAN: Measured(_scan_by_hashlib, HASHED / 1e6, "", ""),
        "hashlib: merkle root": Measured(_merkle_root, 1, "", ""),
    }
    ours = _measured()
    times = rotate({name: one.call for name, one in (peers | ours).items()}, ROUNDS)
    peers |= ours  # a measure may be another's peer
    found = []
    for name, one in ours.items():
        middle, best = _both_rows(name, one, times[name], peers[one.peer], times[one.peer])
        found += [middle] if "kernel" in name else [middle, best]
    return found


def rotate(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round; the round's first call is another each time."""
    order = list(calls)
    for name in order:
        calls[name]()
    times: dict[str, list[float]] = {name: [] for name in order}
    for turn in range(rounds):
        if turn % CALIBRATED_EVERY == 0:
            fastpath.calibrate()  # the neighbour comes and goes
        shift = turn % len(order)
        for name in order[shift:] + order[:shift]:
            times[name].append(seconds(calls[name]))
    return times


def _measured() -> dict[str, Measured]:
    one_thread = "scan, one thread"
    found = {
        one_thread: Measured(lambda: fastpath.scan(HEADER, 0, SCANNED, NO_HIT), SCANNED / 1e6, "MH/s", HASH),
        "scan, the same work": Measured(lambda: fastpath.scan(HEADER, 0, SCANNED, NO_HIT), SCANNED / 1e6, "MH/s", SCAN),
        "scan_versions, 128 versions, one thread": Measured(
            lambda: fastpath.scan_versions(HEADER, MASK, 128, 0, SCANNED // 128, NO_HIT), SCANNED / 1e6, "MH/s", HASH
        ),
        "scan_parallel, one thread": Measured(
            lambda: fastpath.scan_parallel(HEADER, 0, 4 * SCANNED, NO_HIT, threads=1), 4 * SCANNED / 1e6, "MH/s", HASH
        ),
        "scan_parallel, two threads": Measured(
            lambda: fastpath.scan_parallel(HEADER, 0, 4 * SCANNED, NO_HIT, threads=2),
            4 * SCANNED / 1e6,
            "MH/s",
            "scan_parallel, one thread",
        ),
    }
    for tier in fastpath.kernels():
        if tier.available and tier.name != "pure":
            found |= _of_tier(tier)
    for size in (64, 80):
        found[f"sha256d_many, {size} bytes"] = Measured(_batches(size), BATCHES * ITEMS / 1e6, "M/s", HASH)
    found["sha256d, 80 bytes"] = Measured(
        lambda: [fastpath.sha256d(HEADER) for _ in range(HASHED)], HASHED / 1e6, "M/s", HASH
    )
    found["merkle_root, 2000 transactions"] = Measured(
        lambda: fastpath.merkle_root(TXIDS), 1, "trees/s", "hashlib: merkle root"
    )
    found["scan of 0 nonces"] = Measured(
        lambda: [fastpath.scan(HEADER, 0, 0, NO_HIT) for _ in range(EMPTY_CALLS)], EMPTY_CALLS / 1e6, "M calls/s", HASH
    )
    return found


def _batches(size: int) -> Callable[[], object]:
    items = bytes(range(size)) * ITEMS
    return lambda: [fastpath.sha256d_many(items, size) for _ in range(BATCHES)]


def _of_tier(tier: fastpath.Kernel) -> dict[str, Measured]:
    name, found = tier.name, {}
    scanned = SCANNED if name != "portable" else SCANNED // 16
    if "scan" in tier.works:
        found[f"scan, kernel {name}"] = Measured(
            lambda: fastpath.scan(HEADER, 0, scanned, NO_HIT, kernel=name), scanned / 1e6, "MH/s", HASH
        )
    if "versions" in tier.works:
        found[f"scan_versions, kernel {name}"] = Measured(
            lambda: fastpath.scan_versions(HEADER, MASK, 128, 0, scanned // 128, NO_HIT, kernel=name),
            scanned / 1e6,
            "MH/s",
            HASH,
        )
    return found


def _both_rows(
    name: str, one: Measured, times: list[float], peer: Measured, peer_times: list[float]
) -> tuple[Row, Row]:
    """The medians, and the best slices of both."""
    scale = one.amount / peer.amount
    ratio = median(theirs / mine for mine, theirs in zip(times, peer_times, strict=True)) * scale
    middle, best = median(times), min(times)
    peer_middle, peer_best = median(peer_times), min(peer_times)
    label = f"fastpath.{name}"
    best_ratio = peer_best / best * scale
    return (
        Row(label, one.amount / middle, one.unit, one.peer, peer.amount / peer_middle, ratio),
        Row(f"{label}, best slice", one.amount / best, one.unit, one.peer, peer.amount / peer_best, best_ratio),
    )


def _sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _hash_by_hashlib() -> None:
    sha256, prefix = hashlib.sha256, HEADER[:76]
    for nonce in range(HASHED):
        sha256(sha256(prefix + pack(nonce)).digest()).digest()


def _scan_by_hashlib() -> list[int]:
    sha256, prefix, from_bytes = hashlib.sha256, HEADER[:76], int.from_bytes
    return [
        nonce
        for nonce in range(HASHED)
        if from_bytes(sha256(sha256(prefix + pack(nonce)).digest()).digest(), "little") <= NO_HIT
    ]


def _merkle_root() -> bytes:
    level = TXIDS
    while len(level) > 1:
        level = level + level[-1:] * (len(level) % 2)
        level = [_sha256d(left + right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]
