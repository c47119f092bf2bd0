"""Miner firmware: one module for each vendor firmware, found by name.

Owns the list of firmwares. One that ships is a line in `SHIPPED`; one of another distribution is an entry point in the
group "ramprig.miner_firmware"; one of a test or a script is given to `register`. All three are a `Firmware`.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from firmware_mocks.miners.base import Credentials, Firmware, HostInfo, MinerDevice, MinerUnit

__all__ = [
    "Credentials",
    "Firmware",
    "FirmwareError",
    "HostInfo",
    "MinerDevice",
    "MinerUnit",
    "load",
    "names",
    "register",
]

SHIPPED = {
    "antminer-stock": "firmware_mocks.miners.antminer_stock",
    "auradine": "firmware_mocks.miners.auradine",
    "avalon": "firmware_mocks.miners.avalon",
    "bitaxe": "firmware_mocks.miners.bitaxe",
    "braiins": "firmware_mocks.miners.braiins",
    "epic": "firmware_mocks.miners.epic",
    "luxos": "firmware_mocks.miners.luxos",
    "mara": "firmware_mocks.miners.mara",
    "vnish": "firmware_mocks.miners.vnish",
    "whatsminer": "firmware_mocks.miners.whatsminer",
    "whatsminer-v3": "firmware_mocks.miners.whatsminer_v3",
}
ENTRY_POINTS = "ramprig.miner_firmware"
_registered: dict[str, Firmware] = {}


class FirmwareError(ValueError):
    """A firmware that does not exist or cannot be loaded; names it and the remedy."""


def names() -> tuple[str, ...]:
    """Names of all firmwares, sorted; nothing is imported for it."""
    return tuple(sorted({*SHIPPED, *_registered, *_installed()}))


def load(name: str) -> Firmware:
    """The firmware called `name`. Raises FirmwareError with a near match."""
    if name in _registered:
        return _registered[name]
    if name in SHIPPED:
        found = import_module(SHIPPED[name]).FIRMWARE
    elif name in _installed():
        found = _installed()[name].load()
    else:
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names())}"
        raise FirmwareError(f"unknown firmware {name!r}; {hint}")
    if not isinstance(found, Firmware) or found.name != name:
        raise FirmwareError(f"firmware {name!r}: its module must offer a Firmware of that name, not {found!r}")
    return found


def register(firmware: Firmware) -> None:
    """Offer a firmware in this process. Raises FirmwareError when the name is taken by another one."""
    taken = _registered.get(firmware.name)
    if firmware.name in SHIPPED or (taken is not None and taken != firmware):
        raise FirmwareError(f"firmware {firmware.name!r} exists already; choose another name")
    _registered[firmware.name] = firmware


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}
