"""The console's view of a list, a proof, a measurement and a comparison, as rich tables.

Owns the wording; every figure was computed elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from bench.kernels.compare import Change
from bench.kernels.machine import Machine
from bench.kernels.recording import AgainstRun
from bench.kernels.summary import Row, Spread
from bench.kernels.verify import Proof

TITLES = {
    "scan": "scan: nonces of one header",
    "versions": "versions: 64 rolled versions at every nonce",
    "batch64": "batch64: sha256d of 64-byte items",
    "batch80": "batch80: sha256d of 80-byte items",
}


def plain(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> Table:
    """A table without lines; the columns named in `right` stand right."""
    table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def rate(hashes_per_s: float) -> str:
    """In MH/s, to three or four figures."""
    mega = hashes_per_s / 1e6
    return f"{mega:.1f}" if mega >= 10 else f"{mega:.2f}" if mega >= 1 else f"{mega:.3f}"


def range_of(spread: Spread, digits: int = 2) -> str:
    """Median and quartiles: `1.50 [1.41..1.55]`."""
    return f"{spread.median:.{digits}f} [{spread.q1:.{digits}f}..{spread.q3:.{digits}f}]"


def heading(machine: Machine, measured_hz: tuple[float, float] | None) -> list[str]:
    """Machine, frequency and limit, a line each; `measured_hz` is the median and the best of the rounds."""
    lines = [
        f"{machine.cpu} (family {machine.family}, model {machine.model}), {machine.architecture}",
        f"{machine.allowed} of {machine.logical} processors may be used",
        f"{machine.system}, Python {machine.python}, {machine.openssl}, fastpath {machine.backend}",
    ]
    if measured_hz is None:
        lines.append(f"frequency: {machine.frequency_source}")
    else:
        median, best = (f"{hz / 1e9:.2f}" for hz in measured_hz)
        stated = "" if machine.nominal_hz is None else f"; /proc/cpuinfo says {machine.nominal_hz / 1e9:.2f} GHz"
        lines.append(f"frequency: {median} GHz median, {best} best, from {machine.frequency_source}{stated}")
    lines.append(f"limit: {machine.limit_source}; a scan needs 61 of them a hash, a batch item 96")
    return lines


def measurement(rows: Sequence[Row], against: Sequence[AgainstRun]) -> list[tuple[str, Table]]:
    """Titles and tables: one for each work, then thread scaling and the external program where there are any."""
    tables = []
    for work in dict.fromkeys(row.work for row in rows):
        mine = [row for row in rows if row.work == work]
        peer = f"x {mine[0].peer.split('/', 1)[1]}"
        columns = ("kernel", "best", "median", "quartiles", peer, "[quartiles]", "best", "cycles", "limit")
        tables.append((f"{TITLES[work]}, MH/s", plain(columns, [_figures(row) for row in mine], columns[1:])))
    scaled = [(row.key, range_of(row.scaling)) for row in rows if row.scaling is not None]
    if scaled:
        tables.append(("thread scaling, by the rounds' ratios", plain(("kernel", "x one thread"), scaled)))
    if against:
        runs = [(f"rounds {r.around.start + 1}..{r.around.stop}", rate(r.hashes_per_s), r.line) for r in against]
        tables.append((f"external: {against[0].command}", plain(("within", "MH/s", "line"), runs, ["MH/s"])))
        found = [(row.key, range_of(row.against)) for row in rows if row.against is not None]
        tables.append(("ratios of the rounds around each external run", plain(("kernel", "x external"), found)))
    return tables


def _figures(row: Row) -> tuple[str, ...]:
    ratio = row.peer_ratio
    return (
        row.key.split("/", 1)[1],
        rate(row.best),
        rate(row.rate.median),
        f"{rate(row.rate.q1)}..{rate(row.rate.q3)}",
        f"{ratio.median:.2f}",
        f"{ratio.q1:.2f}..{ratio.q3:.2f}",
        f"{row.best_ratio:.2f}",
        "-" if row.cycles_best is None else f"{row.cycles_best:.1f}",
        "-" if row.limit_share is None else f"{row.limit_share:.0%}",
    )


def proof(found: Proof) -> Table:
    """PASS or FAIL for each tier, with what was asked or what was wrong."""
    rows = []
    for tier, checks in found.tiers().items():
        bad = [check for check in checks if not check.passed]
        cases = sum(check.cases for check in checks)
        said = "; ".join(f"{check.name}: {check.problem[:400]}" for check in bad)
        rows.append((tier, "FAIL" if bad else "PASS", said or f"{len(checks)} checks, {cases} cases"))
    rows += [(tier, "skip", reason) for tier, reason in found.skipped.items()]
    return plain(("tier", "verdict", "what"), rows)


def changes(found: Sequence[Change]) -> Table:
    """Each kernel now over then, with the interval and a word."""
    rows = [
        (
            change.key,
            f"{change.ratio:.3f}",
            f"{change.low:.3f}..{change.high:.3f}",
            f"{change.best_ratio:.3f}",
            _word(change),
        )
        for change in found
    ]
    return plain(("kernel", "now/then", "95 % interval", "best", ""), rows, ["now/then", "best"])


def _word(change: Change) -> str:
    if change.regression:
        return "REGRESSION"
    return "slower under load" if change.under_load else "faster" if change.gain else "-"
