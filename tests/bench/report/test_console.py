"""The console rendering."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console

from bench.report import print_console
from bench.verdict import CaseVerdict, Gate, Outcome, Quantity, Validity, Verdict


def printed(verdict: Verdict, width: int = 120, *, color: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=color, no_color=not color)
    print_console(verdict, console)
    return out.getvalue()


def test_the_first_line_is_the_verdict(make_case: Callable[..., CaseVerdict]) -> None:
    assert printed(Verdict("FFR", (make_case(),))).startswith("✓ PASS  FFR  5 of 5 checks inside the limit")


def test_a_suite_repeats_its_verdict_as_the_last_line(suite: Verdict) -> None:
    lines = printed(suite).strip().splitlines()
    assert lines[0] == lines[-1]
    assert lines[0].startswith("∅ VOID")


def test_value_limit_margin_grade_and_outcome_are_words_without_colour(make_case: Callable[..., CaseVerdict]) -> None:
    text = printed(Verdict("FFR", (make_case(reach_s=2.84),)))
    row = next(line for line in text.splitlines() if "Time to full response" in line)
    for part in ("2.8400 ± 0.0080 s", "x ≤ 0.25 s", "−2.59 s", "S", "✗ FAIL"):
        assert part in row
    assert "estimate*" in text
    assert "* this limit does not rest on a source that was read" in text


def test_colour_changes_no_word(suite: Verdict) -> None:
    from rich.text import Text

    assert Text.from_ansi(printed(suite, color=True)).plain.split() == printed(suite).split()


def test_no_outcome_and_no_number_is_cut_at_80_columns(make_case: Callable[..., CaseVerdict]) -> None:
    case = make_case()
    first = replace(case.checks[0], measured=Quantity(348.0182, "s", 0.0029), outcome=Outcome.INCONCLUSIVE)
    text = printed(Verdict("FFR", (replace(case, checks=(first, *case.checks[1:])),)), width=80)
    for part in ("? INCONCLUSIVE", "348.0182 ± 0.0058 s", "650112 ± 120 W", "+32390 W", "+5.4 kW/s"):
        assert part in text
    assert text.count("✓ PASS") == 6
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_why_the_controller_ended_is_told_once_and_where_its_output_is(make_case: Callable[..., CaseVerdict]) -> None:
    gate = Gate("alive", "Controller alive to the end", "exited with 1: no meter", "alive", Validity.SUSPECT)
    reason = "the controller ended before the run did: exited with 1: no meter"
    case = replace(make_case(), validity=Validity.SUSPECT, gates=(gate,), reasons=(reason,))
    told = printed(Verdict("suite", (case,)))
    assert told.count("no meter") == 1
    assert f"what the controller said is kept in {case.folder}/sut/" in told.replace("\n", "")


def test_a_case_without_a_title_is_named_once(make_case: Callable[..., CaseVerdict]) -> None:
    case = replace(make_case(), id="mine", title="mine")
    assert printed(Verdict("suite", (case,))).count("mine") == 1


def test_markup_in_a_title_is_printed_and_not_obeyed(make_case: Callable[..., CaseVerdict]) -> None:
    case = replace(make_case(), title="[red]not red[/red]", reasons=("[link=x]y",))
    assert "[red]not red[/red]" in printed(Verdict("[bold]t", (case,)))


def test_a_condition_that_does_not_hold_is_told_with_its_number(void: CaseVerdict) -> None:
    text = printed(Verdict("one", (void,)))
    assert "∅ VOID The controller spoke to the site: 0 requests (required: at least 1)" in text
    assert "never reached" in text
    assert "power stayed at 650 kW" in text
