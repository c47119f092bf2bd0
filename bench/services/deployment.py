"""One event as one service sees it: when the clock starts, what is asked, when it ends, and the power that answered.

Owns finding these instants in the grid's signals, exactly; it judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench import measure
from bench.facts import ProfileEvent, RunFacts, Series
from bench.services.model import Clock
from bench.verdict import NotComputable, Quantity
from emulator.timeline import Signal

BASELINE_NS = 5 * 10**9
"""The level before an event is the mean over this long before it (estimate; shorter where the recording is)."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """An event that a service was called by. Instants are nanoseconds of the run.

    `power` is consumption, `reduction` is P0 - P; `asked_w` is what must be delivered. The obligation runs from
    `start_ns` to `until_ns`; the site may come back at `release_ns`; up to `end_ns` the trace belongs to this event.
    `released` is False where the trace ends first.
    """

    facts: RunFacts
    event: ProfileEvent
    power: Series
    reduction: Series
    p0: Quantity
    unsteadiness: Quantity
    asked_w: float
    start_ns: int
    until_ns: int
    release_ns: int
    end_ns: int
    released: bool
    base_at_ns: int = 0
    """The instant before which the site's level counts."""
    left_out: str = ""
    """What of the event is asked of nobody here; empty where that is nothing."""

    @property
    def ended(self) -> str:
        """What ends the trace of this event."""
        return "the recording ends" if self.end_ns >= self.facts.stop_ns else "the next event begins"


def find(facts: RunFacts, clock: Clock, event: ProfileEvent) -> Deployment | str:
    """The deployment that `event` is on `clock`, or the reason why it is none."""
    end = _end(facts, event)
    stop = min(event.stop_ns, end)
    start = _start(facts, clock, event, stop)
    if isinstance(start, str):
        return start
    release, released = _release(facts, clock, event, start, end)
    base_at = event.start_ns if clock.baseline == "event" else min(e.start_ns for e in facts.events)
    base = measure.baseline(facts.power, *baseline_span(facts.power, base_at))
    if isinstance(base, NotComputable):
        return f"the power before the event is not known: {base.reason}"
    asked = facts.commitment_w
    if clock.starts == "dispatch":
        asked = base.mean.value - _lowest(facts.signals["dispatch"], start, min(release, stop))[1]
        if asked <= 0:
            return f"the dispatch asked for nothing: the site drew {base.mean.value:.0f} W already"
    follows = clock.release in ("recall", "recall_or_event", "dispatch")
    return Deployment(
        facts=facts,
        event=event,
        power=facts.power,
        reduction=measure.delivered(facts.power, base.mean),
        p0=base.mean,
        unsteadiness=base.unsteadiness,
        asked_w=asked,
        start_ns=start,
        until_ns=release if follows else min(release, stop),
        release_ns=release,
        end_ns=end,
        released=released,
        base_at_ns=base_at,
        left_out=_left_out(facts, clock, event, start),
    )


def _left_out(facts: RunFacts, clock: Clock, event: ProfileEvent, start: int) -> str:
    """That a dispatch was lowered before its last instruction, which is the one that counts."""
    if clock.starts != "dispatch":
        return ""
    signal = facts.signals["dispatch"]
    first = _leaves(signal, _before(signal, event.start_ns), event.start_ns, start)
    if first is None or first >= start:
        return ""
    return f"what was asked before its last instruction, {(start - first) / 1e9:g} s after its first"


def baseline_span(power: Series, at_ns: int) -> tuple[int, int]:
    """The stretch before `at_ns` whose mean is the level before an event; no sample in it has seen the event."""
    first = int(power.t_ns[0]) if power.t_ns.size else at_ns
    start = max(first, at_ns - BASELINE_NS)
    return start, measure.whole(power, start, at_ns)[1]


def _end(facts: RunFacts, event: ProfileEvent) -> int:
    """The start of the next event after this one, or the end of the run; a `return` belongs to the event before it.

    An event that begins while this one lasts ends nothing: what was asked is asked until it is released.
    """
    return next_start(facts, max(event.stop_ns, event.start_ns + 1))


def next_start(facts: RunFacts, since: int) -> int:
    """The first start of an event at `since` or later, a `return` not counted, or the end of the run."""
    return min([facts.stop_ns, *(e.start_ns for e in facts.events if e.start_ns >= since and e.kind != "return")])


