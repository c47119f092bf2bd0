"""Canaan Avalon on 4028: soft-off and soft-on by `ascset`, read back from the line of statistics (S2: captures)."""

from __future__ import annotations

import re

from firmware_mocks.controllers.drivers.base import DeviceError, Mode, confirmed
from firmware_mocks.controllers.drivers.socket_api import SocketMiner, heard, message, succeeded

_SOFT_OFF = re.compile(r"SoftOFF\[(\d+)\]")
_SAME_SECOND_TRIES = 3


class Avalon(SocketMiner):
    """One miner. It serves one caller at a time, and `softon` ends the connection without a word."""

    async def set_mode(self, mode: Mode) -> None:
        """Switch the boards now, whatever the clocks of miner and caller say, and read SoftOFF back."""
        if mode == "sleep":
            reply = await self._ask("ascset", "0,softoff")
            if not succeeded(reply):
                raise DeviceError(f"{self._address}: softoff: {message(reply)}")
        else:
            request = {"command": "ascset", "parameter": "0,softon"}
            await heard(self._address, self._port, request, self._timeout_s)
        await confirmed(self._shown, mode, self._address, _SAME_SECOND_TRIES)

    async def _shown(self) -> Mode | None:
        found = _SOFT_OFF.search(str((await self._ask("stats")).get("STATS", "")))
        return None if found is None else "mine" if found[1] == "0" else "sleep"
