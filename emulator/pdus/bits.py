"""The coils and discrete inputs of a PDU: which bit stands for what, as its file lists them.

Owns the tables and the finding of a bit; what reading or writing it does is `pdu.py`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.modbus.pdu import ExceptionCode, ModbusError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emulator.modbus.products import Table

COIL_JOBS = (
    "output", "train", "all", "toggle_all", "flash_on", "flash_off", "count", "clear_count", "clear_closings", "clear",
)  # fmt: skip
"""What a coil can stand for: an output's relay, its pulse train, all outputs, a flash of one output, the running of an
input's counter, and things that are cleared by writing 1 and read 0."""
INPUT_JOBS = ("input", "zero", "one")

Bit = tuple[str, int]
"""(job, number of the output or input it belongs to, from 0)."""

WRITE_ONLY = frozenset({"all", "toggle_all", "flash_on", "flash_off"})


class BitMap:
    """All bits of one table by wire address. Raises ValueError when two stand on one address."""

    __slots__ = ("_bits", "first_output", "outputs", "told")

    def __init__(self, bits: Sequence[tuple[int, Bit]], told: Sequence[tuple[str, str]]) -> None:
        self.told = tuple(told)
        """Grade and source of each bit, for listings."""
        self._bits = dict(bits)
        if len(self._bits) != len(bits):
            raise ValueError("two bits stand on one address")
        outputs = [address for address, (job, _) in bits if job == "output"]
        self.first_output = min(outputs, default=0)
        self.outputs = len(outputs)

    def rows(self) -> list[tuple[int, Bit, tuple[str, str]]]:
        """Address, bit, and grade and source, by address."""
        return sorted((at, bit, told) for (at, bit), told in zip(self._bits.items(), self.told, strict=True))

    def span(self, address: int, count: int) -> list[Bit]:
        """The bits from `address` on. Raises exception 02 when one of them does not exist."""
        try:
            return [self._bits[at] for at in range(address, address + count)]
        except KeyError:
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS) from None


def read_bits(table: Table, key: str, jobs: Sequence[str], counts: Mapping[str, int]) -> BitMap:
    """The rows of one table of bits, `{ address, is, each, stride }`. Raises ProductError that names the place."""
    bits: list[tuple[int, Bit]] = []
    told: list[tuple[str, str]] = []
    for part in table.tables(key):
        job, each = part.choice("is", jobs), part.choice("each", counts, "")
        address, stride = part.integer("address"), part.integer("stride", 1, low=1)
        told += [part.provenance()] * counts[each]
        bits += [(address + number * stride, (job, number)) for number in range(counts[each])]
    try:
        return BitMap(bits, told)
    except ValueError as error:
        raise table.error(key, str(error)) from error
