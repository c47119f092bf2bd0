"""The reference page of the self-test, made from the result of a whole one: `python -m bench.selftest.page`.

Owns the layout of docs/reference/selftest.md; what a result says is `result.py`'s. With `--from FOLDER` a result that
`ramprig selftest --out` has written is taken instead of a new one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.selftest.matrix import Mutant, mutants, scenarios

_DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = _DOCS / "reference" / "selftest.md"
DATA = _DOCS / "reference" / "selftest.json"
PICTURE = _DOCS / "images" / "boundaries.svg"

_HEAD = """\
# The self-test

Made from the result of a whole self-test by `python -m bench.selftest.page`; a test holds the two together. Why there
is one is told in [](../explanations/why-the-bench-must-be-able-to-fail.md).

```sh
ramprig selftest --quick    # one mutant for each check, one limit for each formula; make test runs it
ramprig selftest            # every mutant, short scenarios across, every limit; also make selftest
ramprig selftest --json     # {"ok", "reference", "null", "mutants", "wiring", "boundaries", "unproven", "problems"}
```

`--out FOLDER` (default `runs/selftest`) takes `report.html`, `boundaries.svg` and `selftest.json`. The exit code is 1
as soon as there is one problem.
"""

_MATRIX = """\
## Kill matrix

**●** caught by the declared check, ○ by another check, – played and not caught (the scenario has nothing that would
tell the two apart, or the defect breaks no rule there); where nothing stands the pair is not played.
"""

_BOUNDARIES = """\
## Boundaries

A site on paper, whose answer is known exactly, is moved across each limit of each shipped service by bisection, through
the analyser, the formulas and the judge of every other run. A row is a limit; its unit is the expanded uncertainty U
(k = 2) that the verdict itself states there. The black mark is where the measured value crosses the limit: it must lie
within one U of it. Under the guarded rule the verdict is inconclusive in between; that band is one U to either side of
the mark. What is counted has no uncertainty.

![Where verdicts flip, in units of the stated uncertainty](../images/boundaries.svg)
"""


def markdown(result: Mapping[str, Any], faulty: Sequence[Mutant], columns: Mapping[str, str]) -> str:
    """The page. `columns` are the scenarios with their titles."""
    by_id = {fate["id"]: fate for fate in result["mutants"]}
    lines = [
        _HEAD,
        *_scenarios(columns),
        "",
        _MATRIX,
        *_matrix(by_id, faulty, list(columns)),
        "",
        "## The faulty ones",
        "",
    ]
    lines += ["| Name | Defect | Rule it breaks, and what it takes to see it |", "|---|---|---|"]
    lines += [f"| `{one.id}` | {one.defect} | {one.rule} |" for one in faulty]
    lines += ["", *_killers(result), "", _BOUNDARIES, *_edges(result), "", *_wires(result)]
    return "\n".join(lines) + "\n"


def _scenarios(columns: Mapping[str, str]) -> Iterator[str]:
    yield "## Scenarios"
    yield ""
    yield "| | Scenario | |"
    yield "|---|---|---|"
    for place, (name, title) in enumerate(columns.items(), start=1):
        yield f"| {place} | `{name}` | {title} |"


def _matrix(by_id: Mapping[str, Any], faulty: Sequence[Mutant], columns: Sequence[str]) -> Iterator[str]:
    yield "| Faulty controller | " + " | ".join(str(place) for place in range(1, len(columns) + 1)) + " | Caught by |"
    yield "|---" * (len(columns) + 2) + "|"
    for one in faulty:
        fate = by_id[one.id]
        signs = [_sign(one, fate, name) for name in columns]
        yield f"| `{one.id}` | " + " | ".join(signs) + f" | `{one.check}` |"


def _sign(one: Mutant, fate: Mapping[str, Any], scenario: str) -> str:
    killed = any(kill["scenario"] == scenario for kill in fate["kills"])
    if not killed:
        return "–" if scenario in fate["played"] else ""
    return "**●**" if scenario == one.scenario and fate["killed"] else "○"


def _killers(result: Mapping[str, Any]) -> Iterator[str]:
    """What makes each check fail."""
    found: dict[str, list[str]] = {}
    for fate in result["mutants"]:
        for kill in fate["kills"]:
            found.setdefault(kill["check"], []).append(fate["id"])
    edges = {edge["check"] for edge in result["boundaries"] if edge["holds"]}
    yield "## No check without a kill"
    yield ""
    yield "| Check | Caught | Flips at its limit |"
    yield "|---|---|---|"
    for check in sorted({*found, *edges}):
        names = list(dict.fromkeys(found.get(check, [])))
        told = ", ".join(f"`{name}`" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        yield f"| `{check}` | {told} | {'yes' if check in edges else 'not shipped: of the self-test'} |"


def _edges(result: Mapping[str, Any]) -> Iterator[str]:
    yield "| Limit | | Passes to | Flips at | Fails from | U |"
    yield "|---|---|---|---|---|---|"
    for edge in result["boundaries"]:
        unit, sign = edge["unit"], "≤" if edge["side"] == "high" else "≥"
        numbers = " | ".join(f"{edge[key]:.6g}" for key in ("passes_to", "flips_at", "fails_from"))
        yield f"| `{edge['check']}` | {sign} {edge['limit']:g} {unit} | {numbers} | {2 * edge['u']:.2g} |"


def _wires(result: Mapping[str, Any]) -> Iterator[str]:
    yield "## Cut wires"
    yield ""
    yield "| Wire | What is done | Ends |"
    yield "|---|---|---|"
    yield from (f"| `{wire['id']}` | {wire['what']} | {wire['outcome']} |" for wire in result["wiring"])


def rendered(result: Mapping[str, Any]) -> str:
    """The page for the faulty controllers and scenarios that ship."""
    return markdown(result, mutants(), {name: case.table.title for name, case in scenarios().items()})


def main(arguments: Sequence[str]) -> int:
    """Write page, data and picture. Returns 1 where the self-test had problems: nothing is written then."""
    from bench import campaign, selftest
    from bench.selftest import report

    folder = Path("runs") / "selftest"
    if arguments[:1] == ["--from"]:
        folder = Path(arguments[1])
    else:
        with campaign.processes() as executor:
            report.write(selftest.run(executor), folder)
    result = json.loads((folder / "selftest.json").read_text(encoding="utf-8"))
    if not result["ok"]:
        return 1
    DATA.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    PICTURE.write_text((folder / "boundaries.svg").read_text(encoding="utf-8"), encoding="utf-8")
    PAGE.write_text(rendered(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
