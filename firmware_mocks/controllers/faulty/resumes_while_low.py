"""Gives load back when its time is up, although the frequency is still low.

Breaks static FCR-D R3: delivery does not fall below what it was until the return (check `R3_stay`). Needs a frequency
that stays low for longer than a miner takes to boot.
"""

from __future__ import annotations

import math

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.decision import FrequencyService, Seen
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("long-low", "R3_stay")


class ByTheClock(FrequencyService):
    """Counts the hold-off from the shedding on."""

    def _may_return(self, seen: Seen, frequency_hz: float) -> bool:
        return super()._may_return(seen, math.inf)


class ResumesWhileLow(reference.Controller):
    """A reference controller with such a service."""

    frequency_service = ByTheClock


controller = controller_of(ResumesWhileLow)