def _start(facts: RunFacts, clock: Clock, event: ProfileEvent, stop: int) -> int | str:
    """The instant the obligation begins, or why it never does."""
    if clock.starts == "event":
        return event.start_ns
    signal = facts.signals.get(clock.starts)
    if signal is None:
        return f"the run has no {clock.starts} signal"
    if clock.starts == "dispatch":
        fall = _last_fall(signal, event.start_ns, stop)
        return "the dispatch asked for no reduction" if fall is None else fall
    assert clock.level is not None  # noqa: S101 the file reader gives every frequency clock its level
    level = clock.level.value
    before = _before(signal, event.start_ns)
    if before < level or (before == level and not clock.strict):
        return f"the frequency was at {before:g} Hz before the event already, the trigger is {clock.level}"
    if clock.strict:
        start = _leaves(signal, level, event.start_ns, stop)
    else:
        start = signal.first_crossing(level, falling=True, start=event.start_ns, stop=stop)
    if start is None:
        lowest = _lowest(signal, event.start_ns, stop)[1]
        return f"the frequency never fell to the trigger of {clock.level}; its lowest was {lowest:g} Hz"
    if clock.reaches is not None and clock.within is not None:
        deadline = start + round(clock.within.value * 1e9)
        if _lowest(signal, start, deadline)[1] > clock.reaches.value * (1 + 1e-12):
            return f"the frequency did not fall to {clock.reaches} within {clock.within}: this is another test"
    return start


def _release(facts: RunFacts, clock: Clock, event: ProfileEvent, start: int, end: int) -> tuple[int, bool]:
    """When the site may return, and whether that came before the trace ends."""
    found: list[int | None] = []
    recall, dispatch, frequency = (facts.signals.get(name) for name in ("recall", "dispatch", "frequency"))
    if clock.release in ("recall", "recall_or_event", "dispatch") and recall is not None:
        found.append(recall.first_crossing(recall.at(start) + 0.5, falling=False, start=start, stop=end))
    if clock.release == "dispatch" and dispatch is not None:
        at, lowest = _lowest(dispatch, start, min(event.stop_ns, end))
        found.append(_rises(dispatch, lowest, at, end))
    if clock.release == "frequency" and frequency is not None and clock.release_level is not None:
        at, _ = _lowest(frequency, start, min(event.stop_ns, end))
        stays_ns = 0 if clock.release_for is None else round(clock.release_for.value * 1e9)
        back = _back(frequency, clock.release_level.value, stays_ns, at, end)
        return (end, False) if back is None else (back, True)
    instants = [instant for instant in found if instant is not None]
    if instants:
        return min(instants), True
    if clock.release == "recall":
        return end, False  # no message came: nothing was recalled, whatever the profile calls the event's end
    return min(event.stop_ns, end), event.stop_ns < facts.stop_ns


def _back(signal: Signal, level: float, stays_ns: int, start: int, stop: int) -> int | None:
    """The first instant from which the signal is at `level` or above for as long as `stays_ns`, or to `stop`."""
    at = start
    while (back := signal.first_crossing(level, falling=False, start=at, stop=stop)) is not None:
        gone = _leaves(signal, level, back, min(back + stays_ns, stop))
        if gone is None:
            return back
        at = gone + 1  # the last instant at the level: from the next on it is below
    return None


def _before(signal: Signal, instant: int) -> float:
    """The value that holds just before `instant`."""
    index = int(np.searchsorted(signal.t_ns, instant, side="left"))
    if index < signal.t_ns.size and signal.t_ns[index] == instant:
        return float(signal.value[index])
    return signal.at(instant)


def _knots(signal: Signal, start: int, stop: int) -> list[tuple[int, float]]:
    """Breakpoints over [start, stop], with the value just before `start` first and the one at `stop` last."""
    inside = (signal.t_ns >= start) & (signal.t_ns <= stop)
    middle = zip(signal.t_ns[inside].tolist(), signal.value[inside].tolist(), strict=True)
    return [(start, _before(signal, start)), *middle, (stop, signal.at(stop))]


def _lowest(signal: Signal, start: int, stop: int) -> tuple[int, float]:
    """The last instant of the lowest value over [start, stop], and that value."""
    knots = [(start, signal.at(start)), *_knots(signal, start, stop)[1:]]
    low = min(value for _, value in knots)
    return max(t for t, value in knots if value == low), low


def _last_fall(signal: Signal, start: int, stop: int) -> int | None:
    """When the fall to the lowest value over [start, stop] begins; None where the signal falls no further than before.

    A dispatch that is lowered twice asks for its last amount from its last instruction on, not from its first.
    """
    knots = _knots(signal, start, stop)
    low = min(value for _, value in knots)
    if low >= knots[0][1]:
        return None
    place = next(index for index, (_, value) in enumerate(knots) if value == low)
    while place > 1 and knots[place - 2][1] > knots[place - 1][1]:
        place -= 1
    return knots[place - 1][0]


def _leaves(signal: Signal, level: float, start: int, stop: int) -> int | None:
    """The last instant at `level` before the signal is strictly below it."""
    return _departs(signal, level, start, stop, -1.0)


def _rises(signal: Signal, level: float, start: int, stop: int) -> int | None:
    """The last instant at `level` before the signal is strictly above it."""
    return _departs(signal, level, start, stop, 1.0)


def _departs(signal: Signal, level: float, start: int, stop: int, sign: float) -> int | None:
    knots = _knots(signal, start, stop)
    at, value = knots[0]
    for knot_at, knot in knots:
        if (knot - level) * sign > 0:
            if knot == value:
                return at
            return at + max(0, int((level - value) / (knot - value) * (knot_at - at)))
        at, value = knot_at, knot
    return None
