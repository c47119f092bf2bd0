"""Bitaxe (ESP-Miner from 2.13 on): pause and resume without a password (S: firmware source); older builds cannot."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from firmware_mocks.controllers.drivers.base import Mode, confirmed
from firmware_mocks.controllers.drivers.web import Web, text_at

_SHOWN: Mapping[str, Mode] = {"true": "sleep", "1": "sleep", "false": "mine", "0": "mine"}


class Bitaxe:
    """One miner."""

    def __init__(self, address: str, port: int, http: aiohttp.ClientSession) -> None:
        self._web = Web(f"http://{address}:{port}/api/system", http)

    async def set_mode(self, mode: Mode) -> None:
        """Pause or resume, and read `miningPaused` back."""
        await self._web.order("POST", "pause" if mode == "sleep" else "resume")
        await confirmed(self._shown, mode, self._web.base)

    async def _shown(self) -> Mode | None:
        return _SHOWN.get(text_at(await self._web.call("GET", "info"), "miningPaused").lower())
