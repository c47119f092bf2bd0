"""Takes how far the frequency is off for how low it is.

Breaks the demand not to move unasked (check `still`): a sign error of the deviation sheds load when there is too much
generation. Needs a frequency above nominal.
"""

from __future__ import annotations

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("quiet", "still")


class ShedsOnHighFrequency(reference.Controller):
    """A reference controller that folds frequencies above nominal below it."""

    def _believed(self, frequency_hz: float, now_s: float) -> float | None:
        return super()._believed(self._nominal_hz - abs(frequency_hz - self._nominal_hz), now_s)


controller = controller_of(ShedsOnHighFrequency)
