"""How the reference controller speaks to meters and PDUs: Modbus through pymodbus, over whatever link they hang on.

One short class a product: a request, its reply, and `DeviceError` for everything that is not a good answer. It decides
nothing and repeats nothing (`hands.py` does). These are clients of real devices: nothing of the emulator is imported.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from firmware_mocks.controllers.drivers.base import DeviceError
from firmware_mocks.controllers.modbus_link import Link

_HZ_PLACES = 4
_FLOAT, _TWO_WORDS = struct.Struct(">f"), struct.Struct(">2H")
_RELAY_S = 0.1
"""A PDU's relay has moved this long after the acknowledgement. estimate"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the meter at the point of interconnection says."""

    frequency_hz: float
    power_w: float


class ModbusUnit:
    """One unit over a persistent link; reconnects on the request after a failure."""

    def __init__(self, link: Link, unit: int) -> None:
        self._link, self._client = link, link.client
        self._unit = unit
        self.name = f"{link.name}/{unit}"

    async def ask(self, send: Callable[[ModbusBaseClient, int], Awaitable[ModbusPDU]]) -> ModbusPDU:
        """One request and its good reply. Raises DeviceError."""
        async with self._link.turn:
            try:
                if not self._client.connected and not await self._client.connect():
                    raise DeviceError(f"{self.name}: no connection")
                reply = await send(self._client, self._unit)
            except (ModbusException, OSError) as error:
                self._client.close()  # a late reply must not meet the next request
                if _told_to_end():
                    raise asyncio.CancelledError from error
                raise DeviceError(f"{self.name}: {error}") from error
        if _told_to_end():
            raise asyncio.CancelledError
        if reply.isError():
            raise DeviceError(f"{self.name}: exception code {getattr(reply, 'exception_code', '?')}")
        return reply

    async def registers(self, function: int, address: int, count: int) -> list[int]:
        """`count` registers from wire address `address` by FC03 or FC04."""
        if function == 3:
            reply = await self.ask(lambda c, unit: c.read_holding_registers(address, count=count, device_id=unit))
        else:
            reply = await self.ask(lambda c, unit: c.read_input_registers(address, count=count, device_id=unit))
        if len(reply.registers) != count:
            raise DeviceError(f"{self.name}: {len(reply.registers)} registers came, {count} were asked for")
        return list(reply.registers)

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def _told_to_end() -> bool:
    """Python 3.11's wait_for drops a cancellation that comes at the very instant of the reply or of its time-out."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def float_hi_lo(registers: Sequence[int]) -> float:
    """Two registers, most significant word first, as a float. Raises DeviceError for NaN and infinity."""
    (value,) = _FLOAT.unpack(_TWO_WORDS.pack(*registers))
    if not math.isfinite(value):
        raise DeviceError(f"registers {list(registers)} hold no finite float")
    return float(value)


class Sdm630(ModbusUnit):
    """Eastron SDM630. FC04, floats hi-lo: total power at 0034, frequency at 0046 (V: maker's protocol document)."""

    async def read(self) -> Reading:
        """Power and frequency in one request, so that they belong together."""
        block = await self.registers(4, 0x34, 20)
        # 32 bits hold 59.7 as 59.7000008, which a threshold of 59.7 must not take for more
        return Reading(round(self.value(block[18:20]), _HZ_PLACES), power_w=self.value(block[0:2]))

    def value(self, registers: Sequence[int]) -> float:
        """Two registers as this product means them."""
        return float_hi_lo(registers)


class NetioPdu(ModbusUnit):
    """Netio PowerPDU. Coils from wire address 101, one an output (V: manufacturer's Modbus document)."""

    _FIRST_COIL: ClassVar[int] = 101

    def __init__(self, link: Link, unit: int) -> None:
        super().__init__(link, unit)
        self.closed: tuple[bool, ...] = ()

    async def refresh(self) -> None:
        """Read all relays. Raises DeviceError."""
        outputs = len(self.closed) or (await self.registers(3, 1, 1))[0]
        reply = await self.ask(lambda c, unit: c.read_coils(self._FIRST_COIL, count=outputs, device_id=unit))
        self.closed = tuple(reply.bits[:outputs])

    async def switch(self, wanted: Mapping[int, bool]) -> None:
        """Bring outputs (1 first) to `wanted` (True is closed) and read them back. Raises DeviceError.

        All outputs go in one FC15, which the product honours only for exactly all of them; fewer go one by one, so that
        an output somebody else has switched is left as it is.
        """
        if not self.closed:
            await self.refresh()
        first = self._FIRST_COIL
        if set(wanted) == set(range(1, len(self.closed) + 1)):
            values = [wanted[output] for output in sorted(wanted)]
            await self.ask(lambda c, unit: c.write_coils(first, values, device_id=unit))
        else:
            for output in sorted(wanted):
                state = wanted[output]
                if self.closed[output - 1] != state:
                    await self._switch_one(first + output - 1, state)
        await asyncio.sleep(_RELAY_S)
        await self.refresh()
        stuck = [output for output, state in wanted.items() if self.closed[output - 1] != state]
        if stuck:
            raise DeviceError(f"{self.name}: outputs {stuck} acknowledged and did not switch")

    async def _switch_one(self, coil: int, closed: bool) -> None:
        await self.ask(lambda c, unit: c.write_coil(coil, closed, device_id=unit))


class Pdu(Protocol):
    """A PDU whose outputs can be switched."""

    name: str

    @property
    def closed(self) -> tuple[bool, ...]:
        """Relay states as last read, output 1 first; empty before the first answer."""
        ...

    async def refresh(self) -> None:
        """Read all relays. Raises DeviceError."""
        ...

    async def switch(self, wanted: Mapping[int, bool]) -> None:
        """Bring outputs (1 first) to `wanted` (True is closed) and read them back. Raises DeviceError."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


METERS: dict[str, type[Sdm630]] = {"eastron_sdm630": Sdm630}
PDUS: dict[str, type[NetioPdu]] = {"netio_powerpdu_4ps": NetioPdu}
