"""What the report draws for one case: panels on one time axis, limits, events, faults, the miners, and a word on each.

Owns which lines there are and what each means; limits come from the same `CheckResult.bands` that judged. It draws
nothing itself (templates/report.js does) and judges nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from bench import verdict
from bench.facts import Occurrence, ProfileEvent, RunFacts
from bench.report.heat import heat_picture
from bench.report.scene import Edge, Explained, Lane, Level, Line, Panel, Plot, Span, Zoom
from bench.report.thin import Coded, Instants, Values, encode, thin
from bench.report.words import number
from bench.services.deployment import BASELINE_NS
from bench.verdict import Band, CaseVerdict, Outcome, Quantity
from emulator.timeline import Signal

_SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0}
_MOST_TICKS = 2000
_MOST_LANES = 6
_SIGNALS = {  # name: (label, unit, always drawn)
    "frequency": ("Frequency", "Hz", True),
    "voltage": ("Voltage", "pu", False),
    "price": ("Price", "USD/MWh", False),
}


def build(case: CaseVerdict, facts: RunFacts) -> Plot | None:
    """The plot of a case, or None where the recording holds no power sample."""
    held = np.isfinite(facts.power.value)
    if not held.any():
        return None
    axis = _Axis(facts)
    explained: list[Explained] = []
    lanes = _lanes(facts, axis, explained)
    panels = [_power_panel(case, facts, axis, explained)]
    panels += [
        _signal_panel(name, facts.signals[name], facts, axis, explained)
        for name, (_, _, always) in _SIGNALS.items()
        if name in facts.signals and (always or _moves(facts.signals[name]))
    ]
    heat = None if facts.heat is None else heat_picture(facts.heat, axis.origin_ns, axis.stop_ns)
    return Plot(
        start=axis.seconds(axis.start_ns),
        stop=axis.seconds(axis.stop_ns),
        lanes=lanes,
        panels=panels,
        zooms=_zooms(case, facts, axis),
        explained=explained,
        heat=heat,
    )


class _Axis:
    """The time axis of a run and the instants at which detail matters."""

    def __init__(self, facts: RunFacts) -> None:
        self.origin_ns = facts.armed_ns
        self.start_ns = int(facts.power.t_ns[0])
        self.stop_ns = max(int(facts.power.t_ns[-1]), facts.stop_ns, self.start_ns + 1)
        starts = (event.start_ns for event in facts.events)
        self.detail_ns = sorted({*starts, *(occ.t_ns for occ in facts.occurrences if is_fault(occ))})

    def seconds(self, instant_ns: int) -> float:
        return (instant_ns - self.origin_ns) / 1e9

    def coded(self, t_ns: Instants) -> Coded:
        return encode((t_ns - self.origin_ns) / 1e9, 1e-6)

    def clip(self, instant_ns: int) -> float:
        return self.seconds(min(max(instant_ns, self.start_ns), self.stop_ns))

    def stretch(self, start_ns: int, stop_ns: int) -> str:
        return f"from {number(self.seconds(start_ns))} s to {number(self.seconds(stop_ns))} s"


def is_fault(occurrence: Occurrence) -> bool:
    """Faults are the occurrences whose kind begins with `fault`; `data` may hold `stop_ns` and `label`."""
    return occurrence.kind.startswith("fault")


def power_unit(watts: float) -> tuple[str, float]:
    """Unit and divisor in which this many watts read well."""
    if watts >= 2e6:
        return "MW", 1e6
    return ("kW", 1e3) if watts >= 2e3 else ("W", 1.0)


def _power_panel(case: CaseVerdict, facts: RunFacts, axis: _Axis, explained: list[Explained]) -> Panel:
    t_ns, power = thin(facts.power.t_ns, facts.power.value, around=axis.detail_ns)
    unit, watts = power_unit(max(float(np.nanmax(np.abs(power))), facts.nominal_w))
    window = f"means over {number(facts.power.window_ns / 1e6)} ms" if facts.power.window_ns else "instantaneous values"
    drawn = "every sample drawn" if t_ns.size == facts.power.t_ns.size else (
        f"drawn with {t_ns.size} of {facts.power.t_ns.size} samples: all of them around events, "
        "elsewhere the lowest and the highest of each pixel"
    )  # fmt: skip
    explained.append(Explained("P", "power", f"power at the point of interconnection, {window}; {drawn}"))
    dispatch = facts.signals.get("dispatch")
    if dispatch is not None and _moves(dispatch):
        at_ns, allowed = _drawable(dispatch, axis)
        t_ns, power, allowed = _together(t_ns, power, at_ns, allowed)
        lines = [Line("D", "dispatch", "dispatch", encode(allowed / watts, _quantum(allowed / watts)))]
        explained.append(Explained("D", "dispatch", "dispatch: the consumption the set-point allows"))
    else:
        lines = []
    lines.insert(0, Line("P", "power", "power", encode(power / watts, _quantum(power / watts))))
    levels = _levels(case, facts, axis, unit, watts, explained)
    edges = _edges(case, axis, unit, watts, explained)
    marks = [level.value for level in levels] + [line for e in edges for line in (e.low, e.high) if line is not None]
    reach = [float(np.nanmin(power)) / watts, float(np.nanmax(power)) / watts, *marks]
    label = "Power at the point of interconnection"
    high = 1.1 * max(reach) if max(reach) > 0 else 1.0
    return Panel("power", label, unit, min(0.0, 1.1 * min(reach)), high, axis.coded(t_ns), lines, levels, edges)


def _levels(
    case: CaseVerdict, facts: RunFacts, axis: _Axis, unit: str, watts: float, explained: list[Explained]
) -> list[Level]:
    """Nominal power, and the levels that the verdict says its checks measured from."""
    start, stop = axis.seconds(axis.start_ns), axis.seconds(axis.stop_ns)
    levels = [Level("N", "nominal", start, stop, facts.nominal_w / watts, "nominal")]
    nominal = f"{number(facts.nominal_w / watts, 5)} {unit}"
    explained.append(Explained("N", "nominal", f"nominal power of the site, every miner hashing: {nominal}"))
    places = {event.id: (place, event) for place, event in enumerate(facts.events, 1)}
    for more, level in _numbered(level for level in case.levels if level.event in places):
        place, event = places[level.event]
        tag, until = f"{place}{more}", axis.clip(event.stop_ns)
        left, base = axis.clip(level.at_ns - BASELINE_NS), level.baseline_w / watts
        before = "it" if level.at_ns == event.start_ns else f"{number(axis.seconds(level.at_ns))} s"
        levels.append(Level(f"B{tag}", "baseline", left, until, base, "baseline"))
        text = f"baseline of E{place}: mean power of the {number(BASELINE_NS / 1e9)} s before {before}"
        explained.append(Explained(f"B{tag}", "baseline", f"{text}, {number(base, 5)} {unit}"))
        if level.asked_w <= 0:
            continue
        asked, sold = level.asked_w / watts, level.asked_w == facts.commitment_w
        name, how = ("committed", "sold") if sold else ("dispatched", "that the dispatch asked for")
        levels.append(Level(f"C{tag}", "committed", axis.clip(event.start_ns), until, base - asked, name))
        text = f"{name} level of E{place}: baseline less the {number(asked, 5)} {unit} {how}"
        explained.append(Explained(f"C{tag}", "committed", f"{text}, {number(base - asked, 5)} {unit}"))
    return levels


def _numbered(levels: Iterable[verdict.Level]) -> Iterator[tuple[str, verdict.Level]]:
    """Each level with a letter that tells it from the others of its event; the first has none."""
    seen: Counter[str] = Counter()
    for level in levels:
        yield ("" if not seen[level.event] else chr(ord("a") + seen[level.event])), level
        seen[level.event] += 1


def _edges(case: CaseVerdict, axis: _Axis, unit: str, watts: float, explained: list[Explained]) -> list[Edge]:
    """One edge for each distinct band; checks that share a band share the edge and the worst outcome."""
    bands: dict[tuple[int, int, float | None, float | None], list[tuple[Band, str, Outcome]]] = {}
    for check in case.checks:
        for band in check.bands:
            key = (band.start_ns, band.stop_ns, _finite(band.low_w), _finite(band.high_w))
            if key[2:] != (None, None):
                bands.setdefault(key, []).append((band, f"{check.service} {check.id}", check.outcome))
    edges = []
    for place, ((start_ns, stop_ns, low_w, high_w), users) in enumerate(sorted(bands.items(), key=_by_start), 1):
        low, high = (None if bound is None else bound / watts for bound in (low_w, high_w))
        outcome = max(user[2] for user in users).name
        label = users[0][0].label
        edges.append(Edge(f"L{place}", axis.clip(start_ns), axis.clip(stop_ns), low, high, outcome, label))
        said = "; ".join(dict.fromkeys(f"{band.label} ({check}: {came.name})" for band, check, came in users))
        left = "" if low is None else f"{number(low, 5)} {unit} ≤ "
        right = "" if high is None else f" ≤ {number(high, 5)} {unit}"
        text = f"limit: {left}power{right} {axis.stretch(start_ns, stop_ns)}, hatched beyond: {said}"
        explained.append(Explained(f"L{place}", f"limit {outcome}", text))
    return edges


def _by_start(item: tuple[tuple[int, int, float | None, float | None], object]) -> tuple[int, int, float, float]:
    start, stop, low, high = item[0]
    return start, stop, low or 0.0, high or 0.0


def _signal_panel(name: str, signal: Signal, facts: RunFacts, axis: _Axis, explained: list[Explained]) -> Panel:
    label, unit, _ = _SIGNALS[name]
    t_ns, value = _drawable(signal, axis)
    reach = [float(value.min()), float(value.max())]
    levels = []
    explained.append(Explained(name, name, f"{label.lower()} of the grid, as the profile plays it ({unit})"))
    if name == "frequency":
        start, stop = axis.seconds(axis.start_ns), axis.seconds(axis.stop_ns)
        levels = [Level("f0", "nominal", start, stop, facts.nominal_hz, "nominal")]
        explained.append(Explained("f0", "nominal", f"nominal frequency, {number(facts.nominal_hz)} Hz"))
        reach.append(facts.nominal_hz)
    pad = 0.1 * (max(reach) - min(reach)) or 0.01 * (abs(reach[0]) or 1.0)
    line = Line(name, label.lower(), name, encode(value, _quantum(value)))
    return Panel(name, label, unit, min(reach) - pad, max(reach) + pad, axis.coded(t_ns), [line], levels)


def _lanes(facts: RunFacts, axis: _Axis, explained: list[Explained]) -> list[Lane]:
    """Events, faults, and one lane for the recall counter and each other kind of occurrence; commands by script."""
    events = []
    for place, event in enumerate(facts.events, 1):
        label = event.label or event.id
        events.append(Span(f"E{place}", event.kind, axis.clip(event.start_ns), axis.clip(event.stop_ns), label))
        text = f"event {event.id} ({event.kind}) {axis.stretch(event.start_ns, event.stop_ns)}"
        explained.append(Explained(f"E{place}", "event", f"{text}: {event.label}" if event.label else text))
    faults = []
    for place, fault in enumerate((occ for occ in facts.occurrences if is_fault(occ)), 1):
        stop = fault.data.get("stop_ns")
        stop_ns = stop if isinstance(stop, int) else fault.t_ns
        label = str(fault.data.get("label") or fault.kind)
        faults.append(Span(f"F{place}", "fault", axis.clip(fault.t_ns), axis.clip(stop_ns), label))
        when = axis.stretch(fault.t_ns, stop_ns) if stop_ns > fault.t_ns else f"at {number(axis.seconds(fault.t_ns))} s"
        explained.append(Explained(f"F{place}", "fault", f"fault {label} {when}"))
    lanes = [Lane("events", events)] + ([Lane("faults", faults)] if faults else [])
    ticks: dict[str, list[int]] = {}
    recall = facts.signals.get("recall")
    if recall is not None and _moves(recall):
        ticks["recall"] = recall.t_ns[1:][np.diff(recall.value) > 0].tolist()
    for occ in facts.occurrences:
        if not is_fault(occ):
            ticks.setdefault(str(occ.data.get("script", occ.kind)), []).append(occ.t_ns)
    for kind in sorted(ticks, key=lambda kind: len(ticks[kind]))[:_MOST_LANES]:
        shown = _spread(ticks[kind], axis)
        lanes.append(Lane(kind, [], axis.coded(shown)))
        explained.append(Explained(kind, "tick", f"a tick for each “{kind}”, {len(ticks[kind])} in all"))
    left_out = sorted(ticks, key=lambda kind: len(ticks[kind]))[_MOST_LANES:]
    if left_out:
        explained.append(Explained("…", "none", f"recorded but not drawn: {', '.join(left_out)}"))
    return lanes


def _zooms(case: CaseVerdict, facts: RunFacts, axis: _Axis) -> list[Zoom]:
    """For each event its onset, as wide as the first limit after it and a late response ask, and the whole of it."""
    zooms = []
    starts = sorted(band.start_ns for check in case.checks for band in check.bands)
    for place, event in enumerate(facts.events, 1):
        length = max(event.stop_ns - event.start_ns, 1)
        after = next((start - event.start_ns for start in starts if event.start_ns < start <= event.stop_ns), length)
        after = max(after, 200_000_000)
        until = max([4 * after, *(int(1.5e9 * late_s) for late_s in _late(case, event))])
        if after + until < length:
            left, right = axis.clip(event.start_ns - after), axis.clip(event.start_ns + until)
            zooms.append(Zoom(f"E{place} onset", left, right))
        pad = max(length // 10, 1)
        zooms.append(Zoom(f"E{place}", axis.clip(event.start_ns - pad), axis.clip(event.stop_ns + pad)))
    return [zoom for zoom in zooms if zoom.stop > zoom.start]


def _late(case: CaseVerdict, event: ProfileEvent) -> Iterator[float]:
    """Seconds that the checks of this event found too long."""
    for check in case.checks:
        measured = check.measured
        if check.event != event.id or check.outcome is not Outcome.FAIL or check.limit.high is None:
            continue
        if isinstance(measured, Quantity) and measured.unit in _SECONDS and math.isfinite(measured.value):
            yield measured.value * _SECONDS[measured.unit]


def _drawable(signal: Signal, axis: _Axis) -> tuple[Instants, Values]:
    """The signal's breakpoints inside the run and its values at both ends, thinned."""
    inside = (signal.t_ns > axis.start_ns) & (signal.t_ns < axis.stop_ns)
    t_ns = np.concatenate([[axis.start_ns], signal.t_ns[inside], [axis.stop_ns]]).astype(np.int64)
    value = np.concatenate([[signal.at(axis.start_ns)], signal.value[inside], [signal.at(axis.stop_ns)]])
    return thin(t_ns, value, around=axis.detail_ns)


