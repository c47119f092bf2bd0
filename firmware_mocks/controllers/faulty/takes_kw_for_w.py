"""Takes the kilowatts of the set-point for watts.

Breaks the upper bound of delivery (ERCOT ECRS: 150 %, check `over_delivery`): the whole site goes off. Needs a set-
point that is not in watts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("dispatch", "over_delivery")


class Watts(drivers.DispatchBlock):
    """A dispatch block in whose document the unit was overlooked."""

    def watts(self, registers: Sequence[int]) -> float:
        """The allowed consumption, a thousand times too small."""
        return super().watts(registers) / 1e3


class TakesKwForW(reference.Controller):
    """A reference controller with such a block."""

    def _dispatch_driver(self, entry: Mapping[str, Any]) -> drivers.DispatchBlock:
        return Watts(entry["address"], entry["port"], entry["unit"], self._settings.poll.timeout_s)


controller = controller_of(TakesKwForW)
