"""Modbus on UDP: one datagram, one frame.

Owns what becomes of a datagram; the header is `emulator/modbus/mbap.py`'s, datagrams are carried by
`emulator/datagrams.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from emulator.modbus.frames import whole
from emulator.modbus.mbap import decode, encode
from emulator.modbus.tcp import ModbusTcpDevice
from emulator.wire import Action, Conversation, Instant, Send


class ModbusUdpDevice(ModbusTcpDevice):
    """The units of a device behind a UDP port. Its conversations take a whole datagram each time.

    A datagram that is not exactly one frame of protocol 0 is thrown away, and nothing is remembered of it.
    """

    def __init__(self, device: ModbusTcpDevice, port: int) -> None:
        super().__init__(device.units, device.link, port)

    def splitting(self) -> Callable[[bytes], Iterator[bytes]]:
        """A datagram is a request."""
        return whole

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        """Begin to answer a peer."""
        return _Datagrams(self)


class _Datagrams:
    __slots__ = ("_device", "idle_timeout_ns")

    def __init__(self, device: ModbusUdpDevice) -> None:
        self.idle_timeout_ns: int | None = None
        self._device = device

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        found = decode(data)
        if found is None:
            return ()
        transaction, unit, pdu = found
        reply = self._device.answer(unit, pdu, now)
        return () if reply is None else (Send(encode(transaction, unit, reply), self._device.link.turnaround_ns),)

    def ended(self, now: Instant) -> Sequence[Action]:
        return ()
