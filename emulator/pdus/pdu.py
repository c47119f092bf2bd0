"""A switched PDU at work: coils and registers move outlets, measuring registers show what they carry.

Owns what a request does to the outputs of one PDU, and its inputs and own meter; the relay behind an output is
`output.py`'s, what hangs behind an outlet and how its contactor follows the relay is the site's (`OutletPort`).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Protocol

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
from emulator.pdus.bits import WRITE_ONLY
from emulator.pdus.metering import Mains, Metering
from emulator.pdus.output import Output
from emulator.pdus.product import LIVE_QUANTITIES, SETTING_QUANTITIES
from emulator.wire import MILLISECOND, SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.contacts import History
    from emulator.pdus.product import PduProduct
    from emulator.seed import Seed
    from emulator.site import OutletPort

_SHORT_STEP_NS = 100 * MILLISECOND
_MOST_UNITS = 247


class Wired(Protocol):
    """Something that an input senses, such as the auxiliary contact of a contactor."""

    def contacts(self) -> History:
        """When it is closed."""
        ...


class Pdu(Model):
    """One PDU. `outlets` are its outputs in order; a command reaches the relay after the product's latency.

    A command that comes while a pulse is under way replaces it: the outlet is told the new move and is to drop what was
    planned for later. `inputs` are what its digital inputs sense; one that senses nothing is open. `seed` draws relay
    latencies and the gain of the PDU's meter; without one both are as the product says. Raises ValueError when the
    number of outlets is not the product's, or there are more inputs than it has.
    """

    def __init__(
        self, product: PduProduct, outlets: Sequence[OutletPort], grid: Mains, unit: int = 1, seed: Seed | None = None,
        inputs: Sequence[Wired] = (),
    ) -> None:  # fmt: skip
        if len(outlets) != product.outputs:
            raise ValueError(f"{product.make} {product.model} has {product.outputs} outputs, {len(outlets)} are given")
        if len(inputs) > product.inputs:
            raise ValueError(f"{product.make} {product.model} has {product.inputs} inputs, {len(inputs)} are given")
        self.product = product
        self.unit = unit
        self.functions = product.functions
        self.identity = product.identity
        latencies = [product.latency_ns] * len(outlets)
        if seed is not None:
            shares = 2.0 * (seed / "relay").uniforms(len(outlets)) - 1.0
            latencies = [product.latency_ns + round(share * product.spread_ns) for share in shares.tolist()]
        self._outputs = [
            Output(outlet, latency_ns, product.short_ns, product.pulse_ns, product.pulse_ns)
            for outlet, latency_ns in zip(outlets, latencies, strict=True)
        ]
        self._inputs = tuple(inputs)
        self._counting: list[Instant | None] = [None] * product.inputs
        """Since when an input counts; None: it is stopped."""
        self._counted = [0] * product.inputs
        """What it had counted before."""
        self._closings_since: list[Instant] = [0] * product.outputs
        self._kept: dict[int, int] = {}
        """Words of registers that keep what is written and do nothing else."""
        self._metering = Metering(product, outlets, grid, seed)
        self._ticks = Ticks(product.period_ns)
        live = any(row.quantity.partition(":")[0] in LIVE_QUANTITIES for row in product.input.rows)
        self._bank = None if live else Bank(product.input, self._source, {"measured": self._ticks})

    def tables(self) -> dict[int, RegisterMap]:
        """What stands behind functions 3 and 4."""
        return {READ_HOLDING_REGISTERS: self.product.holding, READ_INPUT_REGISTERS: self.product.input}

    def device(self, port: int = PORT) -> ModbusTcpDevice:
        """The PDU on TCP."""
        return ModbusTcpDevice({self.unit: self}, self.product.link, port)

    def value(self, quantity: str, now: Instant) -> float:
        """What the PDU shows of a quantity (`power_w`, `output_power_w:2`) at `now`, not yet encoded."""
        name, _, argument = quantity.partition(":")
        if name in SETTING_QUANTITIES:
            return self._setting(name, argument, now)
        return self._source(quantity).at(self._ticks.last(now))

    def press(self, output: int, closed: bool, now: Instant) -> None:
        """Switch one output (0 first) at the PDU itself: as its coil does, and by nobody's request."""
        self._outputs[output].move(closed, now)

    # What the bits read and do (DataModel) ---------------------------------------------------------------------------

    def read_coils(self, address: int, count: int, now: Instant) -> bytes:
        """States of the relays, of pulse trains and of counters."""
        bits = self.product.coils.span(address, count)
        if any(job in WRITE_ONLY for job, _ in bits):
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        return pack_bits(tuple(self._coil(job, number, now) for job, number in bits))

    def read_discrete_inputs(self, address: int, count: int, now: Instant) -> bytes:
        """What the digital inputs sense, and states that never change here."""
        bits = self.product.discrete_inputs.span(address, count)
        return pack_bits(tuple(job == "one" or (job == "input" and self._sensed(number, now)) for job, number in bits))

    def write_coil(self, address: int, word: int, now: Instant) -> None:
        """Switch one output, or whatever the coil stands for."""
        job, number = self.product.coils.span(address, 1)[0]
        if job in ("flash_on", "flash_off"):
            self._outputs[number].pulse(job == "flash_on", now, word * _SHORT_STEP_NS)
        elif job in ("output", "all") and word and word == self.product.toggle_word:
            self._toggle(self._outputs if job == "all" else [self._outputs[number]], now)
        elif job == "output":
            self._outputs[number].move(coil_state(word), now)
        elif job == "all":
            self._switch([(output, coil_state(word)) for output in self._outputs], now)
        elif job == "toggle_all":
            coil_state(word)
            self._toggle(self._outputs, now)
        else:
            self._put(job, number, coil_state(word), now)

    def write_coils(self, address: int, states: tuple[bool, ...], now: Instant) -> None:
        """Switch several outputs. Where the product insists on all of them, any other write does nothing."""
        product = self.product
        whole = address == product.coils.first_output and len(states) == product.coils.outputs
        if product.partial_write_exception and not whole:
            raise ModbusError(product.partial_write_exception)
        bits = product.coils.span(address, len(states))
        if any(job in WRITE_ONLY for job, _ in bits):
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        if any(job == "clear_count" and not state for (job, _), state in zip(bits, states, strict=True)):
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
        asked = [(self._outputs[n], state) for (job, n), state in zip(bits, states, strict=True) if job == "output"]
        self._switch(asked, now)
        for (job, number), state in zip(bits, states, strict=True):
            if job != "output":
                self._put(job, number, state, now)

    def _coil(self, job: str, number: int, now: Instant) -> bool:
        if job == "output":
            return self._outputs[number].outlet.closed(now)
        if job == "train":
            return self._outputs[number].busy(now)
        return job == "count" and self._counting[number] is not None

    def _put(self, job: str, number: int, state: bool, now: Instant) -> None:
        """Write a coil that is no relay."""
        if job == "train":
            if state:
                self._outputs[number].train(now)
            elif self._outputs[number].busy(now):
                self._outputs[number].move(False, now)
        elif job == "count":
            self._counted[number] = self._count(number, now)
            self._counting[number] = now if state else None
        elif job == "clear_count":
            if not state:
                raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
            self._counted[number] = 0
            self._counting[number] = None if self._counting[number] is None else now
        elif job == "clear_closings" and state:
            self._closings_since[number] = now

    def _switch(self, asked: Sequence[tuple[Output, bool]], now: Instant) -> None:
        """Move several outputs; those that are to close follow one another by the product's sequence."""
        wait_ns = 0
        for output, closed in asked:
            closes = closed and not output.commanded(now)
            output.move(closed, now, wait_ns if closes else 0)
            wait_ns += self.product.sequence_ns if closes else 0

    def _toggle(self, outputs: Sequence[Output], now: Instant) -> None:
        self._switch([(output, not output.commanded(now)) for output in outputs], now)

    # What the registers read and do ----------------------------------------------------------------------------------

    def read_holding_registers(self, address: int, count: int, now: Instant) -> bytes:
        """How many of each there are, states, settings; measured values on products that have them here."""
        data = self.product.holding.read(address, count, lambda quantity: self.value(quantity, now))
        kept = [at for at in self._kept if address <= at < address + count]
        for at in kept:
            place = 2 * (at - address)
            data = data[:place] + self._kept[at].to_bytes(2, "big") + data[place + 2 :]
        return data

    def read_input_registers(self, address: int, count: int, now: Instant) -> bytes:
        """The measured values, frozen since the last update tick."""
        if self._bank is not None:
            return self._bank.read(address, count, now)
        return self.product.input.read(address, count, lambda quantity: self.value(quantity, now))

    def write_register(self, address: int, word: int, now: Instant) -> None:
        """Act on an output, or set something."""
        self._check(address, word)
        write, index = self.product.writes[address]
        output = self._outputs[index] if index < len(self._outputs) else self._outputs[0]
        match write:
            case "action":
                self._act(output, word, now)
            case "short":
                output.short_ns = word * _SHORT_STEP_NS
            case "mask":
                self._switch([(o, bool(word >> n & 1)) for n, o in enumerate(self._outputs)], now)
            case "pulse_on":
                output.on_ns = word * self.product.pulse_unit_ns
            case "pulse_off":
                output.off_ns = word * self.product.pulse_unit_ns
            case "unit":
                self.unit = word
            case _:
                self._kept[address] = word

    def write_registers(self, address: int, words: bytes, now: Instant) -> None:
        """Function 16: every register is checked before the first one is written."""
        count = len(words) // 2
        asked = {address + n: int.from_bytes(words[2 * n : 2 * n + 2], "big") for n in range(count)}
        at, doubles = address, {}
        while at < address + count:
            if self.product.writes.get(at, ("", 0))[0] == "pulses" and at + 1 in asked:
                doubles[at] = asked.pop(at) << 16 | asked.pop(at + 1)
                at += 2
            else:
                self._check(at, asked[at])
                at += 1
        for at, number in doubles.items():
            self._outputs[self.product.writes[at][1]].pulses = number
        for at, word in asked.items():
            self.write_register(at, word, now)

    def _check(self, address: int, word: int) -> None:
        """Raise the exception that a write of one register is refused with."""
        write, _ = self.product.writes.get(address, ("", 0))
        if not write:
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        wide = self.product.holding.row_at(address)
        if write == "pulses" and wide is not None and wide.registers > 1:
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)  # both words of a count, or none
        if (write == "action" and word > 5) or (write == "unit" and not 0 < word <= _MOST_UNITS):
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)

    def _act(self, output: Output, word: int, now: Instant) -> None:
        """0 off, 1 on, 2 short off, 3 short on, 4 toggle, 5 nothing."""
        if word in (2, 3):
            output.pulse(word == 3, now, output.short_ns)
        elif word != 5:
            output.move(not output.commanded(now) if word == 4 else word == 1, now)

    # What it knows ---------------------------------------------------------------------------------------------------

    def _sensed(self, number: int, now: Instant) -> bool:
        return number < len(self._inputs) and self._inputs[number].contacts().at(now)

    def _count(self, number: int, now: Instant) -> int:
        since = self._counting[number]
        if since is None or number >= len(self._inputs):
            return self._counted[number]
        return self._counted[number] + self._inputs[number].contacts().closings(since, now)

    def _setting(self, name: str, argument: str, now: Instant) -> float:
        product, outputs = self.product, self._outputs
        match name:
            case "constant":
                return float(argument)
            case "absent":
                return float("nan")
            case "unit":
                return float(self.unit)
            case "inputs" | "outputs" | "metered_outputs":
                return float(getattr(product, name))
            case "outputs_mask":
                return float(sum(output.outlet.closed(now) << n for n, output in enumerate(outputs)))
            case "inputs_mask":
                return float(sum(self._sensed(n, now) << n for n in range(product.inputs)))
            case "input_count":
                return float(self._count(int(argument) - 1, now))
        output, number = outputs[int(argument) - 1], int(argument) - 1
        match name:
            case "output_state":
                return float(output.outlet.closed(now))
            case "output_short_s":
                return output.short_ns / SECOND
            case "output_pulses":
                return float(output.pulses)
            case "output_pulse_on_s":
                return output.on_ns / SECOND
            case "output_pulse_off_s":
                return output.off_ns / SECOND
            case "output_closings_total":
                return float(output.told.closings(0, now))
        return float(output.told.closings(self._closings_since[number], now))

    def _source(self, quantity: str) -> Source:
        name, _, number = quantity.partition(":")
        if name in SETTING_QUANTITIES:
            return Source("measured", functools.partial(self._setting, name, number))
        output = int(number) - 1 if number else None
        return Source("measured", self._metering.formula(name.removeprefix("output_"), output))
