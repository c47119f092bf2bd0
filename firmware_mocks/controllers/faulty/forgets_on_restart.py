"""Begins anew after a restart as if nothing were off.

Breaks the upper bound of delivery (ERCOT RRS-UFR: 150 %, check `over_delivery`): what is off is left alone as
somebody else's, and as much again is shed. Needs a restart while load is off.
"""

from __future__ import annotations

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("brink", "over_delivery")


class ForgetsOnRestart(reference.Controller):
    """A reference controller without a memory."""

    def _take_up(self, now_s: float) -> None:
        return


controller = controller_of(ForgetsOnRestart)
