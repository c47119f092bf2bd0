"""Takes the sum of its miners' nameplates for the consumption of the site.

Breaks the demand to hold what was dispatched (ERCOT ECRS, check `hold`): what house, cooling and losses draw besides
is not seen to grow. Needs a house load that does.
"""

from __future__ import annotations

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("dispatch", "hold")


class IgnoresHouseLoad(reference.Controller):
    """A reference controller that keeps books instead of reading the meter."""

    def _consumption_w(self, metered: drivers.Reading) -> float:
        return sum(miner.nominal_w for miner in self._miners.values() if miner.awake and miner.powered)


controller = controller_of(IgnoresHouseLoad)
