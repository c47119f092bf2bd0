"""The kill matrix: faulty controllers x scenarios, and what became of each.

Owns what counts as a kill; runs are played and judged by the same functions as every other run. A faulty controller
declares beside its defect which check must catch it where (`KILLED_BY`), so that a crash, or the wrong check, is not
taken for detection.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.attach import NullSut, PythonSut, controllers, shipped
from bench.campaign import broken
from bench.case_file import Case, load_cases
from bench.config import ConfigError, did_you_mean
from bench.play import plan
from bench.session import run_case
from bench.verdict import CaseVerdict, Outcome, Validity
from emulator.network import NetworkError

SUITE = "suite:selftest"
REFERENCE, NULL = "reference", "null"
CROSS_NS = 100_000_000_000
"""In scenarios no longer than this the whole self-test plays every faulty controller, not only its own."""

Verdicts = Mapping[tuple[str, str], CaseVerdict]
"""By controller and scenario."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A faulty controller, and the check (by its id) that must catch it in that scenario. `defect` and `rule` say in
    words what is wrong with it and what that breaks."""

    id: str
    scenario: str
    check: str
    defect: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant. `status`: killed, survived, not exercised, or killed by another check."""

    mutant: Mutant
    status: str
    by_check: str
    """The declared check where it caught it, else the first that did, else empty."""
    kills: tuple[tuple[str, str], ...]
    """(scenario, service.check) of everything that caught it."""
    played: tuple[str, ...] = ()
    """The scenarios in which it was played."""

    @property
    def killed(self) -> bool:
        return self.status == "killed"


def scenarios() -> dict[str, Case]:
    """The cases of the self-test's suite, by id."""
    return {case.table.id: case for case in load_cases(SUITE)[1]}


def mutants() -> list[Mutant]:
    """Every faulty controller that ships. Raises ConfigError for one that does not declare what must catch it."""
    known = list(scenarios())
    found = []
    for name in controllers():
        if name == REFERENCE:
            continue
        module = importlib.import_module(shipped(name))
        declared = getattr(module, "KILLED_BY", None)
        if not isinstance(declared, tuple) or len(declared) != 2:
            raise ConfigError(f'controller:{name}: declares no killer; write KILLED_BY = ("scenario", "check id")')
        if declared[0] not in known:
            hint = did_you_mean(declared[0], known)
            raise ConfigError(f"controller:{name}: KILLED_BY: no scenario {declared[0]!r} in {SUITE}{hint}")
        defect, _, rule = (" ".join(part.split()) for part in (module.__doc__ or "").partition("\n\n"))
        found.append(Mutant(name, *declared, defect=defect, rule=rule))
    return found


def quick_choice(faulty: Iterable[Mutant], lengths_ns: Mapping[str, int]) -> list[Mutant]:
    """For each check that is declared somewhere the one mutant whose scenario is the shortest."""
    best: dict[str, Mutant] = {}
    for one in faulty:
        rival = best.get(one.check)
        if rival is None or (lengths_ns[one.scenario], one.id) < (lengths_ns[rival.scenario], rival.id):
            best[one.check] = one
    return sorted(best.values(), key=lambda one: one.id)


def lengths(cases: Mapping[str, Case]) -> dict[str, int]:
    """How long each scenario's profile lasts, nanoseconds."""
    return {name: plan(case).profile.duration_ns for name, case in cases.items()}


def pairs(faulty: Sequence[Mutant], lengths_ns: Mapping[str, int], *, quick: bool) -> list[tuple[str, str]]:
    """Which controller is played in which scenario, the longest first: two processes then end together."""
    used = [name for name in lengths_ns if not quick or any(one.scenario == name for one in faulty)]
    found = [(name, scenario) for name in (REFERENCE, NULL) for scenario in used]
    found += [(one.id, one.scenario) for one in faulty]
    if not quick:
        short = [name for name in used if lengths_ns[name] <= CROSS_NS]
        found += [(one.id, scenario) for one in faulty for scenario in short if scenario != one.scenario]
    return sorted(found, key=lambda pair: -lengths_ns[pair[1]])


def attached(scenario: Case, name: str) -> Case:
    """The scenario with another controller in place of the reference, which keeps the reference's settings."""
    sut = scenario.table.sut
    if name == NULL:
        sut = NullSut(kind="null")
    elif isinstance(sut, PythonSut):
        sut = sut.model_copy(update={"factory": f"{shipped(name)}:controller"})
    table = scenario.table.model_copy(update={"id": f"{scenario.table.id}.{name}", "sut": sut})
    return replace(scenario, table=table)


def play(case: Case, folder: Path) -> CaseVerdict:
    """Play one run in the process this is called in; its reports would be read by nobody."""
    try:
        return run_case(plan(case), folder, reports=False)[0]
    except (ConfigError, NetworkError) as error:
        return broken(case, folder, str(error))


def fate(mutant: Mutant, scenarios: Iterable[str], verdicts: Verdicts) -> Fate:
    """What became of a mutant: it is dead when its declared check fails in its declared scenario, on a valid run."""
    kills, played = [], []
    for scenario in scenarios:
        verdict = verdicts.get((mutant.id, scenario))
        if verdict is None:
            continue
        played.append(scenario)
        if verdict.validity is not Validity.VOID:
            kills += [(scenario, f"{c.service}.{c.id}") for c in verdict.checks if c.outcome is Outcome.FAIL]
    here = verdicts[mutant.id, mutant.scenario]
    failed = [check.rpartition(".")[2] for scenario, check in kills if scenario == mutant.scenario]
    if _is_the_same(here, verdicts[REFERENCE, mutant.scenario]):
        status = "not exercised"  # the scenario lacks what would tell the two apart
    elif mutant.check in failed:
        status = "killed"
    else:
        status = "killed by another check" if failed else "survived"
    by_check = mutant.check if mutant.check in failed else next(iter(failed), "")
    return Fate(mutant, status, by_check, tuple(dict.fromkeys(kills)), tuple(played))


def _is_the_same(one: CaseVerdict, other: CaseVerdict) -> bool:
    """The same trace, byte for byte, and the same measured values: some defects show in the traffic alone."""
    measured = [[check.measured for check in case.checks] for case in (one, other)]
    return one.trace_sha256 == other.trace_sha256 and measured[0] == measured[1]
