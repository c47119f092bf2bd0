"""The verdict as plain data for programs: what `--json` prints and `verdict.json` holds.

Owns the published form, described in docs/reference/verdict-json.md. It is strict JSON: a value that does not exist is
null with a reason, never NaN and never a made-up number.
"""

from __future__ import annotations

import hashlib
import json
import math

from bench.report.words import missing_text
from bench.verdict import CaseVerdict, CheckResult, Gate, NotReached, Quantity, Verdict

SCHEMA = 1
"""Raised when a key changes its meaning or goes; a new key does not raise it."""


def to_json(verdict: Verdict) -> dict[str, object]:
    """The verdict tree as dictionaries, lists, strings, finite numbers and None."""
    return {
        "schema": SCHEMA,
        "title": verdict.title,
        "outcome": verdict.outcome.name,
        "validity": verdict.validity.name,
        "exit_code": verdict.exit_code,
        "trace_sha256": trace_sha256(verdict),
        "cases": [_case(case) for case in verdict.cases],
    }


def dumps(verdict: Verdict) -> str:
    """The same as text, indented, UTF-8; raises ValueError rather than write NaN."""
    return json.dumps(to_json(verdict), indent=2, ensure_ascii=False, allow_nan=False)


def trace_sha256(verdict: Verdict) -> str:
    """The hash of the trace of a single case; of several, SHA-256 over their hashes, each with a newline, in order."""
    if len(verdict.cases) == 1:
        return verdict.cases[0].trace_sha256
    lines = "".join(f"{case.trace_sha256}\n" for case in verdict.cases)
    return hashlib.sha256(lines.encode("ascii", "replace")).hexdigest()


def _case(case: CaseVerdict) -> dict[str, object]:
    return {
        "id": case.id,
        "title": case.title,
        "outcome": case.outcome.name,
        "validity": case.validity.name,
        "expected": None if case.expected is None else case.expected.name,
        "as_expected": None if case.expected is None else case.as_expected,
        "seed": case.seed,
        "trace_sha256": case.trace_sha256,
        "run": case.folder,
        "reasons": list(case.reasons),
        "not_judged": list(case.not_judged),
        "levels": [
            {"event": one.event, "baseline_w": _finite(one.baseline_w), "asked_w": _finite(one.asked_w)}
            for one in case.levels
        ],
        "gates": [_gate(gate) for gate in case.gates],
        "checks": [_check(check) for check in case.checks],
    }


def _gate(gate: Gate) -> dict[str, object]:
    return {
        "id": gate.id,
        "title": gate.title,
        "value": gate.value,
        "requirement": gate.requirement,
        "validity": gate.validity.name,
    }


def _check(check: CheckResult) -> dict[str, object]:
    measured = check.measured
    quantity = measured if isinstance(measured, Quantity) else None
    if quantity is not None:
        state = "quantity" if math.isfinite(quantity.value) else "not_computable"
    else:
        state = "not_reached" if isinstance(measured, NotReached) else "not_computable"
    return {
        "id": check.id,
        "service": check.service,
        "title": check.title,
        "event": check.event,
        "measured": state,
        "value": _finite(None if quantity is None else quantity.value),
        "unit": check.limit.unit if quantity is None else quantity.unit,
        "u": _finite(None if quantity is None else quantity.u),
        "reason": missing_text(measured) or None,
        "limit": str(check.limit),
        "low": _finite(check.limit.low),
        "high": _finite(check.limit.high),
        "outcome": check.outcome.name,
        "margin": _finite(check.margin),
        "source": {"text": check.source.text, "grade": check.source.grade},
        "sentence": check.sentence,
    }


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
