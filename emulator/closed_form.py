"""A sum of segments as one closed form: what many miners come to together while nothing happens to any of them.

Owns the arithmetic of one such sum; `emulator/timeline.py` makes it of its log, who asks for it is the site's business.
"""

from __future__ import annotations

from math import expm1
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.wire import Instant

_S = 1e-9


class Form:
    """What some entries come to together, as one closed form from `since_ns` on: an amount per second and its total.

    `total` is their common total at `since_ns`, the rest is as in `SegmentLog`; `decays` holds (time constant, height).
    """

    __slots__ = ("_base", "_decays", "_slope", "_total", "since_ns")

    def __init__(
        self, since_ns: Instant, total: float, base: float, slope: float, decays: tuple[tuple[float, float], ...]
    ) -> None:
        self.since_ns = since_ns
        self._total, self._base, self._slope, self._decays = total, base, slope, decays

    def total(self, at: Instant) -> float:
        """From instant 0 until `at`, which must not be before `since_ns`."""
        return self._total + self._gained(at)

    def between(self, start: Instant, stop: Instant) -> float:
        """Over [start, stop], neither before `since_ns`."""
        return self._gained(stop) - self._gained(start)

    def _gained(self, at: Instant) -> float:
        dt = (at - self.since_ns) * _S
        value = dt * (self._base + self._slope * dt / 2)
        for tau, height in self._decays:
            value -= height * tau * expm1(-dt / tau)
        return value
