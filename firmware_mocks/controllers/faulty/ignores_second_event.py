"""Hears the first call and no further one.

Breaks full delivery at every call (ERCOT RRS-UFR, check `reach`): a trigger by edge that is never armed again. Needs
two events in one run.
"""

from __future__ import annotations

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("three-calls", "reach")


class IgnoresSecondEvent(reference.Controller):
    """A reference controller that stops listening once it has given load back."""

    _has_shed = False

    def _believed(self, frequency_hz: float, now_s: float) -> float | None:
        is_off = any(self._asked_w.values())
        self._has_shed = self._has_shed or is_off
        return None if self._has_shed and not is_off else super()._believed(frequency_hz, now_s)


controller = controller_of(IgnoresSecondEvent)
