"""How the reference controller speaks to everything on a site: one short module a product, over the wire only.

Owns which inventory entry is spoken to by which driver. A driver makes a request and reads its reply; it decides
nothing and repeats nothing (`hands.py` does). These are clients of real devices: nothing of the emulator is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import aiohttp

from firmware_mocks.controllers.drivers.antminer_stock import AntminerStock
from firmware_mocks.controllers.drivers.auradine import Auradine
from firmware_mocks.controllers.drivers.avalon import Avalon
from firmware_mocks.controllers.drivers.base import DeviceError, HttpStatusError, Miner, Mode
from firmware_mocks.controllers.drivers.bitaxe import Bitaxe
from firmware_mocks.controllers.drivers.braiins import Braiins
from firmware_mocks.controllers.drivers.dispatch import (
    SIGNALS,
    Dispatch,
    DispatchBlock,
    DispatchFeed,
    DispatchReading,
    signal,
)
from firmware_mocks.controllers.drivers.epic import Epic
from firmware_mocks.controllers.drivers.luxos import LuxOs
from firmware_mocks.controllers.drivers.mara import Mara
from firmware_mocks.controllers.drivers.modbus import (
    METERS,
    PDUS,
    ModbusUnit,
    NetioPdu,
    Pdu,
    Reading,
    Sdm630,
    float_hi_lo,
)
from firmware_mocks.controllers.drivers.vnish import Vnish
from firmware_mocks.controllers.drivers.web import http_client
from firmware_mocks.controllers.drivers.whatsminer_v2 import WhatsMinerV2
from firmware_mocks.controllers.drivers.whatsminer_v3 import WhatsMinerV3

__all__ = [
    "METERS", "MINERS", "PDUS", "SIGNALS", "AntminerStock", "Auradine", "Avalon", "Bitaxe", "Braiins", "DeviceError",
    "Dispatch", "DispatchBlock", "DispatchFeed", "DispatchReading", "Epic", "HttpStatusError", "LuxOs", "Mara", "Miner",
    "ModbusUnit", "Mode", "NetioPdu", "Pdu", "Reading", "Sdm630", "Vnish", "WhatsMinerV2", "WhatsMinerV3",
    "float_hi_lo", "http_client", "miner", "signal",
]  # fmt: skip

Entry: TypeAlias = Mapping[str, Any]
_API, _WEB, _REST, _V3 = "api", "web", "rest", "v3"


def _by_web(
    kind: Callable[[str, int, Mapping[str, str], aiohttp.ClientSession], Miner], port: str
) -> Callable[[Entry, aiohttp.ClientSession, float], Miner]:
    return lambda entry, http, _timeout_s: kind(entry["address"], entry["ports"][port], entry["credentials"], http)


MINERS: Mapping[str, Callable[[Entry, aiohttp.ClientSession, float], Miner]] = {
    "antminer-stock": _by_web(AntminerStock, _WEB),
    "auradine": _by_web(Auradine, _REST),
    "avalon": lambda entry, _http, timeout_s: Avalon(entry["address"], entry["ports"][_API], timeout_s),
    "bitaxe": lambda entry, http, _timeout_s: Bitaxe(entry["address"], entry["ports"][_WEB], http),
    "braiins": _by_web(Braiins, _WEB),
    "epic": _by_web(Epic, _API),
    "luxos": lambda entry, _http, timeout_s: LuxOs(entry["address"], entry["ports"][_API], timeout_s),
    "mara": _by_web(Mara, _WEB),
    "vnish": _by_web(Vnish, _WEB),
    "whatsminer": lambda entry, _http, timeout_s: WhatsMinerV2(
        entry["address"], entry["ports"][_API], entry["credentials"], timeout_s
    ),
    "whatsminer-v3": lambda entry, _http, timeout_s: WhatsMinerV3(
        entry["address"], entry["ports"][_V3], entry["credentials"], timeout_s
    ),
}
"""Driver by firmware, from (inventory entry, HTTP client, seconds for one small request)."""


def miner(entry: Entry, http: aiohttp.ClientSession, request_timeout_s: float) -> Miner | None:
    """The driver for an inventory entry; None for a firmware this controller cannot put to sleep."""
    make = MINERS.get(entry["firmware"])
    return None if make is None else make(entry, http, request_timeout_s)
