"""How a measured duration is spread: median, 99th percentile, the worst of so many.

Owns the four figures that every table of the doctor has; where they come from is the measuring's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.clock import Lateness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.wire import Instant


@dataclass(frozen=True, slots=True)
class Spread:
    """`count` durations in nanoseconds; `lost` are those that never came. All are 0 where there is none."""

    count: int = 0
    p50_ns: Instant = 0
    p99_ns: Instant = 0
    max_ns: Instant = 0
    lost: int = 0

    @classmethod
    def of(cls, durations_ns: Iterable[Instant], lost: int = 0) -> Spread:
        """Of single durations; one below 0 counts as 0."""
        kept = Lateness()
        for duration_ns in durations_ns:
            kept.record(duration_ns)
        return cls.of_lateness(kept, lost)

    @classmethod
    def of_lateness(cls, lateness: Lateness, lost: int = 0) -> Spread:
        """Of timers."""
        return cls(lateness.count, lateness.p50_ns, lateness.p99_ns, lateness.max_ns, lost)
