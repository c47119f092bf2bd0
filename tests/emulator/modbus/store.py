"""A data model with plain memory behind every table, for tests of the protocol."""

from __future__ import annotations

from emulator.modbus.identity import Identity
from emulator.modbus.pdu import HANDLERS, ExceptionCode, ModbusError, Model, coil_state, pack_bits


class Store(Model):
    """`size` coils, discrete inputs, holding and input registers each; contents are functions of the address."""

    functions = frozenset(HANDLERS)
    identity = Identity({0: b"ramprig", 1: b"store", 2: b"1.0"})

    def __init__(self, size: int = 200) -> None:
        self.size = size
        self.coils = [address % 3 == 0 for address in range(size)]
        self.inputs = [address % 5 == 0 for address in range(size)]
        self.holding = [(address * 257 + 1) & 0xFFFF for address in range(size)]
        self.measured = [(address * 77 + 5) & 0xFFFF for address in range(size)]

    def _check(self, address: int, count: int) -> slice:
        if address + count > self.size:
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        return slice(address, address + count)

    def read_coils(self, address, count, now):
        return pack_bits(tuple(self.coils[self._check(address, count)]))

    def read_discrete_inputs(self, address, count, now):
        return pack_bits(tuple(self.inputs[self._check(address, count)]))

    def read_holding_registers(self, address, count, now):
        return b"".join(word.to_bytes(2, "big") for word in self.holding[self._check(address, count)])

    def read_input_registers(self, address, count, now):
        return b"".join(word.to_bytes(2, "big") for word in self.measured[self._check(address, count)])

    def write_coil(self, address, word, now):
        state = coil_state(word)
        self.coils[self._check(address, 1)] = [state]

    def write_coils(self, address, states, now):
        self.coils[self._check(address, len(states))] = list(states)

    def write_register(self, address, word, now):
        self.holding[self._check(address, 1)] = [word]

    def write_registers(self, address, words, now):
        span = self._check(address, len(words) // 2)
        self.holding[span] = [int.from_bytes(words[i : i + 2], "big") for i in range(0, len(words), 2)]
