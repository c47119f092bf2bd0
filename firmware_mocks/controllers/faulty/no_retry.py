"""Sends each command once and takes no answer for done.

Breaks full delivery when a request or its reply is lost (check `reach`): nobody asks again, and the unit counts as
shed. Needs a fault that loses requests; without one it is the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.drivers import DeviceError, Mode

KILLED_BY = ("lost-requests", "reach")


class OncePdu:
    """A PDU whose failed command counts as carried out."""

    def __init__(self, pdu: drivers.Pdu) -> None:
        self._pdu = pdu
        self.name = pdu.name
        self.refresh, self.close = pdu.refresh, pdu.close

    @property
    def closed(self) -> tuple[bool, ...]:
        """Relay states as last read."""
        return self._pdu.closed

    async def switch(self, wanted: Mapping[int, bool]) -> None:
        """Once, whatever comes of it."""
        try:
            await self._pdu.switch(wanted)
        except DeviceError:
            return


class OnceMiner:
    """A miner whose failed command counts as carried out."""

    def __init__(self, miner: drivers.Miner) -> None:
        self._miner = miner

    async def set_mode(self, mode: Mode) -> None:
        """Once, whatever comes of it."""
        try:
            await self._miner.set_mode(mode)
        except DeviceError:
            return


class NoRetry(reference.Controller):
    """A reference controller that never repeats a command."""

    def _pdu_driver(self, entry: Mapping[str, Any]) -> drivers.Pdu:
        return OncePdu(super()._pdu_driver(entry))

    def _miner_driver(self, entry: Mapping[str, Any]) -> drivers.Miner | None:
        miner = super()._miner_driver(entry)
        return None if miner is None else OnceMiner(miner)


def controller(
    inventory: Mapping[str, Any], config: reference.Config = None, *, ready: Callable[[], None] = lambda: None
) -> Coroutine[Any, Any, None]:
    """The reference controller with this defect."""
    return reference.controller(inventory, config, ready=ready, kind=NoRetry)
