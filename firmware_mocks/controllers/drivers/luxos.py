"""LuxOS on its 4028 socket: one request a connection, writes inside a session that only one client can have."""

from __future__ import annotations

from firmware_mocks.controllers.drivers.base import DeviceError, Mode
from firmware_mocks.controllers.drivers.socket_api import SocketMiner, message, row, succeeded


class LuxOs(SocketMiner):
    """One miner; the vendor's API document has the commands (S)."""

    async def set_mode(self, mode: Mode) -> None:
        """`curtail` within a session, then read CurtailMode back. A foreign session is borrowed and left open."""
        logon = await self._ask("logon")
        own = succeeded(logon)
        session = row(logon if own else await self._ask("session"), "SESSION").get("SessionID", "")
        if not session:
            raise DeviceError(f"{self._address}: no session to be had: {message(logon)}")
        try:
            reply = await self._ask("curtail", f"{session},{'sleep' if mode == 'sleep' else 'wakeup'}")
            if not succeeded(reply) and "already" not in message(reply).lower():
                raise DeviceError(f"{self._address}: curtail: {message(reply)}")
        finally:
            if own:
                await self._ask("logoff", str(session))
        shown = row(await self._ask("config"), "CONFIG").get("CurtailMode")
        if (shown == "Sleep") != (mode == "sleep"):
            raise DeviceError(f"{self._address}: acknowledged {mode} and shows CurtailMode {shown}")
