"""Register maps: which quantity stands where, in which type, and how a read request becomes bytes.

Owns encoding (types, word order, scale, resolution, roll-over, what a hole reads) and the freezing of values between a
device's update ticks; it computes no quantity itself.
"""

from __future__ import annotations

import functools
import math
import struct
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from emulator.modbus.pdu import ExceptionCode, ModbusError
from emulator.wire import Instant

TYPES: Mapping[str, tuple[str, int]] = {
    "u16": ("H", 1),
    "s16": ("h", 1),
    "u32": ("I", 2),
    "s32": ("i", 2),
    "u64": ("Q", 4),
    "s64": ("q", 4),
    "f32": ("f", 2),
    "f64": ("d", 4),
}
"""Type name -> struct character, registers."""

TEXT = "text"
"""The type of a row that holds characters; it says its own length."""

_F32_MAX = struct.unpack(">f", b"\x7f\x7f\xff\xff")[0]
_MAX_BLOCKS = 256
_NEVER, _FOREVER = -(2**63), 2**63 - 1


class WordOrder(Enum):
    """Which register of a value wider than one comes first."""

    HIGH_FIRST = "hi-lo"
    LOW_FIRST = "lo-hi"


class Hole(Enum):
    """What a register outside the map reads."""

    ZERO = "zero"
    ONES = "ones"
    EXCEPTION = "exception"


@dataclass(frozen=True, slots=True)
class Row:
    """One value of a map. The register holds `quantity` / `scale`, rounded for the integer types (which saturate)."""

    address: int
    quantity: str
    type: str
    unit: str = ""
    scale: float = 1.0
    resolution: float = 0.0
    """The quantity is rounded to multiples of this before it is encoded; 0: it is not."""
    rollover: float = 0.0
    """The quantity starts again at 0 when it gets here; 0: never."""
    absent: int | None = None
    """The bits that say "no value" (NaN). None: 0 in an integer, the quiet NaN of a float."""
    order: WordOrder = WordOrder.HIGH_FIRST
    grade: str = "estimate"
    source: str = ""
    length: int = 0
    """Registers of a text row."""
    factor: str = ""
    """The parameter whose value is a decimal exponent of `scale`, where the device shows one."""
    text: str = ""
    """What a text row reads, filled up with NULs; `{}` stands for its quantity as an integer. Low first: the first
    character of each register stands in its low byte."""

    @property
    def character(self) -> str:
        """How `struct` calls the type."""
        return f"{2 * self.length}s" if self.type == TEXT else TYPES[self.type][0]

    @property
    def registers(self) -> int:
        """How many registers the value takes."""
        return self.length if self.type == TEXT else TYPES[self.type][1]

    @property
    def quantum(self) -> float:
        """The smallest step the row can show, in units of the quantity; 0 for floats that are not rounded."""
        own = 0.0 if self.type == TEXT or self.character in "fd" else self.scale
        return max(own, self.resolution)

    def encoder(self) -> Callable[[float], float | bytes]:
        """A function from the quantity (any float, also NaN and infinities) to what `struct` packs."""
        if self.type == TEXT:
            return self._characters
        character, count = TYPES[self.type]
        per_step = 1.0 / self.resolution if self.resolution else 0.0
        rollover, scale = self.rollover, self.scale
        bits = 16 * count
        low, high = (0, 2**bits - 1) if character.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        limit = _F32_MAX if character == "f" else math.inf
        absent = self._absent()
        turn = round(rollover / scale)

        def prepared(value: float) -> float:
            if per_step and -1e15 < value < 1e15:
                value = round(value * per_step) / per_step
            if rollover:
                value %= rollover
            return value / scale

        def floating(value: float) -> float:
            if math.isnan(value):
                return absent
            if math.isinf(value):
                return value
            value = prepared(value)
            return value if -limit <= value <= limit else math.copysign(limit, value)

        def integer(value: float) -> float:
            if math.isnan(value):
                return absent
            if math.isfinite(value):
                value = prepared(value)
            if value >= high or value <= low:
                return high if value >= high else low
            number = round(value)
            return number % turn if turn else number

        return floating if character in "fd" else integer

    def decode(self, data: bytes) -> float:
        """The quantity that stands in the registers `data` (two bytes each); NaN for "no value" and for text."""
        if self.type == TEXT:
            return math.nan
        if self.order is WordOrder.LOW_FIRST:
            data = b"".join(data[i : i + 2] for i in reversed(range(0, len(data), 2)))
        (number,) = struct.unpack(">" + self.character, data)
        if self.absent is not None and data == self.absent.to_bytes(len(data), "big"):
            return math.nan
        return float(number * self.scale)

    def _absent(self) -> float:
        character, count = TYPES[self.type]
        if self.absent is None:
            return math.nan if character in "fd" else 0
        (number,) = struct.unpack(">" + character, self.absent.to_bytes(2 * count, "big"))
        return float(number) if character in "fd" else int(number)

    def _characters(self, value: float) -> bytes:
        text = self.text.format(int(value) if math.isfinite(value) else 0)
        data = text.encode("latin-1", "replace")[: 2 * self.length].ljust(2 * self.length, b"\0")
        if self.order is WordOrder.LOW_FIRST:
            return b"".join(data[i : i + 2][::-1] for i in range(0, len(data), 2))
        return data


