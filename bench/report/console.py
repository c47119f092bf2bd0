"""The verdict for people at a terminal: the verdict line, then one table a case.

Owns layout and colour; every colour repeats a word or a sign, so that nothing is lost in a log file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.report import words
from bench.verdict import CaseVerdict, CheckResult, Validity, Verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_STYLES = {
    "PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "VOID": "magenta", "ABORTED": "red", "ERROR": "red",
    "DONE": "magenta", "VALID": "green", "SUSPECT": "yellow",
}  # fmt: skip


def print_console(verdict: Verdict, console: Console) -> None:
    """Print the verdict on `console`. Text from a run is printed as text: no markup in it is obeyed."""
    console.print(_verdict_line(verdict))
    for case in verdict.cases:
        console.print()
        _print_case(case, console)
    if len(verdict.cases) > 1:
        console.print()
        console.print(_verdict_line(verdict))


def _verdict_line(verdict: Verdict) -> Text:
    head = words.headline(verdict)
    line = _said(head.word, bold=True)
    line.append(f"  {verdict.title}", style="bold")
    line.append(f"  {head.sentence}")
    if verdict.validity is Validity.SUSPECT:
        line.append("  ")
        line.append_text(_said("SUSPECT"))
    return line


def _print_case(case: CaseVerdict, console: Console) -> None:
    from rich.text import Text

    head = words.case_headline(case)
    line = _said(head.word)
    line.append(f"  {case.id}", style="bold")
    title = "" if case.title == case.id else f"  {case.title}"
    line.append(f"{title}  ({head.sentence}; seed {case.seed})")
    console.print(line)
    doubted = {gate.validity.name.lower() for gate in case.gates if gate.validity is not Validity.VALID}
    for reason in case.reasons:
        if reason.partition(":")[0] not in doubted:  # those stand below, one for each gate
            console.print(Text(f"  {reason}"))
    if kept := words.last_words(case):
        console.print(Text(f"  {kept}"))
    for gate in case.gates:
        ended = f"the controller ended before the run did: {gate.value}" in case.reasons  # said above, word for word
        if gate.validity is not Validity.VALID and not ended:
            text = Text("  ")
            text.append_text(_said(gate.validity.name))
            text.append(f" {gate.title}: {gate.value} (required: {gate.requirement})")
            console.print(text)
    if case.checks:
        console.print(_table(case))
    if case.not_judged:
        console.print(Text("  not judged: " + "; ".join(case.not_judged)), style="dim")


def _table(case: CaseVerdict) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("outcome", no_wrap=True)
    table.add_column("check", min_width=12, overflow="fold")
    table.add_column("value ± U", justify="right", no_wrap=True)
    table.add_column("limit", min_width=8)
    table.add_column("margin", justify="right", no_wrap=True)
    table.add_column("grade", overflow="fold")
    for check in case.checks:
        grade = Text(check.source.grade, style="" if words.is_firm(check.source.grade) else "yellow")
        if not words.is_firm(check.source.grade):
            grade.append("*")
        table.add_row(
            _said(check.outcome.name),
            _name(check),
            Text(words.value_text(check.measured)),
            Text(words.limit_text(check.limit)),
            Text(words.margin_text(check)),
            grade,
        )
    if any(not words.is_firm(check.source.grade) for check in case.checks):
        table.caption = Text("* this limit does not rest on a source that was read", style="dim")
        table.caption_justify = "left"
    return table


def _name(check: CheckResult) -> Text:
    from rich.text import Text

    name = Text(check.title)
    reason = words.missing_text(check.measured)
    if reason:
        name.append(f"\n{reason}", style="italic")
    name.append(f"\n{check.service} {check.id}" + (f" @ {check.event}" if check.event else ""), style="dim")
    return name


def _said(word: str, *, bold: bool = False) -> Text:
    from rich.text import Text

    style = _STYLES[word]
    return Text().append(f"{words.GLYPHS[word]} {word}", style=f"bold {style}" if bold else style)
