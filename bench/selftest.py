"""The bench proves that it can fail: controllers x scenarios, and the harness itself with a wire cut.

Owns the kill matrix and what counts as a kill; runs are played and judged by the same functions as every other run.
A faulty controller declares beside its defect which check must catch it where (`KILLED_BY`), so that a crash, or the
wrong check, is not taken for detection.
"""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.attach import NullSut, PythonSut, controllers, shipped
from bench.campaign import broken
from bench.case_file import Case, load_cases
from bench.config import ConfigError, did_you_mean
from bench.facts import Series
from bench.judge import judge
from bench.play import plan
from bench.record import RunFolderError, read_run
from bench.report.words import case_word, word
from bench.services import load_service
from bench.session import judge_folder, run_case
from bench.verdict import CaseVerdict, Outcome, Validity, Verdict
from emulator.network import NetworkError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.campaign import Executor
    from bench.facts import RunFacts

SUITE = "suite:selftest"
REFERENCE, NULL = "reference", "null"

UNPROVEN: Mapping[str, str] = {
    "nordic_fcrd_static.R3_stay": "miners take two minutes to come back: nothing sags within the minute of the event",
    "nordic_fcrd_static.R7_step": "miners that boot together come back over seconds, never in one",
}
"""Checks that judge the reference and that no shipped faulty controller can fail on this rig, each with the reason."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A faulty controller, and the check (by its id) that must catch it in that scenario."""

    id: str
    scenario: str
    check: str


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant. `status`: killed, survived, not exercised, or killed by another check."""

    mutant: Mutant
    status: str
    by_check: str
    """The declared check where it caught it, else the first that did, else empty."""
    kills: tuple[tuple[str, str], ...]
    """(scenario, service.check) of everything that caught it."""

    @property
    def killed(self) -> bool:
        return self.status == "killed"


@dataclass(frozen=True, slots=True)
class Wiring:
    """The harness with one wire cut, and the word its verdict came to."""

    id: str
    what: str
    word: str

    @property
    def caught(self) -> bool:
        """Whether the bench noticed that nothing was measured."""
        return self.word in ("VOID", "ERROR")


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The whole result. `idle` are checks that judged the reference and killed nothing; None where it was not asked."""

    reference: Verdict
    null: Verdict
    fates: tuple[Fate, ...]
    wiring: tuple[Wiring, ...]
    idle: tuple[str, ...] | None

    @property
    def null_word(self) -> str:
        """PASS if nothing at all passes anywhere, else what it came to."""
        passed = any(case_word(case) == "PASS" for case in self.null.cases)
        return "PASS" if passed else word(self.null.outcome, self.null.validity)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the bench is not to be trusted; empty when it is."""
        found = [
            f"the reference does not pass {case.id}: {case_word(case)}, {'; '.join(case.reasons)}"
            for case in self.reference.cases
            if case_word(case) != "PASS" or case.validity is not Validity.VALID
        ]
        found += [f"nothing attached passes {case.id}" for case in self.null.cases if case_word(case) == "PASS"]
        found += [
            f"{fate.mutant.id}: {fate.status}; {fate.mutant.check} was to catch it in {fate.mutant.scenario}"
            for fate in self.fates
            if not fate.killed
        ]
        found += [f"{one.id}: ends {one.word} where VOID or ERROR is due" for one in self.wiring if not one.caught]
        if self.idle is not None:
            found += [f"{name}: no faulty controller fails it" for name in self.idle if name not in UNPROVEN]
            found += [f"{name}: kills, take it out of UNPROVEN" for name in UNPROVEN if name not in self.idle]
        return tuple(found)

    def to_json(self) -> dict[str, object]:
        """What `--json` prints."""
        return {
            "ok": not self.problems,
            "reference": {"outcome": word(self.reference.outcome, self.reference.validity)},
            "null": {"outcome": self.null_word},
            "mutants": [
                {
                    "id": fate.mutant.id, "killed": fate.killed, "by_check": fate.by_check,
                    "scenario": fate.mutant.scenario, "declared": fate.mutant.check, "status": fate.status,
                    "kills": [{"scenario": scenario, "check": check} for scenario, check in fate.kills],
                }
                for fate in self.fates
            ],
            "wiring": [{"id": w.id, "what": w.what, "outcome": w.word, "caught": w.caught} for w in self.wiring],
            "unproven": [{"check": name, "reason": reason} for name, reason in UNPROVEN.items()],
            "problems": list(self.problems),
        }  # fmt: skip


def print_matrix(result: SelfTest, console: Console) -> None:
    """The kill matrix for people, and the last word."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("controller", "outcome", "caught by", "declared"):
        table.add_column(column, overflow="fold")
    table.add_row(REFERENCE, word(result.reference.outcome, result.reference.validity), "", "PASS everywhere")
    table.add_row(NULL, result.null_word, "", "PASS nowhere")
    for fate in result.fates:
        caught: dict[str, list[str]] = {}
        for scenario, check in fate.kills:
            caught.setdefault(scenario, []).append(check.rpartition(".")[2])
        lines = "\n".join(f"{scenario}: {', '.join(dict.fromkeys(checks))}" for scenario, checks in caught.items())
        table.add_row(fate.mutant.id, fate.status, lines, f"{fate.mutant.scenario}: {fate.mutant.check}")
    for one in result.wiring:
        table.add_row(one.id, one.word, one.what, "VOID or ERROR")
    console.print(table)
    for name, reason in UNPROVEN.items():
        console.print(Text(f"not proven: {name}: {reason}"), style="dim")
    if result.idle is None:
        console.print(Text("--quick: checks that catch nothing were not looked for"), style="dim")
    for problem in result.problems:
        console.print(Text(f"✗ {problem}"), style="red")
    if not result.problems:
        killed = len(result.fates)
        console.print(Text(f"✓ the bench can fail: {killed} of {killed} faulty controllers caught"), style="green")


