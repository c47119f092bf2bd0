"""The bench proves that it can fail: faulty controllers, cut wires, and limits that flip where they say.

Owns the order of a self-test: what is played, by how many at a time. What counts as a kill stands in `matrix.py`, the
cuts in `wiring.py`, the limits in `bench/boundary/`, the result in `result.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from bench.boundary.bisect import Boundary, bounds, families, found
from bench.report.words import case_word
from bench.selftest.matrix import (
    NULL,
    REFERENCE,
    SUITE,
    Fate,
    Mutant,
    attached,
    fate,
    lengths,
    mutants,
    pairs,
    play,
    quick_choice,
    scenarios,
)
from bench.selftest.result import SelfTest, print_matrix
from bench.selftest.wiring import Wiring, cut_wires
from bench.verdict import Verdict

if TYPE_CHECKING:
    from bench.campaign import Executor

__all__ = ["NULL", "REFERENCE", "SUITE", "Fate", "Mutant", "SelfTest", "Wiring", "mutants", "print_matrix", "run"]


def run(executor: Executor, *, quick: bool = False, told: Callable[[str], None] = lambda _: None) -> SelfTest:
    """Play the matrix, search the boundaries, and judge the bench by it.

    `quick` plays one mutant for each check, in its own scenario only, and searches one limit for each formula. `told`
    hears a line of each thing that is done. Raises ConfigError.
    """
    cases, faulty = scenarios(), mutants()
    lengths_ns = lengths(cases)
    faulty = quick_choice(faulty, lengths_ns) if quick else faulty
    edges = [(service.id, check.id, side) for service, check, side, _ in (families() if quick else bounds())]
    with tempfile.TemporaryDirectory(prefix="ramprig-selftest-", ignore_cleanup_errors=True) as folder:
        asked = {pair: attached(cases[pair[1]], pair[0]) for pair in pairs(faulty, lengths_ns, quick=quick)}
        waiting = {executor.submit(play, case, Path(folder) / case.id): pair for pair, case in asked.items()}
        searching = {executor.submit(found, *edge): edge for edge in edges}
        verdicts = {}
        for future in as_completed(waiting):
            pair = waiting[future]
            verdicts[pair] = future.result()
            told(f"{verdicts[pair].id}: {case_word(verdicts[pair])}")
        first = next(name for name in cases if (REFERENCE, name) in asked)
        wiring = tuple(cut_wires(Path(verdicts[REFERENCE, first].folder), asked[REFERENCE, first]))
        by_edge: dict[tuple[str, str, str], Boundary] = {}
        for search in as_completed(searching):
            edge = by_edge[searching[search]] = search.result()
            told(f"{edge.name}: flips {'within' if edge.holds else 'outside of'} its uncertainty")
    played = [name for name in cases if (REFERENCE, name) in verdicts]
    of = {name: tuple(verdicts[name, scenario] for scenario in played) for name in (REFERENCE, NULL)}
    fates = tuple(fate(one, cases, verdicts) for one in faulty)
    boundaries = tuple(by_edge[edge] for edge in edges)
    result = SelfTest(Verdict(REFERENCE, of[REFERENCE]), Verdict(NULL, of[NULL]), fates, wiring, boundaries)
    if quick:
        return result
    proven = {*result.killers, *(edge.name for edge in boundaries if edge.kills)}
    judged = {f"{check.service}.{check.id}" for case in of[REFERENCE] for check in case.checks}
    shipped = {f"{service.id}.{check.id}" for service, check, _, _ in bounds()}
    return SelfTest(
        result.reference, result.null, fates, wiring, boundaries, tuple(sorted((judged | shipped) - proven))
    )
