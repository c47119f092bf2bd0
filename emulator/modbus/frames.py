"""Modbus frames seen from outside, as a fault sees them: taken apart, put together again, and cut out of a stream.

Owns nothing of what a device says or hears: those are `emulator/modbus/tcp.py` and its siblings. What cannot be taken
apart stays as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

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
        told = bytes((self.unit & 0xFF,)) + self.pdu
        if self.framing is Framing.MBAP:
            return _HEAD.pack(self.transaction & 0xFFFF, protocol, len(told) + longer & 0xFFFF) + told
        if self.framing is Framing.RTU:
            return told + crc16(told).to_bytes(2, "little")
        return b":" + (told + bytes((-sum(told) & 0xFF,))).hex().upper().encode() + b"\r\n"


def opened(data: bytes, framing: Framing) -> Frame | None:
    """The parts of exactly one sound frame; None for anything else."""
    if framing is Framing.MBAP:
        if len(data) < 8:
            return None
        transaction, protocol, length = _HEAD.unpack_from(data)
        if protocol != 0 or length != len(data) - 6:
            return None
        return Frame(framing, data[6], data[7:], transaction)
    if framing is Framing.ASCII:
        if not data.startswith(b":") or not data.endswith(b"\r\n"):
            return None
        try:
            told = bytes.fromhex(data[1:-2].decode("ascii"))
        except ValueError:
            return None
        return Frame(framing, told[0], told[1:-1]) if len(told) >= 3 and sum(told) & 0xFF == 0 else None
    return Frame(framing, data[0], data[1:-2]) if len(data) >= 4 and crc16(data) == 0 else None


class Cutter:
    """Cuts what a caller says into pieces of one request each, whatever the fragmentation.

    MBAP: one whole frame; after a length that no frame can have, whatever comes, as it comes. Serial frames arrive
    whole from their line, and pass as they are. Holds less than one frame (260 bytes).
    """

    __slots__ = ("_framing", "_lost", "_rest")

    def __init__(self, framing: Framing | None) -> None:
        self._framing = framing
        self._rest = b""
        self._lost = framing is not Framing.MBAP

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


def crc16(data: bytes) -> int:
    """CRC-16 of Modbus over serial line V1.02, section 6.2.2; 0 over a frame that ends in its own."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc
