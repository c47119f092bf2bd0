"""Takes a reply for stale whose time stamp is older than the youngest it has heard, from whatever device.

Breaks full delivery (GB static FFR, check `reach`): clocks of miners differ, some count from their boot, and a miner
that sleeps is never believed. Needs clocks that differ.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.drivers.socket_api import row

KILLED_BY = ("aftermarket", "reach")


class Stamped(drivers.Avalon):
    """A miner whose reply counts if no other device's was younger. `youngest` is shared by all."""

    def __init__(self, address: str, port: int, timeout_s: float, youngest: list[int]) -> None:
        super().__init__(address, port, timeout_s)
        self._youngest = youngest

    async def set_mode(self, mode: drivers.Mode) -> None:
        """A look first; who is of the past is not commanded."""
        await self._ask("version")
        await super().set_mode(mode)

    async def _ask(self, command: str, parameter: str = "") -> dict[str, Any]:
        reply = await super()._ask(command, parameter)
        when = int(row(reply, "STATUS").get("When", 0))
        if when < self._youngest[0]:
            raise drivers.DeviceError(f"{self._address}: {command}: the reply is of {when}, which is past")
        self._youngest[0] = when
        return reply


class OrdersByDeviceTime(reference.Controller):
    """A reference controller with such miners."""

    def _miner_driver(self, entry: Mapping[str, Any]) -> drivers.Miner | None:
        if entry["firmware"] != "avalon":
            return super()._miner_driver(entry)
        timeout_s = self._settings.retry.request_timeout_s
        return Stamped(entry["address"], entry["ports"]["api"], timeout_s, self._youngest)

    @functools.cached_property
    def _youngest(self) -> list[int]:
        return [0]


controller = controller_of(OrdersByDeviceTime)
