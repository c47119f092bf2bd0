"""SHA-256d of fastpath, called from Python, against hashlib, against C in the forms of public miners, and the limit.

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
from bench.kernels.machine import dependent_additions, limit_hashes_per_s, machine
from bench.kernels.measure import frequency
from benchmarks.peers import Peer, compiled
from benchmarks.rows import Row, seconds

HEADER = bytes(range(80))
MASK = 0x1FFFE000
NO_HIT = 0
ROUNDS = 32
CALIBRATED_EVERY = 8
SCANNED = 1 << 18
HASHED = 2_000
ITEMS, BATCHES = 1 << 10, 32
BATCH_SIZES = (64, 80)
EMPTY_CALLS = 500
TXIDS = [bytes([i & 0xFF, i >> 8]) * 16 for i in range(2_000)]

HASH = "hashlib: double hash of ready bytes"
SCAN = "hashlib: scan"
TREE = "hashlib: merkle root"
LIMIT = "61 sha256rnds2 a hash, one a cycle"
EMPTY_LIMIT_NS = 800.0
"""What was set for a scan that has nothing to do."""
NEVER = 0xFFFFFFFF
"""A peer's filter: one hash in 2^32 passes."""
pack = struct.Struct("<I").pack


@dataclass(frozen=True, slots=True)
class Measured:
    """One call: how much of its unit it does, and against whom it stands."""

    call: Callable[[], object]
    amount: float
    unit: str
    peers: tuple[str, ...]


def rows() -> list[Row]:
    """Every kernel this processor runs, batches, trees, threads, the cost of a call and the share of the limit.

    Peers in Python: a double hash of headers that stand ready, nothing packed and nothing compared (the least a Python
    program can do for a hash), and the scan a Python program would write. Peers in C: `benchmarks/peers.py`.
    """
    with compiled() as in_c:
        peers = _hashlib_peers() | _c_peers(in_c)
        ours = _measured(in_c)
        every = peers | ours  # a measure may be another's peer
        times, hertz = rotate({name: one.call for name, one in every.items()}, ROUNDS)
    found = []
    for name, one in ours.items():
        for peer in one.peers:
            middle, best = _both_rows(name, one, times[name], peer, every[peer], times[peer])
            found += [middle, best]
    return found + _empty_rows(times["scan of 0 nonces"]) + _limit_rows(ours, times, hertz)


def rotate(calls: dict[str, Callable[[], object]], rounds: int) -> tuple[dict[str, list[float]], float | None]:
    """Seconds of each call in each round (the round's first call is another each time), and the processor's frequency.

    The frequency is the highest of all rounds, None where it cannot be measured.
    """
    order, additions, hertz = list(calls), dependent_additions(), list[float]()
    for name in order:
        calls[name]()
    times: dict[str, list[float]] = {name: [] for name in order}
    for turn in range(rounds):
        if turn % CALIBRATED_EVERY == 0:
            fastpath.calibrate()  # the neighbour comes and goes
        if additions is not None:
            hertz.append(frequency(additions))
        shift = turn % len(order)
        for name in order[shift:] + order[:shift]:
            times[name].append(seconds(calls[name]))
    return times, max(hertz, default=None)


def _hashlib_peers() -> dict[str, Measured]:
    headers = [HEADER[:76] + pack(nonce) for nonce in range(HASHED)]
    return {
        HASH: Measured(lambda: _hash_by_hashlib(headers), HASHED / 1e6, "", ()),
        SCAN: Measured(_scan_by_hashlib, HASHED / 1e6, "", ()),
        TREE: Measured(_merkle_root, 1, "", ()),
    }


def _c_peers(in_c: list[Peer]) -> dict[str, Measured]:
    found = {}
    for peer in in_c:
        found[peer.form.name] = Measured(_scan_by(peer), SCANNED / 4e6, "", ())
        for size in BATCH_SIZES if peer.form.batches else ():
            found[_batch_peer(peer, size)] = Measured(_batches_by(peer, size), BATCHES * ITEMS / 1e6, "", ())
    return found


