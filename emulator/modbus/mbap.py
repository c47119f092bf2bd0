"""The frame of Modbus on TCP and UDP: a header of seven bytes, a unit id, a PDU.

Owns the header (Modbus messaging on TCP/IP implementation guide V1.0b, section 3.1.3) and the cutting of a stream into
requests; who answers them is the business of `emulator/modbus/tcp.py` and its siblings.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from emulator.modbus.pdu import MAX_PDU_BYTES

PORT = 502

_MBAP = struct.Struct(">HHHB")
_HEAD = struct.Struct(">HHH")
_HEAD_BYTES = 6
_MIN_LENGTH = 2
_MAX_LENGTH = MAX_PDU_BYTES + 1
_LARGEST_LENGTH = _MAX_LENGTH + 6
"""A request for a register too many is still a request, and refused as one; what is longer is none."""


def encode(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A frame around a PDU."""
    return _MBAP.pack(transaction, 0, len(pdu) + 1, unit) + pdu


def decode(frame: bytes) -> tuple[int, int, bytes] | None:
    """Transaction, unit and PDU of exactly one frame; None where it is none, or of another protocol."""
    if len(frame) < _HEAD_BYTES + _MIN_LENGTH:
        return None
    transaction, protocol, length = _HEAD.unpack_from(frame)
    if protocol != 0 or length != len(frame) - _HEAD_BYTES or length > _LARGEST_LENGTH:
        return None
    return transaction, frame[6], frame[7:]


class MbapSplitter:
    """Cuts a stream into requests. Holds at most one unfinished frame (under 266 bytes).

    A frame with another protocol identifier than 0 is discarded whole, as the implementation guide asks. A length that
    no Modbus frame can have means that the stream has lost its frame boundary: `lost` is set, and nothing more is read.
    """

    __slots__ = ("_rest", "lost")

    def __init__(self) -> None:
        self._rest = b""
        self.lost = False

    def requests(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Transaction, unit and PDU of every request that `data` completes. Must be read to its end."""
        if self.lost:
            return
        if self._rest:
            data = self._rest + data
        size = len(data)
        at = 0
        while size - at >= _HEAD_BYTES:
            transaction, protocol, length = _HEAD.unpack_from(data, at)
            if not _MIN_LENGTH <= length <= _LARGEST_LENGTH:
                self.forget()
                return
            end = at + _HEAD_BYTES + length
            if end > size:
                break
            if protocol == 0:
                yield transaction, data[at + 6], data[at + 7 : end]
            at = end
        self._rest = data[at:]

    @property
    def between(self) -> bool:
        """Whether the next byte begins a frame."""
        return not self._rest and not self.lost

    def forget(self) -> None:
        """Read nothing more."""
        self.lost = True
        self._rest = b""
