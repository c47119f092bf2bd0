"""What takes part in a measurement: every tier for every work, and the peers it is measured against.

Owns what one slice of each does; `measure.py` owns the clock and the order.
"""

from __future__ import annotations

import hashlib
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec

import fastpath
from bench.kernels.vectors import BLOCKS, ROLLED_MASK

WORKS = ("scan", "versions", "batch64", "batch80")
PEER = "hashlib"
PEER_WORK = {"scan": "scan", "versions": "scan", "batch64": "batch64", "batch80": "scan"}
"""Where the peers of a work stand: a header costs hashlib the same, scanned, rolled or in a batch."""
NO_HIT = 0
VERSIONS = 64
HEADER = BLOCKS[4].header
NONCES = 1 << 32


@dataclass(frozen=True, slots=True)
class Contestant:
    """One row of the measurement. `run(hashes)` does about that many and returns how many it did.

    `needs` are the instructions of a tier; `is_peer` says that it is none of ours.
    """

    work: str
    name: str
    threads: int
    what: str
    needs: tuple[str, ...]
    run: Callable[[int], int]
    is_peer: bool = False

    @property
    def key(self) -> str:
        """Its name in records: `scan/shani`, `scan/shani x2`."""
        return key_of(self.work, self.name, self.threads)


def key_of(work: str, name: str, threads: int = 1) -> str:
    """The key of a contestant."""
    return f"{work}/{name}" + (f" x{threads}" if threads > 1 else "")


