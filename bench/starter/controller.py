"""A controller to begin with: opens contactors when the frequency is low, closes them one by one once it is recalled.

It knows the site from the inventory alone and speaks Modbus, as it would to real devices. Replace it with yours.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

POLL_S = 0.1  # between two looks at the meter
STAGE_S = 1.0  # between two outlets that come back
FREQUENCY = 0x46  # Eastron SDM630, input registers: a float in two
RECALLS = 1  # dispatch block, input register: how many recall messages there were
FIRST_COIL = 101  # Netio PowerPDU: the coil of output 1

Outlet = tuple[Mapping[str, Any], int]  # a PDU of the inventory, and the number of the output


async def controller(inventory: Mapping[str, Any], config: Mapping[str, Any], *, ready: Callable[[], None]) -> None:
    """Watch the frequency for ever. The bench calls this, and hears by `ready` that the grid may move."""
    site = Site(inventory)
    off: list[Outlet] = []
    recalls = await site.recalls()
    await site.frequency_hz()
    ready()
    while True:
        await asyncio.sleep(config.get("poll_s", POLL_S))
        try:
            hz = await site.frequency_hz()
            if hz <= config["trigger_hz"]:
                off = site.enough()
                await site.switch(off, closed=False)  # again at every look: a lost command is soon made good
                recalls = await site.recalls()
            elif off and hz > config["trigger_hz"] + 0.1 and await site.recalls() != recalls:
                await site.switch([off.pop()], closed=True)
                await asyncio.sleep(STAGE_S)
        except (ModbusException, OSError):
            continue  # a device is silent: everything stays as it is until the next look


class Site:
    """The devices of the inventory, as far as they are needed."""

    def __init__(self, inventory: Mapping[str, Any]) -> None:
        self._inventory = inventory
        self._meter = next(meter for meter in inventory["meters"] if meter["measures"] == "poi")
        self._dispatch = inventory["signals"][0]
        self._clients: dict[str, AsyncModbusTcpClient] = {}

    async def frequency_hz(self) -> float:
        """What the meter of the site shows."""
        registers = await self._registers(self._meter, FREQUENCY, 2)
        hz = AsyncModbusTcpClient.convert_from_registers(registers, AsyncModbusTcpClient.DATATYPE.FLOAT32)
        if not isinstance(hz, float) or not 50 < hz < 70:
            raise ModbusException(f"the meter shows {hz}")  # nothing to act on
        return hz

    async def recalls(self) -> int:
        """How many recall messages the operator has sent."""
        return (await self._registers(self._dispatch, RECALLS, 1))[0]

    def enough(self) -> list[Outlet]:
        """As many outlets as it takes to deliver what was sold."""
        inventory, chosen, watts = self._inventory, list[Outlet](), 0.0
        nominal_w = {miner["id"]: miner["nominal_w"] for miner in inventory["miners"]}
        for pdu in inventory["pdus"]:
            for outlet in pdu["outlets"]:
                if watts < 1.02 * inventory["site"]["commitment_w"]:
                    watts += sum(nominal_w[miner] for miner in outlet["miners"])
                    chosen.append((pdu, outlet["index"]))
        return chosen

    async def switch(self, outlets: list[Outlet], *, closed: bool) -> None:
        """Close or open outlets, all PDUs at once."""
        of_pdu: dict[str, list[Outlet]] = {}
        for pdu, index in outlets:
            of_pdu.setdefault(pdu["id"], []).append((pdu, index))
        await asyncio.gather(*(self._switch(group, closed) for group in of_pdu.values()))

    async def _switch(self, outlets: list[Outlet], closed: bool) -> None:
        for pdu, index in outlets:
            client = await self._client(pdu)
            await client.write_coil(FIRST_COIL + index - 1, closed, device_id=pdu["unit"])

    async def _registers(self, device: Mapping[str, Any], address: int, count: int) -> list[int]:
        client = await self._client(device)
        reply = await client.read_input_registers(address, count=count, device_id=device["unit"])
        if reply.isError():
            raise ModbusException(f"{device['id']} refuses")
        return list(reply.registers)

    async def _client(self, device: Mapping[str, Any]) -> AsyncModbusTcpClient:
        """A connection that is kept; a new one where it was lost."""
        client = self._clients.get(device["id"])
        if client is None:
            client = AsyncModbusTcpClient(device["address"], port=device["port"], timeout=0.25, retries=0)
            self._clients[device["id"]] = client
        if not client.connected and not await client.connect():
            raise ModbusException(f"{device['id']} is not there")
        return client