@dataclass(frozen=True, slots=True)
class Plan:
    """How one span of a map is put together: `rows` packed by `layout`, words turned where a row asks, then cut."""

    rows: tuple[Row, ...]
    layout: struct.Struct
    fill: bytes
    turned: tuple[tuple[int, int], ...]
    """Byte spans whose words stand in the opposite order."""
    cut: slice | None

    def pack(self, numbers: Sequence[float | bytes]) -> bytes:
        """The bytes of the span, given what the rows' encoders made of their quantities."""
        data = self.layout.pack(*numbers)
        if self.fill:
            data = bytes(a | b for a, b in zip(data, self.fill, strict=True))
        for start, stop in self.turned:
            words = [data[i : i + 2] for i in range(start, stop, 2)]
            data = data[:start] + b"".join(reversed(words)) + data[stop:]
        return data if self.cut is None else data[self.cut]


class RegisterMap:
    """All rows of one register table. Raises ValueError when two rows overlap or leave the address space."""

    def __init__(
        self,
        rows: Sequence[Row],
        hole: Hole = Hole.EXCEPTION,
        *,
        whole_values: bool = False,
        blocks: Mapping[int, int] | None = None,
    ) -> None:
        self.rows = tuple(sorted(rows, key=lambda row: row.address))
        self.hole = hole
        self.whole_values = whole_values
        """A read that begins or ends inside a value is exception 02."""
        self.blocks = blocks or {}
        """Spans (address -> registers) that can only be read alone and whole; anything else is exception 02."""
        self._starts = [row.address for row in self.rows]
        self._plans: dict[tuple[int, int], Plan] = {}
        free = 0
        for row in self.rows:
            if row.address < free:
                raise ValueError(f"register {row.address} ({row.quantity}) overlaps the value before it")
            free = row.address + row.registers
        if free > 0x10000:
            raise ValueError(f"register {self.rows[-1].address} ({self.rows[-1].quantity}) leaves the address space")

    def changed(self, change: Callable[[Row], Row]) -> RegisterMap:
        """The same table with every row changed."""
        rows = [change(row) for row in self.rows]
        return RegisterMap(rows, self.hole, whole_values=self.whole_values, blocks=self.blocks)

    def turned(self) -> RegisterMap:
        """The same table with the opposite word order in every number."""
        other = {WordOrder.HIGH_FIRST: WordOrder.LOW_FIRST, WordOrder.LOW_FIRST: WordOrder.HIGH_FIRST}
        return self.changed(lambda row: row if row.type == TEXT else replace(row, order=other[row.order]))

    def covered(self, address: int, count: int) -> tuple[Row, ...]:
        """The rows that this span touches; none where it has a hole."""
        rows: list[Row] = []
        at = address
        while at < address + count:
            row = self.row_at(at)
            if row is None:
                return ()
            rows.append(row)
            at = row.address + row.registers
        return tuple(rows)

    def row_at(self, address: int) -> Row | None:
        """The row that covers `address`."""
        position = bisect_right(self._starts, address) - 1
        if position >= 0 and address < self.rows[position].address + self.rows[position].registers:
            return self.rows[position]
        return None

    def plan(self, address: int, count: int) -> Plan:
        """How to serve `count` registers from `address`; raises exception 02 where the product does."""
        found = self._plans.get((address, count))
        if found is None:
            found = self._planned(address, count)
            if len(self._plans) >= _MAX_BLOCKS:
                self._plans.clear()
            self._plans[address, count] = found
        return found

    def _planned(self, address: int, count: int) -> Plan:
        stop = address + count
        for start, size in self.blocks.items():
            if address < start + size and start < stop and (address, count) != (start, size):
                raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        first = self.row_at(address)
        at = start = address if first is None else first.address
        rows: list[Row] = []
        turned: list[tuple[int, int]] = []
        layout, fill = [">"], bytearray()
        position = bisect_right(self._starts, address - 1) if first is None else self.rows.index(first)
        for row in self.rows[position:]:
            if row.address >= stop:
                break
            self._skip(at, row.address, layout, fill)
            size = row.registers
            if row.order is WordOrder.LOW_FIRST and size > 1 and row.type != TEXT:
                turned.append((2 * (row.address - start), 2 * (row.address - start + size)))
            rows.append(row)
            layout.append(row.character)
            fill += bytes(2 * size)
            at = row.address + size
        if at < stop:
            self._skip(at, stop, layout, fill)
            at = stop
        if self.whole_values and (start < address or at > stop):
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        cut = slice(2 * (address - start), 2 * (stop - start)) if start < address or at > stop else None
        return Plan(tuple(rows), struct.Struct("".join(layout)), bytes(fill) if any(fill) else b"", tuple(turned), cut)

    def _skip(self, at: int, to: int, layout: list[str], fill: bytearray) -> None:
        if to == at:
            return
        if self.hole is Hole.EXCEPTION:
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        layout.append(f"{2 * (to - at)}x")
        fill += (b"\xff" if self.hole is Hole.ONES else b"\x00") * (2 * (to - at))

    def read(self, address: int, count: int, value: Callable[[str], float]) -> bytes:
        """Serve a span from values as they are now; for settings, which do not freeze."""
        plan = self.plan(address, count)
        return plan.pack([row.encoder()(value(row.quantity)) for row in plan.rows])


