"""Moves its reduction by whatever the meter is off the set-point, up or down, every two seconds.

Breaks the demand to hold what was delivered (ERCOT ECRS, check `hold`): machines that take minutes are switched by
readings that take milliseconds, and the site swings around the limit. Needs an actuator that lags.
"""

from __future__ import annotations

import math

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.decision import DispatchService, Seen
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("dispatch", "hold")


_EVERY_S = 2.0


class Hunting(DispatchService):
    """Follows a reading every two seconds, without a dead band and without waiting for what it has ordered."""

    _moved_s = -math.inf

    def step(self, seen: Seen, recent_w: float | None, frequency_w: float, frequency_ready: bool) -> float:
        """The reduction that would put this reading right."""
        if seen.power_w is not None and seen.setpoint_w is not None and math.isfinite(seen.setpoint_w):
            if seen.now_s - self._moved_s >= _EVERY_S:
                self._moved_s = seen.now_s
                off_w = seen.power_w - seen.setpoint_w
                self._reduction_w = min(max(0.0, self._reduction_w + off_w), self._nominal_w)
            return self._reduction_w
        return super().step(seen, recent_w, frequency_w, frequency_ready)


class Hunts(reference.Controller):
    """A reference controller with such a service."""

    dispatch_service = Hunting


controller = controller_of(Hunts)
