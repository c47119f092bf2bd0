"""Faults of what stands in registers: values in the wrong order, unit or place, none at all, old, or not to be written.

Owns the wrong views of one unit's data model: each fault is a model around the one before, so faults compose. What the
meter measures wrongly is `emulator/faulty_readings.py`'s, what becomes of frames `emulator/faulty_link.py`'s.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from emulator.asked import named
from emulator.faults import Dice, Fault, FaultHook, FaultPlan
from emulator.modbus.identity import Identity
from emulator.modbus.pdu import READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS, DataModel, ExceptionCode, ModbusError
from emulator.modbus.registers import TYPES, RegisterMap, Row
from emulator.modbus.tcp import ModbusTcpDevice
from emulator.wire import Instant

Maps = Callable[[], Mapping[int, RegisterMap]]
"""What stands behind functions 3 and 4 at present; a meter may lay its tables out anew."""
Slower = Callable[[int], DataModel]
"""The same meter with its windows stretched to so many nanoseconds."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a wrong view knows besides its fault."""

    target: str
    dice: Dice
    maps: Maps
    heard: FaultHook | None = None
    slower: Slower | None = None


def with_register_faults(
    plan: FaultPlan,
    target: str,
    sort: str,
    device: ModbusTcpDevice,
    maps: Maps,
    heard: FaultHook | None = None,
    slower: Slower | None = None,
) -> ModbusTcpDevice:
    """`device` with the plan's faults of registers; itself where it has none. `averaging_lag` needs `slower`."""
    aimed = [(fault, seed) for fault, seed in plan.aimed(target, sort) if fault.kind in VIEWS]
    if not aimed:
        return device

    def seen(model: DataModel) -> DataModel:
        for fault, seed in aimed:
            model = VIEWS[fault.kind](model, fault, Place(target, Dice(seed), maps, heard, slower))
        return model

    return device.over(seen)


class View:
    """A data model like the one behind it; the base of wrong ones."""

    def __init__(self, model: DataModel, fault: Fault, place: Place) -> None:
        self._model = model
        self._fault = fault
        self._place = place

    @property
    def functions(self) -> frozenset[int]:
        """As behind it."""
        return self._model.functions

    @property
    def identity(self) -> Identity | None:
        """As behind it."""
        return self._model.identity

    def read_coils(self, address: int, count: int, now: Instant) -> bytes:
        """As behind it."""
        return self._model.read_coils(address, count, now)

    def read_discrete_inputs(self, address: int, count: int, now: Instant) -> bytes:
        """As behind it."""
        return self._model.read_discrete_inputs(address, count, now)

    def read_holding_registers(self, address: int, count: int, now: Instant) -> bytes:
        """Function 3."""
        return self._read(READ_HOLDING_REGISTERS, address, count, now)

    def read_input_registers(self, address: int, count: int, now: Instant) -> bytes:
        """Function 4."""
        return self._read(READ_INPUT_REGISTERS, address, count, now)

    def write_coil(self, address: int, word: int, now: Instant) -> None:
        """As behind it."""
        self._model.write_coil(address, word, now)

    def write_coils(self, address: int, states: tuple[bool, ...], now: Instant) -> None:
        """As behind it."""
        self._model.write_coils(address, states, now)

    def write_register(self, address: int, word: int, now: Instant) -> None:
        """As behind it."""
        self._model.write_register(address, word, now)

    def write_registers(self, address: int, words: bytes, now: Instant) -> None:
        """As behind it."""
        self._model.write_registers(address, words, now)

    def other(self, pdu: bytes, now: Instant) -> bytes:
        """As behind it."""
        return self._model.other(pdu, now)

    def _read(self, function: int, address: int, count: int, now: Instant) -> bytes:
        return _read(self._model, function, address, count, now)

    def _strikes(self, now: Instant) -> bool:
        return self._fault.active(now) and self._place.dice.hit(self._fault)

    def _report(self, now: Instant) -> None:
        if self._place.heard is not None:
            self._place.heard(now, self._fault, self._place.target)


def _read(model: DataModel, function: int, address: int, count: int, now: Instant) -> bytes:
    read = model.read_holding_registers if function == READ_HOLDING_REGISTERS else model.read_input_registers
    return read(address, count, now)


# ---- values ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """One value in a read: its row, its registers as the model fills them, and the bytes of the read that show it."""

    function: int
    address: int
    count: int
    row: Row
    data: bytes
    here: slice


class _Values(View, ABC):
    """Some values of the map read differently; a read of a part of a value shows that part of the wrong one."""

    @abstractmethod
    def _wrong(self, part: Part, now: Instant) -> bytes:
        """The registers of the value as they read wrongly."""

    def _read(self, function: int, address: int, count: int, now: Instant) -> bytes:
        data = _read(self._model, function, address, count, now)
        rows = self._rows(function, address, address + count) if self._fault.active(now) else []
        if not rows or not self._place.dice.hit(self._fault):
            return data
        wrong = bytearray(data)
        for row in rows:
            first, last = max(address, row.address), min(address + count, row.address + row.registers)
            here, there = (slice(2 * (first - at), 2 * (last - at)) for at in (address, row.address))
            whole = self._whole(function, row, data[here], there, now)
            if whole is not None:
                wrong[here] = self._wrong(Part(function, address, count, row, whole, here), now)[there]
        if wrong != data:
            self._report(now)
        return bytes(wrong)

    def _rows(self, function: int, start: int, stop: int) -> list[Row]:
        registers = self._place.maps().get(function)
        names, spans = self._fault.globs("quantities"), self._fault.spans("registers")
        return [
            row
            for row in (registers.rows if registers is not None else ())
            if row.address < stop
            and start < row.address + row.registers
            and row.type in TYPES
            and (named(row.quantity, names) or named(_SUFFIX.split(row.quantity)[0], names))
            and (not spans or any(s.start < row.address + row.registers and row.address < s.stop for s in spans))
        ]

    def _whole(self, function: int, row: Row, shown: bytes, there: slice, now: Instant) -> bytes | None:
        """All registers of `row`; None where the product shows something else in a part of them than in the whole."""
        if len(shown) == 2 * row.registers:
            return shown
        try:
            whole = _read(self._model, function, row.address, row.registers, now)
        except ModbusError:
            return None
        return whole if whole[there] == shown else None

    def _other(self, part: Part, model: DataModel, at: Instant) -> bytes:
        """The same value as `model` has it at another instant, read as it is read now: some tables want that."""
        if part.here.stop - part.here.start == len(part.data):
            return _read(model, part.function, part.address, part.count, at)[part.here]
        return _read(model, part.function, part.row.address, part.row.registers, at)


_SUFFIX = re.compile("[:@]")
"""What a quantity's name has behind it: the number of an output, a group of its own."""


class _Turned(_Values):
    def _wrong(self, part: Part, now: Instant) -> bytes:
        order, data = self._fault.text("order"), part.data
        if order == "all":
            return data[::-1]
        words = [data[i : i + 2] for i in range(0, len(data), 2)]
        return b"".join(reversed(words) if order == "words" else (word[::-1] for word in words))


class _NoValue(_Values):
    def _wrong(self, part: Part, now: Instant) -> bytes:
        if self._fault.text("reads") == "nan":
            return encoded(part.row, math.nan)
        return (b"\xff" if self._fault.text("reads") == "ones" else b"\x00") * len(part.data)


class _OtherUnit(_Values):
    def _wrong(self, part: Part, now: Instant) -> bytes:
        value = part.row.decode(part.data)
        return part.data if math.isnan(value) else encoded(part.row, value * self._fault.number("factor"))


class _Stepped(_Values):
    """A counter that is off by so much."""

    def _wrong(self, part: Part, now: Instant) -> bytes:
        value, end = part.row.decode(part.data), end_of(part.row)
        if math.isnan(value):
            return part.data
        value = max(0.0, value + self._fault.number("by"))
        return encoded(part.row, value % end if math.isfinite(end) else value)


class _Frozen(_Values):
    """Values of the instant at which the fault began."""

    def __init__(self, model: DataModel, fault: Fault, place: Place) -> None:
        super().__init__(model, fault, place)
        self._then: dict[tuple[int, int], bytes] = {}

    def _wrong(self, part: Part, now: Instant) -> bytes:
        key = (part.function, part.row.address)
        if key not in self._then:
            self._then[key] = self._other(part, self._model, self._fault.start_ns)
        return self._then[key]


class _NearItsEnd(_Frozen):
    """A counter that has so much left when the fault begins, and goes on from there."""

    def _wrong(self, part: Part, now: Instant) -> bytes:
        row, end = part.row, end_of(part.row)
        value, began = row.decode(part.data), row.decode(super()._wrong(part, now))
        if not math.isfinite(end) or math.isnan(value) or math.isnan(began):
            return part.data
        return encoded(row, (value - began + end - self._fault.number("left")) % end)


