"""The self-test on paper: one HTML page, the picture of the boundaries, and the result as JSON.

Owns the renderings and where they are written; the result is `result.py`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.boundary.drawing import drawing
from bench.report.words import word
from bench.selftest.matrix import Fate

if TYPE_CHECKING:
    from bench.selftest.result import SelfTest

_TEMPLATES = Path(__file__).parents[1] / "report" / "templates"


@dataclass(frozen=True, slots=True)
class Cell:
    """One controller in one scenario: a sign, its tone, and the checks that failed."""

    sign: str
    kind: str
    checks: str


def write(result: SelfTest, folder: Path) -> None:
    """report.html, boundaries.svg and selftest.json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "selftest.json").write_text(json.dumps(result.to_json(), indent=1) + "\n", encoding="utf-8")
    (folder / "boundaries.svg").write_text(drawing(result.boundaries), encoding="utf-8")
    (folder / "report.html").write_text(html(result), encoding="utf-8")


def html(result: SelfTest) -> str:
    """The page. The same result gives the same bytes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    columns = [case.id.removesuffix(".reference") for case in result.reference.cases]
    return environment.get_template("selftest.html.j2").render(
        result=result,
        css=(_TEMPLATES / "report.css").read_text(encoding="utf-8"),
        reference=word(result.reference.outcome, result.reference.validity),
        killed=sum(fate.killed for fate in result.fates),
        held=sum(edge.holds for edge in result.boundaries),
        caught=sum(one.caught for one in result.wiring),
        columns=columns,
        cells={(fate.mutant.id, name): cell(fate, name) for fate in result.fates for name in columns},
        picture=drawing(result.boundaries),
    )


def cell(fate: Fate, scenario: str) -> Cell:
    """What stands in the matrix for a mutant in a scenario."""
    checks = [check for where, check in fate.kills if where == scenario]
    told = ", ".join(checks)
    if not checks:
        return Cell("–", "alive", "played, not caught") if scenario in fate.played else Cell("", "idle", "not played")
    declared = scenario == fate.mutant.scenario and fate.killed
    return Cell("●" if declared else "○", "kill" if declared else "alive", told)
