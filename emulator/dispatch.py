"""The dispatch block: the grid operator's instruction as a remote terminal unit serves it to a site controller.

Owns the product `ramprig_dispatch`, a register map of this project's own (docs/reference/dispatch-block.md); the
set-points, recalls and prices are the grid's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from emulator.modbus.identity import Identity
from emulator.modbus.link import Link, UnitPolicy
from emulator.modbus.pdu import (
    ENCAPSULATED_INTERFACE,
    READ_HOLDING_REGISTERS,
    READ_INPUT_REGISTERS,
    Model,
)
from emulator.modbus.registers import Bank, RegisterMap, Row, Source, Ticks
from emulator.modbus.tcp import PORT, ModbusTcpDevice
from emulator.wire import MILLISECOND, SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.timeline import Signal

PRODUCT = "ramprig_dispatch"
PUBLISH_NS = 100 * MILLISECOND
TURNAROUND_NS = 2 * MILLISECOND

BELOW_NOMINAL = 0x0001
"""Flag: the set-point asks for less than the site's nominal consumption."""

ROWS = (
    Row(0, "sequence", "u16"),
    Row(1, "recall_count", "u16"),
    Row(2, "setpoint_kw", "f32", "kW"),
    Row(4, "price_usd_per_mwh", "f32", "USD/MWh"),
    Row(6, "heartbeat_s", "u16", "s"),
    Row(7, "flags", "u16"),
)
_WRAP = 0x10000
_MAP = RegisterMap(ROWS)
_IDENTITY = Identity({0: b"ramprig", 1: PRODUCT.encode(), 2: b"1"})


class Operator(Protocol):
    """What the block publishes of the grid."""

    @property
    def signals(self) -> Mapping[str, Signal]:
        """Signals by channel; `dispatch` in watts."""
        ...

    def dispatch_w(self, at: Instant) -> float:
        """Consumption the operator allows."""
        ...

    def recall(self, at: Instant) -> int:
        """Recall messages so far."""
        ...

    def price(self, at: Instant) -> float:
        """USD/MWh."""
        ...


class DispatchBlock(Model):
    """The block of one site. Registers are renewed every `publish_ns` and stand still in between.

    The sequence number rises by one at each publication whose set-point differs from the one before: a step counts
    once, a ramp at every tick. It is 0 for the set-point that stands when the block is made. `nominal_w` is what the
    site consumes without an instruction.
    """

    functions = frozenset({READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS, ENCAPSULATED_INTERFACE})
    identity = _IDENTITY

    def __init__(
        self,
        grid: Operator,
        nominal_w: float,
        unit: int = 1,
        phase_ns: int = 0,
        *,
        publish_ns: int = PUBLISH_NS,
        turnaround_ns: int = TURNAROUND_NS,
    ) -> None:
        self.unit = unit
        self.link = Link(UnitPolicy.SILENT, turnaround_ns)
        self._grid = grid
        self._nominal_w = nominal_w
        self._ticks = Ticks(publish_ns, phase_ns)
        self._published = (self._ticks.last(0), 0, grid.dispatch_w(0))
        self._bank = Bank(_MAP, self._source, {"published": self._ticks})

    def device(self, port: int = PORT) -> ModbusTcpDevice:
        """The block on TCP."""
        return ModbusTcpDevice({self.unit: self}, self.link, port)

    def value(self, quantity: str, now: Instant) -> float:
        """What the block shows of `quantity` (a name in ROWS) at `now`."""
        return self._source(quantity).at(self._ticks.last(now))

    def read_holding_registers(self, address: int, count: int, now: Instant) -> bytes:
        """The block."""
        return self._bank.read(address, count, now)

    def read_input_registers(self, address: int, count: int, now: Instant) -> bytes:
        """The block, under the other function."""
        return self._bank.read(address, count, now)

    def _source(self, quantity: str) -> Source:
        grid = self._grid
        return Source(
            "published",
            {
                "sequence": lambda tick: float(self._sequence(tick) % _WRAP),
                "recall_count": lambda tick: float(grid.recall(tick) % _WRAP),
                "setpoint_kw": lambda tick: grid.dispatch_w(tick) / 1000.0,
                "price_usd_per_mwh": grid.price,
                "heartbeat_s": lambda tick: float(tick // SECOND % _WRAP),
                "flags": lambda tick: float(BELOW_NOMINAL if grid.dispatch_w(tick) < self._nominal_w else 0),
            }[quantity],
        )

    def _sequence(self, tick: Instant) -> int:
        """Changes published up to `tick`, counted over every publication also when nobody read in between."""
        since, count, setpoint_w = self._published
        if tick > since:
            instants = np.arange(since + self._ticks.period_ns, tick + 1, self._ticks.period_ns, dtype=np.int64)
            levels = np.concatenate([[setpoint_w], self._grid.signals["dispatch"].sample(instants)])
            count += int(np.count_nonzero(np.diff(levels)))
            self._published = (tick, count, float(levels[-1]))
        return count
