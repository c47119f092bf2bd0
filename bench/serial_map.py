"""Signals as registers and bits as outlets: what the bench writes into a controller, when, and what it reads back.

Owns the encoding, and which registers are due at a poll; it speaks to nobody (`bench/serial_master.py` does) and reads
no clock.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.serial_tables import BITS, blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.serial_tables import ReadTable, WriteTable
    from emulator.wire import Instant

_FORMATS = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f"}
_RANGES = {"u16": (0, 0xFFFF), "i16": (-0x8000, 0x7FFF), "u32": (0, 0xFFFFFFFF), "i32": (-0x80000000, 0x7FFFFFFF)}
_LARGEST_F32 = struct.unpack(">f", b"\x7f\x7f\xff\xff")[0]


def limits(table: WriteTable) -> tuple[float, float]:
    """Between which values of the signal the registers can hold it."""
    low, high = _RANGES.get(table.type, (-_LARGEST_F32, _LARGEST_F32))
    ends = (low / table.scale, high / table.scale)
    return min(ends), max(ends)


def encode(table: WriteTable, value: float) -> tuple[int, ...]:
    """The registers of a value, in the order of their addresses. One that they cannot hold becomes the nearest."""
    scaled: float = value * table.scale
    low, high = _RANGES.get(table.type, (-_LARGEST_F32, _LARGEST_F32))
    held = min(max(scaled, low), high)
    data = struct.pack(_FORMATS[table.type], held if table.type == "f32" else round(held))
    words = tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    return words if table.words == "high-first" else words[::-1]


def decode(table: ReadTable, answer: Sequence[int]) -> dict[str, bool]:
    """Outlet -> whether it is to be closed, from the bits or registers read. Raises ValueError for too few of them."""
    if len(answer) < table.count:
        raise ValueError(f"{len(answer)} came, {table.count} were asked for")
    if table.table in BITS:
        bits = [bool(bit) for bit in answer]
    else:
        bits = [bool(word >> bit & 1) for word in answer for bit in range(16)]
    return {outlet: bits[place] != table.inverted for place, outlet in enumerate(table.outlets)}


@dataclass(frozen=True, slots=True)
class Write:
    """One request that writes registers side by side; `signals` are what stands in them."""

    address: int
    words: tuple[int, ...]
    tables: tuple[WriteTable, ...]

    @property
    def signals(self) -> str:
        """For people."""
        return ", ".join(table.signal for table in self.tables)


class Outbox:
    """What the controller has acknowledged so far, and hence what it has to be told."""

    def __init__(self, tables: Sequence[WriteTable]) -> None:
        self._tables = tuple(tables)
        self._told: dict[int, tuple[tuple[int, ...], Instant]] = {}
        """First register -> what was acknowledged there last, and when."""

    def due(self, values: Mapping[str, float], now: Instant) -> list[Write]:
        """The requests of a poll at `now`: what has changed, and what has not been said for its `refresh`."""
        words = {table.address: encode(table, values[table.signal]) for table in self._tables}
        stale = tuple(table for table in self._tables if self._is_due(table, words[table.address], now))
        return [
            Write(block[0].address, tuple(word for one in block for word in words[one.address]), tuple(block))
            for block in blocks(stale)
        ]

    def acknowledged(self, write: Write, now: Instant) -> None:
        """The controller has it."""
        at = 0
        for table in write.tables:
            self._told[table.address] = (write.words[at : at + len(table.span)], now)
            at += len(table.span)

    def forget(self) -> None:
        """The controller was off: it knows nothing any more."""
        self._told.clear()

    def _is_due(self, table: WriteTable, words: tuple[int, ...], now: Instant) -> bool:
        told = self._told.get(table.address)
        return told is None or told[0] != words or now - told[1] >= table.refresh_ns
