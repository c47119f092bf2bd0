"""How a client reads a meter of a product: which requests to send, and what the registers that come back say.

Owns the other side of a register map, for real meters of that product; it sends nothing, and how old or how right a
value is, is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from emulator.meters.quantities import QUANTITIES
from emulator.meters.settings import Settings
from emulator.modbus.pdu import ModbusError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from emulator.meters.product import MeterProduct, Refresh
    from emulator.modbus.registers import RegisterMap, Row

POWER, FREQUENCY = "power_w", "frequency_hz"
_LINES = ("power_l1_w", "power_l2_w", "power_l3_w")
_WIDEST = 64
"""Registers of one request (estimate): on a slow line one longer request takes the time of two short ones."""
_FUNCTIONS = {"input": 4, "holding": 3}


@dataclass(frozen=True, slots=True)
class Request:
    """`count` registers from wire address `address` by function 3 or 4."""

    function: int
    address: int
    count: int


@dataclass(frozen=True, slots=True)
class _Place:
    """A row and where its bytes are: in the reply of request number `request`, from register `offset` on."""

    row: Row
    request: int
    offset: int


class MeterReading:
    """The requests that read active power, and the frequency where the product shows it, and the decoding of replies.

    Of several rows with the power the one that is renewed most often is taken; a product with none for the whole has
    the sum of its lines. `base` and `settings` are as in the rig file. `power_refresh` is the period and the averaging
    window of the power that is read, `power_quantum_w` the step of its register. Raises ValueError for a product that
    shows no power, and as `Settings` does.
    """

    def __init__(
        self,
        product: MeterProduct,
        unit: int = 1,
        base: int | None = None,
        settings: Mapping[str, float] | None = None,
        refresh: Mapping[str, Refresh] | None = None,
    ) -> None:
        self.product = product
        self._base = product.bases[0] if base is None else base
        turned = Settings(product.settings, unit, None, settings).turned
        tables = {"input": product.input, "holding": product.holding}
        self._maps: dict[int, RegisterMap] = {
            _FUNCTIONS[name]: registers.turned() if turned else registers
            for name, registers in tables.items()
            if _FUNCTIONS[name] in product.functions
        }
        periods = {**product.refresh, **(refresh or {})}
        chosen = {POWER: self._powers(periods)}
        if frequency := self._rows(FREQUENCY, periods):
            chosen[FREQUENCY] = frequency[:1]
        group = _group(chosen[POWER][0][1])
        self.power_refresh = periods[group]
        self.power_quantum_w = chosen[POWER][0][1].quantum
        factors = {row.factor: self._factor(row.factor) for rows in chosen.values() for _, row in rows if row.factor}
        wanted = [place for rows in chosen.values() for place in rows] + list(factors.values())
        self.requests = tuple(self._requests(wanted))
        self._values = {name: [self._place(*place) for place in rows] for name, rows in chosen.items()}
        self.power_request = self.requests[self._values[POWER][0].request]
        """The one of `requests` whose reply holds the power."""
        self._exponents = {name: self._place(*place) for name, place in factors.items()}

    def values(self, replies: Sequence[Sequence[int]]) -> dict[str, float]:
        """Quantity -> value, from the registers of the replies in the order of `requests`; NaN for "no value"."""
        exponents = {name: _number(place, replies) for name, place in self._exponents.items()}
        exponents[""] = 0.0
        return {
            name: sum(_number(place, replies) * 10.0 ** exponents[place.row.factor] for place in places)
            for name, places in self._values.items()
        }

    def _powers(self, periods: Mapping[str, Refresh]) -> list[tuple[int, Row]]:
        whole = self._rows(POWER, periods)
        if whole:
            return whole[:1]
        lines = [self._rows(name, periods) for name in _LINES[: self.product.phases]]
        if not all(lines):
            raise ValueError(f"{self.product.id} shows no active power; take another product")
        return [rows[0] for rows in lines]

    def _rows(self, name: str, periods: Mapping[str, Refresh]) -> list[tuple[int, Row]]:
        """(function, row) of every row with this quantity, the one renewed most often first."""
        found = [
            (function, row)
            for function, registers in sorted(self._maps.items(), reverse=True)
            for row in registers.rows
            if row.quantity.partition("@")[0] == name
        ]
        return sorted(found, key=lambda place: periods[_group(place[1])].period_ns)

    def _factor(self, name: str) -> tuple[int, Row]:
        """The row of a scale factor; a product's file is refused without it."""
        return next(
            (function, row)
            for function, registers in self._maps.items()
            for row in registers.rows
            if row.quantity == name
        )

    def _requests(self, wanted: Sequence[tuple[int, Row]]) -> Iterator[Request]:
        """As few requests as the map allows; `wanted` is put together where one span holds several rows."""
        spans: list[tuple[int, int, int]] = []
        for function, start, stop in sorted({(function, *self._span(function, row)) for function, row in wanted}):
            if spans and spans[-1][0] == function and self._readable(function, spans[-1][1], stop):
                spans[-1] = (function, spans[-1][1], max(stop, spans[-1][2]))
            else:
                spans.append((function, start, stop))
        for function, start, stop in spans:
            yield Request(function, start + self._base, stop - start)

    def _span(self, function: int, row: Row) -> tuple[int, int]:
        """The registers to ask for to get at a row alone: more than its own where a single one reads something else."""
        for start, size in self._maps[function].blocks.items():
            if start <= row.address < start + size:
                return start, start + size
        product = self.product
        code = product.type_code_input if function == _FUNCTIONS["input"] else product.type_code_holding
        extra = int(row.registers == 1 and (code is not None or row.address in product.singles))
        return row.address, row.address + row.registers + extra

    def _readable(self, function: int, start: int, stop: int) -> bool:
        if stop - start > min(_WIDEST, self.product.max_registers):
            return False
        try:
            self._maps[function].plan(start, stop - start)
        except ModbusError:
            return False
        return True

    def _place(self, function: int, row: Row) -> _Place:
        at = row.address + self._base
        for number, request in enumerate(self.requests):
            offset = at - request.address
            if request.function == function and 0 <= offset <= request.count - row.registers:
                return _Place(replace(row, address=at), number, offset)
        raise AssertionError(f"register {at} is in no request")


def _group(row: Row) -> str:
    """The refresh group of a measured row."""
    name, _, group = row.quantity.partition("@")
    return group or QUANTITIES[name].group


def _number(place: _Place, replies: Sequence[Sequence[int]]) -> float:
    words = replies[place.request][place.offset : place.offset + place.row.registers]
    return place.row.decode(b"".join(word.to_bytes(2, "big") for word in words))
