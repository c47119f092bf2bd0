"""SHA-256 as numbers: the constants and the six functions of FIPS 180-4 on plain integers.

Owns what the generators fold at generation time; it knows nothing of registers or instructions.
"""

from __future__ import annotations

import math

MASK = 0xFFFFFFFF
ROTATIONS = {
    "S0": (2, 13, 22, 0),
    "S1": (6, 11, 25, 0),
    "s0": (7, 18, 0, 3),
    "s1": (17, 19, 0, 10),
}
"""Name -> three distances to rotate by, of which the 0 stands for the shift in the last place (FIPS 180-4, 4.1.2)."""


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _cube_root(value: int) -> int:
    low, high = 0, 1 << (value.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= value else (low, middle - 1)
    return low


K = [_cube_root(prime << 96) & MASK for prime in _primes(64)]
"""The 64 round constants: fractions of cube roots of primes (FIPS 180-4, 4.2.2)."""
IV = [math.isqrt(prime << 64) & MASK for prime in _primes(8)]
"""The initial value a..h: fractions of square roots of primes (FIPS 180-4, 5.3.3)."""
HEADER_PADDING = [0x80000000, *[0] * 10, 640]
"""Words 4..15 of the second block of an 80-byte header."""
DIGEST_PADDING = [0x80000000, *[0] * 6, 256]
"""Words 8..15 of the only block of the second hash."""


def rotate(word: int, bits: int) -> int:
    """`word` rotated right."""
    return (word >> bits | word << (32 - bits)) & MASK


def sigma(name: str, word: int) -> int:
    """One of the four sigma functions, by its key in ROTATIONS."""
    *rotations, shift = ROTATIONS[name]
    result = word >> shift if shift else 0
    for bits in rotations:
        if bits:
            result ^= rotate(word, bits)
    return result


def choose(e: int, f: int, g: int) -> int:
    """Ch of FIPS 180-4."""
    return (e & f) ^ (~e & g & MASK)


def majority(a: int, b: int, c: int) -> int:
    """Maj of FIPS 180-4."""
    return (a & b) ^ (a & c) ^ (b & c)


def padding_block() -> list[int]:
    """K+W of the second block of a 64-byte message, which is all padding."""
    words = [0x80000000, *[0] * 14, 512]
    for t in range(16, 64):
        total = sigma("s1", words[t - 2]) + words[t - 7] + sigma("s0", words[t - 15]) + words[t - 16]
        words.append(total & MASK)
    return [(word + constant) & MASK for word, constant in zip(words, K, strict=True)]