def _scan_by(peer: Peer) -> Callable[[], object]:
    return lambda: peer.scan(HEADER, 0, SCANNED // 4, NEVER)


def _batches_by(peer: Peer, size: int) -> Callable[[], object]:
    items = bytes(range(size)) * ITEMS
    return lambda: [peer.batch(items, size) for _ in range(BATCHES)]


def _batch_peer(peer: Peer, size: int) -> str:
    return f"{peer.form.name}, {size} bytes"


def _measured(in_c: list[Peer]) -> dict[str, Measured]:
    one_thread = "scan_parallel, one thread"
    first = tuple(peer.form.name for peer in in_c[:1])
    found = {
        "scan, one thread": Measured(
            lambda: fastpath.scan(HEADER, 0, SCANNED, NO_HIT), SCANNED / 1e6, "MH/s", (HASH, SCAN, *first)
        ),
        "scan_versions, 128 versions, one thread": Measured(
            lambda: fastpath.scan_versions(HEADER, MASK, 128, 0, SCANNED // 128, NO_HIT),
            SCANNED / 1e6,
            "MH/s",
            (HASH, *first),
        ),
        one_thread: Measured(
            lambda: fastpath.scan_parallel(HEADER, 0, 4 * SCANNED, NO_HIT, threads=1),
            4 * SCANNED / 1e6,
            "MH/s",
            (HASH,),
        ),
        "scan_parallel, two threads": Measured(
            lambda: fastpath.scan_parallel(HEADER, 0, 4 * SCANNED, NO_HIT, threads=2),
            4 * SCANNED / 1e6,
            "MH/s",
            (one_thread,),
        ),
    }
    for tier in fastpath.kernels():
        if tier.available and tier.name != "pure":
            found |= _of_tier(tier, in_c)
    for size in BATCH_SIZES:
        batched = tuple(_batch_peer(peer, size) for peer in in_c if peer.form.batches)[:1]
        found[f"sha256d_many, {size} bytes"] = Measured(_batches(size), BATCHES * ITEMS / 1e6, "M/s", (HASH, *batched))
    found["sha256d, 80 bytes"] = Measured(
        lambda: [fastpath.sha256d(HEADER) for _ in range(HASHED)], HASHED / 1e6, "M/s", (HASH,)
    )
    found["merkle_root, 2000 transactions"] = Measured(lambda: fastpath.merkle_root(TXIDS), 1, "trees/s", (TREE,))
    found["scan of 0 nonces"] = Measured(
        lambda: [fastpath.scan(HEADER, 0, 0, NO_HIT) for _ in range(EMPTY_CALLS)], EMPTY_CALLS / 1e6, "", ()
    )
    return found


def _batches(size: int) -> Callable[[], object]:
    items = bytes(range(size)) * ITEMS
    return lambda: [fastpath.sha256d_many(items, size) for _ in range(BATCHES)]


def _of_tier(tier: fastpath.Kernel, in_c: list[Peer]) -> dict[str, Measured]:
    """A tier against hashlib, and against the public form that needs the same instructions."""
    name, found = tier.name, {}
    scanned = SCANNED if name != "portable" else SCANNED // 16
    alike = tuple(peer.form.name for peer in in_c if peer.form.tier == name)[:1]
    if "scan" in tier.works:
        found[f"scan, kernel {name}"] = Measured(
            lambda: fastpath.scan(HEADER, 0, scanned, NO_HIT, kernel=name), scanned / 1e6, "MH/s", (HASH, *alike)
        )
    if "versions" in tier.works:
        found[f"scan_versions, kernel {name}"] = Measured(
            lambda: fastpath.scan_versions(HEADER, MASK, 128, 0, scanned // 128, NO_HIT, kernel=name),
            scanned / 1e6,
            "MH/s",
            (HASH, *alike),
        )
    return found


def _both_rows(
    name: str, one: Measured, times: list[float], peer_name: str, peer: Measured, peer_times: list[float]
) -> tuple[Row, Row]:
    """The medians, and the best slices of both."""
    scale = one.amount / peer.amount
    ratio = median(theirs / mine for mine, theirs in zip(times, peer_times, strict=True)) * scale
    middle, best = median(times), min(times)
    peer_middle, peer_best = median(peer_times), min(peer_times)
    label = f"fastpath.{name}"
    best_ratio = peer_best / best * scale
    return (
        Row(label, one.amount / middle, one.unit, peer_name, peer.amount / peer_middle, ratio),
        Row(f"{label}, best slice", one.amount / best, one.unit, peer_name, peer.amount / peer_best, best_ratio),
    )


def _empty_rows(times: list[float]) -> list[Row]:
    """A call that has nothing to do, against what was set for it."""
    found = []
    for label, took_s in (("", median(times)), (", best slice", min(times))):
        ns = took_s / EMPTY_CALLS * 1e9
        name = f"fastpath.scan of 0 nonces{label}"
        found.append(Row(name, ns, "ns", "the limit set for it", EMPTY_LIMIT_NS, EMPTY_LIMIT_NS / ns))
    return found


def _limit_rows(ours: dict[str, Measured], times: dict[str, list[float]], hertz: float | None) -> list[Row]:
    """What the best slices are of what no kernel passes that does all its rounds in SHA-NI; the ratio is the share."""
    found, known = list[Row](), machine()
    for work, name in (("scan", "scan, one thread"), ("versions", "scan_versions, 128 versions, one thread")):
        limit = limit_hashes_per_s(work, ("sha",), hertz, known)
        if limit is not None:
            rate, most = ours[name].amount / min(times[name]), limit / 1e6
            found.append(Row(f"fastpath.{name}, share of the limit", rate, "MH/s", LIMIT, most, rate / most))
    return found


def _sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _hash_by_hashlib(headers: list[bytes]) -> None:
    sha256 = hashlib.sha256
    for header in headers:
        sha256(sha256(header).digest()).digest()


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
