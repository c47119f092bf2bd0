"""Protocol Buffers (proto3) on the wire, sans I/O: message trees to bytes and back, over message tables kept as data.

Owns the encoding, its bounds and the reading of the tables; which messages exist is the face's, what carries them is
`grpc.py`'s. A tree is a dict of field names; a key that is missing or None is a field that is not set.

Source: protobuf.dev, "Encoding" and "Proto3 language guide" (S).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Tree: TypeAlias = dict[str, Any]
MAX_DEPTH = 16
"""Messages within messages; deeper input is refused."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZE = {_FIXED64: 8, _FIXED32: 4}
_DEFAULTS: dict[str, Any] = {
    "bool": False, "double": 0.0, "enum": 0, "int32": 0, "int64": 0, "string": "", "uint32": 0, "uint64": 0,
}  # fmt: skip
_MASK = (1 << 64) - 1


class WireError(ValueError):
    """Bytes that are no message."""


class TableError(ValueError):
    """A message table that cannot be used, or a tree that does not fit it; names message, field and remedy."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `label` is "", "optional" (its absence can be seen) or "repeated"; `oneof` names its group."""

    number: int
    name: str
    kind: str
    label: str = ""
    oneof: str = ""

    @property
    def is_message(self) -> bool:
        """Whether the field holds a message of its own."""
        return self.kind not in _DEFAULTS

    @property
    def wire(self) -> int:
        """Wire type of one value."""
        if self.is_message or self.kind == "string":
            return _BYTES
        return _FIXED64 if self.kind == "double" else _VARINT

    @property
    def default(self) -> Any:
        """What an absent scalar reads as."""
        return _DEFAULTS[self.kind]

    @property
    def shows_absence(self) -> bool:
        """Whether a reader can tell an absent field from one with the default value."""
        return self.is_message or self.label == "optional" or bool(self.oneof)


@dataclass(frozen=True, slots=True)
class Message:
    """One message type."""

    name: str
    fields: Mapping[str, Field]
    by_number: Mapping[int, Field]


class Messages:
    """All message types of an API.

    The table has one line for each field: `watt = "1 uint64"`, with `optional`, `repeated` or `oneof GROUP` behind.
    """

    __slots__ = ("_known",)

    def __init__(self, table: Mapping[str, Mapping[str, str]]) -> None:
        self._known = {name: _message(name, fields) for name, fields in table.items()}
        for message in self._known.values():
            for field in message.fields.values():
                if field.is_message and field.kind not in self._known:
                    raise TableError(f"{message.name}.{field.name}: no message {field.kind!r}; add it to the table")

    def __getitem__(self, name: str) -> Message:
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def encode(self, name: str, tree: Mapping[str, Any]) -> bytes:
        """A tree as bytes, fields by number; raises TableError for a key that is no field."""
        message = self._known[name]
        for key in tree:
            if key not in message.fields:
                raise TableError(f"{name}: has no field {key!r}; it has {', '.join(message.fields)}")
        out = bytearray()
        for number in sorted(message.by_number):
            field = message.by_number[number]
            given = tree.get(field.name)
            if given is None:
                continue
            if field.label == "repeated":
                self._write_all(field, given, out)
            elif field.shows_absence or given != field.default:
                self._write(field, given, out)
        return bytes(out)

    def decode(self, name: str, data: bytes) -> Tree:
        """Bytes as a tree, absent fields left out. Raises WireError; unknown fields are skipped."""
        tree: Tree = {}
        self._read(self._known[name], data, 0, tree)
        return tree

    def full(self, name: str, tree: Mapping[str, Any]) -> Tree:
        """The tree as a proto3 reader sees it: every scalar and list is there, what is not set otherwise is None."""
        message = self._known[name]
        seen: Tree = {}
        for field in message.fields.values():
            given = tree.get(field.name)
            if field.label == "repeated":
                seen[field.name] = [self._seen(field, entry) for entry in given or ()]
            elif given is None:
                seen[field.name] = None if field.shows_absence else field.default
            else:
                seen[field.name] = self._seen(field, given)
        return seen

    def _seen(self, field: Field, given: Any) -> Any:
        return self.full(field.kind, given) if field.is_message else given

    def _write_all(self, field: Field, given: Any, out: bytearray) -> None:
        if field.wire == _BYTES:
            for entry in given:
                self._write(field, entry, out)
        elif given:
            packed = b"".join(_scalar(field, entry) for entry in given)
            out += _varint(field.number << 3 | _BYTES) + _varint(len(packed)) + packed

    def _write(self, field: Field, given: Any, out: bytearray) -> None:
        out += _varint(field.number << 3 | field.wire)
        if field.wire != _BYTES:
            out += _scalar(field, given)
            return
        body = self.encode(field.kind, given) if field.is_message else str(given).encode("utf-8", errors="replace")
        out += _varint(len(body)) + body

    def _read(self, message: Message, data: bytes, depth: int, tree: Tree) -> None:
        """Read into `tree`: what stands there already is merged, as the last of two equal fields has to be."""
        if depth > MAX_DEPTH:
            raise WireError("recursion limit reached")
        at = 0
        while at < len(data):
            key, at = _read_varint(data, at)
            number, wire = key >> 3, key & 7
            if number == 0:
                raise WireError("invalid tag value: 0")
            raw, at = _read_raw(data, at, wire)
            field = message.by_number.get(number)
            if field is None:
                continue
            if field.label == "repeated" and field.wire != _BYTES and wire == _BYTES:
                tree.setdefault(field.name, []).extend(_unpacked(field, raw))
                continue
            if wire != field.wire:
                raise WireError(f"invalid wire type: {wire} (expected {field.wire}) in {message.name}.{field.name}")
            if field.oneof:
                for other in message.fields.values():
                    if other.oneof == field.oneof and other is not field:
                        tree.pop(other.name, None)
            if field.is_message:
                inner = tree.get(field.name, {}) if field.label != "repeated" else {}
                self._read(self._known[field.kind], raw, depth + 1, inner)
                found: Any = inner
            else:
                found = self._value(field, raw)
            if field.label == "repeated":
                tree.setdefault(field.name, []).append(found)
            else:
                tree[field.name] = found

    def _value(self, field: Field, raw: Any) -> Any:
        if field.kind == "string":
            try:
                return raw.decode("utf-8")
            except UnicodeDecodeError:
                raise WireError(f"invalid string value in {field.name}: data is not UTF-8 encoded") from None
        return struct.unpack("<d", raw)[0] if field.kind == "double" else _number(field, raw)


