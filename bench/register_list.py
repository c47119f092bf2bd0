"""`ramprig registers`: what stands in which register of a product, as columns and rows of text.

Owns the choice of columns; the maps come from the products' files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.config import ConfigError, did_you_mean
from emulator.meters import product as meters
from emulator.pdus import product as pdus
from emulator.protection import product as relays

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from emulator.modbus.registers import RegisterMap
    from emulator.pdus.bits import BitMap

COLUMNS = ("function", "address", "hex", "type", "unit", "scale", "quantity", "grade", "source")
"""`function` reads it; `address` is the wire address, from 0; the register holds the quantity divided by `scale`."""
_Row = tuple[str, ...]


def registers(product: str) -> list[_Row]:
    """A row of `COLUMNS` for each value and bit of a meter, PDU or relay that ships. Raises ConfigError."""
    if product in meters.list_products():
        meter = meters.load_product(product)
        return [*_values((4, meter.input), (3, meter.holding))]
    if product in pdus.list_products():
        pdu = pdus.load_product(product)
        return [*_bits(1, pdu.coils), *_bits(2, pdu.discrete_inputs), *_values((4, pdu.input), (3, pdu.holding))]
    if product in relays.list_products():
        return [*_values((3, relays.load_product(product).registers))]
    known = (*meters.list_products(), *pdus.list_products(), *relays.list_products())
    raise ConfigError(f"{product!r} is no meter, PDU or relay that ships{did_you_mean(product, known)}")


def _values(*tables: tuple[int, RegisterMap]) -> Iterator[_Row]:
    """Values by function and address; one that stands in both tables is told once."""
    functions: dict[_Row, list[str]] = {}
    for function, table in tables:
        for row in table.rows:
            kind = f"{row.type} {row.order.value}" if row.registers > 1 and row.type != "text" else row.type
            told: _Row = (
                str(row.address), f"{row.address:04X}h", kind, row.unit, "" if row.scale == 1.0 else f"{row.scale:g}",
                row.quantity, row.grade, row.source,
            )  # fmt: skip
            functions.setdefault(told, []).append(str(function))
    for told, those in sorted(functions.items(), key=lambda entry: (sorted(entry[1]), int(entry[0][0]))):
        yield ", ".join(sorted(those)), *told


def _bits(function: int, table: BitMap) -> Iterator[_Row]:
    for address, (job, number), (grade, source) in table.rows():
        yield str(function), str(address), f"{address:04X}h", "bit", "", "", f"{job}:{number + 1}", grade, source


def sources(rows: Iterable[_Row]) -> list[str]:
    """Each source once, in the order of the rows."""
    return list(dict.fromkeys(row[-1] for row in rows if row[-1]))
