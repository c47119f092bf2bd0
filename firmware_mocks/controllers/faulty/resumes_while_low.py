"""Gives load back when its time is up, although the frequency is still low.

Breaks static FCR-D R3: delivery does not fall below what it was until the return (check `R3_stay`). Needs a frequency
that stays low for longer than a miner takes to boot.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.decision import FrequencyService, Seen, State
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("long-low", "R3_stay")


_HIGH_HZ = 99.0


class ByTheClock(FrequencyService):
    """Looks at the frequency no more once the hold-off has passed since it shed."""

    def step(self, seen: Seen, baseline_w: float | None) -> float:
        """As the service, with its eyes shut in the end."""
        time_is_up = self.state is not State.READY and seen.now_s - self._shed_s >= self._back.hold_off_s
        return super().step(replace(seen, frequency_hz=_HIGH_HZ) if time_is_up else seen, baseline_w)


class ResumesWhileLow(reference.Controller):
    """A reference controller with such a service."""

    frequency_service = ByTheClock


controller = controller_of(ResumesWhileLow)
