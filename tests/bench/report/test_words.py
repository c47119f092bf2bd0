"""The words and numbers the renderings share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report import words
from bench.verdict import CaseVerdict, Limit, Measured, NotComputable, NotReached, Outcome, Quantity, Validity, Verdict


@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (Quantity(0.213, "s", 0.004), "0.2130 ± 0.0080 s"),
        (Quantity(650_112.4, "W", 60), "650112 ± 120 W"),
        (Quantity(650_112.4, "W"), "650112 W"),
        (Quantity(1.015, "fraction", 4e-4), "101.500 ± 0.080 %"),
        (Quantity(3.0, "1"), "3"),
        (Quantity(98.8173416, "%", 1e-14), "98.8173 %"),
        (Quantity(0.0, "%", 1e-14), "0 %"),
        (Quantity(0.0, "W"), "0 W"),
        (Quantity(-1e-9, "s"), "0 s"),
        (Quantity(float("nan"), "s"), "not computable"),
        (NotReached("power stayed"), "never reached"),
        (NotComputable("no sample"), "not computable"),
    ],
)
def test_a_value_is_rounded_by_its_uncertainty_and_never_is_said_in_words(measured: Measured, text: str) -> None:
    assert words.value_text(measured) == text


@given(st.floats(min_value=-1e12, max_value=1e12, allow_nan=False))
def test_a_number_keeps_six_digits_and_shows_no_exponent_in_the_usual_range(value: float) -> None:
    text = words.number(value)
    assert float(text) == pytest.approx(value, rel=1e-5)
    if value == 0 or abs(value) >= 1e-4:
        assert "e" not in text


def test_a_limit_prints_the_inequality_that_judges() -> None:
    assert words.limit_text(Limit("s", high=0.25)) == "x ≤ 0.25 s"
    assert words.limit_text(Limit("fraction", 0.95, 1.5)) == "95 % ≤ x ≤ 150 %"
    assert words.limit_text(Limit("W", high=1_234_567)) == "x ≤ 1234567 W"
    assert words.limit_text(Limit("W", low=0)) == "0 W ≤ x"


@given(st.sampled_from(Outcome), st.sampled_from(Validity), st.sampled_from([None, *Outcome]))
def test_the_headline_is_green_exactly_when_the_exit_code_is_zero(
    outcome: Outcome, validity: Validity, expected: Outcome | None
) -> None:
    verdict = Verdict("any", (CaseVerdict("a", "A", outcome, validity, expected=expected),))
    assert (words.headline(verdict).word == "PASS") == (verdict.exit_code == 0)
    assert (words.headline(verdict).word in ("VOID", "INCONCLUSIVE")) == (verdict.exit_code == 3)


def test_a_case_that_failed_as_declared_says_so(make_case: Callable[..., CaseVerdict]) -> None:
    case = replace(make_case(reach_s=2.8), expected=Outcome.FAIL)
    assert words.case_word(case) == "FAIL"
    assert words.headline(Verdict("one", (case,))).word == "PASS"
    assert words.expectation(case) == "declared to end as FAIL, and did"
    assert "ended as PASS" in words.expectation(replace(make_case(), expected=Outcome.FAIL))


def test_a_suite_counts_its_cases(suite: Verdict) -> None:
    head = words.headline(suite)
    assert head.word == "VOID"
    assert head.sentence == "4 cases: 1 PASS, 1 FAIL, 1 FAIL as declared, 1 VOID"


def test_only_read_tested_and_measured_figures_go_unmarked() -> None:
    assert [grade for grade in words.GRADES if words.is_firm(grade)] == ["S", "T", "M"]
