"""What the functions of fastpath accept, and the sentence each refusal is told with.

Owns the checks both back ends share; it hashes nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, SupportsIndex

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

NONCES = 1 << 32
"""A nonce is 32 bits wide."""


class Stop(Protocol):
    """A flag that another thread may raise, such as `threading.Event`."""

    def is_set(self) -> bool:
        """Whether to stop."""


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


def item_count(size: int, item_size: SupportsIndex) -> tuple[int, int]:
    """Item size and number of items of a buffer of `size` bytes; raises where they do not go up."""
    each = integer(item_size, "item_size")
    if each < 1:
        raise ValueError(f"item_size must be at least 1, not {each}")
    if size % each:
        raise ValueError(f"buffer must hold whole items of {each} bytes, and {size} bytes are none")
    return each, size // each


def stop_check(stop: Stop) -> Callable[[], bool]:
    """The question to ask the flag; raises TypeError where `stop` is none."""
    check = getattr(stop, "is_set", None)
    if not callable(check):
        raise TypeError(f"stop must have a method is_set(), as threading.Event has, not {type(stop).__name__}")
    asked: Callable[[], bool] = check
    return asked


def kernel_name(name: object, argument: str, known: Sequence[str]) -> str:
    """A kernel's name; raises TypeError for what is no string, ValueError for a name nobody knows."""
    if not isinstance(name, str):
        raise TypeError(f"{argument} must be the name of a kernel or None, not {type(name).__name__}")
    if name not in known:
        raise ValueError(f"{argument}: there is no kernel {name!r}; there are {', '.join(known)}")
    return name


def branch_index(index: SupportsIndex, count: int) -> int:
    """The place of a leaf among `count`."""
    place = integer(index, "index")
    if count and not 0 <= place < count:
        raise ValueError(f"index must lie in 0 .. {count - 1}, not {place}")
    return place


def rolled_versions(
    version: int, mask: SupportsIndex, versions: SupportsIndex | Iterable[SupportsIndex]
) -> tuple[int, ...]:
    """The version words to try for a header of `version`, rolled within `mask` (BIP 320).

    A number asks for so many: 0, 1, 2 .. dealt to the bits of the mask from the lowest up, the other bits as they are.
    Raises TypeError for what is neither a number nor integers; ValueError for more versions than the mask has, a mask
    or version that is not 32 bits wide, or a version that differs outside the mask.
    """
    bits = integer(mask, "mask")
    if not 0 <= bits < NONCES:
        raise ValueError(f"mask must lie in 0 .. 2**32 - 1, not {bits:#x}")
    fixed = version & ~bits
    if not isinstance(versions, Iterable):
        count = integer(versions, "versions")
        if not 0 <= count <= 1 << bits.bit_count():
            raise ValueError(f"versions must lie in 0 .. {1 << bits.bit_count()} with mask {bits:#x}, not {count}")
        dealt, roll = [], 0
        for _ in range(count):
            dealt.append(fixed | roll)
            roll = ((roll | ~bits) + 1) & bits  # the carry runs over the bits outside the mask
        return tuple(dealt)
    words = []
    for index, given in enumerate(versions):
        word = integer(given, f"versions[{index}]")
        if not 0 <= word < NONCES:
            raise ValueError(f"versions[{index}] must lie in 0 .. 2**32 - 1, not {word:#x}")
        if word & ~bits != fixed:
            raise ValueError(
                f"versions[{index}] is {word:#x} and differs from the header's {version:#x} outside the mask"
            )
        words.append(word)
    return tuple(words)
