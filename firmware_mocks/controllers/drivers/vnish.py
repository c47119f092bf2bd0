"""VNish (AnthillOS) on its web API: unlock, then stop or start, and the state that follows a second later (S2)."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from firmware_mocks.controllers.drivers.base import HttpStatusError, Mode, confirmed
from firmware_mocks.controllers.drivers.web import Web, text_at

_STANDING = ("shutting-down", "stopped", "paused")
_ALREADY = 500
"""What a miner answers that is so already, or cannot: the state tells which."""
_STATE_S = 4


class Vnish:
    """One miner. The body of an order's answer may be empty: it is no failure."""

    def __init__(self, address: str, port: int, credentials: Mapping[str, str], http: aiohttp.ClientSession) -> None:
        self._web = Web(f"http://{address}:{port}/api/v1", http)
        self._password = credentials.get("password", "admin")

    async def set_mode(self, mode: Mode) -> None:
        """Unlock, stop or start, and wait for the state to follow."""
        token = text_at(await self._web.call("POST", "unlock", {"pw": self._password}), "token")
        headers = {"Authorization": token}
        try:
            await self._web.call("POST", f"mining/{'stop' if mode == 'sleep' else 'start'}", {}, headers)
        except HttpStatusError as error:
            if error.status != _ALREADY:
                raise
        await confirmed(self._shown, mode, self._web.base, _STATE_S)

    async def _shown(self) -> Mode | None:
        state = text_at(await self._web.call("GET", "status"), "miner_state")
        return ("sleep" if state in _STANDING else "mine") if state else None
