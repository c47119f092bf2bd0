"""Takes the kilowatts of the set-point for watts.

Breaks the upper bound of delivery (ERCOT ECRS: 150 %, check `over_delivery`): the whole site goes off. Needs a set-
point that is not in watts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("dispatch", "over_delivery")


class Watts:
    """A source of set-points in whose document the unit was overlooked."""

    def __init__(self, source: drivers.Dispatch) -> None:
        self._source = source
        self.close = source.close

    async def read(self) -> drivers.DispatchReading:
        """What is asked, a thousand times too little."""
        reading = await self._source.read()
        return replace(reading, setpoint_w=reading.setpoint_w / 1e3)


class TakesKwForW(reference.Controller):
    """A reference controller with such a source."""

    def _dispatch_driver(self, entry: Mapping[str, Any]) -> drivers.Dispatch:
        return Watts(super()._dispatch_driver(entry))


controller = controller_of(TakesKwForW)
