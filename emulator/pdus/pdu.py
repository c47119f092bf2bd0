"""A switched PDU at work: coils and action registers move outlets, measuring registers show what they carry.

Owns commands, relay latency, the two-step "short" actions and the PDU's own meter; what hangs behind an outlet and how
its contactor follows the relay is the site's (`OutletPort`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.modbus.pdu import (
    READ_HOLDING_REGISTERS,
    READ_INPUT_REGISTERS,
    ExceptionCode,
    ModbusError,
    Model,
    coil_state,
    pack_bits,
)
from emulator.modbus.registers import Bank, RegisterMap, Source, Ticks
from emulator.modbus.tcp import PORT, ModbusTcpDevice
from emulator.pdus.metering import Mains, Metering
from emulator.wire import MILLISECOND, SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.pdus.product import PduProduct
    from emulator.seed import Seed
    from emulator.site import OutletPort

_SHORT_STEP_NS = 100 * MILLISECOND


class _Output:
    """One relay with its own latency and the moves it has been told to make."""

    __slots__ = ("latency_ns", "moves", "outlet", "short_ns")

    def __init__(self, outlet: OutletPort, latency_ns: int, short_ns: int) -> None:
        self.outlet = outlet
        self.latency_ns = latency_ns
        self.short_ns = short_ns
        self.moves: list[tuple[Instant, bool]] = []

    def commanded(self, now: Instant) -> bool:
        """The state the last command asks for at `now`, whether or not the relay has got there."""
        for at, closed in reversed(self.moves):
            if now < at <= now + self.latency_ns:
                return closed
        return self.outlet.closed(now)

    def move(self, closed: bool, now: Instant) -> None:
        """Go to a state and stay; nothing happens where the relay is, or is about to be, in that state for good."""
        pending = [move for move in self.moves if move[0] > now]
        if len(pending) < 2 and self.commanded(now) == closed and (not pending or pending[0][1] == closed):
            return
        at = now + self.latency_ns
        self.moves = [(at, closed)]
        self.outlet.switch(closed, at)

    def pulse(self, closed: bool, now: Instant) -> None:
        """Go to a state for the "short" time, then to the other one."""
        at = now + self.latency_ns
        self.moves = [(at, closed), (at + self.short_ns, not closed)]
        for instant, state in self.moves:
            self.outlet.switch(state, instant)


class Pdu(Model):
    """One PDU. `outlets` are its outputs in order; a command reaches the relay after the product's latency.

    A command that comes while a "short" action is under way replaces it: the outlet is told the new move and is to drop
    what was planned for later. `seed` draws relay latencies and the gain of the PDU's meter; without one both are as
    the product says. Raises ValueError when the number of outlets is not the product's.
    """

    def __init__(
        self, product: PduProduct, outlets: Sequence[OutletPort], grid: Mains, unit: int = 1, seed: Seed | None = None
    ) -> None:
        if len(outlets) != product.outputs:
            raise ValueError(f"{product.make} {product.model} has {product.outputs} outputs, {len(outlets)} are given")
        self.product = product
        self.unit = unit
        self.functions = product.functions
        latencies = [product.latency_ns] * len(outlets)
        if seed is not None:
            shares = 2.0 * (seed / "relay").uniforms(len(outlets)) - 1.0
            latencies = [product.latency_ns + round(share * product.spread_ns) for share in shares.tolist()]
        self._outputs = [
            _Output(outlet, latency_ns, product.short_ns) for outlet, latency_ns in zip(outlets, latencies, strict=True)
        ]
        self._metering = Metering(product, outlets, grid, seed)
        self._ticks = Ticks(product.period_ns)
        self._bank = Bank(product.input, self._source, {"measured": self._ticks})

    def tables(self) -> dict[int, RegisterMap]:
        """What stands behind functions 3 and 4."""
        return {READ_HOLDING_REGISTERS: self.product.holding, READ_INPUT_REGISTERS: self.product.input}

    def device(self, port: int = PORT) -> ModbusTcpDevice:
        """The PDU on TCP."""
        return ModbusTcpDevice({self.unit: self}, self.product.link, port)

    def value(self, quantity: str, now: Instant) -> float:
        """What the PDU shows of a measured `quantity` (`power_w`, `output_power_w:2`) at `now`, not yet encoded."""
        return self._source(quantity).at(self._ticks.last(now))

    # What the registers read and do (DataModel) ----------------------------------------------------------------------

    def read_coils(self, address: int, count: int, now: Instant) -> bytes:
        """States of the relays."""
        first = self._span(address, count, self.product.outputs_at, len(self._outputs))
        return pack_bits(tuple(output.outlet.closed(now) for output in self._outputs[first : first + count]))

    def read_discrete_inputs(self, address: int, count: int, now: Instant) -> bytes:
        """Digital inputs; nothing is wired to them."""
        self._span(address, count, self.product.inputs_at, self.product.inputs)
        return bytes((count + 7) // 8)

    def write_coil(self, address: int, word: int, now: Instant) -> None:
        """Switch one output."""
        closed = coil_state(word)
        self._outputs[self._span(address, 1, self.product.outputs_at, len(self._outputs))].move(closed, now)

    def write_coils(self, address: int, states: tuple[bool, ...], now: Instant) -> None:
        """Switch all outputs; a write that does not cover exactly all of them does nothing."""
        if address != self.product.outputs_at or len(states) != len(self._outputs):
            raise ModbusError(self.product.partial_write_exception)
        for output, closed in zip(self._outputs, states, strict=True):
            output.move(closed, now)

    def read_holding_registers(self, address: int, count: int, now: Instant) -> bytes:
        """How many of each there are, states, "short" times."""
        return self.product.holding.read(address, count, lambda quantity: self._setting(quantity, now))

    def read_input_registers(self, address: int, count: int, now: Instant) -> bytes:
        """The measured values, frozen since the last update tick."""
        return self._bank.read(address, count, now)

    def write_register(self, address: int, word: int, now: Instant) -> None:
        """Act (0 off, 1 on, 2 short off, 3 short on, 4 toggle, 5 nothing) or set a "short" time in 0.1 s."""
        write, index = self.product.writes.get(address, ("", 0))
        output = self._outputs[index]
        if write == "short":
            output.short_ns = word * _SHORT_STEP_NS
        elif write != "action":
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        elif word > 5:
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
        elif word in (2, 3):
            output.pulse(word == 3, now)
        elif word != 5:
            output.move(not output.commanded(now) if word == 4 else word == 1, now)

    def _span(self, address: int, count: int, first: int, size: int) -> int:
        """Index of the first bit asked for; exception 02 outside the table."""
        if address < first or address + count > first + size:
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        return address - first

    def _setting(self, quantity: str, now: Instant) -> float:
        name, _, number = quantity.partition(":")
        if name == "output_state":
            return float(self._outputs[int(number) - 1].outlet.closed(now))
        if name == "output_short_s":
            return self._outputs[int(number) - 1].short_ns / SECOND
        product = self.product
        return float({"inputs": product.inputs, "outputs": product.outputs}.get(name, product.metered_outputs))

    def _source(self, quantity: str) -> Source:
        name, _, number = quantity.partition(":")
        output = int(number) - 1 if number else None
        return Source("measured", self._metering.formula(name.removeprefix("output_"), output))
