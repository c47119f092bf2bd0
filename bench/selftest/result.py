"""The whole result of a self-test: why the bench is to be trusted, or not, for people and for programs.

Owns what counts as a problem and the form of the result; it plays nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.report.words import case_word, word
from bench.selftest.matrix import NULL, REFERENCE, Fate
from bench.verdict import Validity, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from bench.boundary.bisect import Boundary
    from bench.selftest.wiring import Wiring


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The whole result. `unproven` are shipped checks that neither a mutant nor a boundary makes fail; None where that
    was not asked."""

    reference: Verdict
    null: Verdict
    fates: tuple[Fate, ...]
    wiring: tuple[Wiring, ...]
    boundaries: tuple[Boundary, ...] = ()
    unproven: tuple[str, ...] | None = None

    @property
    def null_word(self) -> str:
        """PASS if nothing at all passes anywhere, else what it came to."""
        passed = any(case_word(case) == "PASS" for case in self.null.cases)
        return "PASS" if passed else word(self.null.outcome, self.null.validity)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the bench is not to be trusted; empty when it is."""
        return tuple(self._problems())

    def _problems(self) -> Iterator[str]:
        for case in self.reference.cases:
            if case_word(case) != "PASS" or case.validity is not Validity.VALID:
                yield f"the reference does not pass {case.id}: {case_word(case)}, {'; '.join(case.reasons)}"
        for case in self.null.cases:
            if case_word(case) == "PASS":
                yield f"nothing attached passes {case.id}"
        for fate in self.fates:
            if not fate.killed:
                yield f"{fate.mutant.id}: {fate.status}; {fate.mutant.check} was to catch it in {fate.mutant.scenario}"
        for one in self.wiring:
            if not one.caught:
                yield f"{one.id}: ends {one.word} where VOID or ERROR is due"
        for edge in self.boundaries:
            if not edge.holds:
                yield (
                    f"{edge.name}: flips at {edge.flips:.6g} {edge.unit}, {edge.expanded:.2g} {edge.unit} at most from "
                    f"its limit of {edge.limit:g} {edge.unit} were due"
                )
        for name in self.unproven or ():
            yield f"{name}: no faulty controller fails it, and no boundary was found"

    @property
    def killers(self) -> dict[str, tuple[str, ...]]:
        """Mutants that each check (service.check) has caught, those first that declare it."""
        found: dict[str, list[str]] = {}
        for declared in (True, False):
            for fate in self.fates:
                for scenario, check in fate.kills:
                    mine = (scenario, check.rpartition(".")[2]) == (fate.mutant.scenario, fate.mutant.check)
                    if mine is declared and fate.mutant.id not in found.setdefault(check, []):
                        found[check].append(fate.mutant.id)
        return {check: tuple(names) for check, names in sorted(found.items())}

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
                    "played": list(fate.played),
                }
                for fate in self.fates
            ],
            "wiring": [{"id": w.id, "what": w.what, "outcome": w.word, "caught": w.caught} for w in self.wiring],
            "boundaries": [edge.to_json() for edge in self.boundaries],
            "unproven": None if self.unproven is None else list(self.unproven),
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
    held = sum(edge.holds for edge in result.boundaries)
    console.print(Text(f"{held} of {len(result.boundaries)} limits flip within their stated uncertainty"), style="dim")
    if result.unproven is None:
        console.print(Text("--quick: one mutant for each check, one limit for each formula"), style="dim")
    for problem in result.problems:
        console.print(Text(f"✗ {problem}"), style="red")
    if not result.problems:
        killed = len(result.fates)
        console.print(Text(f"✓ the bench can fail: {killed} of {killed} faulty controllers caught"), style="green")
