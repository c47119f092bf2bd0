"""The protocol data unit: what a Modbus server answers to one request, whatever carried it.

Owns the function codes, their checks and the shape of what a product implements (`DataModel`); framing, unit ids and
timing belong to the transports, register contents to the products. Checks follow the Modbus application protocol
specification V1.1b3 (the flow charts of section 6): function, then quantity and value, then address.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Protocol, TypeAlias

from emulator.modbus.identity import Identity, IdentityError
from emulator.wire import Instant

READ_COILS = 0x01
READ_DISCRETE_INPUTS = 0x02
READ_HOLDING_REGISTERS = 0x03
READ_INPUT_REGISTERS = 0x04
WRITE_SINGLE_COIL = 0x05
WRITE_SINGLE_REGISTER = 0x06
WRITE_MULTIPLE_COILS = 0x0F
WRITE_MULTIPLE_REGISTERS = 0x10
MASK_WRITE_REGISTER = 0x16
READ_WRITE_MULTIPLE_REGISTERS = 0x17
ENCAPSULATED_INTERFACE = 0x2B

MAX_PDU_BYTES = 253
MAX_READ_BITS = 2000
MAX_READ_REGISTERS = 125
MAX_WRITE_BITS = 1968
MAX_WRITE_REGISTERS = 123
MAX_READ_WRITE_REGISTERS = 121

COIL_ON = 0xFF00
COIL_OFF = 0x0000


class ExceptionCode(IntEnum):
    """The reasons a server gives for not doing as asked (specification section 7)."""

    ILLEGAL_FUNCTION = 0x01
    ILLEGAL_DATA_ADDRESS = 0x02
    ILLEGAL_DATA_VALUE = 0x03
    SERVER_DEVICE_FAILURE = 0x04
    ACKNOWLEDGE = 0x05
    SERVER_DEVICE_BUSY = 0x06
    NEGATIVE_ACKNOWLEDGE = 0x07
    MEMORY_PARITY_ERROR = 0x08
    GATEWAY_PATH_UNAVAILABLE = 0x0A
    GATEWAY_TARGET_FAILED = 0x0B


class ModbusError(Exception):
    """A request that is answered with an exception reply; products raise it with their reason.

    `code` is a plain integer because some devices answer codes that no specification lists.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class DataModel(Protocol):
    """What a product implements. Addresses are wire addresses (from 0); the core has checked the standard's limits.

    Register contents are big-endian bytes, two a register, as they stand on the wire; bits are packed the same way
    (first one in the least significant bit of the first byte). Every method may raise `ModbusError`, nothing else.
    `Model` in this module answers each of them with "illegal function", so that a product writes only what it has.
    """

    @property
    def functions(self) -> frozenset[int]:
        """The function codes the product answers; every other one gets exception 01."""
        ...

    @property
    def identity(self) -> Identity | None:
        """What function 43/14 tells; None: exception 01."""
        ...

    def read_coils(self, address: int, count: int, now: Instant) -> bytes:
        """`count` packed bits."""
        ...

    def read_discrete_inputs(self, address: int, count: int, now: Instant) -> bytes:
        """`count` packed bits."""
        ...

    def read_holding_registers(self, address: int, count: int, now: Instant) -> bytes:
        """2 * `count` bytes."""
        ...

    def read_input_registers(self, address: int, count: int, now: Instant) -> bytes:
        """2 * `count` bytes."""
        ...

    def write_coil(self, address: int, word: int, now: Instant) -> None:
        """Function 5 with its raw value word: some relays know more than on and off (`coil_state` knows just these)."""
        ...

    def write_coils(self, address: int, states: tuple[bool, ...], now: Instant) -> None:
        """Function 15."""
        ...

    def write_register(self, address: int, word: int, now: Instant) -> None:
        """Function 6, and the result of function 22."""
        ...

    def write_registers(self, address: int, words: bytes, now: Instant) -> None:
        """Function 16, and the writing half of function 23; `words` holds two bytes a register."""
        ...

    def other(self, pdu: bytes, now: Instant) -> bytes:
        """A function of `functions` that this module does not know; the whole reply PDU."""
        ...


