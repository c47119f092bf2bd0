"""How accurately the bench measures in real time: a controller with exactly known delays on a site of 1 000 miners.

The error is that of the measured reaction against the known delay, everything of the bench included: the timer of the
controller, which lives in the bench's loop, the way of its command to the physics, and the measuring. Its peer is what
no bench can be better than, the lateness of the timers of a loop with nothing else to do, in turns on the same machine.

A machine shared with other programs measures them: there, `chrt --rr 10` before the command, and a word of it beside
the figures.
"""

from __future__ import annotations

from statistics import median

from bench import accuracy
from bench.doctor.session import idling
from bench.verdict import Validity
from benchmarks.rows import Row
from emulator import clock as clocks

ROUNDS = 3
MOVES = 130
BARE_S = 2.0
LIMIT_MS = 2.0
NS = 1e6


def rows() -> list[Row]:
    """The error's 99th percentile against a bare loop's timers, and against the limit set for it."""
    moves = accuracy.plan(MOVES)
    exact = accuracy.trial(moves, mode="virtual")
    bare_ms, wrong_ms, ratios = [], [], []
    for _ in range(ROUNDS):
        bare = clocks.run(lambda clock: idling(clock, BARE_S), mode="real").p99_ns / NS
        found = accuracy.trial(moves, mode="real", polled=True)
        if found.validity is not Validity.VALID:
            print(f"accuracy: a run was {found.validity.name} by its own word: this machine is too busy for real time")
        bare_ms.append(bare)
        wrong_ms.append(accuracy.p99_ns(accuracy.errors(found, exact).whole) / NS)
        ratios.append(bare / wrong_ms[-1])
    wrong = median(wrong_ms)
    what = f"error of a measured reaction, known delays of 1 ms to 10 s, {accuracy.MINERS} miners polled: p99"
    return [
        Row(what, wrong, "ms", "lateness of a bare loop's timers", median(bare_ms), median(ratios)),
        Row(what, wrong, "ms", "the limit set for it", LIMIT_MS, LIMIT_MS / wrong),
    ]
