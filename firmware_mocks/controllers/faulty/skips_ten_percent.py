"""Loses every tenth command on its way out, and counts the unit as shed.

Breaks full delivery: 90 % of what was chosen is under the 95 % that ERCOT RRS asks for (check `reach`), until the
meter tells the controller so seconds later.
"""

from __future__ import annotations

from collections.abc import Sequence

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.hands import MinerHand, Outlet

KILLED_BY = ("under-frequency", "reach")


class SkipsTenPercent(reference.Controller):
    """A reference controller that forgets every tenth unit between choice and command."""

    def _switch(self, off: Sequence[Outlet | MinerHand], on: Sequence[Outlet | MinerHand]) -> None:
        super()._switch([unit for place, unit in enumerate(off) if place % 10], on)


controller = controller_of(SkipsTenPercent)
