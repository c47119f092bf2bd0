"""MQTT 3.1.1 and 5 on the wire, as far as a broker needs it: packets out of a stream of bytes, and into bytes.

Owns framing and fields (OASIS MQTT 3.1.1 sections 2 and 3, MQTT 5.0 sections 1.5, 2 and 3); what a packet means is
`mqtt.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 10, 11, 12, 13, 14

V311, V5 = 4, 5
MAX_PACKET_BYTES = 256 * 1024
"""The largest packet taken. estimate: what the operator says fits in 2 kB"""
_FLAGS = {PUBREL: 2, SUBSCRIBE: 2, UNSUBSCRIBE: 2}
"""Fixed header flags that must be so; 0 for the other types but PUBLISH."""


class Reason(IntEnum):
    """Reason codes of MQTT 5 (section 2.4) that this broker gives."""

    SUCCESS = 0x00
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_TOO_LARGE = 0x95
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E


class PacketError(Exception):
    """Bytes that are no packet, or one that may not be: the connection ends with `reason`."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


PropertyValue: TypeAlias = int | str | bytes | tuple[str, str]

_BYTE, _TWO, _FOUR, _VARINT, _TEXT, _BINARY, _PAIR = range(7)
_PROPERTIES = {
    0x01: _BYTE, 0x02: _FOUR, 0x03: _TEXT, 0x08: _TEXT, 0x09: _BINARY, 0x0B: _VARINT, 0x11: _FOUR, 0x12: _TEXT,
    0x13: _TWO, 0x15: _TEXT, 0x16: _BINARY, 0x17: _BYTE, 0x18: _FOUR, 0x19: _BYTE, 0x1A: _TEXT, 0x1C: _TEXT,
    0x1F: _TEXT, 0x21: _TWO, 0x22: _TWO, 0x23: _TWO, 0x24: _BYTE, 0x25: _BYTE, 0x26: _PAIR, 0x27: _FOUR, 0x28: _BYTE,
    0x29: _BYTE, 0x2A: _BYTE,
}  # fmt: skip
"""Type of each property (MQTT 5 section 2.2.2.2)."""
CONTENT_TYPE, SUBSCRIPTION_ID, SESSION_EXPIRY, ASSIGNED_CLIENT_ID = 0x03, 0x0B, 0x11, 0x12
RECEIVE_MAXIMUM, TOPIC_ALIAS, SHARED_AVAILABLE, USER_PROPERTY = 0x21, 0x23, 0x2A, 0x26