def mutants() -> list[Mutant]:
    """Every faulty controller that ships. Raises ConfigError for one that does not declare what must catch it."""
    scenarios = [case.table.id for case in load_cases(SUITE)[1]]
    found = []
    for name in controllers():
        if name == REFERENCE:
            continue
        declared = getattr(importlib.import_module(shipped(name)), "KILLED_BY", None)
        if not isinstance(declared, tuple) or len(declared) != 2:
            raise ConfigError(f'controller:{name}: declares no killer; write KILLED_BY = ("scenario", "check id")')
        if declared[0] not in scenarios:
            hint = did_you_mean(declared[0], scenarios)
            raise ConfigError(f"controller:{name}: KILLED_BY: no scenario {declared[0]!r} in {SUITE}{hint}")
        found.append(Mutant(name, *declared))
    return found


def run(executor: Executor, *, quick: bool = False, told: Callable[[CaseVerdict], None] = lambda _: None) -> SelfTest:
    """Play the matrix and judge the bench by it. `quick` plays each mutant in its declared scenario only.

    `told` hears of each run, named SCENARIO.CONTROLLER. Raises ConfigError.
    """
    scenarios = {case.table.id: case for case in load_cases(SUITE)[1]}
    faulty = mutants()
    pairs = [(name, scenario) for name in (REFERENCE, NULL) for scenario in scenarios]
    pairs += [(one.id, scenario) for one in faulty for scenario in ([one.scenario] if quick else scenarios)]
    with tempfile.TemporaryDirectory(prefix="ramprig-selftest-") as folder:
        cases = {pair: attached(scenarios[pair[1]], pair[0]) for pair in pairs}
        waiting = {executor.submit(play, case, Path(folder) / case.id): pair for pair, case in cases.items()}
        verdicts = {}
        for future in as_completed(waiting):
            pair = waiting[future]
            verdicts[pair] = future.result()
            told(verdicts[pair])
        first = next(iter(scenarios))
        wiring = tuple(cut_wires(Path(verdicts[REFERENCE, first].folder), cases[REFERENCE, first]))
    by_name = {name: tuple(verdicts[name, scenario] for scenario in scenarios) for name in (REFERENCE, NULL)}
    fates = tuple(fate(one, scenarios, verdicts) for one in faulty)
    judged = {f"{check.service}.{check.id}" for case in by_name[REFERENCE] for check in case.checks}
    killers = {check for one in fates for _, check in one.kills}
    return SelfTest(
        Verdict(REFERENCE, by_name[REFERENCE]), Verdict(NULL, by_name[NULL]), fates, wiring,
        None if quick else tuple(sorted(judged - killers)),
    )  # fmt: skip


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


