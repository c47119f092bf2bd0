"""Lowers the power limit of all miners where only sleep is fast.

Breaks full delivery for good (GB static FFR: within 30 s, check `reach`): a new limit makes the firmware take its
boards down, bring them back and creep to the target for minutes. Needs firmware that behaves like that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.hands import MinerHand, Outlet

KILLED_BY = ("small-slice", "over_delivery")


_SHARE = 0.8


class TrimmedV2(drivers.WhatsMinerV2):
    """A miner that is limited instead of stopped."""

    nominal_w = 0.0

    async def set_mode(self, mode: drivers.Mode) -> None:
        """A limit, and the highest one to mine again."""
        await self._write("adjust_power_limit", power_limit=f"{limit_w(self.nominal_w, mode):.0f}")


class TrimmedV3(drivers.WhatsMinerV3):
    """A miner that is limited instead of stopped."""

    nominal_w = 0.0

    async def set_mode(self, mode: drivers.Mode) -> None:
        """A limit, and the highest one to mine again."""
        await self._write("set.miner.power_limit", round(limit_w(self.nominal_w, mode)))


def limit_w(nominal_w: float, mode: drivers.Mode) -> float:
    """The power limit that stands for a mode."""
    return _SHARE * nominal_w if mode == "sleep" else nominal_w


class TrimsPower(reference.Controller):
    """A reference controller with such miners, each of which gives what its limit takes off."""

    def _miner_driver(self, entry: Mapping[str, Any]) -> drivers.Miner | None:
        where, timeout_s = entry["address"], self._settings.retry.request_timeout_s
        ports, credentials = entry["ports"], entry["credentials"]
        miner: TrimmedV2 | TrimmedV3
        if entry["firmware"] == "whatsminer":
            miner = TrimmedV2(where, ports["api"], credentials, timeout_s)
        elif entry["firmware"] == "whatsminer-v3":
            miner = TrimmedV3(where, ports["v3"], credentials, timeout_s)
        else:
            return super()._miner_driver(entry)
        miner.nominal_w = entry["nominal_w"]
        return miner

    def _switch(self, off: Sequence[Outlet | MinerHand], on: Sequence[Outlet | MinerHand]) -> None:
        """All miners share what is asked of some."""
        everyone = list(self._miners.values())
        super()._switch(everyone if off else [], everyone if on and not any(self._asked_w.values()) else [])


controller = controller_of(TrimsPower)
