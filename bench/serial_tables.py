"""What a case may say of a controller on a serial line: its role, its power switch, its registers.

Owns the form of `sut` tables of kind `serial` and the checks that need the rig; what goes over the line is
`bench/serial_master.py`'s and the line's own, the controller's life `bench/attach_serial.py`'s.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from bench.config import ConfigError, DurationNs, Table, did_you_mean, positive
from emulator.wire import MILLISECOND, SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.layout import Layout
    from bench.rig_wires import LineTable

HEARTBEAT = "heartbeat"
"""The signal that is none of the grid's: seconds since the start of the run."""
TYPES = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "f32": 2}
"""Type of a value -> registers it takes."""
BITS = ("coil", "discrete-input")
_MOVING = ("frequency", "voltage", HEARTBEAT)
_LAST_ADDRESS = 0xFFFF
_REGISTER_BITS = 16
_RTU_BYTES = 4
"""Of an RTU frame, around function and data: unit, function, checksum."""


class PowerRestartTable(Table):
    """A planned loss of the controller's supply during the run."""

    at: DurationNs
    """From the profile's zero."""
    down: Annotated[DurationNs, positive] = SECOND
    """From off to on."""


class WriteTable(Table):
    """A signal of the grid in holding registers of the controller: its value in SI units times `scale`."""

    signal: Literal["frequency", "voltage", "dispatch", "recall", "price", "heartbeat"]
    address: Annotated[int, Field(ge=0, le=_LAST_ADDRESS)]
    """Wire address, from 0."""
    type: Literal["u16", "i16", "u32", "i32", "f32"] = "f32"
    words: Literal["high-first", "low-first"] = "high-first"
    scale: float = 1.0
    refresh: DurationNs | None = None
    """It is written when it has changed, and again after so long; by default at each poll for what always moves, every
    second for the rest."""

    @property
    def span(self) -> range:
        """The registers it takes."""
        return range(self.address, self.address + TYPES[self.type])

    @property
    def refresh_ns(self) -> Instant:
        """After how long it is written again though it has not changed; 0: at each poll."""
        if self.refresh is not None:
            return self.refresh
        return 0 if self.signal in _MOVING else SECOND

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.scale == 0:
            raise ValueError("scale = 0 makes every value zero; write what one unit of the signal is in the register")
        if self.span.stop > _LAST_ADDRESS + 1:
            raise ValueError(f"address = {self.address}: a {self.type} takes two; {_LAST_ADDRESS - 1} is the last")
        return self


