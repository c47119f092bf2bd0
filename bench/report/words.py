"""The words and numbers every rendering shares, so that console, page and XML say the same thing in the same way.

Owns wording, glyphs and the rounding of numbers; it owns no layout and takes no decision about a run.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from bench.rounding import number as number  # a page asks this module for all it says
from bench.rounding import quantity_text
from bench.verdict import (
    CaseVerdict,
    CheckResult,
    Limit,
    Measured,
    NotReached,
    Outcome,
    Quantity,
    Validity,
    Verdict,
)

GLYPHS = {
    "PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", "VOID": "∅", "ABORTED": "■", "ERROR": "!", "DONE": "·",
    "VALID": "✓", "SUSPECT": "?",
}  # fmt: skip

GRADES = {
    "S": "source found and read",
    "T": "tested here",
    "M": "measured",
    "S2": "secondary source",
    "D": "derived",
    "GK": "general knowledge",
    "estimate": "estimate, no source",
}
_FIRM_GRADES = frozenset({"S", "T", "M"})


@dataclass(frozen=True, slots=True)
class Headline:
    """The first thing a reader sees: one word, and the sentence that says why."""

    word: str
    sentence: str

    @property
    def glyph(self) -> str:
        return GLYPHS[self.word]


def is_firm(grade: str) -> bool:
    """True for a figure read in its source, tested or measured; every other grade carries a visible mark."""
    return grade in _FIRM_GRADES


def word(outcome: Outcome, validity: Validity) -> str:
    """The one word for an outcome on a run of this validity, in the order of `Verdict.exit_code`."""
    if outcome is Outcome.ERROR:
        return "ERROR"
    if validity is Validity.VOID or outcome is Outcome.DONE:
        return "VOID"
    return outcome.name


def case_word(case: CaseVerdict) -> str:
    """The one word for a case, whatever it was declared to end as."""
    return word(case.outcome, case.validity)


def expectation(case: CaseVerdict) -> str:
    """What the case was declared to end as and whether it did; empty where nothing was declared."""
    if case.expected is None:
        return ""
    if case.as_expected:
        return f"declared to end as {case.expected.name}, and did"
    return f"declared to end as {case.expected.name}, ended as {case_word(case)}"


def headline(verdict: Verdict) -> Headline:
    """Word and sentence for the whole verdict."""
    if len(verdict.cases) == 1:
        return case_headline(verdict.cases[0], word(verdict.outcome, verdict.validity))
    count = Counter(_case_words(case) for case in verdict.cases)
    parts = [f"{number} {name}" for name, number in count.most_common()]
    cases = f"{len(verdict.cases)} cases: {', '.join(parts)}" if parts else "no case was run"
    return Headline(word(verdict.outcome, verdict.validity), cases)


def _case_words(case: CaseVerdict) -> str:
    """The word for a case, and that it was declared to be that."""
    return f"{case_word(case)} as declared" if case.as_expected else case_word(case)


def case_headline(case: CaseVerdict, shown: str | None = None) -> Headline:
    """Word and sentence for one case."""
    said = [expectation(case)] if case.expected is not None else []
    if case.checks:
        inside = sum(check.outcome is Outcome.PASS for check in case.checks)
        said.append(f"{inside} of {plural(len(case.checks), 'check')} inside the limit")
    else:
        said.append("nothing was judged")
    return Headline(shown or case_word(case), "; ".join(said))


def last_words(case: CaseVerdict) -> str:
    """Where the output and the traceback of a controller that ended are kept; empty where it did not end."""
    ended = any(reason.startswith("the controller ended before the run did") for reason in case.reasons)
    return f"what the controller said is kept in {case.folder}/sut/" if ended and case.folder else ""


def plural(count: int, noun: str) -> str:
    """`1 check`, `2 checks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def value_text(measured: Measured) -> str:
    """`0.213 ± 0.004 s` with the expanded uncertainty, or the words for a value that is not there."""
    if isinstance(measured, NotReached):
        return "never reached"
    if not isinstance(measured, Quantity) or not math.isfinite(measured.value):
        return "not computable"
    return quantity_text(measured, *_shown(measured.unit))


def missing_text(measured: Measured) -> str:
    """Why there is no number; empty where there is one."""
    if isinstance(measured, Quantity):
        return "" if math.isfinite(measured.value) else "the measurement gave no finite number"
    return measured.reason


def limit_text(limit: Limit) -> str:
    """The limit that judged, as an inequality; a fraction is shown in percent."""
    unit, factor = _shown(limit.unit)
    low = "" if limit.low is None else f"{number(factor * limit.low, 9)} {unit}".rstrip() + " ≤ "
    high = "" if limit.high is None else " ≤ " + f"{number(factor * limit.high, 9)} {unit}".rstrip()
    return f"{low}x{high}"


def unbroken(text: str) -> str:
    """The text with spaces that do not break, but for one before the x of a two-sided limit."""
    return text.replace(" ", "\N{NO-BREAK SPACE}").replace("≤\N{NO-BREAK SPACE}x", "≤ x")


def margin_text(check: CheckResult) -> str:
    """Signed distance to the nearest bound, in the limit's unit; a dash where no number was measured."""
    if check.margin is None or not math.isfinite(check.margin):
        return "–"
    unit, factor = _shown(check.limit.unit)
    sign = "+" if check.margin >= 0 else "−"
    return f"{sign}{number(abs(factor * check.margin), 4)} {unit}".rstrip()


def _shown(unit: str) -> tuple[str, float]:
    """The unit people read, and the factor that brings a value into it."""
    return {"fraction": ("%", 100.0), "1": ("", 1.0)}.get(unit, (unit, 1.0))
