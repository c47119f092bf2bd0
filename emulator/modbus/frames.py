"""Modbus frames seen from outside, as a fault sees them: taken apart, put together again, and cut out of a stream.

Owns nothing of what a device says or hears: those are `emulator/modbus/tcp.py` and its siblings. What cannot be taken
apart stays as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from emulator.modbus import ascii as ascii_framing
from emulator.modbus import rtu
from emulator.modbus.pdu import MAX_PDU_BYTES, READ_WRITE_MULTIPLE_REGISTERS

_HEAD = struct.Struct(">HHH")
_WORDS = struct.Struct(">HH")
_SINGLE = (5, 6, 22)
_SPANNED = (1, 2, 3, 4, 15, 16, READ_WRITE_MULTIPLE_REGISTERS)


class Framing(Enum):
    """What is around a PDU."""

    MBAP = "mbap"
    """Modbus on TCP and UDP: a header with transaction, protocol and length."""
    RTU = "rtu"
    """A serial frame: unit, PDU, CRC-16."""
    ASCII = "ascii"
    """A serial frame in hexadecimal digits: colon, unit, PDU, LRC, line end."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: what it says, and for MBAP the number it is told apart by."""

    framing: Framing
    unit: int
    pdu: bytes
    transaction: int = 0

    @property
    def function(self) -> int:
        """The function code, without the bit that marks an exception."""
        return self.pdu[0] & 0x7F

    @property
    def touched(self) -> tuple[range, ...]:
        """The addresses that a *request* reads or writes; none for functions that have none."""
        function, pdu = self.pdu[0], self.pdu
        if len(pdu) < 5 or function not in (*_SINGLE, *_SPANNED):
            return ()
        address, count = _WORDS.unpack_from(pdu, 1)
        spans = [range(address, address + (1 if function in _SINGLE else count))]
        if function == READ_WRITE_MULTIPLE_REGISTERS and len(pdu) >= 9:
            address, count = _WORDS.unpack_from(pdu, 5)
            spans.append(range(address, address + count))
        return tuple(spans)

    def sealed(self, *, protocol: int = 0, longer: int = 0) -> bytes:
        """The frame's bytes with a right checksum; `longer` is added to the length that an MBAP header tells."""
        unit = self.unit & 0xFF
        if self.framing is Framing.MBAP:
            head = _HEAD.pack(self.transaction & 0xFFFF, protocol, len(self.pdu) + 1 + longer & 0xFFFF)
            return head + bytes((unit,)) + self.pdu
        return rtu.encode(unit, self.pdu) if self.framing is Framing.RTU else ascii_framing.encode(unit, self.pdu)


def opened(data: bytes, framing: Framing) -> Frame | None:
    """The parts of exactly one sound frame; None for anything else."""
    if framing is Framing.MBAP:
        if len(data) < 8:
            return None
        transaction, protocol, length = _HEAD.unpack_from(data)
        if protocol != 0 or length != len(data) - 6:
            return None
        return Frame(framing, data[6], data[7:], transaction)
    found = rtu.decode(data) if framing is Framing.RTU else ascii_framing.decode(data)
    return None if found is None else Frame(framing, *found)


def whole(data: bytes) -> Iterator[bytes]:
    """One request each time: how frames of a line and datagrams come."""
    if data:
        yield data


class MbapCutter:
    """Cuts a stream of Modbus TCP into pieces of one frame each, whatever the fragmentation.

    After a length that no frame can have, whatever comes passes as it comes. Holds less than one frame (260 bytes).
    """

    __slots__ = ("_lost", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._lost = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Every piece that `data` completes. Must be read to its end."""
        data = self._rest + data
        self._rest = b""
        while data and not self._lost:
            if len(data) < 6:
                self._rest = data
                return
            length = int.from_bytes(data[4:6], "big")
            if not 2 <= length <= MAX_PDU_BYTES + 1:
                self._lost = True
            elif len(data) < 6 + length:
                self._rest = data
                return
            else:
                yield data[: 6 + length]
                data = data[6 + length :]
        if data:
            yield data