class _Lagging(_Values):
    """Means over a longer window, as a slower twin of the meter shows them."""

    def __init__(self, model: DataModel, fault: Fault, place: Place) -> None:
        super().__init__(model, fault, place)
        window_ns = fault.nanoseconds("window_ns")
        self._twin = place.slower(window_ns) if place.slower is not None and window_ns else model

    def _wrong(self, part: Part, now: Instant) -> bytes:
        return self._other(part, self._twin, now)


def end_of(row: Row) -> float:
    """Where a counter starts again at 0, in units of its quantity; infinite for a float that never does."""
    character, registers = TYPES[row.type]
    if row.rollover:
        return row.rollover
    if character in "fd":
        return math.inf
    return float(2 ** (16 * registers - (0 if character.isupper() else 1))) * row.scale


def encoded(row: Row, value: float) -> bytes:
    """The registers of `row` with the quantity `value` in them, as its product writes it."""
    return RegisterMap([row]).read(row.address, row.registers, lambda _quantity: value)


# ---- addresses and writes -------------------------------------------------------------------------------------------


class _Shifted(View):
    """Every address means another one."""

    def _at(self, address: int, count: int, now: Instant) -> int:
        if not self._strikes(now):
            return address
        self._report(now)
        address += round(self._fault.number("by"))
        if not 0 <= address <= 0x10000 - count:
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        return address

    def read_coils(self, address: int, count: int, now: Instant) -> bytes:
        return self._model.read_coils(self._at(address, count, now), count, now)

    def read_discrete_inputs(self, address: int, count: int, now: Instant) -> bytes:
        return self._model.read_discrete_inputs(self._at(address, count, now), count, now)

    def _read(self, function: int, address: int, count: int, now: Instant) -> bytes:
        return _read(self._model, function, self._at(address, count, now), count, now)

    def write_coil(self, address: int, word: int, now: Instant) -> None:
        self._model.write_coil(self._at(address, 1, now), word, now)

    def write_coils(self, address: int, states: tuple[bool, ...], now: Instant) -> None:
        self._model.write_coils(self._at(address, len(states), now), states, now)

    def write_register(self, address: int, word: int, now: Instant) -> None:
        self._model.write_register(self._at(address, 1, now), word, now)

    def write_registers(self, address: int, words: bytes, now: Instant) -> None:
        self._model.write_registers(self._at(address, len(words) // 2, now), words, now)


class _Limited(View):
    """Fewer registers in one read than the product has."""

    def _read(self, function: int, address: int, count: int, now: Instant) -> bytes:
        if count > self._fault.nanoseconds("at_most") and self._strikes(now):
            self._report(now)
            raise ModbusError(self._fault.nanoseconds("code"))
        return _read(self._model, function, address, count, now)


class _Unwritten(View):
    """Writes are acknowledged and forgotten."""

    def _is_lost(self, address: int, count: int, now: Instant) -> bool:
        spans = self._fault.spans("registers")
        if spans and not any(span.start < address + count and address < span.stop for span in spans):
            return False
        if not self._strikes(now):
            return False
        self._report(now)
        return True

    def write_coil(self, address: int, word: int, now: Instant) -> None:
        if not self._is_lost(address, 1, now):
            self._model.write_coil(address, word, now)

    def write_coils(self, address: int, states: tuple[bool, ...], now: Instant) -> None:
        if not self._is_lost(address, len(states), now):
            self._model.write_coils(address, states, now)

    def write_register(self, address: int, word: int, now: Instant) -> None:
        if not self._is_lost(address, 1, now):
            self._model.write_register(address, word, now)

    def write_registers(self, address: int, words: bytes, now: Instant) -> None:
        if not self._is_lost(address, len(words) // 2, now):
            self._model.write_registers(address, words, now)


VIEWS: Mapping[str, Callable[[DataModel, Fault, Place], DataModel]] = {
    "word_order": _Turned,
    "no_value": _NoValue,
    "unit_mix_up": _OtherUnit,
    "counter_rollover": _NearItsEnd,
    "counter_step": _Stepped,
    "averaging_lag": _Lagging,
    "frozen_registers": _Frozen,
    "address_shift": _Shifted,
    "register_limit": _Limited,
    "ignore_writes": _Unwritten,
}
"""Every kind that this module carries out."""
