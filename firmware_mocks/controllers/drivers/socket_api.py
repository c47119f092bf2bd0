"""The cgminer-style socket of miners: JSON in, JSON out, one request a connection.

Owns the connection and the reading of status rows; what a firmware wants to hear is its own driver's business.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers.drivers.base import DeviceError

_LONGEST_REPLY = 1 << 20


async def ask(address: str, port: int, request: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """One request and its reply, which ends with a NUL or with the connection. Raises DeviceError."""
    command = request.get("command") or request.get("cmd") or "request"
    try:
        text = await heard(address, port, request, timeout_s)
        reply = json.loads(text)
    except ValueError as error:
        raise DeviceError(f"{address}: {command}: {error}") from error
    if not isinstance(reply, dict):
        raise DeviceError(f"{address}: {command}: reply is no object")
    return reply


async def heard(address: str, port: int, request: Mapping[str, Any], timeout_s: float) -> bytes:
    """One request and the bytes that come back, maybe none. Raises DeviceError."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(address, port, limit=_LONGEST_REPLY)
            try:
                writer.write(json.dumps(request).encode())
                return await _until_nul(reader)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.LimitOverrunError) as error:
        raise DeviceError(f"{address}: {error or 'no reply in time'}") from error


class SocketMiner:
    """A miner that is commanded over this socket."""

    def __init__(self, address: str, port: int, timeout_s: float) -> None:
        self._address, self._port, self._timeout_s = address, port, timeout_s

    async def _ask(self, command: str, parameter: str = "") -> dict[str, Any]:
        request = {"command": command, **({"parameter": parameter} if parameter else {})}
        return await ask(self._address, self._port, request, self._timeout_s)


def row(reply: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    """The first row of a section; empty where there is none."""
    rows = reply.get(section)
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}


def succeeded(reply: Mapping[str, Any]) -> bool:
    """Whether the status is success or information."""
    return row(reply, "STATUS").get("STATUS") in ("S", "I")


def message(reply: Mapping[str, Any]) -> str:
    """The words beside the status."""
    return str(row(reply, "STATUS").get("Msg", "no status"))


async def _until_nul(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(b"\x00"))[:-1]
    except asyncio.IncompleteReadError as error:
        return error.partial