class Model:
    """A data model that has nothing yet: the base of products."""

    functions: frozenset[int] = frozenset()
    identity: Identity | None = None
    changes = 0
    """How many requests may have changed what it reads."""

    def lasts_until(self, function: int, address: int, count: int, now: Instant) -> Instant:
        """Until when a read of registers that was just answered at `now` reads the same, if `changes` does too.

        `now` itself where nothing is known of it, as here.
        """
        return now

    def read_coils(self, address: int, count: int, now: Instant) -> bytes:
        """No coils."""
        raise ModbusError(ExceptionCode.ILLEGAL_FUNCTION)

    def read_discrete_inputs(self, address: int, count: int, now: Instant) -> bytes:
        """No discrete inputs."""
        raise ModbusError(ExceptionCode.ILLEGAL_FUNCTION)

    def read_holding_registers(self, address: int, count: int, now: Instant) -> bytes:
        """No holding registers."""
        raise ModbusError(ExceptionCode.ILLEGAL_FUNCTION)

    def read_input_registers(self, address: int, count: int, now: Instant) -> bytes:
        """No input registers."""
        raise ModbusError(ExceptionCode.ILLEGAL_FUNCTION)

    def write_coil(self, address: int, word: int, now: Instant) -> None:
        """No coils."""
        raise ModbusError(ExceptionCode.ILLEGAL_FUNCTION)

    def write_coils(self, address: int, states: tuple[bool, ...], now: Instant) -> None:
        """No coils."""
        raise ModbusError(ExceptionCode.ILLEGAL_FUNCTION)

    def write_register(self, address: int, word: int, now: Instant) -> None:
        """No holding registers."""
        raise ModbusError(ExceptionCode.ILLEGAL_FUNCTION)

    def write_registers(self, address: int, words: bytes, now: Instant) -> None:
        """No holding registers."""
        raise ModbusError(ExceptionCode.ILLEGAL_FUNCTION)

    def other(self, pdu: bytes, now: Instant) -> bytes:
        """No further functions."""
        raise ModbusError(ExceptionCode.ILLEGAL_FUNCTION)


def coil_state(word: int) -> bool:
    """The state that a function 5 value asks for. Raises exception 03 for any value but 0000 and FF00."""
    if word == COIL_ON:
        return True
    if word == COIL_OFF:
        return False
    raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)


