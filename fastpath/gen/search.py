"""`python -m fastpath.gen.search STEM SECONDS [--core N]`: find a faster order of a two-stream kernel by trying.

Owns the measured hill-climb: it moves instructions of the schedule between the steps of the rounds (which changes
nothing but the time), keeps what is faster, and writes `orders/STEM.json`. An order is tuned to the processor it was
searched on.
"""

from __future__ import annotations

import _ctypes
import argparse
import ctypes
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from fastpath.gen import streams
from fastpath.gen.__main__ import ORDERS, TWO_STREAM, order_of

ITERATIONS = 48
CHECK_EVERY = 150
TIMER = r"""
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <time.h>
typedef void loop(const void *, const void *, void *, uint64_t, const void *);
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return 1e9 * t.tv_sec + t.tv_nsec; }
double best_ns(loop *tried, const void *a, const void *b, void *c, uint64_t iterations, int times, const void *d) {
    double best = 1e18;
    for (int i = 0; i < times; i++) {
        double start = now();
        tried(a, b, c, iterations, d);
        double taken = now() - start;
        if (taken < best) best = taken;
    }
    return best;
}
"""


class Bench:
    """Times a kernel's loop in a given order, on made-up data."""

    def __init__(self, kernel: streams.Kernel, folder: Path) -> None:
        self._kernel, self._folder, self._count = kernel, folder, 0
        source, library = folder / "timer.c", folder / "timer.so"
        source.write_text(TIMER)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        self._best_ns = ctypes.CDLL(str(library)).best_ns
        self._best_ns.restype = ctypes.c_double
        self._memory = [ctypes.create_string_buffer(1 << 18) for _ in range(3)]
        self._context, self._table, self._results = ((ctypes.addressof(part) + 63) // 64 * 64 for part in self._memory)
        if kernel.work != "scan":
            pairs = (ctypes.c_uint64 * 4096).from_address(self._table)
            for i in range(2048):
                pairs[2 * i], pairs[2 * i + 1] = self._context, self._context + 1024
            self._table += 64  # a batch looks back at the pair before

    def ns_per_hash(self, order: streams.Order, times: int = 1500) -> float:
        """The best of `times` runs of the loop."""
        self._count += 1
        stem = self._folder / str(self._count)
        text = streams.assembly(self._kernel, order).replace(f".hidden {self._kernel.name}", "")
        stem.with_suffix(".S").write_text(text)
        subprocess.run(["cc", "-shared", "-o", stem.with_suffix(".so"), stem.with_suffix(".S")], check=True)
        library = ctypes.CDLL(str(stem.with_suffix(".so")))
        loop = ctypes.cast(library[self._kernel.name], ctypes.c_void_p)
        arguments = [ctypes.c_void_p(part) for part in (self._context, self._table, self._results)]
        taken: float = self._best_ns(loop, *arguments, ctypes.c_uint64(ITERATIONS), times, arguments[1])
        _ctypes.dlclose(library._handle)  # noqa: SLF001 - ctypes has no other way to let go of a library
        for suffix in (".S", ".so"):
            stem.with_suffix(suffix).unlink()
        return taken / ITERATIONS / self._kernel.lanes


def moved(order: streams.Order, draw: random.Random) -> streams.Order:
    """A neighbour of `order`: one to four runs of instructions shifted by a few steps."""
    positions = [[step for step, count in enumerate(counts) for _ in range(count)] for counts in order]
    for _ in range(draw.choice([1, 1, 2, 4])):
        half = draw.randrange(len(order))
        where, last = positions[half], len(order[half]) - 1
        first = draw.randrange(len(where))
        length, shift = draw.choice([1, 2, 4, 8, 20, 60, 200]), draw.choice([-8, -3, -2, -1, 1, 2, 3, 8])
        for i in range(first, min(len(where), first + length)):
            where[i] = max(0, min(last, where[i] + shift))
        where.sort()
    return [[where.count(step) for step in range(len(counts))] for where, counts in zip(positions, order, strict=True)]


def search(stem: str, seconds: float, seed: int) -> None:
    """Climb for so long, then write the best order."""
    kernel = TWO_STREAM[stem](f"fastpath_{stem}_loop")
    draw = random.Random(seed)  # noqa: S311 - chooses instructions, hides nothing
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(kernel, Path(folder))
        best = order_of(stem, kernel)
        best_ns, tried, deadline = bench.ns_per_hash(best, 4000), 0, os.times().elapsed + seconds
        sys.stdout.write(f"{stem}: begins at {best_ns:.3f} ns a hash\n")
        while os.times().elapsed < deadline:
            order = moved(best, draw)
            tried += 1
            if bench.ns_per_hash(order) < best_ns * 0.9997:
                again_ns = bench.ns_per_hash(order, 4000)
                if again_ns < best_ns * 0.9998:
                    best, best_ns = order, again_ns
            if tried % CHECK_EVERY == 0:
                best_ns = bench.ns_per_hash(best, 4000)  # the neighbour may have come or gone
    sys.stdout.write(f"{stem}: {best_ns:.3f} ns a hash after {tried} tries\n")
    lines = ",\n".join(json.dumps(counts, separators=(",", ":")) for counts in best)
    (ORDERS / f"{stem}.json").write_text(f"[\n{lines}\n]\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m fastpath.gen.search", description=__doc__)
    parser.add_argument("stem", choices=TWO_STREAM)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--core", type=int, help="run on this core only")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    search(given.stem, given.seconds, given.seed)


if __name__ == "__main__":
    main()
