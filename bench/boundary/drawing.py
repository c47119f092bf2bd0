"""The bench's own calibration curve: every limit with the values at which its verdict flips, drawn as one SVG.

Owns the drawing; distances are in units of the stated uncertainty, so that a limit of 250 ms and one of three hours
stand in one picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from bench.boundary.bisect import Boundary
from bench.rounding import COVERAGE
from bench.verdict import Outcome

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 1080, 310, 210, 17, 54
_REACH = 3.0
"""Units to either side of a limit."""
_STYLE = """
text { font: 11px system-ui, sans-serif; fill: #1b2430 } .soft { fill: #5b6675 }
.head { font-size: 15px; font-weight: 600 }
.pass { fill: #1a7046 } .doubt { fill: #d6a33a } .fail { fill: #b3261e } .ink { fill: #1b2430 }
.band { opacity: .28 } .grid { stroke: #8b95a1; stroke-width: .6 } .limit { stroke: #1b2430; stroke-width: 1.2 }
@media (prefers-color-scheme: dark) { text, .ink { fill: #e4e9ef } .soft { fill: #9aa6b4 } .limit { stroke: #e4e9ef } }
"""
_TONE = {Outcome.PASS: "pass", Outcome.INCONCLUSIVE: "doubt", Outcome.FAIL: "fail"}


def drawing(boundaries: Sequence[Boundary]) -> str:
    """The picture as one SVG text."""
    height = _TOP + _ROW * len(boundaries) + 16
    label = "Where verdicts flip, in units of the stated uncertainty"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}">',
        f"<style>{_STYLE}</style>",
        '<text x="8" y="20" class="head">Where verdicts flip</text>',
        *_axis(height),
    ]
    for place, edge in enumerate(boundaries):
        parts += _row(edge, _TOP + _ROW * place)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axis(height: int) -> Iterator[str]:
    for mark in range(-2, 3):
        x = _x(float(mark))
        words = "limit" if mark == 0 else f"{mark:+d} U"
        yield f'<line x1="{x}" x2="{x}" y1="{_TOP - 6}" y2="{height - 14}" class="{"grid" if mark else "limit"}"/>'
        yield f'<text x="{x}" y="{_TOP - 12}" text-anchor="middle" class="soft">{words}</text>'
    yield f'<text x="{_x(-_REACH)}" y="20" class="pass">inside: PASS</text>'
    yield f'<text x="{_x(_REACH)}" y="20" text-anchor="end" class="fail">outside: FAIL</text>'
    yield f'<text x="{_WIDTH - _RIGHT + 16}" y="{_TOP - 12}" class="soft">limit ± U (k = {COVERAGE:g})</text>'


def _row(edge: Boundary, y: int) -> Iterator[str]:
    """One limit: bands of the three outcomes, a dot for each value that was tried, a mark where the value flips."""
    sign = 1.0 if edge.side == "high" else -1.0
    unit = unit_of(edge)

    def at(value: float) -> float:
        return _x(sign * (value - edge.limit) / unit)

    middle, passes, fails = y + _ROW / 2, at(edge.passes), at(edge.fails)
    name = f"{edge.name} {'≤' if edge.side == 'high' else '≥'}"
    yield f'<text x="8" y="{middle + 4:g}">{escape(name)}</text>'
    for tone, begin, end in (("pass", _x(-_REACH), passes), ("doubt", passes, fails), ("fail", fails, _x(_REACH))):
        if end > begin:
            yield (
                f'<rect x="{begin:.1f}" y="{y + 3}" width="{end - begin:.1f}" height="{_ROW - 6}" class="band {tone}"/>'
            )
    for probe in edge.probes:
        if abs(probe.value - edge.limit) <= _REACH * unit and probe.outcome in _TONE:
            yield f'<circle cx="{at(probe.value):.1f}" cy="{middle:g}" r="1.7" class="{_TONE[probe.outcome]}"/>'
    yield f'<rect x="{at(edge.flips) - 0.8:.1f}" y="{y + 2}" width="1.6" height="{_ROW - 4}" class="ink"/>'
    told = f"{edge.limit:g} {edge.unit} ± {COVERAGE * edge.u:.2g}" if edge.u else f"{edge.limit:g} {edge.unit}, exact"
    tone = "soft" if edge.holds else "fail"
    yield f'<text x="{_WIDTH - _RIGHT + 16}" y="{middle + 4:g}" class="{tone}">{escape(told)}</text>'


def unit_of(edge: Boundary) -> float:
    """What one unit on the axis is: the expanded uncertainty, or for what is known exactly twice the resolution."""
    return COVERAGE * edge.u or 2.0 * edge.resolution or 1.0


def _x(units: float) -> float:
    middle, half = (_LEFT + _WIDTH - _RIGHT) / 2, (_WIDTH - _RIGHT - _LEFT) / 2
    return round(middle + max(-_REACH, min(_REACH, units)) / _REACH * half, 1)
