"""Modbus RTU: frames closed by a CRC on the wire, told apart by silence.

Owns the CRC, the shape of a frame, how long a request must be, and the receiver that cuts characters and their instants
into frames (Modbus over serial line guide V1.02, section 2.5.1); who answers is `emulator/modbus/serial_bus.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from emulator.modbus.serial_format import SerialFormat
from emulator.wire import Instant

MIN_FRAME_BYTES = 4
MAX_FRAME_BYTES = 256


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
    return byte


_CRC = tuple(_crc_of(byte) for byte in range(256))

_FIXED_BYTES = {
    0x01: 8, 0x02: 8, 0x03: 8, 0x04: 8, 0x05: 8, 0x06: 8, 0x07: 4, 0x08: 8,
    0x0B: 4, 0x0C: 4, 0x11: 4, 0x16: 10, 0x18: 6, 0x2B: 7,
}  # fmt: skip
_COUNTED_BYTES = {0x0F: (6, 9), 0x10: (6, 9), 0x14: (2, 5), 0x15: (2, 5), 0x17: (10, 13)}
"""Function -> where its byte count stands, and how long the frame is without the counted bytes."""
_KNOWN = frozenset({*_FIXED_BYTES, *_COUNTED_BYTES})


def crc16(data: bytes) -> int:
    """The checksum of section 6.2.2; it goes out low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def sound_bytes(data: bytes) -> int | None:
    """After how many bytes the checksum first comes out right; None where it does not."""
    crc = 0xFFFF
    for index, byte in enumerate(data, start=1):
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
        if not crc and index >= MIN_FRAME_BYTES:
            return index
    return None


def encode(unit: int, pdu: bytes) -> bytes:
    """A frame of `unit` (0 to 255) around a PDU."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def decode(frame: bytes) -> tuple[int, bytes] | None:
    """Unit and PDU of a frame; None where its length or its checksum is wrong."""
    if not MIN_FRAME_BYTES <= len(frame) <= MAX_FRAME_BYTES or crc16(frame):
        return None  # the checksum over a frame that ends in its own checksum is 0
    return frame[0], frame[1:-2]


def known(function: int) -> bool:
    """Whether the length of a request with this function can be told from its first bytes."""
    return function in _KNOWN


def request_bytes(head: bytes) -> int | None:
    """How long the request that begins with `head` is: its frame, as far as its function says so.

    None where the function is unknown or where its byte count has not come yet.
    """
    if len(head) < 2:
        return None
    fixed = _FIXED_BYTES.get(head[1])
    if fixed is not None:
        return fixed
    place, base = _COUNTED_BYTES.get(head[1], (MAX_FRAME_BYTES, 0))
    return base + head[place] if len(head) > place else None


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame as it came off the wire, checksum and all, and when it stood on it."""

    frame: bytes
    start_ns: Instant
    end_ns: Instant


def _trailed(frame: bytes) -> bool:
    """Whether zeros follow a whole request: the checksum does not see them."""
    size = request_bytes(frame)
    return size is not None and size < len(frame) and not crc16(frame[:size])


class RtuReceiver:
    """Characters and their instants in, frames out. Holds at most one frame (256 bytes).

    A silence of t3.5 ends a frame; one of more than t1.5 inside it spoils it, as do too many characters, and whatever
    is spoilt lasts until the next t3.5. `slack_ns` widens both silences by what the machine blurs (adapters on USB
    deliver in lumps). A length never ends a frame on its own; it only spares a request that is complete, its checksum
    being right, the wait for the slack. Without slack the timing is the standard's and nothing else.
    """

    __slots__ = ("_buffer", "_format", "_last_ns", "_spoilt", "_start_ns", "slack_ns")

    def __init__(self, form: SerialFormat, slack_ns: int = 0) -> None:
        self._format = form
        self.slack_ns = slack_ns
        self._buffer = bytearray()
        self._spoilt = False
        self._start_ns: Instant = 0
        self._last_ns: Instant | None = None

    @property
    def silence_ns(self) -> int:
        """How long after its last character a frame is known to be over, at the least."""
        return self._format.t35_ns

    @property
    def due_ns(self) -> Instant | None:
        """When what has come so far is over, unless more comes; None where nothing has."""
        if self._last_ns is None:
            return None
        return self._last_ns + self._format.t35_ns + (0 if not self.slack_ns or self._complete() else self.slack_ns)

    @property
    def began_ns(self) -> Instant | None:
        """When the first character of what has come so far began; None where nothing has."""
        return None if self._last_ns is None else self._start_ns

    def hear(self, data: bytes, start_ns: Instant) -> Iterator[Heard]:
        """Take characters that follow one right after the other from `start_ns`; yields a frame that was over by then.

        `start_ns` must not lie before the end of what came last.
        """
        ended = self.over(start_ns)
        if ended is not None:
            yield ended
        if self._last_ns is None:
            self._start_ns = start_ns
        elif start_ns - self._last_ns > self._format.t15_ns + self.slack_ns:
            self._spoilt = True
        room = MAX_FRAME_BYTES - len(self._buffer)
        self._buffer += data[:room]
        self._spoilt |= len(data) > room
        self._last_ns = start_ns + self._format.span_ns(len(data))

    def over(self, now: Instant) -> Heard | None:
        """The good frame that is over at `now`; what is spoilt or has a wrong checksum is dropped without a word."""
        due_ns = self.due_ns
        if due_ns is None or self._last_ns is None or now < due_ns:
            return None
        heard = Heard(bytes(self._buffer), self._start_ns, self._last_ns)
        good = not self._spoilt and decode(heard.frame) is not None and not _trailed(heard.frame)
        self._buffer.clear()
        self._spoilt = False
        self._last_ns = None
        return heard if good else None

    def _complete(self) -> bool:
        return len(self._buffer) == request_bytes(bytes(self._buffer)) and not crc16(bytes(self._buffer))
