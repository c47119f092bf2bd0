"""What an installer sets in a meter: parameters with their rules, locks, transformer ratios, the order of words.

Owns the parameters of one instance and what writing them does; which registers they stand in is the product's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.modbus.pdu import ExceptionCode, ModbusError

if TYPE_CHECKING:
    from emulator.modbus.registers import Row
    from emulator.seed import Seed
    from emulator.wire import Instant

ROLES = (
    "", "lock", "password", "unit", "serial", "ct_primary", "ct_secondary", "pt_primary", "pt_secondary",
    "word_order", "factor",
)  # fmt: skip
"""What a parameter does besides being kept: `ct_*` and `pt_*` set the transformers, `word_order` turns the words of
every number when it is not 0, `factor` is the decimal exponent of rows that name it."""
_BEFORE = -(2**63)


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter that stands in a register. Without `writable` it can only be read."""

    quantity: str
    initial: float
    allowed: tuple[int, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    locked: bool = False
    role: str = ""
    writable: bool = True

    def accepts(self, value: float) -> bool:
        """Whether `value` may be written (NaN never)."""
        return self.low <= value <= self.high and (not self.allowed or value in self.allowed)


class Settings:
    """The parameters of one meter.

    `given` replaces initial values by name, as the installer left them; transformers really have the ratio that is set
    when the meter starts, so a ratio that is changed later makes every reading wrong by the same factor. Raises
    ValueError for a name that the product does not have and a value that it would refuse.
    """

    def __init__(
        self, known: Mapping[str, Setting], unit: int, seed: Seed | None, given: Mapping[str, float] | None = None
    ) -> None:
        self._known = known
        self._values = {name: setting.initial for name, setting in known.items()}
        for name, setting in known.items():
            if setting.role == "unit":
                self._values[name] = float(unit)
            elif setting.role == "serial" and seed is not None:
                self._values[name] = float((seed / "serial").key % 100_000_000)
        for name, value in (given or {}).items():
            if name not in known:
                own = ", ".join(key for key, setting in known.items() if setting.writable or setting.role) or "none"
                raise ValueError(f"unknown setting {name!r}; there are: {own}")
            if not known[name].accepts(value):
                raise ValueError(f"setting {name!r}: the meter does not take {value:g}")
            self._values[name] = float(value)
        self._unlocked = False
        self._installed = self._ratios()
        self._history: list[tuple[Instant, float, float]] = [(_BEFORE, *self._installed)]

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def get(self, name: str, default: float) -> float:
        """The value of `name`, or `default` where the product has no such parameter."""
        return self._values.get(name, default)

    def factor(self, name: str, value: float) -> None:
        """Set the exponent `name`, once, when the meter is made."""
        self._values[name] = value

    @property
    def turned(self) -> bool:
        """Whether the words of every number stand in the order opposite to the map's."""
        return any(self._values[name] != 0 for name, setting in self._known.items() if setting.role == "word_order")

    def write(self, rows: Sequence[Row], words: bytes, now: Instant) -> None:
        """Set every parameter of `rows` from `words`, or none: exception 02 for a row that cannot be written, 03 for a
        value that is refused or locked.
        """
        changes: list[tuple[Setting, float]] = []
        at = 0
        for row in rows:
            setting = self._known.get(row.quantity)
            if setting is None or not setting.writable:
                raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
            value = row.decode(words[at : at + 2 * row.registers])
            at += 2 * row.registers
            if setting.role in ("lock", "password"):
                pass
            elif not setting.accepts(value) or (setting.locked and not self._unlocked):
                raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
            changes.append((setting, value))
        for setting, value in changes:
            if setting.role == "lock":
                self._unlocked = False
            elif setting.role == "password":
                self._unlocked = value == setting.initial
            else:
                self._values[setting.quantity] = value
        if (ratios := self._ratios()) != self._history[-1][1:]:
            self._history.append((now, *ratios))

    def ratios(self, at: Instant) -> tuple[float, float]:
        """Primary over secondary of current and voltage transformers as they are set at `at`."""
        for since, current, voltage in reversed(self._history):
            if since <= at:
                return current, voltage
        return self._installed

    def errors(self, at: Instant) -> tuple[float, float]:
        """The ratios at `at` over those that are really installed: 1 unless somebody changed them."""
        current, voltage = self.ratios(at)
        return current / self._installed[0], voltage / self._installed[1]

    def edges(self, start: Instant, stop: Instant) -> list[Instant]:
        """The instants inside a span at which a ratio was changed."""
        return [since for since, _, _ in self._history if start < since < stop] if len(self._history) > 1 else []

    def _ratios(self) -> tuple[float, float]:
        found = {"ct_primary": 1.0, "ct_secondary": 1.0, "pt_primary": 1.0, "pt_secondary": 1.0}
        for name, setting in self._known.items():
            if setting.role in found:
                found[setting.role] = self._values[name] or 1.0
        return (
            found["ct_primary"] / found["ct_secondary"],
            found["pt_primary"] / found["pt_secondary"],
        )