@dataclass(frozen=True, slots=True)
class Ticks:
    """The instants at which a group of values is renewed: `phase_ns` + any multiple of `period_ns`."""

    period_ns: int
    phase_ns: int = 0

    def __post_init__(self) -> None:
        if self.period_ns <= 0:
            raise ValueError(f"an update period of {self.period_ns} ns; it must be longer than 0")

    def last(self, now: Instant) -> Instant:
        """The latest tick at or before `now`; negative before the first one of the run."""
        return now - (now - self.phase_ns) % self.period_ns


@dataclass(frozen=True, slots=True)
class Source:
    """Where a quantity comes from: the group it is renewed with, and its value as a function of the tick.

    Without a group it stands as it is until somebody calls `Bank.forget`.
    """

    group: str
    at: Callable[[Instant], float]


@functools.lru_cache(maxsize=4096)
def _encoder(row: Row) -> Callable[[float], float | bytes]:
    """One encoder for all meters of a product: thousands of the same would not stay in the processor's cache."""
    return row.encoder()


def _formula(at: Callable[[Instant], float]) -> object:
    """What two sources with the same value have in common."""
    return (at.func, at.args) if isinstance(at, functools.partial) else at


class _Block:
    """A span somebody reads: what it is made of, and its bytes for as long as they stay the same."""

    __slots__ = ("data", "parts", "picked", "plan", "since", "ticks", "until")

    def __init__(self, plan: Plan, sources: Sequence[Source], ticks: Mapping[str, Ticks]) -> None:
        self.plan = plan
        self.picked: list[int] = []
        groups = list(dict.fromkeys(source.group for source in sources if source.group))
        self.ticks = tuple(ticks[group] for group in groups)
        # Three lines of a balanced load, import and total: much of a map is one value in several places.
        places: dict[object, int] = {}
        parts: list[tuple[int, Callable[[Instant], float], Callable[[float], float | bytes]]] = []
        for source, row in zip(sources, plan.rows, strict=True):
            same = (source.group, _formula(source.at), replace(row, address=0, quantity="", unit="", source=""))
            if places.setdefault(same, len(parts)) == len(parts):
                parts.append((groups.index(source.group) if source.group else -1, source.at, _encoder(row)))
            self.picked.append(places[same])
        self.parts = tuple(parts)
        self.since, self.until = 0, 0
        self.data = b""

    def renew(self, now: Instant) -> None:
        last = [ticks.last(now) for ticks in self.ticks]
        instants = [*last, now]  # the last one is for what belongs to no group
        numbers = [encode(at(instants[group])) for group, at, encode in self.parts]
        self.data = self.plan.pack([numbers[place] for place in self.picked])
        self.since = max(last, default=_NEVER)
        self.until = min((a + t.period_ns for a, t in zip(last, self.ticks, strict=True)), default=_FOREVER)


class Bank:
    """A register map whose values freeze at ticks. Computes at reading time, once for each span and tick; no timers."""

    def __init__(self, registers: RegisterMap, source: Callable[[str], Source], ticks: Mapping[str, Ticks]) -> None:
        self.registers = registers
        self._source = source
        self._ticks = ticks
        self._blocks: dict[int, _Block] = {}

    def read(self, address: int, count: int, now: Instant) -> bytes:
        """2 * `count` bytes as they stand at `now`; raises exception 02 as the map says."""
        block = self._blocks.get(address << 16 | count)
        if block is None:
            block = self._new_block(address, count)
        if not block.since <= now < block.until:
            block.renew(now)
        return block.data

    def forget(self) -> None:
        """Compute everything anew: something without a group has changed."""
        self._blocks.clear()

    def lasts_until(self, address: int, count: int, now: Instant) -> Instant:
        """Until when a span that was just read reads the same unless it is forgotten; `now` where it was not read."""
        block = self._blocks.get(address << 16 | count)
        return now if block is None or now < block.since else block.until

    def _new_block(self, address: int, count: int) -> _Block:
        plan = self.registers.plan(address, count)
        if len(self._blocks) >= _MAX_BLOCKS:
            self._blocks.clear()
        block = _Block(plan, [self._source(row.quantity) for row in plan.rows], self._ticks)
        self._blocks[address << 16 | count] = block
        return block
