"""Modbus ASCII: a colon, hexadecimal digits, a longitudinal check and a line end.

Owns the check, the shape of a frame and the receiver (Modbus over serial line guide V1.02, section 2.5.2). Frames are
told apart by their characters; silence only ends one that was begun and not finished.
"""

from __future__ import annotations

from collections.abc import Iterator

from emulator.modbus.rtu import Heard
from emulator.modbus.serial_format import SerialFormat
from emulator.wire import SECOND, Instant

MAX_FRAME_BYTES = 513
CHARACTER_TIMEOUT_NS = SECOND
"""The silence after which an unfinished frame is given up (section 2.5.2.1: 1 s unless configured otherwise)."""

_COLON, _CR, _LF = 0x3A, 0x0D, 0x0A
_DIGITS = frozenset(b"0123456789ABCDEF")


def lrc(data: bytes) -> int:
    """The check of section 6.2.1: the two's complement of the sum."""
    return -sum(data) & 0xFF


def encode(unit: int, pdu: bytes) -> bytes:
    """A frame of `unit` (0 to 255) around a PDU."""
    body = bytes((unit,)) + pdu
    return b":" + (body + bytes((lrc(body),))).hex().upper().encode() + b"\r\n"


def decode(frame: bytes) -> tuple[int, bytes] | None:
    """Unit and PDU of a frame; None where it is cut, holds anything but capital digits, or its check is wrong."""
    digits = frame[1:-2]
    if not frame.startswith(b":") or not frame.endswith(b"\r\n") or len(digits) % 2 or not _DIGITS.issuperset(digits):
        return None
    body = bytes.fromhex(digits.decode())
    if not 3 <= len(body) <= (MAX_FRAME_BYTES - 3) // 2 or sum(body) & 0xFF:
        return None
    return body[0], body[1:-1]


class AsciiSplitter:
    """Cuts a stream of characters into frames. A colon always begins one; holds at most one (513 characters)."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def began(self) -> bool:
        """Whether a frame is begun and not finished."""
        return bool(self._buffer)

    def forget(self) -> None:
        """Give up what was begun."""
        self._buffer.clear()

    def take(self, character: int) -> bytes | None:
        """One more character; the frame it completes, if it does and the frame is good."""
        buffer = self._buffer
        if character == _COLON:
            buffer[:] = b":"
            return None
        if not buffer:
            return None
        buffer.append(character)
        if character == _LF and buffer[-2] == _CR:
            frame = bytes(buffer)
            buffer.clear()
            return frame if decode(frame) is not None else None
        if buffer[-2] == _CR or (character != _CR and character not in _DIGITS) or len(buffer) >= MAX_FRAME_BYTES:
            buffer.clear()
        return None


class AsciiReceiver:
    """Characters and their instants in, frames out; the counterpart of `RtuReceiver`."""

    __slots__ = ("_format", "_last_ns", "_splitter", "_start_ns")

    silence_ns = 0

    def __init__(self, form: SerialFormat) -> None:
        self._format = form
        self._splitter = AsciiSplitter()
        self._start_ns: Instant = 0
        self._last_ns: Instant | None = None

    @property
    def due_ns(self) -> Instant | None:
        """When what was begun is given up."""
        return None if self._last_ns is None else self._last_ns + CHARACTER_TIMEOUT_NS

    @property
    def began_ns(self) -> Instant | None:
        """When the first character of what was begun began."""
        return None if self._last_ns is None else self._start_ns

    def hear(self, data: bytes, start_ns: Instant) -> Iterator[Heard]:
        """Take characters that follow one right after the other from `start_ns`; yields every frame they complete."""
        self.over(start_ns)
        splitter, span_ns = self._splitter, self._format.span_ns
        for place, character in enumerate(data):
            if character == _COLON:
                self._start_ns = start_ns + span_ns(place)
            frame = splitter.take(character)
            if frame is not None:
                yield Heard(frame, self._start_ns, start_ns + span_ns(place + 1))
        self._last_ns = start_ns + span_ns(len(data)) if splitter.began else None

    def over(self, now: Instant) -> Heard | None:
        """Gives up what has been waiting for its next character too long; never a frame."""
        due_ns = self.due_ns
        if due_ns is not None and now >= due_ns:
            self._splitter.forget()
            self._last_ns = None
        return None
