"""SHA-256d of fastpath, called from Python, against hashlib called from Python."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import fastpath
from benchmarks.rows import Row, alternate

HEADER = bytes(range(80))
NO_HIT = 0


def rows() -> list[Row]:
    """Nonce scan, hash of one header, merkle root of a full block.

    The scan's peer hashes one unchanged header and compares nothing: the least a Python program can do for a hash.
    """
    scanned, repeats = 1 << 15, 2_000
    txids = [bytes([i & 0xFF, i >> 8]) * 16 for i in range(2_000)]
    scan = alternate(lambda: fastpath.scan(HEADER, 0, scanned, NO_HIT), lambda: _repeat(_sha256d, scanned))
    single = alternate(lambda: _repeat(fastpath.sha256d, repeats), lambda: _repeat(_sha256d, repeats))
    tree = alternate(lambda: fastpath.merkle_root(txids), lambda: _merkle_root(txids))
    peer, back_end = "hashlib twice", fastpath.BACKEND
    return [
        scan.as_rate(f"fastpath.scan ({back_end}), one thread", peer, "MH/s", scanned / 1e6),
        single.as_rate(f"fastpath.sha256d ({back_end}), 80 bytes", peer, "M/s", repeats / 1e6),
        tree.as_duration(f"fastpath.merkle_root ({back_end}), 2000 transactions", peer, "ms", 1e3),
    ]


def _sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _repeat(function: Callable[[bytes], bytes], times: int) -> None:
    for _ in range(times):
        function(HEADER)


def _merkle_root(txids: list[bytes]) -> bytes:
    level = txids
    while len(level) > 1:
        level = level + level[-1:] * (len(level) % 2)
        level = [_sha256d(left + right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]