class Reader:
    """Fields one after the other. Raises PacketError where they are not there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not read."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """So many bytes."""
        if count > self.left:
            raise PacketError(Reason.MALFORMED_PACKET, "a field ends after its packet")
        self._at += count
        return self._data[self._at - count : self._at]

    def byte(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def two(self) -> int:
        """Two bytes."""
        return int.from_bytes(self.take(2))

    def varint(self) -> int:
        """A variable byte integer."""
        number = 0
        for place in range(4):
            digit = self.byte()
            number |= (digit & 0x7F) << 7 * place
            if not digit & 0x80:
                return number
        raise PacketError(Reason.MALFORMED_PACKET, "a variable byte integer longer than four bytes")

    def binary(self) -> bytes:
        """Bytes with their count before them."""
        return self.take(self.two())

    def text(self) -> str:
        """UTF-8 with its count before it; a NUL or half a surrogate pair may not be in it."""
        try:
            text = self.binary().decode("utf-8")
        except UnicodeDecodeError:
            raise PacketError(Reason.MALFORMED_PACKET, "text that is not UTF-8") from None
        if "\x00" in text:
            raise PacketError(Reason.MALFORMED_PACKET, "a NUL in a text")
        return text

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def properties(self) -> list[tuple[int, PropertyValue]]:
        """The properties of an MQTT 5 packet, in order."""
        inner = Reader(self.take(self.varint()))
        found: list[tuple[int, PropertyValue]] = []
        while inner.left:
            name = inner.varint()
            kind = _PROPERTIES.get(name)
            if kind is None:
                raise PacketError(Reason.MALFORMED_PACKET, f"property {name:#x} is none")
            found.append((name, inner.property_value(kind)))
        return found

    def property_value(self, kind: int) -> PropertyValue:
        """One value."""
        if kind == _PAIR:
            return self.text(), self.text()
        if kind in (_TEXT, _BINARY):
            return self.text() if kind == _TEXT else self.binary()
        return self.varint() if kind == _VARINT else int.from_bytes(self.take({_BYTE: 1, _TWO: 2, _FOUR: 4}[kind]))


def varint(number: int) -> bytes:
    """A variable byte integer."""
    out = bytearray()
    while True:
        number, digit = number >> 7, number & 0x7F
        out.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(out)


def text(value: str) -> bytes:
    """UTF-8 with its count before it."""
    raw = value.encode("utf-8")
    return len(raw).to_bytes(2) + raw


def properties(found: list[tuple[int, PropertyValue]]) -> bytes:
    """Properties with their length before them."""
    out = b""
    for name, value in found:
        out += varint(name)
        if isinstance(value, tuple):
            out += text(value[0]) + text(value[1])
        elif isinstance(value, str):
            out += text(value)
        elif isinstance(value, bytes):
            out += len(value).to_bytes(2) + value
        else:
            kind = _PROPERTIES[name]
            out += varint(value) if kind == _VARINT else value.to_bytes({_BYTE: 1, _TWO: 2, _FOUR: 4}[kind])
    return varint(len(out)) + out


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    """A whole packet."""
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


class Stream:
    """Packets out of bytes in any fragmentation."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Bytes have come."""
        self._rest += data

    def next(self) -> tuple[int, int, bytes] | None:
        """(type, flags, body) of the next whole packet; None while it is not whole. Raises PacketError."""
        rest = self._rest
        if len(rest) < 2:
            return None
        length, shift, at = 0, 0, 1
        while True:
            if at == len(rest):
                return None
            digit = rest[at]
            length |= (digit & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not digit & 0x80:
                break
            if at > 4:
                raise PacketError(Reason.MALFORMED_PACKET, "a remaining length longer than four bytes")
        if length > MAX_PACKET_BYTES:
            raise PacketError(Reason.PACKET_TOO_LARGE, f"a packet of {length} bytes")
        if len(rest) < at + length:
            return None
        kind, flags = rest[0] >> 4, rest[0] & 0x0F
        if kind != PUBLISH and flags != _FLAGS.get(kind, 0):
            raise PacketError(Reason.MALFORMED_PACKET, f"flags {flags:#x} on a packet of type {kind}")
        self._rest = rest[at + length :]
        return kind, flags, rest[at : at + length]


# ---- packets that come ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """Something published. `extra` are the properties that travel with it to MQTT 5 clients."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    extra: tuple[tuple[int, PropertyValue], ...] = ()


@dataclass(frozen=True, slots=True)
class Connect:
    """A client introduces itself."""

    level: int
    clean: bool
    keep_alive_s: int
    client_id: str
    will: Message | None = None
    username: str | None = None
    password: bytes | None = None
    session_expiry_s: int = 0
    receive_maximum: int = 65535

    @classmethod
    def read(cls, body: bytes) -> Connect:
        """Raises PacketError."""
        reader = Reader(body)
        name, level, flags = reader.text(), reader.byte(), reader.byte()
        if name != "MQTT" or level not in (V311, V5):
            raise PacketError(Reason.UNSUPPORTED_PROTOCOL_VERSION, f"protocol {name!r} level {level}")
        if flags & 0x01 or (not flags & 0x04 and flags & 0x38) or flags >> 3 & 3 == 3:
            raise PacketError(Reason.MALFORMED_PACKET, f"connect flags {flags:#x}")
        if level == V311 and flags & 0x40 and not flags & 0x80:
            raise PacketError(Reason.MALFORMED_PACKET, "a password without a user name")
        keep_alive_s = reader.two()
        found = dict(reader.properties()) if level == V5 else {}
        client_id = reader.text()
        will = None
        if flags & 0x04:
            extra = tuple(p for p in reader.properties() if p[0] != 0x18) if level == V5 else ()
            will = Message(topic_name(reader.text()), reader.binary(), flags >> 3 & 3, bool(flags & 0x20), extra)
        username = reader.text() if flags & 0x80 else None
        password = reader.binary() if flags & 0x40 else None
        if reader.left:
            raise PacketError(Reason.MALFORMED_PACKET, "bytes behind a CONNECT")
        expiry = _number(found, SESSION_EXPIRY, 0) if level == V5 else (0 if flags & 0x02 else 0xFFFFFFFF)
        receive = _number(found, RECEIVE_MAXIMUM, 65535)
        if receive == 0:
            raise PacketError(Reason.PROTOCOL_ERROR, "a receive maximum of 0")
        return cls(level, bool(flags & 0x02), keep_alive_s, client_id, will, username, password, expiry, receive)


def read_publish(flags: int, body: bytes, level: int) -> tuple[Message, int]:
    """A message and its packet identifier (0 with QoS 0). Raises PacketError."""
    reader, qos = Reader(body), flags >> 1 & 3
    if qos == 3 or (qos == 0 and flags & 0x08):
        raise PacketError(Reason.MALFORMED_PACKET, f"publish flags {flags:#x}")
    topic = reader.text()
    number = reader.two() if qos else 0
    if qos and number == 0:
        raise PacketError(Reason.PROTOCOL_ERROR, "packet identifier 0")
    extra = reader.properties() if level == V5 else []
    if any(name in (TOPIC_ALIAS, SUBSCRIPTION_ID) for name, _ in extra):
        raise PacketError(Reason.PROTOCOL_ERROR, "a topic alias or subscription identifier, of which none was agreed")
    return Message(topic_name(topic), reader.rest(), qos, bool(flags & 1), tuple(extra)), number


@dataclass(frozen=True, slots=True)
class Wish:
    """One topic filter of a SUBSCRIBE."""

    filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0
    number: int = 0
    """Subscription identifier; 0 for none."""


def read_subscribe(body: bytes, level: int) -> tuple[int, list[Wish]]:
    """Packet identifier and filters. Raises PacketError."""
    reader = Reader(body)
    number = reader.two()
    found = dict(reader.properties()) if level == V5 else {}
    wishes = []
    while reader.left:
        name, options = reader.text(), reader.byte()
        if options & 3 == 3 or options >> 4 & 3 == 3 or options & (0xC0 if level == V5 else 0xFC):
            raise PacketError(Reason.PROTOCOL_ERROR, f"subscription options {options:#x}")
        wishes.append(
            Wish(name, options & 3, bool(options & 4), bool(options & 8), options >> 4 & 3,
                 _number(found, SUBSCRIPTION_ID, 0))
        )  # fmt: skip
    if number == 0 or not wishes:
        raise PacketError(Reason.PROTOCOL_ERROR, "a SUBSCRIBE without packet identifier or filter")
    return number, wishes


def read_unsubscribe(body: bytes, level: int) -> tuple[int, list[str]]:
    """Packet identifier and filters. Raises PacketError."""
    reader = Reader(body)
    number = reader.two()
    if level == V5:
        reader.properties()
    names = []
    while reader.left:
        names.append(reader.text())
    if number == 0 or not names:
        raise PacketError(Reason.PROTOCOL_ERROR, "an UNSUBSCRIBE without packet identifier or filter")
    return number, names


def _number(found: dict[int, PropertyValue], name: int, default: int) -> int:
    value = found.get(name, default)
    return value if isinstance(value, int) else default


# ---- topics ---------------------------------------------------------------------------------------------------------


def topic_name(topic: str) -> str:
    """A topic that can be published to. Raises PacketError."""
    if not topic or "+" in topic or "#" in topic:
        raise PacketError(Reason.TOPIC_NAME_INVALID, f"topic {topic!r}")
    return topic


def is_filter(pattern: str) -> bool:
    """Whether a text is a topic filter: `#` only as the last level, `+` only as a whole one."""
    levels = pattern.split("/")
    if not pattern or any("#" in level and (level != "#" or i < len(levels) - 1) for i, level in enumerate(levels)):
        return False
    return all("+" not in level or level == "+" for level in levels)


def matches(pattern: str, topic: str) -> bool:
    """Whether a filter takes a topic; wild cards at the beginning do not take topics that begin with `$`."""
    if topic.startswith("$") and pattern[:1] in ("+", "#"):
        return False
    wanted, levels = pattern.split("/"), topic.split("/")
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(levels) or level not in ("+", levels[place]):
            return False
    return len(wanted) == len(levels)


# ---- packets that go ------------------------------------------------------------------------------------------------

_CONNACK_311 = {
    Reason.SUCCESS: 0, Reason.UNSUPPORTED_PROTOCOL_VERSION: 1, Reason.CLIENT_IDENTIFIER_NOT_VALID: 2,
    Reason.BAD_USER_NAME_OR_PASSWORD: 4, Reason.NOT_AUTHORIZED: 5,
}  # fmt: skip


def connack(level: int, reason: Reason, session_present: bool, assigned: str = "") -> bytes:
    """The answer to a CONNECT."""
    if level != V5:
        return packet(CONNACK, bytes([session_present, _CONNACK_311[reason]]))
    said: list[tuple[int, PropertyValue]] = [(SHARED_AVAILABLE, 0)] if reason is Reason.SUCCESS else []
    if assigned:
        said.append((ASSIGNED_CLIENT_ID, assigned))
    return packet(CONNACK, bytes([session_present, reason]) + properties(said))


def publish(
    message: Message, qos: int, number: int, level: int, *, dup: bool = False, retain: bool = False,
    subscriptions: tuple[int, ...] = (),
) -> bytes:  # fmt: skip
    """A message on its way to a client."""
    body = text(message.topic) + (number.to_bytes(2) if qos else b"")
    if level == V5:
        body += properties([*message.extra, *((SUBSCRIPTION_ID, one) for one in subscriptions)])
    return packet(PUBLISH, body + message.payload, dup << 3 | qos << 1 | retain)


def acknowledge(kind: int, number: int, level: int, reason: Reason = Reason.SUCCESS) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP."""
    tail = bytes([reason]) if level == V5 and reason else b""
    return packet(kind, number.to_bytes(2) + tail, _FLAGS.get(kind, 0))


def suback(kind: int, number: int, codes: list[int], level: int) -> bytes:
    """SUBACK or UNSUBACK; in MQTT 3.1.1 a refusal is 80h, and UNSUBACK has no codes."""
    body = number.to_bytes(2)
    if level == V5:
        return packet(kind, body + properties([]) + bytes(codes))
    return packet(kind, body + (bytes(min(code, 0x80) for code in codes) if kind == SUBACK else b""))


def disconnect(reason: Reason) -> bytes:
    """The broker ends an MQTT 5 connection."""
    return packet(DISCONNECT, bytes([reason]) + properties([]))


@dataclass(slots=True)
class Inflight:
    """Messages under way to one client with QoS 1, by packet identifier, oldest first."""

    sent: dict[int, bytes] = field(default_factory=dict)
    _last: int = 0

    def number(self) -> int:
        """A packet identifier that is free."""
        while True:
            self._last = self._last % 0xFFFF + 1
            if self._last not in self.sent:
                return self._last
