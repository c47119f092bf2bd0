"""The published JSON form of a verdict."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bench.report import dumps, to_json
from bench.verdict import (
    CaseVerdict,
    CheckResult,
    Limit,
    NotReached,
    Outcome,
    Quantity,
    Source,
    Validity,
    Verdict,
)


def test_a_single_case_has_its_own_trace_hash_and_all_published_keys(make_case: Callable[..., CaseVerdict]) -> None:
    data = json.loads(dumps(Verdict("one", (make_case(),))))
    assert (data["outcome"], data["validity"], data["exit_code"]) == ("PASS", "VALID", 0)
    assert data["trace_sha256"] == data["cases"][0]["trace_sha256"] == "ab" * 32
    case = data["cases"][0]
    assert {"id", "title", "outcome", "validity", "expected", "seed", "run", "reasons", "gates", "checks"} <= set(case)
    first = case["checks"][0]
    assert first["limit"] == "x <= 0.25 s"
    assert (first["low"], first["high"], first["value"], first["unit"], first["u"]) == (None, 0.25, 0.213, "s", 0.004)
    assert first["source"] == {"text": "ERCOT Nodal Protocols 8.1.1.4.2", "grade": "S"}
    assert math.isclose(first["margin"], 0.037)


def test_a_suite_hashes_the_hashes_of_its_cases(suite: Verdict) -> None:
    lines = "".join(case.trace_sha256 + "\n" for case in suite.cases)
    assert to_json(suite)["trace_sha256"] == hashlib.sha256(lines.encode()).hexdigest()


def test_what_never_came_is_null_with_a_reason_and_keeps_the_unit_of_its_limit(void: CaseVerdict) -> None:
    never, not_computable = json.loads(dumps(Verdict("one", (void,))))["cases"][0]["checks"]
    assert (never["value"], never["u"], never["margin"], never["unit"]) == (None, None, None, "s")
    assert (never["measured"], never["reason"]) == ("not_reached", "power stayed at 650 kW")
    assert (not_computable["measured"], not_computable["reason"]) == ("not_computable", "no response to hold")


@given(st.floats(), st.floats(), st.floats())
def test_no_float_makes_the_text_anything_but_strict_json(value: float, u: float, margin: float) -> None:
    result = CheckResult(
        "c", "s", "t", "e", Quantity(value, "W", u), Limit("W", low=0), Outcome.FAIL, margin, Source("", "S")
    )
    verdict = Verdict("any", (CaseVerdict("a", "A", Outcome.FAIL, Validity.VALID, checks=(result,)),))

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    check = json.loads(dumps(verdict), parse_constant=refuse)["cases"][0]["checks"][0]
    assert (check["value"] is None) == (not math.isfinite(value))
    assert (check["reason"] is None) == math.isfinite(value)


def test_a_limit_of_zero_is_a_limit() -> None:
    result = CheckResult(
        "c", "s", "t", "e", NotReached("never"), Limit("W", 0, 0), Outcome.FAIL, None, Source("", "estimate")
    )
    verdict = Verdict("any", (CaseVerdict("a", "A", Outcome.FAIL, Validity.VALID, checks=(result,)),))
    check = json.loads(dumps(verdict))["cases"][0]["checks"][0]
    assert (check["low"], check["high"]) == (0, 0)


def test_a_declared_outcome_and_whether_it_came_are_both_there(make_case: Callable[..., CaseVerdict]) -> None:
    case = replace(make_case(), expected=Outcome.FAIL)
    data = json.loads(dumps(Verdict("one", (case,))))
    assert (data["outcome"], data["cases"][0]["outcome"]) == ("FAIL", "PASS")
    assert (data["cases"][0]["expected"], data["cases"][0]["as_expected"]) == ("FAIL", False)


def test_a_verdict_without_cases_is_void() -> None:
    data = json.loads(dumps(Verdict("none")))
    assert (data["outcome"], data["validity"], data["exit_code"], data["cases"]) == ("DONE", "VOID", 3, [])
