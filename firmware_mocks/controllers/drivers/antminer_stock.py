"""Bitmain stock firmware on its web port: Digest, and a write that carries the whole configuration page back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp

from firmware_mocks.controllers.drivers.base import DeviceError, Mode
from firmware_mocks.controllers.drivers.web import Web

_CARRIED_BACK = ("bitmain-fan-ctrl", "bitmain-fan-pwm", "pools")


class AntminerStock:
    """One miner. Which of the two mode keys counts differs between images (miner_type and date): both are written."""

    def __init__(self, address: str, port: int, credentials: Mapping[str, str], http: aiohttp.ClientSession) -> None:
        auth = aiohttp.DigestAuthMiddleware(credentials.get("username", "root"), credentials.get("password", "root"))
        self._web = Web(f"http://{address}:{port}/cgi-bin", http, auth)

    async def set_mode(self, mode: Mode) -> None:
        """Write the work mode and read the configuration back."""
        code = 1 if mode == "sleep" else 0
        page = await self._web.call("GET", "get_miner_conf.cgi")
        if _work_mode(page) != code:
            change: dict[str, Any] = {key: page[key] for key in _CARRIED_BACK if key in page}
            change["freq-level"] = str(page.get("bitmain-freq-level", "100"))
            change["miner-mode"] = change["bitmain-work-mode"] = code
            reply = await self._web.call("POST", "set_miner_conf.cgi", change)
            if reply.get("stats") != "success":
                raise DeviceError(f"{self._web.base}: set_miner_conf: {reply.get('msg', reply)}")
            shown = _work_mode(await self._web.call("GET", "get_miner_conf.cgi"))
            if shown != code:
                raise DeviceError(f"{self._web.base}: acknowledged {mode} and shows work mode {shown}")


def _work_mode(page: Mapping[str, Any]) -> int | None:
    try:
        return int(page["bitmain-work-mode"])
    except (KeyError, TypeError, ValueError):
        return None
