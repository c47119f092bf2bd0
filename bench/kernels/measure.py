"""The measurement: slices of a few milliseconds, everything in turns in one process, the order changed every round.

Owns the clock and the order; what a slice does is the contestant's. It is one of the few places that may read a clock:
speed is its subject.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.kernels.contestants import Contestant

SLICE_S = 0.003
"""Long enough that calling from Python costs under a hundredth, short enough that a round sees one machine."""
LONGER = 4
"""Slices on several threads are so many times longer: waking the threads takes tens of microseconds."""
ADDITIONS = 320_000
"""Dependent additions of one look at the frequency: about 0.1 ms, which mostly nothing interrupts."""
LOOKS = 8


@dataclass(frozen=True, slots=True)
class Record:
    """One slice. `place` is its turn within the round; `frequency_hz` was measured in the same round."""

    key: str
    work: str
    kernel: str
    threads: int
    round: int
    place: int
    hashes: int
    seconds: float
    frequency_hz: float | None

    @property
    def hashes_per_s(self) -> float:
        """Its rate."""
        return self.hashes / self.seconds


def order(count: int, number: int) -> list[int]:
    """Who goes when in round `number`: the first to go moves on every round, the direction turns every other."""
    if count == 0:
        return []
    turned = [(number + place) % count for place in range(count)]
    return turned if number % 2 == 0 else turned[::-1]


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call, without a garbage collection in the middle."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        start_ns = time.perf_counter_ns()
        call()
        return max(1, time.perf_counter_ns() - start_ns) / 1e9
    finally:
        if collecting:
            gc.enable()


def slice_hashes(run: Callable[[int], int], slice_s: float) -> int:
    """How many hashes fill a slice; found by doubling, which warms up too.

    The quickest of three calls counts: one that was interrupted would make all slices too short.
    """
    hashes = 64
    while True:
        done, took_s = min((_timed(run, hashes) for _ in range(3)), key=lambda call: call[1])
        if took_s >= slice_s / 4 or hashes >= 1 << 30:
            return max(1, round(done * slice_s / took_s))
        hashes *= 2


def _timed(run: Callable[[int], int], hashes: int) -> tuple[int, float]:
    """Hashes done and the seconds they took."""
    done = 0

    def call() -> None:
        nonlocal done
        done = run(hashes)

    took_s = seconds(call)
    return done, took_s


def rounds(
    entered: Sequence[Contestant],
    count: int,
    slice_s: float = SLICE_S,
    additions: Callable[[int], int] | None = None,
    nominal_hz: float | None = None,
) -> Iterator[list[Record]]:
    """The records of each round, in the order they were made.

    `additions` is the loop the frequency is measured with; without it `nominal_hz` stands in every record.
    """
    sizes = [slice_hashes(each.run, slice_s * (LONGER if each.threads > 1 else 1)) for each in entered]
    for number in range(count):
        frequency_hz = nominal_hz if additions is None else frequency(additions)
        made = []
        for place, index in enumerate(order(len(entered), number)):
            contestant = entered[index]
            done, took_s = _timed(contestant.run, sizes[index])
            made.append(
                Record(
                    contestant.key, contestant.work, contestant.name, contestant.threads, number, place,
                    done, took_s, frequency_hz,
                )
            )  # fmt: skip
        yield made


def frequency(additions: Callable[[int], int]) -> float:
    """Cycles a second now: the best of some chains, since an interruption can only make one longer."""
    best = 0.0
    for _ in range(LOOKS):
        took_s = seconds(lambda: additions(ADDITIONS))
        best = max(best, ADDITIONS / took_s)
    return best
