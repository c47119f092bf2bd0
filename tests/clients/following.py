"""How what a client reads follows the physics after a curtailment: the mean delay, and the farthest it strays.

Owns the sampling and the two numbers. The mean delay of a reading is the area between it and the truth over the height
of the step: for an exponential window its time constant, for a plain mean half its length, whatever the truth does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from emulator.wire import SECOND, Instant
from tests.clients.client import Client
from tests.clients.site import Standing
from tests.clients.trials import found

SAMPLES_S = (*range(1, 10), *range(10, 46, 4), *range(50, 121, 14), *range(160, 721, 80))
"""When it is read, from the command on: close together while things move."""
PATIENCE = 5.0
"""How many mean delays back the truth may lie that a reading still shows."""


@dataclass(frozen=True, slots=True)
class Following:
    """How one reading followed the truth."""

    delay_s: float
    """Mean delay behind the truth."""
    stray: float
    """The farthest a reading lay outside what was true within its patience, as a share of the step."""


@dataclass(frozen=True, slots=True)
class _Sample:
    at: Instant
    shown: float


async def follow(client: Client, miner: Standing) -> tuple[Following | None, Following | None]:
    """Stop a miner and read it for twelve minutes; how watts and hash rate followed.

    None for what the client does not tell, and where the miner does not stop.
    """
    handle = await found(client, miner)
    series: tuple[list[_Sample], list[_Sample]] = ([], [])

    async def sample() -> None:
        for seen, value in zip(series, await handle.levels(), strict=True):
            if value is not None:
                seen.append(_Sample(miner.site.now, value))

    await sample()
    began = miner.site.now
    await handle.stop()
    for due_s in SAMPLES_S:
        await miner.site.wait_s(max(0.0, due_s - (miner.site.now - began) / SECOND))
        await sample()
    unit = miner.unit
    watts = _followed(series[0], unit.power_w, unit.energy_j, 0.0)
    rate = _followed(series[1], unit.hash_ths, lambda a, b: unit.mean_hash_ths(a, b) * (b - a) / SECOND, miner.scatter)
    return watts, rate


def _followed(
    seen: Sequence[_Sample],
    truth: Callable[[Instant], float],
    area: Callable[[Instant, Instant], float],
    scatter: float,
) -> Following | None:
    """Compare samples with the truth; `area` is the truth's integral in its unit times seconds.

    A reading's own constant error is taken out by its first sample, unless that scatters.
    """
    if not seen:
        return None  # the client does not tell
    first, last = seen[0], seen[-1]
    gain = 1.0 if scatter > 0.02 else first.shown / truth(first.at)
    step = truth(first.at) - truth(last.at)
    if step < 0.5 * truth(first.at):
        return None
    shown = sum((a.shown + b.shown) / 2 * (b.at - a.at) / SECOND for a, b in pairwise(seen)) / gain
    delay_s = (shown - area(first.at, last.at)) / step
    stray = 0.0
    for sample in seen:
        reach_ns = round((max(delay_s, 0.0) * PATIENCE + 3.0) * SECOND)
        instants = [sample.at - reach_ns * part // 60 for part in range(61)]
        true = [truth(at) for at in instants]
        value = sample.shown / gain
        stray = max(stray, (min(true) - value) / step, (value - max(true)) / step)
    return Following(delay_s, stray)
