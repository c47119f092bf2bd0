"""Stays at the failsafe limit for good once the signal was away.

Breaks the return after the signal's (check `back`). Needs a publisher that dies and comes back.
"""

from __future__ import annotations

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.limits import Limits

KILLED_BY = ("dead-signal", "back")


class Latched(Limits):
    """Limits whose failsafe is never taken back."""

    _was_dead = False

    def _is_dead(self, now_s: float) -> bool:
        self._was_dead = self._was_dead or super()._is_dead(now_s)
        return self._was_dead


class NeverRecoversFromADeadSignal(reference.Controller):
    """A reference controller with such limits."""

    limits = Latched


controller = controller_of(NeverRecoversFromADeadSignal)
