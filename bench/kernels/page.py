"""A measurement as one HTML page: a box for each kernel, the rounds over time, and the figures.

Owns the drawing, in SVG written here; the page holds no script and asks no network for anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

from bench.kernels.machine import Machine
from bench.kernels.measure import Record
from bench.kernels.recording import AgainstRun
from bench.kernels.summary import Row, by_key
from bench.kernels.text import TITLES, heading, range_of, rate

WIDTH, LEFT, RIGHT, LINE, PAD = 920, 170, 20, 24, 26
HUES = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#c51b7d", "#66801f", "#8c6d31", "#555555")
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } p.facts { color: #555; margin: 0; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: #333; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } th { font-weight: 600; }
th, td { padding: .15rem .7rem .15rem 0; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.scroll { overflow-x: auto; } .words td { text-align: left; }
@media (prefers-color-scheme: dark) {
  body { background: #16181b; color: #ddd; } p.facts { color: #aaa; } svg text { fill: #ccc; }
}
"""


def page(
    machine: Machine,
    measured_hz: tuple[float, float] | None,
    rows: Sequence[Row],
    records: Sequence[Record],
    about: Sequence[tuple[str, str]] = (),
    against: Sequence[AgainstRun] = (),
) -> str:
    """The page; `about` says what each key measures. The same input gives the same bytes."""
    facts = "".join(f'<p class="facts">{escape(line)}</p>' for line in heading(machine, measured_hz))
    parts = []
    for work in dict.fromkeys(row.work for row in rows):
        mine = [row for row in rows if row.work == work]
        parts.append(
            f"<h2>{escape(TITLES[work])}</h2>{boxes(mine, records)}{over_rounds(mine, records)}"
            f'<div class="scroll">{_table(mine)}</div>'
        )
    if against:
        lines = "".join(
            f"<tr><td>rounds {run.around.start + 1} to {run.around.stop}</td><td>{rate(run.hashes_per_s)}</td>"
            f"<td>{escape(run.line)}</td></tr>"
            for run in against
        )
        parts.append(
            f"<h2>external: {escape(against[0].command)}</h2>"
            f"<table><tr><th>between</th><th>MH/s</th><th>line</th></tr>{lines}</table>"
        )
    if about:
        told = "".join(f"<tr><td>{escape(key)}</td><td>{escape(what)}</td></tr>" for key, what in about)
        parts.append(f'<h2>what a slice does</h2><div class="scroll"><table class="words">{told}</table></div>')
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width"><title>SHA-256d kernels</title>'
        f"<style>{STYLE}</style></head><body><h1>SHA-256d kernels, measured in turns</h1>{facts}"
        f"{''.join(parts)}</body></html>\n"
    )


def boxes(rows: Sequence[Row], records: Sequence[Record]) -> str:
    """A box from quartile to quartile for each kernel, its median, every round as a dot and the best; log scale."""
    grouped = by_key(records)
    rates = [record.hashes_per_s for row in rows for record in grouped[row.key].values()]
    low, high = min(rates), max(rates)
    height = PAD + LINE * len(rows) + PAD

    def x(value: float) -> float:
        span = log10(high / low) or 1.0
        return LEFT + (WIDTH - LEFT - RIGHT) * log10(value / low) / span

    drawn = []
    for tick in decades(low, high):
        place = x(tick)
        drawn.append(f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{PAD}" y2="{height - PAD}" stroke="#8884"/>')
        drawn.append(f'<text x="{place:.1f}" y="{height - 8}" text-anchor="middle">{tick / 1e6:g}</text>')
    for number, row in enumerate(rows):
        middle, hue = PAD + LINE * (number + 0.5), HUES[number % len(HUES)]
        left, right = x(row.rate.q1), x(row.rate.q3)
        dots = "".join(
            f'<circle cx="{x(record.hashes_per_s):.1f}" cy="{middle:.1f}" r="1.6"/>'
            for record in grouped[row.key].values()
        )
        drawn.append(
            f"<g><title>{escape(row.key)}: best {rate(row.best)}, median {rate(row.rate.median)} MH/s</title>"
            f'<text x="{LEFT - 10}" y="{middle + 4:.1f}" text-anchor="end">{escape(row.key.split("/", 1)[1])}</text>'
            f'<g fill="{hue}" opacity="0.5">{dots}</g>'
            f'<rect x="{left:.1f}" y="{middle - 7:.1f}" width="{max(1.0, right - left):.1f}" height="14" '
            f'fill="{hue}55" stroke="{hue}"/>'
            f'<line x1="{x(row.rate.median):.1f}" x2="{x(row.rate.median):.1f}" y1="{middle - 7:.1f}" '
            f'y2="{middle + 7:.1f}" stroke="{hue}" stroke-width="3"/></g>'
        )
    label = f'<text x="{LEFT}" y="16">MH/s, logarithmic: every round, quartiles, median</text>'
    return _svg(height, label + "".join(drawn), "distribution of rates by kernel")


def over_rounds(rows: Sequence[Row], records: Sequence[Record]) -> str:
    """Each kernel's rate over its own best, round by round: a busy neighbour shows as a dent in all of them."""
    grouped, height = by_key(records), 190
    last = max(record.round for record in records) or 1
    top, bottom = PAD, height - PAD

    def point(record: Record, best: float) -> str:
        across = LEFT + (WIDTH - LEFT - RIGHT) * record.round / last
        return f"{across:.1f},{bottom - (bottom - top) * record.hashes_per_s / best:.1f}"

    lines = []
    for number, row in enumerate(rows):
        mine = grouped[row.key]
        points = " ".join(point(mine[at], row.best) for at in sorted(mine))
        hue = HUES[number % len(HUES)]
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{hue}" stroke-opacity="0.7">'
            f"<title>{escape(row.key)}</title></polyline>"
        )
    grid = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#8884"/>'
        f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{share} %</text>'
        for share in (0, 25, 50, 75, 100)
        for y in (bottom - (bottom - top) * share / 100,)
    )
    label = f'<text x="{LEFT}" y="16">share of the kernel\'s own best, over {last + 1} rounds</text>'
    return _svg(height, label + grid + "".join(lines), "rates over the rounds")


def decades(low: float, high: float) -> list[float]:
    """Ticks 1, 2, 5 times powers of ten within low .. high."""
    ticks = [
        step * 10.0**power for power in range(floor(log10(low)), ceil(log10(high)) + 1) for step in (1.0, 2.0, 5.0)
    ]
    return [tick for tick in ticks if low <= tick <= high]


def _svg(height: float, inside: str, label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{inside}</svg>'


def _table(rows: Sequence[Row]) -> str:
    head = (
        "kernel", "best MH/s", "median", "quartiles", f"x {rows[0].peer.split('/', 1)[1]}", "best/best",
        "cycles best", "cycles median", "limit", "x 1 thread", "x external",
    )  # fmt: skip
    body = []
    for row in rows:
        cells = (
            row.key.split("/", 1)[1],
            rate(row.best),
            rate(row.rate.median),
            f"{rate(row.rate.q1)}..{rate(row.rate.q3)}",
            range_of(row.peer_ratio),
            f"{row.best_ratio:.2f}",
            "" if row.cycles_best is None else f"{row.cycles_best:.1f}",
            "" if row.cycles_median is None else f"{row.cycles_median:.1f}",
            "" if row.limit_share is None else f"{row.limit_share:.0%}",
            "" if row.scaling is None else range_of(row.scaling),
            "" if row.against is None else range_of(row.against),
        )
        body.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return "<table><tr>" + "".join(f"<th>{escape(h)}</th>" for h in head) + "</tr>" + "".join(body) + "</table>"