class Crew:
    """Threads that stand ready, so that starting them is not measured."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="kernels")

    def together(self, run: Callable[[int], int], threads: int) -> Callable[[int], int]:
        """`run` on so many threads at once, each with its share."""

        def shared(hashes: int) -> int:
            barrier = threading.Barrier(threads)

            def one() -> int:
                barrier.wait()
                return run(-(-hashes // threads))

            return sum(part.result() for part in [self._pool.submit(one) for _ in range(threads)])

        return shared

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def thread_counts(most: int) -> list[int]:
    """1 .. `most`, beyond 8 only powers of two and `most` itself."""
    return [count for count in range(1, most + 1) if count <= 8 or count == most or count & (count - 1) == 0]


def contestants(
    kernels: tuple[fastpath.Kernel, ...], works: Sequence[str], names: Sequence[str], crew: Crew, threads: int
) -> list[Contestant]:
    """Every available tier in `names` (all where empty) for each of `works`, then the peers.

    With more threads than one, the tier that is used for a work (or each of `names`) also runs on 2 .. `threads`.
    """
    found = []
    for work in works:
        plain = work.rstrip("0123456789")
        for kernel in kernels:
            if not kernel.available or plain not in kernel.works or (names and kernel.name not in names):
                continue
            run = _RUNNERS[work](kernel.name)
            scaled = bool(names) or plain in kernel.chosen
            for count in thread_counts(threads if scaled else 1):
                shared = run if count == 1 else crew.together(run, count)
                what = _WHAT[work] + (f", {count} threads" if count > 1 else "")
                found.append(Contestant(work, kernel.name, count, what, kernel.needs, shared))
    return found + peers(works)


def peers(works: Sequence[str]) -> list[Contestant]:
    """hashlib and OpenSSL as a Python program would call them, for the peer works of `works`."""
    found = []
    library = f"{ssl.OPENSSL_VERSION} by hashlib" if _by_openssl() else "hashlib without OpenSSL"
    for work in dict.fromkeys(PEER_WORK[work] for work in works):
        size = 64 if work == "batch64" else 80
        what = f"{library}, sha256(sha256({size} bytes).digest()).digest()"
        found.append(Contestant(work, PEER, 1, what, (), _hashlib(size), is_peer=True))
        if work == "scan":
            what = f"{library}, copy() of an object that has the first 64 bytes, 16 more, digest, sha256 of that"
            found.append(Contestant(work, "openssl-copy", 1, what, (), _midstate_copies(), is_peer=True))
            what = f"{library}, the nonce packed and joined to 76 bytes, hashed twice, compared with a target"
            found.append(Contestant(work, "hashlib-scan", 1, what, (), _hashlib_scan(), is_peer=True))
        if find_spec("cryptography"):
            found.append(_cryptography(work, size))
    return found


def _scan(kernel: str) -> Callable[[int], int]:
    def run(hashes: int) -> int:
        fastpath.scan(HEADER, 0, min(hashes, NONCES), NO_HIT, kernel=kernel)
        return min(hashes, NONCES)

    return run


def _versions(kernel: str) -> Callable[[int], int]:
    def run(hashes: int) -> int:
        nonces = max(1, hashes // VERSIONS)
        fastpath.scan_versions(HEADER, ROLLED_MASK, VERSIONS, 0, nonces, NO_HIT, kernel=kernel)
        return nonces * VERSIONS

    return run


def _batch(size: int) -> Callable[[str], Callable[[int], int]]:
    def of(kernel: str) -> Callable[[int], int]:
        items = bytes(range(256)) * (size * _BATCH_ITEMS // 256)

        def run(hashes: int) -> int:
            calls = max(1, hashes // _BATCH_ITEMS)
            for _ in range(calls):
                fastpath.sha256d_many(items, size, kernel=kernel)
            return calls * _BATCH_ITEMS

        return run

    return of


_BATCH_ITEMS = 1024
"""Items of one call: 64 or 80 KiB in, 32 KiB out, as the lower half of a merkle tree has them."""
_RUNNERS: dict[str, Callable[[str], Callable[[int], int]]] = {
    "scan": _scan,
    "versions": _versions,
    "batch64": _batch(64),
    "batch80": _batch(80),
}
_WHAT = {
    "scan": "fastpath.scan, fixed version",
    "versions": f"fastpath.scan_versions, {VERSIONS} versions at every nonce",
    "batch64": f"fastpath.sha256d_many, {_BATCH_ITEMS} items of 64 bytes",
    "batch80": f"fastpath.sha256d_many, {_BATCH_ITEMS} items of 80 bytes",
}


def _by_openssl() -> bool:
    """Whether hashlib's sha256 is OpenSSL's; an interpreter may be built without."""
    return type(hashlib.sha256()).__module__ == "_hashlib"


def _hashlib(size: int) -> Callable[[int], int]:
    message, sha256 = HEADER[:size], hashlib.sha256

    def run(hashes: int) -> int:
        for _ in range(hashes):
            sha256(sha256(message).digest()).digest()
        return hashes

    return run


def _hashlib_scan() -> Callable[[int], int]:
    prefix, sha256, from_bytes, pack = HEADER[:76], hashlib.sha256, int.from_bytes, struct.Struct("<I").pack

    def run(hashes: int) -> int:
        hits = [
            nonce
            for nonce in range(hashes)
            if from_bytes(sha256(sha256(prefix + pack(nonce)).digest()).digest(), "little") <= NO_HIT
        ]
        return hashes - len(hits)

    return run


def _midstate_copies() -> Callable[[int], int]:
    sha256 = hashlib.sha256
    begun, tail = sha256(HEADER[:64]), HEADER[64:]

    def run(hashes: int) -> int:
        for _ in range(hashes):
            inner = begun.copy()
            inner.update(tail)
            sha256(inner.digest()).digest()
        return hashes

    return run


def _cryptography(work: str, size: int) -> Contestant:
    from cryptography import __version__
    from cryptography.hazmat.backends.openssl.backend import backend
    from cryptography.hazmat.primitives.hashes import SHA256, Hash

    message = HEADER[:size]

    def once(data: bytes) -> bytes:
        context = Hash(SHA256())
        context.update(data)
        return context.finalize()

    def run(hashes: int) -> int:
        for _ in range(hashes):
            once(once(message))
        return hashes

    what = f"cryptography {__version__} ({backend.openssl_version_text()}), Hash(SHA256()) twice, {size} bytes"
    return Contestant(work, "cryptography", 1, what, (), run, is_peer=True)
