"""Renderings of one `Verdict`: JSON, JUnit XML, console and a self-contained HTML page.

Owns how a verdict looks; it judges nothing and measures nothing. Whatever a reader sees here stands in the verdict or
in the facts it was drawn from. The HTML rendering is imported on first use: it brings the template engine along.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench.facts import RunFacts
from bench.report.as_json import dumps, to_json
from bench.report.console import print_console
from bench.report.junit import to_junit
from bench.verdict import Verdict

__all__ = ["dumps", "print_console", "render_html", "to_json", "to_junit"]


def render_html(verdict: Verdict, facts_by_case: Mapping[str, RunFacts]) -> str:
    """One HTML page that opens from disk and asks no network for anything; see `bench.report.html`."""
    from bench.report import html

    return html.render_html(verdict, facts_by_case)
