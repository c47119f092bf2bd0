"""The JUnit rendering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report import to_junit
from bench.verdict import CaseVerdict, Outcome, Validity, Verdict


def parse(verdict: Verdict) -> ET.Element:
    return ET.fromstring(to_junit(verdict))  # noqa: S314 - our own text


def kind(case: ET.Element) -> str:
    return next((child.tag for child in case if child.tag in ("failure", "error")), "passed")


def test_fail_is_a_failure_void_an_error_and_a_declared_fail_passes(suite: Verdict) -> None:
    root = parse(suite)
    assert [kind(case) for case in root.iter("testcase")] == ["passed", "failure", "passed", "error"]
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("4", "1", "1")
    declared = list(root.iter("testcase"))[2]
    assert {"name": "expected", "value": "FAIL"} in [p.attrib for p in declared.iter("property")]


def test_seed_run_and_versions_stand_in_the_properties(make_case: Callable[..., CaseVerdict]) -> None:
    root = parse(Verdict("one", (make_case(),)))
    values = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert values["seed"] == "17"
    assert values["run"] == "2026-01-01T00-00-00_ffr_pdu"
    assert values["version.numpy"]
    assert values["version.python"]


def test_a_failure_names_value_limit_margin_and_source(make_case: Callable[..., CaseVerdict]) -> None:
    failure = parse(Verdict("one", (make_case(reach_s=2.84),))).find(".//failure")
    assert failure is not None
    assert failure.text is not None
    for part in ("2.8400 ± 0.0080 s", "x ≤ 0.25 s", "margin −2.59 s", "ERCOT Nodal Protocols"):
        assert part in failure.text


@given(st.sampled_from(Outcome), st.sampled_from(Validity), st.sampled_from([None, *Outcome]))
def test_a_suite_without_failure_and_error_is_one_that_exits_with_zero(
    outcome: Outcome, validity: Validity, expected: Outcome | None
) -> None:
    verdict = Verdict("any", (CaseVerdict("a", "A", outcome, validity, expected=expected),))
    root = parse(verdict)
    assert (root.get("failures") == root.get("errors") == "0") == (verdict.exit_code == 0)


@given(st.text())
def test_any_text_gives_a_document_that_parses(text: str) -> None:
    case = CaseVerdict(text, text, Outcome.ERROR, Validity.VOID, reasons=(text,), folder=text)
    assert next(parse(Verdict(text, (case,))).iter("error")).get("type") == "ERROR"


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.ABORTED, Outcome.ERROR])
def test_what_says_nothing_about_the_controller_is_an_error(
    make_case: Callable[..., CaseVerdict], outcome: Outcome
) -> None:
    assert kind(next(parse(Verdict("one", (replace(make_case(), outcome=outcome),))).iter("testcase"))) == "error"
