"""Leaves out machines whose reading is under a floor of 3 kW, as if they were off.

Breaks full delivery (GB static FFR, check `reach`): on a site of small machines nothing is left to shed. Needs such
machines, and a commitment that cannot do without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("aftermarket", "reach")


_FLOOR_W = 3000.0


class DropsSmallUnits(reference.Controller):
    """A reference controller that takes a low reading for a miner that is off."""

    def _miner_driver(self, entry: Mapping[str, Any]) -> drivers.Miner | None:
        return super()._miner_driver(entry) if entry["nominal_w"] >= _FLOOR_W else None


controller = controller_of(DropsSmallUnits)
