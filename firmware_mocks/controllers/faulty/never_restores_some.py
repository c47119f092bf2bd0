"""Takes what it has told to close for closed, and looks no more.

Breaks the demand to be ready again (static FCR-D R6): an outlet whose command was lost on the way back stays open for
good. Needs a fault that loses requests at the return.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.drivers import DeviceError

KILLED_BY = ("slow-return", "R6")


class ForgetfulPdu(drivers.NetioPdu):
    """A PDU that is believed to have closed whatever came of the command."""

    _believed = False

    async def switch(self, wanted: Mapping[int, bool]) -> None:
        """As the PDU, but a lost command to close counts as carried out."""
        try:
            await super().switch(wanted)
        except DeviceError:
            if not any(wanted.values()):
                raise
            self._believed = True
            self.closed = tuple(wanted.get(output, state) for output, state in enumerate(self.closed, start=1))

    async def refresh(self) -> None:
        """As the PDU, as long as nothing has to be believed."""
        if not self._believed:
            await super().refresh()


class NeverRestoresSome(reference.Controller):
    """A reference controller with such PDUs."""

    def _pdu_driver(self, entry: Mapping[str, Any]) -> drivers.Pdu:
        return ForgetfulPdu(entry["address"], entry["port"], entry["unit"], self._settings.poll.timeout_s)


controller = controller_of(NeverRestoresSome)
