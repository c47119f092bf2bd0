"""How the reference controller hears the operator's set-point: the block on Modbus, or the feed over HTTP.

Owns what both come down to, a `DispatchReading`; what follows from it is decided elsewhere (`limits.py`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from firmware_mocks.controllers.drivers.base import DeviceError
from firmware_mocks.controllers.drivers.modbus import ModbusUnit, float_hi_lo
from firmware_mocks.controllers.drivers.web import Web
from firmware_mocks.controllers.modbus_link import Links

SIGNALS = ("ramprig_dispatch", "ramprig_feed")


@dataclass(frozen=True, slots=True)
class DispatchReading:
    """What the operator asks. `setpoint_w` is infinite while consumption is not limited."""

    setpoint_w: float
    recall: int
    heartbeat: int = 0
    """It moves as long as the publisher lives, and stands still where he is dead."""


class Dispatch(Protocol):
    """What the operator's set-point is read from."""

    async def read(self) -> DispatchReading:
        """What is asked now. Raises DeviceError."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class DispatchBlock(ModbusUnit):
    """Set-point block of the RTU, FC04: 1 recall counter, 2-3 allowed kW float hi-lo, 6 heartbeat, 7 flags."""

    async def read(self) -> DispatchReading:
        """The whole block in one request, so that set-point and recall belong together."""
        block = await self.registers(4, 0, 8)
        limited = bool(block[7] & 1)
        setpoint_w = float_hi_lo(block[2:4]) * 1e3 if limited else math.inf
        return DispatchReading(setpoint_w, recall=block[1], heartbeat=block[6])


class DispatchFeed:
    """The operator's feed over HTTP: orders with ids, revisions and times (docs/reference/signals.md).

    Every active order counts, the lowest set-point wins; of two revisions of one order the higher one, whichever came
    last. A reply is the only sign of life the feed gives, so the heartbeat counts them.
    """

    def __init__(self, entry: Mapping[str, Any], http: aiohttp.ClientSession, timeout_s: float) -> None:
        self._web = Web(entry["url"], http)
        self._path = entry["resources"]["dispatch"].removeprefix("/")
        login = entry["credentials"]
        self._headers = {}
        if login["username"]:
            self._headers["Authorization"] = aiohttp.encode_basic_auth(login["username"], login["password"])
        self._timeout_s = timeout_s
        self._replies = 0

    async def read(self) -> DispatchReading:
        """What is asked now."""
        try:
            async with asyncio.timeout(self._timeout_s):
                said = await self._web.call("GET", self._path, headers=self._headers)
            latest: dict[str, Mapping[str, Any]] = {}
            for order in said["orders"]:
                known = latest.get(order["id"])
                if known is None or order["revision"] >= known["revision"]:
                    latest[order["id"]] = order
            asked_w = [1e3 * float(order["setpoint_kw"]) for order in latest.values() if order["status"] == "active"]
            recall = int(said["recall_count"])
        except (TimeoutError, ValueError, KeyError, TypeError) as error:
            raise DeviceError(f"{self._web.base}/{self._path}: {error or type(error).__name__}") from error
        self._replies += 1
        return DispatchReading(min(asked_w, default=math.inf), recall, heartbeat=self._replies)

    def close(self) -> None:
        """Nothing is kept."""


def signal(entry: Mapping[str, Any], links: Links, http: aiohttp.ClientSession, timeout_s: float) -> Dispatch:
    """The driver for an inventory entry of one of the SIGNALS."""
    if entry["product"] == "ramprig_feed":
        return DispatchFeed(entry, http, timeout_s)
    return DispatchBlock(links.to(entry), entry["unit"])
