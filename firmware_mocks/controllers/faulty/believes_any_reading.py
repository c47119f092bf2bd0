"""Takes whatever the meter says for the frequency of the grid.

Breaks the demand not to move unasked (check `still`): meters read 0.0 while they measure nothing, which is as deep a
frequency as there is. Needs a meter that does so.
"""

from __future__ import annotations

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("quiet", "still")


class BelievesAnyReading(reference.Controller):
    """A reference controller without the check of plausibility."""

    def _believed(self, frequency_hz: float, now_s: float) -> float | None:
        return frequency_hz


controller = controller_of(BelievesAnyReading)
