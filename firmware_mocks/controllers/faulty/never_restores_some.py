"""Takes what it has told to close for closed, and looks no more.

Breaks the demand to be ready again (static FCR-D R6): an outlet whose command was lost on the way back stays open for
good. Needs a fault that loses requests at the return.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import OtherPdu, controller_of
from firmware_mocks.controllers.drivers import DeviceError

KILLED_BY = ("slow-return", "R6")


class ForgetfulPdu(OtherPdu):
    """A PDU that is believed to have closed whatever came of the command."""

    _believed: Mapping[int, bool] = {}

    @property
    def closed(self) -> tuple[bool, ...]:
        """Relay states as last read, or as believed."""
        return tuple(self._believed.get(output, state) for output, state in enumerate(self._pdu.closed, start=1))

    async def switch(self, wanted: Mapping[int, bool]) -> None:
        """As the PDU, but a lost command to close counts as carried out."""
        rest = {output: state for output, state in wanted.items() if self._believed.get(output) != state}
        try:
            await self._pdu.switch(rest)
        except DeviceError:
            if not any(rest.values()):
                raise
            self._believed = {**self._believed, **{output: True for output, state in rest.items() if state}}


class NeverRestoresSome(reference.Controller):
    """A reference controller with such PDUs."""

    def _pdu_driver(self, entry: Mapping[str, Any]) -> drivers.Pdu:
        return ForgetfulPdu(super()._pdu_driver(entry))


controller = controller_of(NeverRestoresSome)
