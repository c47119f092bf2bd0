"""ePIC PowerPlay: HTTP on 4028, the password in every order (vendor's OpenAPI file of the UMC API, S)."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from firmware_mocks.controllers.drivers.base import DeviceError, Mode, confirmed
from firmware_mocks.controllers.drivers.web import Web, text_at

_STANDING = ("Stopping", "Idling")
_STATE_S = 5


class Epic:
    """One miner."""

    def __init__(self, address: str, port: int, credentials: Mapping[str, str], http: aiohttp.ClientSession) -> None:
        self._web = Web(f"http://{address}:{port}", http)
        self._password = credentials.get("password", "letmein")

    async def set_mode(self, mode: Mode) -> None:
        """Stop or Autostart, which answer when it is done; then read the operating state."""
        order = {"param": "Stop" if mode == "sleep" else "Autostart", "password": self._password}
        reply = await self._web.call("POST", "miner", order)
        if reply.get("result") is not True:
            raise DeviceError(f"{self._web.base}: {order['param']}: {reply.get('error')}")
        await confirmed(self._shown, mode, self._web.base, _STATE_S)

    async def _shown(self) -> Mode | None:
        state = text_at(await self._web.call("GET", "summary"), "Status", "Operating State")
        return ("sleep" if state in _STANDING else "mine") if state else None