def _together(t_ns: Instants, power: Values, at_ns: Instants, other: Values) -> tuple[Instants, Values, Values]:
    """Two quantities on the union of their instants; steps of the second keep both of their values."""
    stepped = at_ns.copy()
    stepped[:-1][np.diff(at_ns) == 0] -= 1000  # the axis resolves a microsecond: a step needs two places on it
    both = np.union1d(t_ns, stepped)
    drawn = np.interp(both, t_ns, power)
    drawn[np.searchsorted(both, t_ns)] = power  # interpolation would widen a gap by one sample
    return both, drawn, np.interp(both, stepped, other)


def _spread(instants: Sequence[int], axis: _Axis) -> Instants:
    """At most `_MOST_TICKS` instants, no two closer than a pixel where there are more."""
    ordered = np.unique(np.asarray(instants, dtype=np.int64))
    if ordered.size <= _MOST_TICKS:
        return ordered
    bucket = (ordered - axis.start_ns) * _MOST_TICKS // (axis.stop_ns - axis.start_ns)
    first: Instants = ordered[np.flatnonzero(np.diff(bucket, prepend=-1))]
    return first


def _moves(signal: Signal) -> bool:
    return bool(np.ptp(signal.value) > 0)


def _quantum(values: Values) -> float:
    """A hundred-thousandth of the decade of the largest value: finer than any screen shows without zoom."""
    top = float(np.nanmax(np.abs(values)))
    return 10.0 ** (math.floor(math.log10(top)) - 5) if top > 0 else 1.0


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
