"""What stands on the site besides miners: AI cluster, cooling, house load, solar and wind, as piecewise-linear power.

Each function returns a `Signal` in watts (consumption positive, generation negative) that `emulator/site.py` hangs on a
feeder or on the point of interconnection. Seeded and drawn once, before the run; nothing is stepped while it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emulator.timeline import Signal
from emulator.wire import SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.seed import Seed


def house(power_w: float, points: Sequence[tuple[Instant, float]] = ()) -> Signal:
    """Control room, network, lighting: a constant, or what goes in straight lines from point to point."""
    return Signal(*zip(*points, strict=True)) if points else Signal.constant(power_w)


def ai_training(
    peak_w: float,
    duration_ns: Instant,
    seed: Seed,
    *,
    iteration_s: float = 2.0,
    compute_share: float = 0.75,
    communication_level: float = 0.5,
    edge_s: float = 0.1,
    jitter: float = 0.03,
) -> Signal:
    """One synchronous training job: near peak in the compute phase, lower while gradients are exchanged, in lock-step.

    Defaults lie within published ranges (derived): iteration 0.33-5 s with 2-5 % jitter, communication at 0.3-0.7 of
    peak, edges 20-250 ms. Raises ValueError when the phases are shorter than the edges.
    """
    compute_s = iteration_s * compute_share
    rest_s = iteration_s - compute_s
    if min(compute_s, rest_s) <= edge_s or not 0 < communication_level <= 1:
        raise ValueError("iteration phases must be longer than their edges and the communication level within (0, 1]")
    count = int(duration_ns / (iteration_s * SECOND)) + 2
    lengths = iteration_s * (1 + jitter * np.clip((seed / "iteration").normals(count), -3, 3))
    starts = np.concatenate([[0.0], np.cumsum(lengths)[:-1]]) + (seed / "phase").uniform() * -iteration_s
    stretch = lengths / iteration_s
    knots = np.stack(
        [starts, starts + edge_s, starts + stretch * compute_s, starts + stretch * compute_s + edge_s], axis=1
    )
    low, high = communication_level * peak_w, peak_w
    t_ns = np.rint(knots.ravel() * SECOND).astype(np.int64)
    return Signal(t_ns, np.tile([low, high, high, low], count))


def solar(peak_w: float, sunrise_ns: Instant, sunset_ns: Instant, *, knots: int = 97) -> Signal:
    """Clear-sky plant between sunrise and sunset as a sine arch, negative because it feeds in (estimate of shape)."""
    if sunset_ns <= sunrise_ns:
        raise ValueError("sunset must come after sunrise")
    share = np.linspace(0.0, 1.0, knots)
    t_ns = sunrise_ns + np.rint(share * (sunset_ns - sunrise_ns)).astype(np.int64)
    return Signal(t_ns, -peak_w * np.sin(np.pi * share))


def wind(mean_w: float, duration_ns: Instant, seed: Seed, *, step_s: float = 60.0, swing: float = 0.15) -> Signal:
    """A wind plant as a mean-reverting walk around `mean_w`, one knot every `step_s`, negative because it feeds in.

    `swing` is the relative standard deviation; correlation time 20 min (estimate).
    """
    count = int(duration_ns / (step_s * SECOND)) + 2
    keep = float(np.exp(-step_s / 1200.0))
    push = (seed / "gust").normals(count) * swing * np.sqrt(1 - keep**2)
    level = np.empty(count)
    value = (seed / "start").normal() * swing
    for index in range(count):
        level[index] = value
        value = keep * value + push[index]
    t_ns = np.rint(np.arange(count) * step_s * SECOND).astype(np.int64)
    return Signal(t_ns, -mean_w * np.clip(1.0 + level, 0.0, None))


def cooling(heat: Signal, *, share: float = 0.05) -> Signal:
    """Fans and pumps that take `share` of the heat they remove (PUE 1.05, S: 1.05-1.10 for mining modules)."""
    return heat.scaled(share)
