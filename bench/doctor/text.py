"""The doctor's findings for people and for programs.

Owns the wording; every figure was measured elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from bench.doctor import rule
from bench.doctor.machine import Status
from bench.doctor.rule import Fit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from bench.doctor.session import Examination
    from bench.doctor.spread import Spread

SCHEMA = 1
_STYLES = {
    Status.OK.value: "green", Status.LIMITED.value: "yellow", Status.MISSING.value: "red",
    Fit.YES.value: "green", Fit.JUST.value: "yellow", Fit.NO.value: "red",
}  # fmt: skip
_MS = 1e6


def printed(found: Examination, console: Console) -> None:
    """The tables, and a sentence at the end."""
    console.print(_table(("machine", "", ""), [(one.title, one.value, one.status.value) for one in found.conditions]))
    for one in found.conditions:
        if one.remedy:
            console.print(f"{one.title}: {one.remedy}", highlight=False, markup=False)
    if found.exit_code:
        console.print("\nsomething is missing that every run needs; nothing was measured", highlight=False)
        return
    figures = ("p50", "p99", "max", "of")
    console.print()
    console.print(_table(("measured, ms", *figures), list(_measured(found)), figures))
    for port in found.serial:
        if port.problem:
            console.print(port.problem, highlight=False, markup=False)
    console.print()
    columns = ("service", "tightest time", "of check", "is times the doubt", "in real time", "why")
    console.print(_table(columns, list(_services(found)), ("tightest time", "is times the doubt")))
    console.print()
    for sentence in _summary(found):
        console.print(sentence, highlight=False, markup=False)


def to_json(found: Examination) -> dict[str, Any]:
    """One object (docs/reference/doctor.md has its keys); durations are in milliseconds unless a key says `_s`."""
    return {
        "schema": SCHEMA,
        "ok": not found.exit_code,
        "conditions": [{**asdict(one), "status": one.status.value} for one in found.conditions],
        "miners": found.miners,
        "lateness": {state: _ms(spread) for state, spread in found.lateness.items()},
        "round_trip": {device: _ms(spread) for device, spread in found.trips.items()},
        "serial": [
            {"port": one.port, "format": one.form, "exchange_ms": one.exchange_ns / _MS, "late": _ms(one.late),
             "problem": one.problem}
            for one in found.serial
        ],
        "validity": found.validity.name,
        "gates": [{**asdict(gate), "validity": gate.validity.name} for gate in found.gates],
        "services": [{**asdict(one), "fit": one.fit.value} for one in found.services],
    }  # fmt: skip


def _ms(spread: Spread) -> dict[str, float]:
    return {
        "count": spread.count, "lost": spread.lost, "p50_ms": spread.p50_ns / _MS, "p99_ms": spread.p99_ns / _MS,
        "max_ms": spread.max_ns / _MS,
    }  # fmt: skip


def _measured(found: Examination) -> Iterator[tuple[str, ...]]:
    serving = f"with {found.miners} miners served and polled"
    yield _row("timers late, bench idle", found.lateness["idle"])
    yield _row(f"timers late, {serving}", found.lateness["serving"])
    yield _row("round trip: Modbus function 3 of a meter, beyond the meter's own time", found.trips["meter"])
    yield _row("round trip: cgminer summary of a miner, beyond the miner's own time", found.trips["miner"])
    for one in found.serial:
        if one.late.count:
            what = f"{one.exchange_ns / _MS:.1f} ms that an exchange takes"
            yield _row(f"serial line {one.port} at {one.form}, beyond the {what}", one.late)


def _row(what: str, spread: Spread) -> tuple[str, ...]:
    lost = f", {spread.lost} lost" if spread.lost else ""
    figures = (f"{ns / _MS:.2f}" for ns in (spread.p50_ns, spread.p99_ns, spread.max_ns))
    return (what, *figures, f"{spread.count}{lost}")


def _services(found: Examination) -> Iterator[tuple[str, ...]]:
    for one in found.services:
        limit = "-" if one.limit_s is None else _duration(one.limit_s)
        times = "-" if one.times is None else f"{one.times:,.0f}" if one.times >= 100 else f"{one.times:.3g}"
        yield one.service, limit, one.check or "-", times, one.fit.value, one.why


def _summary(found: Examination) -> Iterator[str]:
    served, trip = found.lateness["serving"].p99_ns / _MS, found.trips["meter"].p99_ns / _MS
    doubt = rule.doubt_s(found.lateness["serving"], found.trips["meter"]) * 1e3
    yield (
        f"in doubt by {doubt:.2f} ms: {served:.2f} ms lateness, {trip:.2f} ms round trip (99 % each), "
        f"{doubt - served - trip:.2f} ms that a verdict allows for anyway"
    )
    yield f"a run in real time would be {found.validity.name} here by its own gates:"
    for gate in found.gates:
        yield f"  {gate.title}: {gate.value}; required: {gate.requirement}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1e3:g} ms"
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:g} min"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> Table:
    """As the lists of ramprig are: no lines, headings bold; words that grade have their colour."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return table
