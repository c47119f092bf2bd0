"""Braiins OS through the REST gateway of its public API: a token, then `pause` or `resume` (vendor's OpenAPI, S)."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from firmware_mocks.controllers.drivers.base import Mode, confirmed
from firmware_mocks.controllers.drivers.web import Web, text_at

_SHOWN: Mapping[str, Mode] = {"2": "mine", "3": "sleep"}
"""MinerStatus of the public API: 2 normal, 3 paused (S)."""
_BOARDS_OFF_S = 25
"""Boards are off about 10 s after the order and the status says so then (M: vendor log, S17); the rest is room."""


class Braiins:
    """One miner."""

    def __init__(self, address: str, port: int, credentials: Mapping[str, str], http: aiohttp.ClientSession) -> None:
        self._web = Web(f"http://{address}:{port}/api/v1", http)
        self._login = {"username": credentials.get("username", "root"), "password": credentials.get("password", "")}

    async def set_mode(self, mode: Mode) -> None:
        """Log in, pause or resume, and wait until the status says so."""
        token = text_at(await self._web.call("POST", "auth/login", self._login), "token")
        headers = {"Authorization": token}

        async def shown() -> Mode | None:
            return _SHOWN.get(text_at(await self._web.call("GET", "miner/details", headers=headers), "status"))

        # `pause` and `resume` answer with a bare true or false, which no object is: the status tells
        await self._web.order("PUT", f"actions/{'pause' if mode == 'sleep' else 'resume'}", headers=headers)
        await confirmed(shown, mode, self._web.base, _BOARDS_OFF_S)
