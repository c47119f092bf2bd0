"""Follows its staircase the wrong way: more load the lower the frequency.

Breaks static FCR-D R2 (86 % after 7.5 s) and every other delivery: nothing is shed when it is needed. Needs a
frequency below the threshold.
"""

from __future__ import annotations

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("slow-return", "R2")


class DroopSign(reference.Controller):
    """A reference controller with the sign of its droop turned round."""

    def _believed(self, frequency_hz: float, now_s: float) -> float | None:
        return super()._believed(2.0 * self._nominal_hz - frequency_hz, now_s)


controller = controller_of(DroopSign)
