"""The verdict as one HTML page that opens from disk, asks no network for anything and can be printed and signed.

Owns what stands on the page and its order; templates/ owns the layout, `plot.py` the drawing. The plotting script comes
out of the installed package `XStatic-D3` and is put into the page once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.facts import RunFacts
from bench.report import words
from bench.report.as_json import trace_sha256
from bench.report.gauge import gauge
from bench.report.plot import build
from bench.report.scene import Plot
from bench.report.twin import Twin, twin
from bench.verdict import CaseVerdict, CheckResult, Outcome, Validity, Verdict

_TEMPLATES = Path(__file__).parent / "templates"
_PLOT_PACKAGE, _PLOT_SCRIPT = "XStatic-D3", "xstatic/pkg/d3/data/d3.js"


_SAID_ABOVE = frozenset({"schema", "seed", "time", "title"})


class PlotScriptError(RuntimeError):
    """The package that carries the plotting script is not installed, or does not carry it any more."""


@dataclass(frozen=True, slots=True)
class CasePage:
    """What the template needs of one case."""

    key: str
    """Unique on the page; the anchor of the case."""
    case: CaseVerdict
    facts: RunFacts | None
    plot: Plot | None
    no_plot: str
    """Why there is no plot; empty where there is one."""
    twin: Twin | None
    about: list[tuple[str, str]]

    @property
    def weak(self) -> int:
        """Checks whose limit does not rest on a source that was read."""
        return sum(not words.is_firm(check.source.grade) for check in self.case.checks)

    @property
    def decides(self) -> str:
        """What the case hangs on: its first reason, else the check of the worst outcome with the smallest margin."""
        if self.case.reasons:
            return self.case.reasons[0]
        worst = [check for check in self.case.checks if check.outcome == self.case.outcome]
        if not worst:
            return "nothing was judged"
        check = min(worst, key=_relative_margin)
        return f"{check.title}: {words.value_text(check.measured)}, limit {words.limit_text(check.limit)}"


def render_html(verdict: Verdict, facts_by_case: Mapping[str, RunFacts]) -> str:
    """The page for a verdict; `facts_by_case` maps a case's id to the facts its plots are drawn from.

    The same input gives the same bytes. Raises PlotScriptError where the plotting script is not installed.
    """
    pages = [_page(place, case, facts_by_case.get(case.id)) for place, case in enumerate(verdict.cases, 1)]
    script = plot_script() + "\n" + (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["as_script_json"] = as_script_json
    environment.globals.update(
        w=words, gauge=gauge, VALID=Validity.VALID, SUSPECT=Validity.SUSPECT, PASS=Outcome.PASS, GRADES=words.GRADES
    )
    return environment.get_template("report.html.j2").render(
        verdict=verdict,
        head=words.headline(verdict),
        pages=pages,
        trace=trace_sha256(verdict),
        style=(_TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
    )


def as_script_json(value: object) -> str:
    """JSON that can stand inside a <script> element: no character in it can end the element or open a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text  # ASCII by ensure_ascii, and the three signs above are gone


def plot_script() -> str:
    """The plotting script out of the installed package. Raises PlotScriptError where it is not there."""
    try:
        return Path(str(distribution(_PLOT_PACKAGE).locate_file(_PLOT_SCRIPT))).read_text(encoding="utf-8")
    except (PackageNotFoundError, OSError) as error:
        raise PlotScriptError(
            f"the report needs {_PLOT_SCRIPT} of the package {_PLOT_PACKAGE} ({error}); "
            f"install it with: pip install '{_PLOT_PACKAGE}~=3.5.17'"
        ) from None


def _page(place: int, case: CaseVerdict, facts: RunFacts | None) -> CasePage:
    plot = None if facts is None else build(case, facts)
    no_plot = ""
    if facts is None:
        no_plot = "This page has no recording of the run; where one was made, the run's own report has the plot."
    elif plot is None:
        no_plot = "The recording holds no sample of the site's power, so there is nothing to draw."
    return CasePage(
        key=f"case-{place}",
        case=case,
        facts=facts,
        plot=plot,
        no_plot=no_plot,
        twin=twin(case, facts) if facts is not None and plot is not None else None,
        about=_about(case, facts),
    )


def _about(case: CaseVerdict, facts: RunFacts | None) -> list[tuple[str, str]]:
    """Configuration, versions and seed as name and text."""
    rows = [("seed", str(case.seed)), ("trace sha256", case.trace_sha256), ("run folder", case.folder)]
    if facts is not None:
        late_ms, allowed_ms = (words.number(ns / 1e6) for ns in (facts.lateness_p99_ns, facts.lateness_budget_ns))
        nominal_kw, sold_kw = (words.number(watts / 1e3) for watts in (facts.nominal_w, facts.commitment_w))
        rows += [
            ("run", facts.run_id),
            ("time", facts.time_mode),
            ("site", f"{nominal_kw} kW nominal, {sold_kw} kW sold, {words.number(facts.nominal_hz)} Hz"),
            ("lateness, 99 %", f"{late_ms} ms of {allowed_ms} ms allowed"),
            ("requests answered", ", ".join(f"{kind} {count}" for kind, count in sorted(facts.contacts.items()))),
            ("controller ended early", facts.sut_exit),
            *_flat("", {key: value for key, value in facts.info.items() if key not in _SAID_ABOVE}),
        ]  # fmt: skip
    return [(name, text) for name, text in rows if text]


def _flat(prefix: str, value: object) -> list[tuple[str, str]]:
    """Nested information as one line each: `versions.numpy`, `2.4.6`."""
    if isinstance(value, Mapping):
        return [row for key, inner in value.items() for row in _flat(f"{prefix}.{key}" if prefix else str(key), inner)]
    if isinstance(value, (list, tuple, np.ndarray)):
        return [(prefix, ", ".join(str(item) for item in value))]
    return [(prefix, "" if value is None else str(value))]


def _relative_margin(check: CheckResult) -> float:
    """Margin as a share of the nearest bound's size; a value that never came is worse than any."""
    if check.margin is None:
        return -math.inf
    bounds = [abs(bound) for bound in (check.limit.low, check.limit.high) if bound]
    return check.margin / (min(bounds) if bounds else 1.0)
