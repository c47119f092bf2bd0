"""Wrong frames of Modbus: a right reply in, one with a damage that was seen in the field out.

Owns the reading of `misframings.toml` and what each of its words does to a frame; when it happens is the fault's
business.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from emulator.faults import Dice
from emulator.modbus.frames import Frame, Framing, opened
from emulator.modbus.pdu import READ_WRITE_MULTIPLE_REGISTERS

_COUNTED = (1, 2, 3, 4, READ_WRITE_MULTIPLE_REGISTERS)
_TWINS = {1: 2, 2: 1, 3: 4, 4: 3, 5: 6, 6: 5, 15: 16, 16: 15}


@cache
def misframings() -> Mapping[str, Mapping[str, Any]]:
    """Every damage by name, from its file."""
    return tomllib.loads((files(__package__) / "misframings.toml").read_text(encoding="utf-8"))


def misframed_reply(data: bytes, framing: Framing, how: str, request: bytes, dice: Dice) -> bytes:
    """The reply `data` with the damage `how`; `data` itself where it is no frame or cannot have it."""
    damage = misframings()[how]
    frame = opened(data, framing)
    if frame is None or framing.value not in damage["framings"]:
        return data
    if any(word in damage for word in _IN_THE_FRAME):
        data = _resealed(frame, damage)
    for word, edit in _ON_THE_BYTES.items():
        if word in damage:
            data = edit(data, damage[word], dice)
    return request + data if damage.get("echo") else data


_IN_THE_FRAME = ("transaction", "unit", "protocol", "function", "pdu", "registers", "byte_count", "length")


def _resealed(frame: Frame, damage: Mapping[str, Any]) -> bytes:
    pdu = bytes.fromhex(damage["pdu"]) if "pdu" in damage else frame.pdu
    if "function" in damage:
        named = damage["function"]
        function = _TWINS.get(frame.function, frame.function ^ 1) if named == "twin" else int(named)
        pdu = bytes((function | pdu[0] & 0x80,)) + pdu[1:]
    if "registers" in damage and pdu[0] in _COUNTED[2:] and len(pdu) > 3:
        data = pdu[2 : 2 * damage["registers"]]
        pdu = bytes((pdu[0], len(data))) + data
    if "byte_count" in damage and pdu[0] in _COUNTED and len(pdu) > 1:
        pdu = pdu[:1] + bytes((max(0, pdu[1] + damage["byte_count"]) & 0xFF,)) + pdu[2:]
    wrong = replace(
        frame,
        transaction=_moved(frame.transaction, damage.get("transaction", "+0")),
        unit=_moved(frame.unit, damage.get("unit", "+0")),
        pdu=pdu,
    )
    return wrong.sealed(protocol=damage.get("protocol", 0), longer=damage.get("length", 0))


def _moved(number: int, to: int | str) -> int:
    return number + int(to) if isinstance(to, str) else to


def _place(size: int, dice: Dice) -> int:
    return min(size - 1, int(dice.share() * size))


def _flip(data: bytes, bits: int, dice: Dice) -> bytes:
    number = int.from_bytes(data, "big")
    for _ in range(bits):
        number ^= 1 << _place(8 * len(data), dice)
    return number.to_bytes(len(data), "big")


def _lose(data: bytes, count: int, dice: Dice) -> bytes:
    for _ in range(min(count, len(data) - 1)):
        at = _place(len(data), dice)
        data = data[:at] + data[at + 1 :]
    return data


def _double(data: bytes, count: int, dice: Dice) -> bytes:
    for _ in range(count):
        at = _place(len(data) - 1, dice)  # the last one twice is a byte behind the frame, which is another damage
        data = data[: at + 1] + data[at:]
    return data


_ON_THE_BYTES: dict[str, Callable[[bytes, Any, Dice], bytes]] = {
    "flip": _flip,
    "lose": _lose,
    "double": _double,
    "cut": lambda data, count, _dice: data[:-count],
    "before": lambda data, digits, _dice: bytes.fromhex(digits) + data,
    "behind": lambda data, digits, _dice: data + bytes.fromhex(digits),
    "times": lambda data, times, _dice: data * times,
}