def fate(mutant: Mutant, scenarios: Iterable[str], verdicts: Mapping[tuple[str, str], CaseVerdict]) -> Fate:
    """What became of a mutant: it is dead when its declared check fails in its declared scenario, on a valid run."""
    kills = []
    for scenario in scenarios:
        verdict = verdicts.get((mutant.id, scenario))
        if verdict is None or verdict.validity is Validity.VOID:
            continue
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
    return Fate(mutant, status, by_check, tuple(dict.fromkeys(kills)))


def _is_the_same(one: CaseVerdict, other: CaseVerdict) -> bool:
    """The same trace, byte for byte, and the same measured values: some defects show in the traffic alone."""
    measured = [[check.measured for check in case.checks] for case in (one, other)]
    return one.trace_sha256 == other.trace_sha256 and measured[0] == measured[1]


# -------------------------------------------------------------------------------------------------------------- wiring


def cut_wires(folder: Path, case: Case) -> Iterator[Wiring]:
    """The harness with one wire cut at a time, on a recorded run of the reference: none may end with a verdict."""
    services = [load_service(path) for path in plan(case).services]
    facts = read_run(folder)
    frozen = folder.with_name(f"{folder.name}-frozen")
    freeze(folder, frozen)
    tomorrow = replace(case, seed=case.seed + 1)
    yield Wiring(
        "severed_meter", "the record holds no sample of the site's power", _word(judge, severed_meter(facts), services)
    )
    yield Wiring(
        "frozen_recorder", "the recording breaks off without its end", _word(judge_folder, frozen, services, case)
    )
    yield Wiring(
        "swapped_channels", "voltage is recorded as frequency, frequency as voltage",
        _word(judge, swapped_channels(facts), services),
    )  # fmt: skip
    yield Wiring(
        "ignored_limits", "no limit of the services reaches the judge",
        _word(judge, facts, [replace(service, checks=()) for service in services]),
    )  # fmt: skip
    yield Wiring(
        "yesterdays_run", "the folder holds the run of another seed", _word(judge_folder, folder, services, tomorrow)
    )


def severed_meter(facts: RunFacts) -> RunFacts:
    """The facts without the site's power."""
    return replace(facts, power=Series(np.zeros(0, np.int64), np.zeros(0)))


def swapped_channels(facts: RunFacts) -> RunFacts:
    """The facts with frequency and voltage in each other's place."""
    swapped = {"frequency": facts.signals["voltage"], "voltage": facts.signals["frequency"]}
    return replace(facts, signals={**facts.signals, **swapped})


def freeze(folder: Path, copy: Path) -> None:
    """Copy a run folder as it would stand there had the recorder stopped before the end."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.parquet"))
    documents = (folder / "documents.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in documents if json.loads(line)["document"] != "stop"]
    (copy / "documents.jsonl").write_text("".join(kept), encoding="utf-8")


def _word(function: Callable[..., Any], *arguments: Any) -> str:
    try:
        verdict = function(*arguments)
    except RunFolderError:
        return "ERROR"
    return case_word(verdict[0] if isinstance(verdict, tuple) else verdict)
