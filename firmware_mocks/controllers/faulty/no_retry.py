"""Sends each command once and takes no answer for done.

Breaks full delivery when a request or its reply is lost (check `reach`): nobody asks again, and the unit counts as
shed. Needs a fault that loses requests; without one it is the reference.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import Forgiving, OtherPdu, controller_of
from firmware_mocks.controllers.drivers import DeviceError

KILLED_BY = ("lost-requests", "reach")


class OncePdu(OtherPdu):
    """A PDU whose failed command counts as carried out."""

    async def switch(self, wanted: Mapping[int, bool]) -> None:
        """Once, whatever comes of it."""
        with contextlib.suppress(DeviceError):
            await super().switch(wanted)


class NoRetry(reference.Controller):
    """A reference controller that never repeats a command."""

    def _pdu_driver(self, entry: Mapping[str, Any]) -> drivers.Pdu:
        return OncePdu(super()._pdu_driver(entry))

    def _miner_driver(self, entry: Mapping[str, Any]) -> drivers.Miner | None:
        miner = super()._miner_driver(entry)
        return None if miner is None else Forgiving(miner, lambda _error: True)


controller = controller_of(NoRetry)
