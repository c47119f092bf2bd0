"""Speaks to Braiins OS as if it were LuxOS: both answer on port 4028.

Breaks full delivery (GB static FFR, check `reach`): no such command there, and the miners mine on. Needs both makes
to be needed for what was sold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("aftermarket", "reach")


class LuxOsVerbsToBraiins(reference.Controller):
    """A reference controller that takes one aftermarket firmware for another."""

    def _miner_driver(self, entry: Mapping[str, Any]) -> drivers.Miner | None:
        if entry["firmware"] != "braiins":
            return super()._miner_driver(entry)
        return drivers.LuxOs(entry["address"], entry["ports"]["api"], self._settings.retry.request_timeout_s)


controller = controller_of(LuxOsVerbsToBraiins)
