"""WhatsMiner API V3 on 4433: JSON behind four bytes of length, a salted token in each write (manual 3.0.3, S)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers.drivers.base import DeviceError, Mode, confirmed
from firmware_mocks.controllers.drivers.web import text_at

_LONGEST_REPLY = 1 << 20
_SHOWN: Mapping[str, Mode] = {"true": "mine", "false": "sleep"}


class WhatsMinerV3:
    """One miner. Before it is stopped fast boot is set, which holds for the next start: back in a minute (S)."""

    def __init__(self, address: str, port: int, credentials: Mapping[str, str], timeout_s: float) -> None:
        self._address, self._port, self._timeout_s = address, port, timeout_s
        self._account, self._password = credentials.get("username", "super"), credentials.get("password", "super")

    async def set_mode(self, mode: Mode) -> None:
        """Stop or start the mining service, then read `working` back."""
        if mode == "sleep":
            await self._write("set.miner.fastboot", "enable")
        await self._write("set.miner.service", "stop" if mode == "sleep" else "start")
        await confirmed(self._shown, mode, self._address)

    async def _shown(self) -> Mode | None:
        info = await self._ask({"cmd": "get.device.info", "param": "miner"})
        return _SHOWN.get(text_at(info, "msg", "miner", "working"))

    async def _write(self, command: str, parameter: str | int) -> None:
        """One write, stamped with the miner's own time. Raises DeviceError for a refusal."""
        info = await self._ask({"cmd": "get.device.info", "param": "salt"})
        salt, stamp = text_at(info, "msg", "salt"), info.get("when", 0)
        digest = hashlib.sha256(f"{command}{self._password}{salt}{stamp}".encode()).digest()
        token = base64.b64encode(digest)[:8].decode()
        request = {"cmd": command, "param": parameter, "ts": stamp, "account": self._account, "token": token}
        reply = await self._ask(request)
        if reply.get("code") != 0:
            raise DeviceError(f"{self._address}: {command}: {reply.get('msg', reply)}")

    async def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await asyncio.open_connection(self._address, self._port)
                try:
                    text = json.dumps(request).encode()
                    writer.write(struct.pack("<I", len(text)) + text)
                    (length,) = struct.unpack("<I", await reader.readexactly(4))
                    reply = json.loads(await reader.readexactly(min(length, _LONGEST_REPLY)))
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError, EOFError) as error:
            raise DeviceError(f"{self._address}: {request['cmd']}: {error or 'no reply in time'}") from error
        if not isinstance(reply, dict):
            raise DeviceError(f"{self._address}: {request['cmd']}: reply is no object")
        return reply
