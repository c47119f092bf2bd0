"""The plot as a table, for readers who cannot see it, for paper, and for a quick look at a number.

Owns which instants get a row; its values are those of the recording, not of the thinned drawing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.facts import RunFacts
from bench.report.plot import power_unit
from bench.report.words import number
from bench.verdict import CaseVerdict

_ROWS = 60


@dataclass(frozen=True, slots=True)
class Twin:
    """Column heads and rows of text; a row covers the time until the next one."""

    heads: list[str]
    rows: list[list[str]]


def twin(case: CaseVerdict, facts: RunFacts) -> Twin:
    """About 60 evenly spread instants, and every one at which an event or a limit begins or ends."""
    power = facts.power
    first, last = int(power.t_ns[0]), int(power.t_ns[-1])
    unit, watts = power_unit(max(float(np.nanmax(np.abs(power.value))), facts.nominal_w))
    marks = [instant for event in facts.events for instant in (event.start_ns, event.stop_ns)]
    marks += [at for check in case.checks for band in check.bands for at in (band.start_ns, band.stop_ns)]
    spread = np.linspace(first, last, _ROWS).astype(np.int64).tolist()
    instants = sorted({first, last, *spread, *(mark for mark in marks if first <= mark <= last)})
    signals = [(name, facts.signals[name]) for name in ("dispatch", "frequency") if name in facts.signals]
    heads = ["time [s]", f"power, mean [{unit}]", f"lowest [{unit}]", f"highest [{unit}]"]
    heads += [f"{name} [{unit if name == 'dispatch' else 'Hz'}]" for name, _ in signals]
    heads.append("events")
    rows = []
    for place, instant in enumerate(instants):
        until = instants[place + 1] if place + 1 < len(instants) else last + 1
        held = power.value[slice(*np.searchsorted(power.t_ns, [instant, until]))]
        held = held[np.isfinite(held)] / watts
        row = [number((instant - facts.armed_ns) / 1e9, 9)]
        row += [number(float(v), 5) for v in (held.mean(), held.min(), held.max())] if held.size else ["no sample"] * 3
        row += [number(signal.at(instant) / (watts if name == "dispatch" else 1.0)) for name, signal in signals]
        row.append(", ".join(event.id for event in facts.events if event.start_ns <= instant < event.stop_ns))
        rows.append(row)
    return Twin(heads, rows)
