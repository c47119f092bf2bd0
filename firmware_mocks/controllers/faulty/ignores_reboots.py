"""Looks at the meter until delivery is proven, and then no more.

Breaks the demand to hold what was delivered (GB static FFR, check `hold`): a miner that reboots comes back at full
power, unnoticed. Needs firmware that forgets sleep over a reboot, and miners that reboot.
"""

from __future__ import annotations

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.decision import FrequencyService, Seen
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("whatsminers", "hold")


class OnceProven(FrequencyService):
    """Believes the first reading that is good."""

    _is_proven = False

    def _verify(self, seen: Seen) -> None:
        before_w = self._reduction_w
        if not self._is_proven:
            super()._verify(seen)
            self._is_proven = self._proof.power_w(seen) is not None and self._reduction_w == before_w


class IgnoresReboots(reference.Controller):
    """A reference controller with such a service."""

    frequency_service = OnceProven


controller = controller_of(IgnoresReboots)
