"""Auradine FluxOS on 8080: a token, then the sleep switch of `mode` (S2: captures and client sources)."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from firmware_mocks.controllers.drivers.base import DeviceError, Mode, confirmed
from firmware_mocks.controllers.drivers.socket_api import message, row, succeeded
from firmware_mocks.controllers.drivers.web import Web

_SHOWN: Mapping[str, Mode] = {"on": "sleep", "off": "mine"}


class Auradine:
    """One miner."""

    def __init__(self, address: str, port: int, credentials: Mapping[str, str], http: aiohttp.ClientSession) -> None:
        self._web = Web(f"http://{address}:{port}", http)
        self._user, self._password = credentials.get("username", "admin"), credentials.get("password", "admin")

    async def set_mode(self, mode: Mode) -> None:
        """Set Sleep on or off and read it back."""
        login = {"command": "token", "user": self._user, "password": self._password}
        headers = {"Token": str(row(await self._web.call("POST", "token", login), "Token").get("Token", ""))}
        order = {"command": "mode", "sleep": "on" if mode == "sleep" else "off"}
        reply = await self._web.call("POST", "mode", order, headers)
        if not succeeded(reply):
            raise DeviceError(f"{self._web.base}: mode: {message(reply)}")

        async def shown() -> Mode | None:
            return _SHOWN.get(str(row(await self._web.call("GET", "mode", headers=headers), "Mode").get("Sleep")))

        await confirmed(shown, mode, self._web.base)
