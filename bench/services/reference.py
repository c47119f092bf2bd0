"""The reference page of the services, made from their files: `python -m bench.services.reference` writes it.

Owns the layout of docs/reference/services.md; it adds nothing to what the files say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.services import list_services, load_service
from bench.services.checks import FORMULAS
from bench.services.model import Check, Figure, Service

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "services.md"

_HEAD = """\
# Services

Made from `bench/services/*.toml` by `python -m bench.services.reference`; a test holds the two together.

Every figure carries the grade of its source: **S** found in the source named, **S2** found in a secondary source,
**GK** general knowledge, not verified, **D** derived from graded figures, **T** tested here, **M** measured here,
**estimate** ours. A check carries the weakest grade among the figures of its rule. Figures marked *method* say how the
bench measures, not what the rule asks, and do not count. Read the official text before a figure below S costs money.
"""


_TAIL = """\
## A service of your own

A service is one TOML file; give its path where a service is named, in a case or after `ramprig judge RUN --service`.
Copy the shipped file that is nearest. `[figure.NAME]` has `value`, `unit`, `grade`, `source` (and `method = true` where
it is no part of the rule); `[clock]` says what starts and ends the obligation; each `[[check]]` names a formula, the
figures it takes (`with`), and the figures of its limit. Numbers stand in figures only: a text says `{name}`. `extends`
names a file that this one changes, which is how the Nordic pairs and the return ramps are families.
"""


def services_markdown() -> str:
    """The page as one string."""
    services = [load_service(name) for name in list_services()]
    lines = [_HEAD, "| Service | Market | Clock starts | Checks |", "|---|---|---|---|"]
    lines += [f"| [`{one.id}`](#{one.id}) | {one.market} | {_start(one)} | {len(one.checks)} |" for one in services]
    for one in services:
        lines += ["", *_section(one)]
    return "\n".join([*lines, "", *_formulas()]) + "\n"


def _section(service: Service) -> Iterator[str]:
    yield f"## {service.id}"
    yield ""
    yield f"**{service.title}.** {service.summary}"
    yield ""
    kinds = ", ".join(service.kinds)
    yield f"Events: {kinds}. The clock starts when {_start(service)}; the site may return {_end(service)}."
    yield ""
    yield "| Check | What must hold | Limit | Grade |"
    yield "|---|---|---|---|"
    for check in service.checks:
        yield f"| `{check.id}` {check.title} | {check.sentence} | {_limit(check)} | {check.source.grade} |"
    yield ""
    yield "| Figure | Value | Grade | Source |"
    yield "|---|---|---|---|"
    for figure in service.figures.values():
        method = ", method" if figure.method else ""
        yield f"| `{figure.name}` | {figure} | {figure.source.grade}{method} | {figure.source.text} |"
    if service.not_judged:
        yield ""
        yield "Not judged:"
        yield ""
        yield from (f"* {text}" for text in service.not_judged)


def _formulas() -> Iterator[str]:
    yield _TAIL
    yield "| Formula | Says | Result | Takes |"
    yield "|---|---|---|---|"
    for name, formula in FORMULAS.items():
        says = " ".join((formula.run.__doc__ or "").split()).replace("|", "\\|")
        takes = [f"`{one}` ({unit})" for one, unit in formula.needs.items()]
        takes += [f"`{one}` ({unit}, optional)" for one, unit in formula.takes.items()]
        yield f"| `{name}` | {says} | {formula.unit} | {', '.join(takes) or 'nothing'} |"


def _start(service: Service) -> str:
    clock = service.clock
    if clock.starts == "frequency":
        return f"the frequency {'leaves' if clock.strict else 'reaches'} {clock.level}"
    return "the dispatched power falls" if clock.starts == "dispatch" else "the event begins"


def _end(service: Service) -> str:
    clock = service.clock
    stays = "" if clock.release_for is None else f" and stays there for {clock.release_for}"
    return {
        "recall": "at the recall message, and never without one",
        "recall_or_event": "at the recall message, or where there is none at the event's end",
        "frequency": f"when the frequency is back at {clock.release_level}{stays}",
        "dispatch": "when the dispatched power rises or the recall message comes",
        "event": "at the event's end",
    }[clock.release]


def _limit(check: Check) -> str:
    def text(figure: Figure | None, before: str, after: str) -> str:
        return "" if figure is None else f"{before}{figure}{after}"

    return f"{text(check.low, '', ' ≤ ')}x{text(check.high, ' ≤ ', '')}"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(services_markdown(), encoding="utf-8")
