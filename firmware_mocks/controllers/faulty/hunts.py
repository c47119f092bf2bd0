"""Moves its reduction by whatever the last reading of the meter is off the set-point, up or down.

Breaks the demand to hold what was delivered (ERCOT ECRS, check `hold`): machines that take minutes are switched by
readings that take milliseconds, and the site swings around the limit. Needs an actuator that lags.
"""

from __future__ import annotations

import math

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.decision import DispatchService, Seen
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("dispatch", "hold")


class Hunting(DispatchService):
    """Follows each reading at once, without a dead band and without waiting for what it has ordered."""

    def step(self, seen: Seen, recent_w: float | None, frequency_w: float, frequency_ready: bool) -> float:
        """The reduction that would put this reading right."""
        if seen.power_w is not None and seen.setpoint_w is not None and math.isfinite(seen.setpoint_w):
            off_w = seen.power_w - seen.setpoint_w
            self._reduction_w = min(max(0.0, self._reduction_w + off_w), self._nominal_w)
            return self._reduction_w
        return super().step(seen, recent_w, frequency_w, frequency_ready)


class Hunts(reference.Controller):
    """A reference controller with such a service."""

    dispatch_service = Hunting


controller = controller_of(Hunts)
