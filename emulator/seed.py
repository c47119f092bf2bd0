"""One seed for a run, and children of it by path: `seed / "miner" / 17 / "latency"`.

A child depends on the root and its own path alone, so adding a miner changes no other miner's draw. Arrays are drawn by
counter: element `i` of `uniforms(n)` is the same for every `n`.
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastpath import single

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_GOLDEN, _MIX_1, _MIX_2 = map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))  # SplitMix64


@dataclass(frozen=True, slots=True)
class Seed:
    """A node in the tree of seeds. `root` is the run's seed, `path` what leads here."""

    root: int
    path: tuple[str | int, ...] = ()

    def __truediv__(self, step: str | int) -> Seed:
        return Seed(self.root, (*self.path, step))

    @property
    def key(self) -> int:
        """64 bits that stand for this node, from BLAKE2b over root and path."""
        text = "\x1f".join([str(self.root), *(f"{type(step).__name__}:{step}" for step in self.path)])
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")

    def rng(self) -> np.random.Generator:
        """A NumPy generator (Philox) of this node."""
        return np.random.Generator(np.random.Philox(key=self.key))

    def uniforms(self, count: int, start: int = 0) -> NDArray[np.float64]:
        """Uniform draws in (0, 1), shape (count,); element i belongs to index `start + i` for ever."""
        return self.uniforms_at(np.arange(start, start + count, dtype=np.uint64))

    def uniforms_at(self, index: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Uniform draws in (0, 1) for the given indices, same shape (SplitMix64 finaliser)."""
        with np.errstate(over="ignore"):
            z = np.uint64(self.key) + (index.astype(np.uint64) + np.uint64(1)) * _GOLDEN
            z = (z ^ (z >> np.uint64(30))) * _MIX_1
            z = (z ^ (z >> np.uint64(27))) * _MIX_2
            z ^= z >> np.uint64(31)
        return ((z >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53

    def uniform(self, index: int = 0) -> float:
        """One uniform draw: element `index` of `uniforms`."""
        return single.uniform(self.key, index)

    def normal(self, index: int = 0) -> float:
        """One standard normal draw: element `index` of `normals`, but for the last digit."""
        return single.normal((self / "radius").key, (self / "angle").key, index)

    def normals_at(self, index: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Standard normal draws for the given indices, same shape (Box-Muller on two children)."""
        radius = np.sqrt(-2.0 * np.log((self / "radius").uniforms_at(index)))
        drawn: NDArray[np.float64] = radius * np.cos(2.0 * np.pi * (self / "angle").uniforms_at(index))
        return drawn

    def normals(self, count: int, start: int = 0) -> NDArray[np.float64]:
        """Standard normal draws, shape (count,); element i belongs to index `start + i` for ever."""
        return self.normals_at(np.arange(start, start + count, dtype=np.uint64))


class Normals:
    """The normal draws of several nodes whose keys are worked out once: 16 bytes a node, and a tenth of the time."""

    __slots__ = ("_keys",)

    def __init__(self, seeds: Iterable[Seed]) -> None:
        self._keys = array("Q", [(seed / part).key for seed in seeds for part in ("radius", "angle")])

    def draw(self, place: int, index: int) -> float:
        """The same as `normal(index)` of the node at `place`."""
        return single.normal(self._keys[2 * place], self._keys[2 * place + 1], index)
