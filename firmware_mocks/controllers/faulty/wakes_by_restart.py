"""Wakes WhatsMiners by restarting their mining process, without fast boot.

Breaks the return within minutes (check `returned`): the up-frequency run takes a quarter of an hour and more. Needs a
fleet of them, and a site that is to be back before that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("whatsminers", "returned")


class RestartedV2(drivers.WhatsMinerV2):
    """A miner that is woken as a miner in trouble is."""

    async def set_mode(self, mode: drivers.Mode) -> None:
        """power_off, or restart_btminer, which starts a stopped miner too."""
        await self._write("power_off" if mode == "sleep" else "restart_btminer")


class RestartedV3(drivers.WhatsMinerV3):
    """A miner that is woken as a miner in trouble is."""

    async def set_mode(self, mode: drivers.Mode) -> None:
        """Stop the service, or restart it."""
        await self._write("set.miner.service", "stop" if mode == "sleep" else "restart")


class WakesByRestart(reference.Controller):
    """A reference controller with such miners."""

    def _miner_driver(self, entry: Mapping[str, Any]) -> drivers.Miner | None:
        where, timeout_s = entry["address"], self._settings.retry.request_timeout_s
        ports, credentials = entry["ports"], entry["credentials"]
        if entry["firmware"] == "whatsminer":
            return RestartedV2(where, ports["api"], credentials, timeout_s)
        if entry["firmware"] == "whatsminer-v3":
            return RestartedV3(where, ports["v3"], credentials, timeout_s)
        return super()._miner_driver(entry)


controller = controller_of(WakesByRestart)
