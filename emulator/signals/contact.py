"""Relay contacts as discrete inputs: an I/O module whose inputs close while something on the grid holds.

Owns the product `ramprig_contacts`, a map of this project's own (docs/reference/signals.md): the relay behind each
input, with its pick-up and drop-out times, and the module's scan. The signals are the grid's as it is published.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emulator.faults import Fault
from emulator.faulty_notices import strikes
from emulator.modbus.identity import Identity
from emulator.modbus.link import Link, UnitPolicy
from emulator.modbus.pdu import (
    ENCAPSULATED_INTERFACE,
    READ_DISCRETE_INPUTS,
    ExceptionCode,
    ModbusError,
    Model,
    pack_bits,
)
from emulator.modbus.tcp import PORT, ModbusTcpDevice
from emulator.seed import Seed
from emulator.wire import MILLISECOND, Instant

PRODUCT = "ramprig_contacts"
SCAN_NS = 10 * MILLISECOND
"""From one look at the inputs to the next. estimate: input filters of I/O modules"""
TURNAROUND_NS = 5 * MILLISECOND  # estimate
CHATTER_NS = 50 * MILLISECOND
"""How long a contact that chatters stands open. estimate"""
PICKUP_NS = 100 * MILLISECOND
"""Six cycles at 60 Hz. GK: frequency relays pick up in 4 to 20 cycles"""
CHANNELS = ("dispatch", "frequency", "voltage", "price")


class Published(Protocol):
    """What a relay sees of the grid."""

    def values(self, channel: str, instants: NDArray[np.int64]) -> NDArray[np.float64]:
        """A channel at many instants."""
        ...


@dataclass(frozen=True, slots=True)
class Input:
    """One input: closed once `channel` has been below `below` (or above `above`) for `pickup_ns`, and open once it has
    not been for `dropout_ns`."""

    channel: str
    below: float | None = None
    above: float | None = None
    pickup_ns: int = PICKUP_NS
    dropout_ns: int = 0

    def holds(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Where the condition is met."""
        met = np.zeros(values.shape, dtype=np.bool_)
        if self.below is not None:
            met |= values < self.below
        if self.above is not None:
            met |= values > self.above
        return met


class Contact:
    """The relay of one input, looked at on every scan, forward only and no sooner than somebody asks."""

    def __init__(
        self, what: Input, grid: Published, faults: Sequence[tuple[Fault, Seed]] = (), scan_ns: int = SCAN_NS
    ) -> None:
        self._what = what
        self._grid = grid
        self._scan_ns = scan_ns
        self._chatter = [(fault, seed) for fault, seed in faults if fault.kind == "duplicate"]
        self._at: list[Instant] = [0]
        self._states = [False]
        self._next_ns: Instant = 0
        self._met = False
        self._since_ns: Instant = 0
        """Since when the condition has been as it is."""
        self._closings = 0

    def closed(self, now: Instant) -> bool:
        """Whether the contact is closed at the last scan before `now`."""
        self._advance(now)
        return self._states[bisect_right(self._at, now) - 1]

    def edges(self, now: Instant) -> list[tuple[Instant, bool]]:
        """Every change until `now`, with the state after it."""
        self._advance(now)
        return [edge for edge in zip(self._at, self._states, strict=True) if edge[0] <= now][1:]

    def _advance(self, now: Instant) -> None:
        last = now - now % self._scan_ns
        if last < self._next_ns:
            return
        ticks = np.arange(self._next_ns, last + 1, self._scan_ns, dtype=np.int64)
        self._next_ns = last + self._scan_ns
        met = self._what.holds(self._grid.values(self._what.channel, ticks))
        before = np.concatenate([[self._met], met[:-1]])
        for place in np.flatnonzero(met != before).tolist():
            at = int(ticks[place])
            self._fire(at)
            self._met, self._since_ns = bool(met[place]), at
        self._fire(last)

    def _fire(self, until: Instant) -> None:
        """Move the contact where the condition has held for long enough by `until`."""
        due = self._since_ns + (self._what.pickup_ns if self._met else self._what.dropout_ns)
        due = -(-due // self._scan_ns) * self._scan_ns
        if self._states[-1] != self._met and due <= until:
            self._add(due, self._met)

    def _add(self, at: Instant, state: bool) -> None:
        while self._at[-1] > at:  # it would have gone on chattering
            self._at.pop()
            self._states.pop()
        self._at.append(at)
        self._states.append(state)
        if not state:
            return
        self._closings += 1
        for fault, seed in self._chatter:
            if strikes(fault, seed, at, self._closings):
                for copy in range(1, fault.nanoseconds("times") + 1):
                    opens = at + copy * max(fault.nanoseconds("after_ns"), 2 * CHATTER_NS)
                    self._at += [opens, opens + CHATTER_NS]
                    self._states += [False, True]


class ContactModule(Model):
    """Discrete inputs from address 0, function 02; an address beyond them is exception 02."""

    functions = frozenset({READ_DISCRETE_INPUTS, ENCAPSULATED_INTERFACE})
    identity = Identity({0: b"ramprig", 1: PRODUCT.encode(), 2: b"1"})

    def __init__(self, contacts: Sequence[Contact], unit: int = 1, turnaround_ns: int = TURNAROUND_NS) -> None:
        self.contacts = tuple(contacts)
        self.unit = unit
        self.link = Link(UnitPolicy.SILENT, turnaround_ns)

    def device(self, port: int = PORT) -> ModbusTcpDevice:
        """The module on TCP."""
        return ModbusTcpDevice({self.unit: self}, self.link, port)

    def read_discrete_inputs(self, address: int, count: int, now: Instant) -> bytes:
        """The contacts."""
        if address + count > len(self.contacts):
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        return pack_bits(tuple(contact.closed(now) for contact in self.contacts[address : address + count]))
