"""SHA-256d without a compiler: the same functions as the C back end, over hashlib.

Owns the documentation both back ends show. It is what an install without a compiler runs on, and the readable form of
what the kernels do.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, SupportsIndex

from fastpath._arguments import (
    Stop,
    branch_index,
    item_count,
    kernel_name,
    rolled_versions,
    scan_range,
    stop_check,
)
from fastpath._arguments import buffer as _view

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MASK = 0xFFFFFFFF
_CHUNK = 2_048  # hashes between two looks at the stop flag: some milliseconds
_INITIAL = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
# fmt: off
_ROUND_CONSTANTS = (
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
)
# fmt: on


def sha256d(data: ReadableBuffer) -> bytes:
    """SHA-256 of the SHA-256 of `data` (any contiguous buffer): 32 bytes, in the order hashlib gives.

    Raises TypeError when `data` has no buffer, ValueError when it is not contiguous. Source: FIPS 180-4.
    """
    return _double(_view(data, "data"))


def sha256d_many(buffer: ReadableBuffer, item_size: SupportsIndex, *, kernel: str | None = None) -> bytes:
    """sha256d of the items that stand side by side in `buffer`, `item_size` bytes each: their digests, side by side.

    Items of 64 bytes (pairs of merkle hashes) and 80 bytes (headers) go through a kernel that hashes several at once;
    `kernel` as in `scan`. Raises TypeError for an argument of a wrong type; ValueError when the buffer does not hold
    whole items or the kernel is none of this processor's.
    """
    view = _view(buffer, "buffer")
    size, count = item_count(view.nbytes, item_size)
    _only_pure(kernel)
    data = bytes(view)
    return b"".join(_double(data[size * i : size * i + size]) for i in range(count))


def midstate(block64: ReadableBuffer) -> bytes:
    """The state of SHA-256 after the first 64 bytes of a message: eight 32-bit words, big-endian, in 32 bytes.

    Raises TypeError when `block64` has no buffer, ValueError when it is not 64 bytes. Source: FIPS 180-4, 6.2.2.
    """
    words = list(struct.unpack(">16I", _view(block64, "block64", 64)))
    for t in range(16, 64):
        w15, w2 = words[t - 15], words[t - 2]
        sigma0 = _rotate(w15, 7) ^ _rotate(w15, 18) ^ w15 >> 3
        sigma1 = _rotate(w2, 17) ^ _rotate(w2, 19) ^ w2 >> 10
        words.append((sigma1 + words[t - 7] + sigma0 + words[t - 16]) & _MASK)
    a, b, c, d, e, f, g, h = _INITIAL
    for constant, word in zip(_ROUND_CONSTANTS, words, strict=True):
        t1 = h + (_rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25)) + (g ^ (e & (f ^ g))) + constant + word
        t2 = (_rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)) + ((a & b) | (c & (a | b)))
        a, b, c, d, e, f, g, h = (t1 + t2) & _MASK, a, b, c, (d + t1) & _MASK, e, f, g
    state = zip(_INITIAL, (a, b, c, d, e, f, g, h), strict=True)
    return struct.pack(">8I", *((initial + final) & _MASK for initial, final in state))


def scan(
    header80: ReadableBuffer,
    start: SupportsIndex,
    count: SupportsIndex,
    target: SupportsIndex,
    *,
    kernel: str | None = None,
    stop: Stop | None = None,
) -> list[int]:
    """Hash a block header with the nonces `start` .. `start + count - 1` and return, ascending, those that hit.

    A nonce hits when the sha256d of the header, read as a little-endian integer, is <= `target`. `header80` is the
    80-byte header; its own nonce field (the last four bytes, little-endian) is not read. `count` is a number of hashes.
    `kernel` is a name out of `kernels()`, None takes the one chosen there. `stop` is a flag with `is_set()`, such as
    threading.Event: once it is set, the hits found so far are returned within 30 ms. The C back end lets other threads
    run meanwhile and answers Ctrl-C.

    Raises TypeError for an argument of a wrong type; ValueError for a header that is not 80 bytes, a target outside
    0 .. 2**256 - 1, a range that leaves 0 .. 2**32 - 1 (nonces never wrap), or a kernel this processor or build lacks;
    RuntimeError when a kernel proposes a nonce whose hash does not pass the kernel's own filter.
    """
    header = bytes(_view(header80, "header80", 80))
    first, hashes, limit = scan_range(start, count, target)
    _only_pure(kernel)
    stopped = None if stop is None else stop_check(stop)
    prefix, highest, hits = header[:76], int.from_bytes(limit, "little"), list[int]()
    for begin in range(first, first + hashes, _CHUNK):
        if stopped is not None and stopped():
            break
        hits += [
            nonce
            for nonce in range(begin, min(begin + _CHUNK, first + hashes))
            if int.from_bytes(_double(prefix + nonce.to_bytes(4, "little")), "little") <= highest
        ]
    return hits


def scan_versions(
    header80: ReadableBuffer,
    mask: SupportsIndex,
    versions: SupportsIndex | Iterable[SupportsIndex],
    start: SupportsIndex,
    count: SupportsIndex,
    target: SupportsIndex,
    *,
    kernel: str | None = None,
    stop: Stop | None = None,
) -> list[tuple[int, int]]:
    """Scan with rolled versions (BIP 320): every version at every nonce `start` .. `start + count - 1`.

    `versions` are the version words to try, equal to the header's outside `mask`; or their number, then 0, 1, 2 .. are
    dealt to the bits of the mask from the lowest up. BIP 320 leaves 0x1FFFE000 free. Returns (version, nonce) of each
    hit, by nonce and then in the order of `versions`. `count` is a number of nonces: count times versions are hashed.
    All else as `scan`; a tier without a kernel for versions scans them one by one.

    Raises as `scan` does, and ValueError for a mask or version that is not 32 bits wide, more versions than the mask
    has, or a version that differs from the header's outside the mask.
    """
    header = bytes(_view(header80, "header80", 80))
    rolled = rolled_versions(int.from_bytes(header[:4], "little"), mask, versions)
    hits = []
    for place, version in enumerate(rolled):
        nonces = scan(version.to_bytes(4, "little") + header[4:], start, count, target, kernel=kernel, stop=stop)
        hits += [(nonce, place) for nonce in nonces]
    if not rolled:
        scan_range(start, count, target)
    return [(rolled[place], nonce) for nonce, place in sorted(hits)]


def merkle_root(txids: Iterable[ReadableBuffer]) -> bytes:
    """The merkle root of a block's transaction hashes, 32 bytes each.

    Hashes stand in the order hashlib gives, not in the reversed order of block explorers. An odd level repeats its last
    hash, as the bitcoin protocol does. Raises ValueError when there is no hash or one is not 32 bytes, TypeError when
    one has no buffer.
    """
    level = [bytes(_view(txid, f"txids[{index}]", 32)) for index, txid in enumerate(txids)]
    if not level:
        raise ValueError("txids must hold at least one hash")
    while len(level) > 1:
        level += level[-1:] * (len(level) % 2)
        level = [_double(left + right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def merkle_branch(txids: Iterable[ReadableBuffer], index: SupportsIndex = 0) -> list[bytes]:
    """The hashes that lead from the transaction at `index` to the merkle root, from the leaves up.

    Folding them gives `merkle_root(txids)`: where bit i of `index` is 0 the running hash stands left of the i-th, else
    right. For the coinbase (index 0) this is the branch of a stratum job, and the first txid is not read. Raises as
    `merkle_root` does, and ValueError when there is no such index.
    """
    level = [bytes(_view(txid, f"txids[{number}]", 32)) for number, txid in enumerate(txids)]
    place = branch_index(index, len(level))
    if not level:
        raise ValueError("txids must hold at least one hash")
    branch = []
    while len(level) > 1:
        level += level[-1:] * (len(level) % 2)
        branch.append(level[place ^ 1])
        place //= 2
        level = [_double(left + right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return branch


def _only_pure(kernel: str | None) -> None:
    if kernel is not None:
        kernel_name(kernel, "kernel", ["pure"])


def _double(data: bytes | memoryview) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _rotate(word: int, bits: int) -> int:
    return (word >> bits | word << (32 - bits)) & _MASK
