"""WebSocket frames (RFC 6455), sans I/O: what a small server writes, and what it reads of its clients.

Owns the handshake's answer and the frames; which messages go out, and when, is the caller's.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from dataclasses import dataclass

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
MOST_PAYLOAD = 64 * 1024  # estimate: clients of a log say next to nothing; keeps the bench's memory bounded
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class FrameError(ValueError):
    """Bytes that are no frame of a client, or one that is too long."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a client, unmasked."""

    opcode: int
    payload: bytes


def accept_key(key: str) -> str:
    """The answer to Sec-WebSocket-Key (section 4.2.2)."""
    digest = hashlib.sha1((key + _GUID).encode("latin-1", errors="replace"), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """One whole frame of a server: never masked, never in parts (section 5.2)."""
    head, size = bytes([0x80 | opcode]), len(payload)
    if size < 126:
        return head + bytes([size]) + payload
    if size < 1 << 16:
        return head + struct.pack(">BH", 126, size) + payload
    return head + struct.pack(">BQ", 127, size) + payload


def take(data: bytes) -> tuple[Frame | None, bytes]:
    """The first frame in `data` and what is left; None while it is not all there. Raises FrameError."""
    if len(data) < 2:
        return None, data
    opcode, size, at = data[0] & 0x0F, data[1] & 0x7F, 2
    if not data[1] & 0x80 or data[0] & 0x70:
        raise FrameError("a client's frame is masked and has no extension")
    for mark, form in ((126, ">H"), (127, ">Q")):
        if size == mark:
            if len(data) < at + struct.calcsize(form):
                return None, data
            size, at = struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
            break
    if size > MOST_PAYLOAD:
        raise FrameError(f"{size} bytes in one frame, at most {MOST_PAYLOAD}")
    stop = at + 4 + size
    if len(data) < stop:
        return None, data
    mask, masked = data[at : at + 4], data[at + 4 : stop]
    payload = bytes(byte ^ mask[n % 4] for n, byte in enumerate(masked))
    return Frame(opcode, payload), data[stop:]
