"""What the functions of fastpath accept, and the sentence each refusal is told with.

Owns the checks both back ends share; it hashes nothing.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, SupportsIndex

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

NONCES = 1 << 32
"""A nonce is 32 bits wide."""


def buffer(data: ReadableBuffer, name: str, size: int | None = None) -> memoryview:
    """The bytes of `data`, uncopied; `size` is the length demanded, None takes any.

    Raises TypeError when `data` has no buffer, ValueError when its memory is not contiguous or not `size` bytes long.
    """
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"{name} must be a bytes-like object, not {type(data).__name__}") from None
    if not view.c_contiguous:
        raise ValueError(f"{name} must be contiguous in memory")
    if size is not None and view.nbytes != size:
        raise ValueError(f"{name} must be {size} bytes long, not {view.nbytes}")
    return view


def integer(value: SupportsIndex, name: str) -> int:
    """`value` as an int; raises TypeError for anything that is no integer."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}") from None


def scan_range(start: SupportsIndex, count: SupportsIndex, target: SupportsIndex) -> tuple[int, int, bytes]:
    """The three as first nonce, number of nonces and target in 32 little-endian bytes.

    Raises TypeError for what is no integer; ValueError for a range that leaves 0 .. 2**32 - 1 (nonces do not wrap) or a
    target that is no 256-bit integer.
    """
    first, hashes, limit = integer(start, "start"), integer(count, "count"), integer(target, "target")
    if not 0 <= first <= NONCES:
        raise ValueError(f"start must lie in 0 .. 2**32, not {first}")
    if not 0 <= hashes <= NONCES - first:
        raise ValueError(f"count must lie in 0 .. {NONCES - first} from nonce {first} on (no wrapping), not {hashes}")
    if not 0 <= limit < 1 << 256:
        raise ValueError(f"target must lie in 0 .. 2**256 - 1, not {limit}")
    return first, hashes, limit.to_bytes(32, "little")
