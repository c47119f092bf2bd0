"""How the reference controller gets at a Modbus device of the inventory: TCP, UDP, or a line that several share.

Owns the choice of pymodbus' client and the sharing of serial lines; what is asked is the drivers'.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient, AsyncModbusUdpClient
from pymodbus.client.base import ModbusBaseClient

_OVER_TCP = {"tcp": FramerType.SOCKET, "rtu-over-tcp": FramerType.RTU, "ascii-over-tcp": FramerType.ASCII}
_ON_A_LINE = {"rtu": FramerType.RTU, "ascii": FramerType.ASCII}
TRANSPORTS = ("udp", *_OVER_TCP, *_ON_A_LINE)


class Link:
    """A client and the turn to use it: one request at a time, whoever asks."""

    def __init__(self, client: ModbusBaseClient, name: str) -> None:
        self.client = client
        self.name = name
        self.turn = asyncio.Lock()


class Links:
    """The links of one controller: one for each device, and one for each serial line, which its devices share."""

    def __init__(self, timeout_s: float) -> None:
        self._common: dict[str, Any] = {"timeout": timeout_s, "retries": 0, "reconnect_delay": 0}
        self._lines: dict[str, Link] = {}

    def to(self, entry: Mapping[str, Any]) -> Link:
        """The link for an inventory entry, whose transport is one of TRANSPORTS."""
        transport, line = entry.get("transport", "tcp"), entry.get("line")
        if transport in _ON_A_LINE and line is not None:
            if line["path"] not in self._lines:
                self._lines[line["path"]] = self._on_a_line(line, _ON_A_LINE[transport])
            return self._lines[line["path"]]
        address, port = entry["address"], entry["port"]
        if transport == "udp":
            return Link(AsyncModbusUdpClient(address, port=port, **self._common), f"{address}:{port}")
        client = AsyncModbusTcpClient(address, port=port, framer=_OVER_TCP[transport], **self._common)
        return Link(client, f"{address}:{port}")

    def _on_a_line(self, line: Mapping[str, Any], framer: FramerType) -> Link:
        client = AsyncModbusSerialClient(
            line["path"],
            framer=framer,
            baudrate=line["baud"],
            bytesize=line["data_bits"],
            parity=line["parity"][0].upper(),
            stopbits=line["stop_bits"],
            **self._common,
        )
        return Link(client, line["path"])
