"""MARA firmware: the work mode in the configuration, behind Digest (S2: client sources)."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from firmware_mocks.controllers.drivers.base import DeviceError, Mode
from firmware_mocks.controllers.drivers.web import Web, text_at


class Mara:
    """One miner. It wakes into the mode it was in before it was put to sleep; Auto where nobody knows."""

    def __init__(self, address: str, port: int, credentials: Mapping[str, str], http: aiohttp.ClientSession) -> None:
        auth = aiohttp.DigestAuthMiddleware(credentials.get("username", "root"), credentials.get("password", "root"))
        self._web = Web(f"http://{address}:{port}/kaonsu/v1", http, auth)
        self._before = "Auto"

    async def set_mode(self, mode: Mode) -> None:
        """Write the work mode and read it back."""
        now = await self._mode()
        if mode == "sleep" and now not in ("Sleep", ""):
            self._before = now
        wanted = "Sleep" if mode == "sleep" else self._before
        reply = await self._web.call("POST", "miner_config", {"mode": {"work-mode-selector": wanted}})
        if reply.get("error"):
            raise DeviceError(f"{self._web.base}: miner_config: {reply.get('msg')}")
        shown = await self._mode()
        if shown != wanted:
            raise DeviceError(f"{self._web.base}: acknowledged {wanted} and shows {shown or 'no mode'}")

    async def _mode(self) -> str:
        return text_at(await self._web.call("GET", "miner_config"), "mode", "work-mode-selector")
