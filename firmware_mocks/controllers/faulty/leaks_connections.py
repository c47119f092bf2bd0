"""Opens a connection for each command and never closes it.

Breaks delivery as soon as the device has no more connections to give (ERCOT RRS-UFR, check `reach` of a later call).
Needs a device with a limit, and more commands than that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import OtherPdu, controller_of

KILLED_BY = ("three-calls", "reach")


class LeakyPdu(OtherPdu):
    """A PDU that is called anew for each command."""

    def __init__(self, call: Callable[[], drivers.Pdu]) -> None:
        super().__init__(call())
        self._call = call
        self._leaked: list[drivers.Pdu] = []

    async def switch(self, wanted: Mapping[int, bool]) -> None:
        """As the PDU, over a connection that stays."""
        self._leaked.append(self._call())
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
        called = super()._pdu_driver
        return LeakyPdu(lambda: called(entry))


controller = controller_of(LeaksConnections)
