"""The verdict as JUnit XML, for the continuous-integration servers that read nothing else.

Owns the mapping: one test case a case; a failure is a word about the controller, an error says that the experiment or
the bench does not allow one. A case that ends as declared passes and carries the declaration as a property.
"""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath
from xml.etree import ElementTree as ET

from bench.report import words
from bench.report.as_json import trace_sha256
from bench.verdict import CaseVerdict, CheckResult, Outcome, Verdict

_ABOUT_THE_CONTROLLER = frozenset({"PASS", "FAIL", "INCONCLUSIVE"})
_ILLEGAL = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2


def to_junit(verdict: Verdict) -> str:
    """One `testsuite` with a `testcase` for every case of the verdict, as an XML document."""
    suite = ET.Element("testsuite", name=_legal(verdict.title), tests=str(len(verdict.cases)), skipped="0")
    _properties(
        suite,
        {
            "outcome": verdict.outcome.name,
            "validity": verdict.validity.name,
            "trace_sha256": trace_sha256(verdict),
            "version.ramprig": _version("ramprig"),
            "version.python": platform.python_version(),
            "version.numpy": _version("numpy"),
        },
    )
    verdicts = [_add_case(suite, verdict, case) for case in verdict.cases]
    root = ET.Element("testsuites", name=_legal(verdict.title), tests=str(len(verdict.cases)))
    for element in (root, suite):
        element.set("failures", str(verdicts.count("failure")))
        element.set("errors", str(verdicts.count("error")))
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _add_case(suite: ET.Element, verdict: Verdict, case: CaseVerdict) -> str:
    """Append the case; returns `passed`, `failure` or `error`."""
    element = ET.SubElement(suite, "testcase", classname=_legal(verdict.title), name=_legal(case.id))
    properties = {
        "title": case.title,
        "seed": str(case.seed),
        "run": PurePath(case.folder).name,
        "trace_sha256": case.trace_sha256,
        "outcome": case.outcome.name,
        "validity": case.validity.name,
    }
    if case.expected is not None:
        properties["expected"] = case.expected.name
    _properties(element, properties)
    kind = _kind(case)
    if kind != "passed":
        said = ET.SubElement(element, kind, type=words.case_word(case), message=_legal(_message(case)))
        said.text = _legal(_details(case))
    ET.SubElement(element, "system-out").text = _legal(_table(case))
    return kind


def _kind(case: CaseVerdict) -> str:
    if case.as_expected:
        return "passed"
    word = words.case_word(case)
    if word == "PASS" and case.expected is None:
        return "passed"
    return "failure" if word in _ABOUT_THE_CONTROLLER else "error"


def _message(case: CaseVerdict) -> str:
    parts = [words.case_word(case), words.case_headline(case).sentence]
    return ": ".join(part for part in parts if part)


def _details(case: CaseVerdict) -> str:
    lines = list(case.reasons)
    lines += [f"gate {g.id}: {g.title}: {g.value} (required: {g.requirement})" for g in case.gates if g.validity]
    lines += [_check_line(check) for check in case.checks if check.outcome is not Outcome.PASS]
    return "\n".join(lines)


def _table(case: CaseVerdict) -> str:
    return "\n".join(_check_line(check) for check in case.checks) or "no check was made"


def _check_line(check: CheckResult) -> str:
    reason = words.missing_text(check.measured)
    value = words.value_text(check.measured) + (f" ({reason})" if reason else "")
    return (
        f"{check.outcome.name} {check.service} {check.id} [{check.event}] {check.title}: {value}, "
        f"limit {words.limit_text(check.limit)}, margin {words.margin_text(check)}, "
        f"grade {check.source.grade}, source {check.source.text}"
    )


def _properties(parent: ET.Element, values: dict[str, str]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=_legal(value))


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _legal(text: str) -> str:
    """Without the characters XML 1.0 cannot carry, not even escaped."""
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)
