"""A reply and what is around its text: an HTTP head, a length prefix, a closing NUL; taken off and put on again.

Owns that a changed text goes out with the right length unless a wrong one is asked for. What the text says, nobody here
looks at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LENGTH = re.compile(rb"(?i)(\r\ncontent-length:[ \t]*)(\d{1,9})")
_STATUS = re.compile(rb"HTTP/1\.\d [1-9]\d\d")
_ENDS = b"\x00\r\n"


@dataclass(frozen=True, slots=True)
class Envelope:
    """One whole reply: `head`, `body`, `tail`; `prefix` where the head is four bytes of length."""

    head: bytes
    body: bytes
    tail: bytes = b""
    prefix: bool = False

    @property
    def status(self) -> int:
        """The HTTP status; 0 for another protocol."""
        return int(self.head[9:12]) if self.head.startswith(b"HTTP/1.") else 0

    def field(self, name: str) -> bytes:
        """An HTTP header field's value as sent; empty without it."""
        found = re.search(rb"(?im)^" + re.escape(name.encode()) + rb":[ \t]*([^\r\n]*)", self.head)
        return found[1] if found else b""

    def sealed(self, body: bytes, *, length: int = 0, bare: bool = False) -> bytes:
        """The reply with another body; `length` is added to the length told, `bare` leaves the tail away."""
        told = max(0, len(body) + length)
        tail = b"" if bare else self.tail
        if self.prefix:
            return told.to_bytes(4, "little") + body + tail
        if self.status:
            return _LENGTH.sub(lambda found: found[1] + str(told).encode(), self.head, count=1) + body
        return body + tail


def opened(data: bytes) -> Envelope | None:
    """The parts of one whole reply; None for binary protocols, for parts of replies, and for what has no text.

    An HTTP reply must tell its length and have it: a chunked one, a reply to HEAD and a 100 Continue are left alone.
    """
    if data.startswith(b"HTTP/1."):
        head, blank, body = data.partition(b"\r\n\r\n")
        told = _LENGTH.search(head)
        whole = told is not None and int(told[2]) == len(body)
        return Envelope(head + blank, body) if whole and _STATUS.match(head) else None
    if len(data) > 4 and int.from_bytes(data[:4], "little") == len(data) - 4:
        return Envelope(b"", data[4:], prefix=True)
    body = data.rstrip(_ENDS)
    return Envelope(b"", body, data[len(body) :]) if body and _is_text(body) else None


def page(status: int, reason: str, headers: list[tuple[str, bytes]]) -> bytes:
    """A whole HTTP reply with the plain page of a status."""
    text = f"<html><head><title>{status} {reason}</title></head><body><h1>{status} {reason}</h1></body></html>\n"
    lines = [b"HTTP/1.1 %d %s" % (status, reason.encode()), b"Content-Type: text/html"]
    lines += [name.encode() + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(text), b"", text.encode()])


def _is_text(body: bytes) -> bool:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(char >= " " or char in "\t\r\n\x00" for char in text)