def pack_bits(states: tuple[bool, ...]) -> bytes:
    """Bits as functions 1, 2 and 15 carry them; the last byte is filled with zeros."""
    number = 0
    for position, state in enumerate(states):
        if state:
            number |= 1 << position
    return number.to_bytes((len(states) + 7) // 8, "little")


def exception_reply(function: int, code: int) -> bytes:
    """The reply PDU that refuses `function`."""
    return bytes((function | 0x80, code & 0xFF))


Handler: TypeAlias = Callable[[DataModel, bytes, Instant], bytes]

_TWO_WORDS = struct.Struct(">HH")
_WRITE_HEAD = struct.Struct(">HHB")
_MASK = struct.Struct(">HHH")
_READ_WRITE_HEAD = struct.Struct(">HHHHB")
_REGISTER_HEADS = {
    function: tuple(bytes((function, 2 * count)) for count in range(MAX_READ_REGISTERS + 1))
    for function in (READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS, READ_WRITE_MULTIPLE_REGISTERS)
}
_HOLDING_HEADS = _REGISTER_HEADS[READ_HOLDING_REGISTERS]
_INPUT_HEADS = _REGISTER_HEADS[READ_INPUT_REGISTERS]
_READ_WRITE_HEADS = _REGISTER_HEADS[READ_WRITE_MULTIPLE_REGISTERS]


def _span(pdu: bytes, most: int) -> tuple[int, int]:
    """Address and quantity of a five-byte read request, checked."""
    if len(pdu) != 5:
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
    address, count = _TWO_WORDS.unpack_from(pdu, 1)
    if not 0 < count <= most:
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
    if address + count > 0x10000:
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
    return address, count


def _read_coils(model: DataModel, pdu: bytes, now: Instant) -> bytes:
    address, count = _span(pdu, MAX_READ_BITS)
    bits = model.read_coils(address, count, now)
    return bytes((READ_COILS, len(bits))) + bits


def _read_discrete_inputs(model: DataModel, pdu: bytes, now: Instant) -> bytes:
    address, count = _span(pdu, MAX_READ_BITS)
    bits = model.read_discrete_inputs(address, count, now)
    return bytes((READ_DISCRETE_INPUTS, len(bits))) + bits


def _read_holding_registers(model: DataModel, pdu: bytes, now: Instant) -> bytes:
    address, count = _span(pdu, MAX_READ_REGISTERS)
    return _HOLDING_HEADS[count] + model.read_holding_registers(address, count, now)


def _read_input_registers(model: DataModel, pdu: bytes, now: Instant) -> bytes:
    address, count = _span(pdu, MAX_READ_REGISTERS)
    return _INPUT_HEADS[count] + model.read_input_registers(address, count, now)


def _write_single_coil(model: DataModel, pdu: bytes, now: Instant) -> bytes:
    if len(pdu) != 5:
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
    address, word = _TWO_WORDS.unpack_from(pdu, 1)
    model.write_coil(address, word, now)
    return pdu


def _write_single_register(model: DataModel, pdu: bytes, now: Instant) -> bytes:
    if len(pdu) != 5:
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
    address, word = _TWO_WORDS.unpack_from(pdu, 1)
    model.write_register(address, word, now)
    return pdu


def _written(pdu: bytes, most: int, *, bits: bool) -> tuple[int, int, bytes]:
    """Address, quantity and payload of function 15 (`bits`) or 16, checked."""
    if len(pdu) < 6:
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
    address, count, size = _WRITE_HEAD.unpack_from(pdu, 1)
    expected = (count + 7) // 8 if bits else 2 * count
    if not 0 < count <= most or size != expected or len(pdu) != 6 + size:
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
    if address + count > 0x10000:
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
    return address, count, pdu[6:]


def _write_multiple_coils(model: DataModel, pdu: bytes, now: Instant) -> bytes:
    address, count, payload = _written(pdu, MAX_WRITE_BITS, bits=True)
    number = int.from_bytes(payload, "little")
    model.write_coils(address, tuple(bool(number >> position & 1) for position in range(count)), now)
    return pdu[:5]


def _write_multiple_registers(model: DataModel, pdu: bytes, now: Instant) -> bytes:
    address, _, payload = _written(pdu, MAX_WRITE_REGISTERS, bits=False)
    model.write_registers(address, payload, now)
    return pdu[:5]


def _mask_write_register(model: DataModel, pdu: bytes, now: Instant) -> bytes:
    if len(pdu) != 7:
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
    address, keep, put = _MASK.unpack_from(pdu, 1)
    present = int.from_bytes(model.read_holding_registers(address, 1, now), "big")
    model.write_register(address, (present & keep) | (put & ~keep & 0xFFFF), now)
    return pdu


def _read_write_multiple_registers(model: DataModel, pdu: bytes, now: Instant) -> bytes:
    if len(pdu) < 10:
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
    head: tuple[int, int, int, int, int] = _READ_WRITE_HEAD.unpack_from(pdu, 1)
    read_at, read_count, write_at, write_count, size = head
    if (
        not 0 < read_count <= MAX_READ_REGISTERS
        or not 0 < write_count <= MAX_READ_WRITE_REGISTERS
        or size != 2 * write_count
        or len(pdu) != 10 + size
    ):
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
    if read_at + read_count > 0x10000 or write_at + write_count > 0x10000:
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
    # Both addresses must be good before anything is written, so the reading is tried once before and done once after.
    model.read_holding_registers(read_at, read_count, now)
    model.write_registers(write_at, pdu[10:], now)
    return _READ_WRITE_HEADS[read_count] + model.read_holding_registers(read_at, read_count, now)


def _encapsulated_interface(model: DataModel, pdu: bytes, _now: Instant) -> bytes:
    identity = model.identity
    if len(pdu) < 2:
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
    if identity is None or pdu[1] != 0x0E:
        raise ModbusError(ExceptionCode.ILLEGAL_FUNCTION)
    if len(pdu) != 4:
        raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
    try:
        return identity.reply(pdu[2], pdu[3])
    except IdentityError as error:
        raise ModbusError(error.code) from None


def _other(model: DataModel, pdu: bytes, now: Instant) -> bytes:
    return model.other(pdu, now)


HANDLERS: Mapping[int, Handler] = {
    READ_COILS: _read_coils,
    READ_DISCRETE_INPUTS: _read_discrete_inputs,
    READ_HOLDING_REGISTERS: _read_holding_registers,
    READ_INPUT_REGISTERS: _read_input_registers,
    WRITE_SINGLE_COIL: _write_single_coil,
    WRITE_SINGLE_REGISTER: _write_single_register,
    WRITE_MULTIPLE_COILS: _write_multiple_coils,
    WRITE_MULTIPLE_REGISTERS: _write_multiple_registers,
    MASK_WRITE_REGISTER: _mask_write_register,
    READ_WRITE_MULTIPLE_REGISTERS: _read_write_multiple_registers,
    ENCAPSULATED_INTERFACE: _encapsulated_interface,
}
"""What the standard says of each function; the functions of a product that are missing here go to `DataModel.other`."""


_READS = frozenset(
    {READ_COILS, READ_DISCRETE_INPUTS, READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS, ENCAPSULATED_INTERFACE}
)


class Responder:
    """One data model behind its function codes: a request PDU in, the reply PDU out."""

    __slots__ = ("_handlers", "counted", "model")

    def __init__(self, model: DataModel) -> None:
        self.model = model
        self.counted = model if isinstance(model, Model) else None
        self._handlers = {code: HANDLERS.get(code, _other) for code in model.functions}

    def answer(self, pdu: bytes, now: Instant) -> bytes:
        """The reply to `pdu` (one byte or more) at `now`; exceptions of the protocol are replies too."""
        handler = self._handlers.get(pdu[0])
        if handler is None:
            return exception_reply(pdu[0], ExceptionCode.ILLEGAL_FUNCTION)
        if self.counted is not None and pdu[0] not in _READS:
            self.counted.changes += 1
        try:
            return handler(self.model, pdu, now)
        except ModbusError as error:
            return exception_reply(pdu[0], error.code)