class ReadTable(Table):
    """Outlets that the controller commands by bits of its own, in the order of the bits: 1 is closed.

    In registers the lowest bit of the first one is the first outlet, sixteen to a register.
    """

    table: Literal["coil", "discrete-input", "holding-register", "input-register"] = "coil"
    address: Annotated[int, Field(ge=0, le=_LAST_ADDRESS)]
    """Wire address of the first, from 0."""
    outlets: Annotated[tuple[str, ...], Field(min_length=1, max_length=2000)]
    inverted: bool = False
    """1 is open, as where a bit means "shed"."""

    @property
    def count(self) -> int:
        """How many bits or registers are asked for."""
        return len(self.outlets) if self.table in BITS else -(-len(self.outlets) // _REGISTER_BITS)

    @property
    def answer_bytes(self) -> int:
        """How many bytes of data an answer has."""
        return -(-self.count // 8) if self.table in BITS else 2 * self.count

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.address + self.count > _LAST_ADDRESS + 1:
            raise ValueError(f"address = {self.address}: {self.count} from there on leave the {_LAST_ADDRESS + 1}")
        return self


class SerialSut(Table):
    """A controller on a line of the rig, in real time.

    As `master` it asks the devices that the rig has on the line. As `slave` it is asked by the bench: what the grid
    does is written into its registers, and its coils or registers switch outlets.
    """

    kind: Literal["serial"]
    role: Literal["master", "slave"]
    line: str
    """The id of a `[[line]]` of the rig."""
    power: str | None = None
    """The id of an outlet of the rig that feeds it."""
    cold: Annotated[DurationNs, positive] = SECOND
    """How long that outlet is off before it is switched on at the start, where it was on."""
    ready_within: Annotated[DurationNs, positive] | None = None
    """From its start; by default until the profile's zero, and without limit after a restart."""
    restart: tuple[PowerRestartTable, ...] = ()
    unit: Annotated[int, Field(ge=1, le=247)] = 1
    poll: Annotated[DurationNs, positive] = 100 * MILLISECOND
    timeout: Annotated[DurationNs, positive] = 500 * MILLISECOND
    """For one answer."""
    lost_after: Annotated[DurationNs, positive] = 3 * SECOND
    """Without a good answer for so long it has stopped answering."""
    write: tuple[WriteTable, ...] = ()
    read: tuple[ReadTable, ...] = ()

    @property
    def switching_ns(self) -> Instant:
        """By how much polling may delay what the controller does, as the half-width of an uncertainty.

        An event reaches a slave up to one poll late, and its command the outlets up to one poll late; the two are
        independent, so they add as squares.
        """
        ways = bool(self.write) + bool(self.read)
        return round(self.poll * math.sqrt(ways)) if self.role == "slave" else 0

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.power is None:
            for key in ("restart", "cold"):
                if key in self.model_fields_set:
                    raise ValueError(f'{key} needs the outlet that feeds the controller; add power = "pdu-01.1" or so')
        if self.role == "master":
            for key in ("unit", "poll", "timeout", "lost_after", "write", "read"):
                if key in self.model_fields_set:
                    raise ValueError(f'{key} is for a controller that is asked; remove it, or write role = "slave"')
            return self
        if not self.write and not self.read:
            raise ValueError(
                'role = "slave" needs a map of its registers: at least one [[sut.write]] with signal and address, or '
                "one [[sut.read]] with address and outlets"
            )
        for one, other in combinations(self.write, 2):
            if set(one.span) & set(other.span):
                shared = min(set(one.span) & set(other.span))
                raise ValueError(f"write: {one.signal} and {other.signal} are both in register {shared}; move one")
        outlets = [outlet for table in self.read for outlet in table.outlets]
        for outlet in outlets:
            if outlets.count(outlet) > 1:
                raise ValueError(f"read: the outlet {outlet!r} is named twice; one bit commands one outlet")
            if outlet == self.power:
                raise ValueError(f"read: the outlet {outlet!r} feeds the controller (power); let it command others")
        return self


def check(table: SerialSut, layout: Layout, where: str) -> None:
    """Raises ConfigError, whose problems begin with `where`, for what the rig has not, or what cannot work with it."""
    problems = [f"{where}: {problem}" for problem in _problems(table, layout)]
    if problems:
        raise ConfigError(*problems)


def _problems(table: SerialSut, layout: Layout) -> Iterator[str]:
    lines = {line.id: line for line in layout.file.line}
    line = lines.get(table.line)
    hanging = _hanging(table.line, layout)
    if line is None:
        hint = did_you_mean(table.line, lines) if lines else "; give it a [[line]] with id, port and baud"
        yield f"sut.line: the rig {layout.file.name!r} has no line {table.line!r}{hint}"
    elif table.role == "master" and not hanging:
        yield (
            f"sut.line: nothing hangs on the line {line.id!r}, so a master would hear nobody; give a meter, a PDU or "
            f'the dispatch block of the rig line = "{line.id}" and a unit'
        )
    elif table.role == "slave" and hanging:
        yield (
            f"sut.line: {', '.join(hanging)} of the rig answer on the line {line.id!r}, and a line has one master; put "
            "the controller on a [[line]] of its own"
        )
    elif table.role == "slave":
        yield from _pace(table, line)
    outlets = {outlet.id: (outlet, place) for place in layout.pdus for outlet in place.outlets}
    for number, read in enumerate(table.read):
        for outlet in read.outlets:
            if outlet not in outlets:
                yield f"sut.read[{number}].outlets: there is no outlet {outlet!r}{did_you_mean(outlet, outlets)}"
    if table.power is None:
        return
    if table.power not in outlets:
        yield f"sut.power: there is no outlet {table.power!r}{did_you_mean(table.power, outlets)}"
        return
    loads = layout.switched_loads()
    fed = [layout.miners[row].id for row in outlets[table.power][0].rows]
    fed += [load.id for load in loads.get(table.power, ())]
    if fed:
        free = [name for name, (outlet, _) in outlets.items() if not outlet.rows and name not in loads]
        remedy = "give a PDU of the rig more outlets than hang on it"
        if free:
            remedy = f"name a free one: {', '.join(free[:4])}"
        yield f"sut.power: {fed[0]} hangs on the outlet {table.power!r} and would lose its mains too; {remedy}"


def _hanging(line: str, layout: Layout) -> list[str]:
    """The devices of the rig on a line."""
    places = [(place.id, place.way) for place in layout.meters if place.real is None]
    places += [(place.id, place.way) for place in layout.pdus if place.real is None]
    places += [] if layout.dispatch is None else [("dispatch", layout.dispatch)]
    return [name for name, way in places if way.serial and way.bus == line]


def _pace(table: SerialSut, line: LineTable) -> Iterator[str]:
    """A poll that the line cannot keep up with."""
    from bench.ways import serial_format

    form = serial_format(line)
    needed_ns = 0
    span: Callable[[int], int] = form.span_ns
    for asked, answered in exchanges(table):
        characters = [(2 * size + 1 if line.kind == "ascii" else size) for size in (asked, answered)]
        needed_ns += sum(map(span, characters)) + 2 * form.t35_ns
    if needed_ns > table.poll:
        yield (
            f"sut.poll: {table.poll / MILLISECOND:g} ms is too short: what is written and read takes "
            f"{needed_ns / MILLISECOND:.0f} ms at {form.text}, the controller's own time not counted; write more, or a "
            "faster line"
        )


def exchanges(table: SerialSut) -> Iterator[tuple[int, int]]:
    """Bytes of the request and of the answer of each exchange of a poll in which everything is due, as RTU frames."""
    for block in blocks(table.write):
        count = sum(len(one.span) for one in block)
        yield (_RTU_BYTES + 4, _RTU_BYTES + 4) if count == 1 else (_RTU_BYTES + 5 + 2 * count, _RTU_BYTES + 4)
    for read in table.read:
        yield _RTU_BYTES + 4, _RTU_BYTES + 1 + read.answer_bytes


def blocks(tables: tuple[WriteTable, ...]) -> list[list[WriteTable]]:
    """Those with registers side by side together, in the order of their registers: each is one request."""
    found: list[list[WriteTable]] = []
    for table in sorted(tables, key=lambda one: one.address):
        if found and found[-1][-1].span.stop == table.address:
            found[-1].append(table)
        else:
            found.append([table])
    return found
