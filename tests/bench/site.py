"""A site on paper for tests of judging: a response written down as power levels, and the facts of the run it was in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bench.facts import ProfileEvent, RunFacts, Series
from bench.profile import Timeline, load_profile
from emulator.seed import Seed
from emulator.timeline import Signal

S = 10**9
NOMINAL_W = 650_000.0
COMMITMENT_W = 400_000.0
LEAD_NS = 20 * S

Points = Sequence[tuple[float, float]]
"""(seconds, share of the commitment delivered): linear between points, two at one instant are a step."""


def power(response: Points, stop_ns: int, *, u: float = 0.0, scale: float = 1.0) -> Series:
    """Consumption sampled at 50 Hz with the corners put in exactly. Times count from the profile's zero."""
    corners = Signal([LEAD_NS + round(t * S) for t, _ in response], [share for _, share in response])
    edges = np.concatenate([corners.t_ns, corners.t_ns - 1])
    t_ns = np.unique(np.concatenate([np.arange(0, stop_ns + 1, S // 50), edges[(edges >= 0) & (edges <= stop_ns)]]))
    return Series(t_ns, scale * (NOMINAL_W - COMMITMENT_W * corners.sample(t_ns)), u=u)


def facts(
    profile: str | Timeline, response: Points | Callable[[Timeline], Points], *, hz: float = 60.0, u: float = 0.0
) -> RunFacts:
    """The facts of a run of a library profile (seed 1) in which the site responded like this."""
    timeline = load_profile(profile).expand(NOMINAL_W, Seed(1)) if isinstance(profile, str) else profile
    stop_ns = LEAD_NS + timeline.duration_ns
    points = response(timeline) if callable(response) else response
    return RunFacts(
        run_id="run",
        title="a run on paper",
        power=power(points, stop_ns, u=u),
        signals={name: signal.shifted(LEAD_NS) for name, signal in timeline.signals.items()},
        events=tuple(
            ProfileEvent(e.id, e.kind, e.start_ns + LEAD_NS, e.stop_ns + LEAD_NS, e.label) for e in timeline.events
        ),
        armed_ns=LEAD_NS,
        stop_ns=stop_ns,
        nominal_hz=hz,
        nominal_w=NOMINAL_W,
        commitment_w=COMMITMENT_W,
        complete=True,
        contacts={"meter": 1000, "miner": 20},
    )


def played(
    events: Sequence[tuple[str, str, float, float]], signals: Mapping[str, Points], response: Points,
    duration_s: float, *, hz: float = 60.0, u: float = 0.0,
) -> RunFacts:  # fmt: skip
    """The facts of a run of events (id, kind, start, stop) and signals (corners), seconds after the profile's zero."""
    drawn = {
        name: Signal([round(at * S) for at, _ in points], [value for _, value in points])
        for name, points in signals.items()
    }
    spans = tuple(ProfileEvent(name, kind, round(start * S), round(stop * S)) for name, kind, start, stop in events)
    return facts(Timeline(drawn, spans, round(duration_s * S), {}), response, hz=hz, u=u)


def shed(timeline: Timeline, delay_s: float, share: float = 1.0, back_s: float = 5.0, ramp_s: float = 60.0) -> Points:
    """Shed by a step `delay_s` after the first event begins, and come back by a ramp `back_s` after it stops."""
    start, stop = timeline.events[0].start_ns / S, timeline.events[0].stop_ns / S
    return [
        (0, 0), (start + delay_s, 0), (start + delay_s, share),
        (stop + back_s, share), (stop + back_s + ramp_s, 0),
    ]  # fmt: skip
