"""Strikes a miner that refuses connections off its list, and counts it as asleep.

Breaks full delivery (GB static FFR, check `reach`): a miner that happened to reboot comes up and mines. Needs miners
that reboot when the call comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import Forgiving, controller_of

KILLED_BY = ("unhelped", "reach")


class ForgetsRebooting(reference.Controller):
    """A reference controller that asks a miner which is not there no second time."""

    def _miner_driver(self, entry: Mapping[str, Any]) -> drivers.Miner | None:
        miner = super()._miner_driver(entry)
        return None if miner is None else Forgiving(miner, _is_good_enough)


def _is_good_enough(error: drivers.DeviceError) -> bool:
    return isinstance(error.__cause__, ConnectionError | aiohttp.ClientConnectorError)


controller = controller_of(ForgetsRebooting)
