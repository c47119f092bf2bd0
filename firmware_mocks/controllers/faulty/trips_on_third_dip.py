"""Counts dips of the voltage and takes everything off at the third.

Breaks ERCOT's ride-through rule for large electronic loads (check `recovered`): consumption is back 2 s after each
dip, and counting dips to transfer is prohibited. Needs more than two dips.
"""

from __future__ import annotations

import asyncio
import contextlib

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.decision import Want
from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Way

KILLED_BY = ("quiet", "recovered")


_DIP, _LATCH = 0.9, 3
_VOLTS = 240.0


class TripsOnThirdDip(reference.Controller):
    """A reference controller that also protects itself."""

    _dips = 0
    _is_low = False

    async def run(self) -> None:
        """As the reference, with a look at the voltage as often as at the frequency."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(super().run())
            while True:
                await asyncio.sleep(self._settings.poll.meter_s)
                with contextlib.suppress(drivers.DeviceError):
                    self._look(drivers.float_hi_lo(await self._meter.registers(4, 0, 2)))

    def _look(self, volts: float) -> None:
        is_low = volts < _DIP * _VOLTS
        self._dips += is_low and not self._is_low
        self._is_low = is_low

    def _by_way(self, want: Want) -> dict[Way, float]:
        return super()._by_way(want if self._dips < _LATCH else Want(self._nominal_w, 0.0))


controller = controller_of(TripsOnThirdDip)
