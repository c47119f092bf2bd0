"""One measurement from options to figures.

Owns the sequence: who takes part, calibration, the rounds with the external program between them, the summary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import fastpath
from bench.kernels import against as external
from bench.kernels import contestants, machine, measure
from bench.kernels.recording import AgainstRun
from bench.kernels.summary import Row, peer_key, summary


class OptionError(ValueError):
    """An option that this machine or build cannot follow."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `ramprig kernels bench` was asked for; empty `works` and `kernels` mean all."""

    rounds: int = 100
    threads: int = 1
    slice_s: float = measure.SLICE_S
    peer: str = contestants.PEER
    works: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    against: str = ""
    against_rate: str = external.RATE
    against_runs: int = 5
    against_limit_s: float = 30.0

    def as_json(self) -> dict[str, object]:
        """As they stand in a recording."""
        return {
            "rounds": self.rounds,
            "threads": self.threads,
            "slice_s": self.slice_s,
            "peer": self.peer,
            "works": list(self.works),
            "kernels": list(self.kernels),
            "against": self.against,
        }


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything the outputs are made of. `measured_hz` is the median and the best frequency of the rounds."""

    machine: machine.Machine
    entered: list[contestants.Contestant]
    records: list[measure.Record]
    rows: list[Row]
    against: list[AgainstRun]
    measured_hz: tuple[float, float] | None


def segments(rounds: int, runs: int) -> dict[int, range]:
    """The round after which each external run comes -> the rounds it stands in the middle of."""
    runs = min(runs, rounds)
    edges = [rounds * number // runs for number in range(runs + 1)] if runs else []
    return {(low + high - 1) // 2: range(low, high) for low, high in pairwise(edges)}


def bench(options: Options, progress: Callable[[int], object] | None = None) -> Measurement:
    """Measure. `progress` is told how many rounds are done.

    Raises OptionError for a kernel or work there is not, NoSuchPeerError for such a peer, AgainstError for an external
    program that gives no rate.
    """
    works = options.works or contestants.WORKS
    known = fastpath.kernels()
    _check(options, works, known)
    pattern = external.rate_pattern(options.against_rate)
    fastpath.calibrate()
    crew = contestants.Crew(max(1, options.threads))
    try:
        entered = contestants.contestants(fastpath.kernels(), works, options.kernels, crew, options.threads)
        keys = [each.key for each in entered]
        for work in dict.fromkeys(each.work for each in entered):
            peer_key(work, options.peer, keys)
        about, additions = machine.machine(), machine.dependent_additions()
        due = segments(options.rounds, options.against_runs) if options.against else {}
        records, runs = list[measure.Record](), list[AgainstRun]()
        turns = measure.rounds(entered, options.rounds, options.slice_s, additions, about.nominal_hz)
        for number, made in enumerate(turns):
            records += made
            if number in due:
                found, line = external.run(options.against, pattern, options.against_limit_s)
                runs.append(AgainstRun(options.against, due[number], found, line))
            if progress is not None:
                progress(number + 1)
    finally:
        crew.close()
    ordered = sorted(keys, key=lambda key: contestants.WORKS.index(key.split("/")[0]))
    needs = {each.key: each.needs for each in entered}
    rows = summary(records, ordered, needs, options.peer, about, [(run.around, run.hashes_per_s) for run in runs])
    frequencies = [record.frequency_hz for record in records if record.frequency_hz is not None]
    measured = (median(frequencies), max(frequencies)) if frequencies else None
    return Measurement(about, entered, records, rows, runs, measured)


def _check(options: Options, works: tuple[str, ...], known: tuple[fastpath.Kernel, ...]) -> None:
    for work in works:
        if work not in contestants.WORKS:
            raise OptionError(f"--work: there is no {work!r}; there are {', '.join(contestants.WORKS)}")
    for name in options.kernels:
        found = [kernel for kernel in known if kernel.name == name]
        if not found:
            raise OptionError(f"--kernel: there is no {name!r}; there are {', '.join(k.name for k in known)}")
        if not found[0].available:
            raise OptionError(f"--kernel: {name!r} cannot run here: {found[0].why}")