def is_finite(given: object) -> bool:
    """Whether a decoded double is a number one can reckon with."""
    return isinstance(given, int | float) and math.isfinite(given)


def _message(name: str, fields: Mapping[str, str]) -> Message:
    by_name = {}
    for key, text in fields.items():
        number, kind, *rest = text.split()
        label = rest[0] if rest and rest[0] in ("optional", "repeated") else ""
        oneof = rest[1] if rest[:1] == ["oneof"] and len(rest) == 2 else ""
        if len(rest) != bool(label) + 2 * bool(oneof) or not number.isdigit():
            raise TableError(f'{name}.{key}: {text!r} is no field; write "NUMBER TYPE [optional|repeated|oneof GROUP]"')
        by_name[key] = Field(int(number), key, kind, label, oneof)
    by_number = {field.number: field for field in by_name.values()}
    if len(by_number) != len(by_name):
        raise TableError(f"{name}: two fields have one number")
    return Message(name, by_name, by_number)


def _scalar(field: Field, given: Any) -> bytes:
    if field.kind == "double":
        return struct.pack("<d", float(given))
    return _varint(int(given) & _MASK)


def _number(field: Field, raw: int) -> int | bool:
    if field.kind == "bool":
        return raw != 0
    if field.kind == "uint32":
        return raw & 0xFFFFFFFF
    if field.kind in ("int32", "enum"):
        low = raw & 0xFFFFFFFF
        return low - (1 << 32) if low >> 31 else low
    return raw - (1 << 64) if field.kind == "int64" and raw >> 63 else raw


def _unpacked(field: Field, raw: bytes) -> list[Any]:
    if field.kind == "double":
        if len(raw) % 8:
            raise WireError("packed doubles are cut short")
        return [entry[0] for entry in struct.iter_unpack("<d", raw)]
    found, at = [], 0
    while at < len(raw):
        number, at = _read_varint(raw, at)
        found.append(_number(field, number))
    return found


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for place in range(10):
        if at >= len(data):
            raise WireError("buffer underflow")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number & _MASK, at
    raise WireError("invalid varint")


def _read_raw(data: bytes, at: int, wire: int) -> tuple[Any, int]:
    if wire == _VARINT:
        return _read_varint(data, at)
    if wire == _BYTES:
        size, at = _read_varint(data, at)
    elif wire in _SIZE:
        size = _SIZE[wire]
    else:
        raise WireError(f"invalid wire type value: {wire}")
    if size > len(data) - at:
        raise WireError("buffer underflow")
    return data[at : at + size], at + size
