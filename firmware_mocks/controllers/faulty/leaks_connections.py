"""Opens a connection for each command and never closes it.

Breaks delivery as soon as the device has no more connections to give (ERCOT RRS-UFR, check `reach` of a later call).
Needs a device with a limit, and more commands than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("three-calls", "reach")


class LeakyPdu(drivers.NetioPdu):
    """A PDU that is called anew for each command."""

    def __init__(self, address: str, port: int, unit: int, timeout_s: float) -> None:
        super().__init__(address, port, unit, timeout_s)
        self._where = address, port, unit, timeout_s
        self._leaked: list[drivers.NetioPdu] = []

    async def switch(self, wanted: Mapping[int, bool]) -> None:
        """As the PDU, over a connection that stays."""
        self._leaked.append(drivers.NetioPdu(*self._where))
        await self._leaked[-1].switch(wanted)
        await self.refresh()

    def close(self) -> None:
        """All end at last."""
        for one in self._leaked:
            one.close()
        super().close()


class LeaksConnections(reference.Controller):
    """A reference controller with such PDUs."""

    def _pdu_driver(self, entry: Mapping[str, Any]) -> drivers.Pdu:
        return LeakyPdu(entry["address"], entry["port"], entry["unit"], self._settings.poll.timeout_s)


controller = controller_of(LeaksConnections)
