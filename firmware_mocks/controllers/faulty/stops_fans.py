"""Switches the fans off together with the boards.

Breaks the demand that cooling runs on after a stop (check `cooled`). Needs firmware that lets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("whatsminers", "cooled")


class Uncooled(drivers.WhatsMinerV2):
    """A miner that saves the last watts."""

    async def set_mode(self, mode: drivers.Mode) -> None:
        """As the miner, without cooling while it is off."""
        await self._write("set_poweroff_cool", poweroff_cool="0")
        await super().set_mode(mode)


class StopsFans(reference.Controller):
    """A reference controller with such miners."""

    def _miner_driver(self, entry: Mapping[str, Any]) -> drivers.Miner | None:
        if entry["firmware"] != "whatsminer":
            return super()._miner_driver(entry)
        timeout_s = self._settings.retry.request_timeout_s
        return Uncooled(entry["address"], entry["ports"]["api"], entry["credentials"], timeout_s)


controller = controller_of(StopsFans)
