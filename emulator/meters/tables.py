"""The register tables of a meter's file: measured rows, parameters and texts, written there or in a shared layout.

Owns how the `[input]` and `[holding]` tables of a product and the files under `maps/layouts/` become register maps.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources.abc import Traversable

from emulator.meters.quantities import ABSENT, GROUPS, QUANTITIES
from emulator.meters.settings import ROLES, Setting
from emulator.modbus.products import Table, find_file, read_hole, read_row
from emulator.modbus.registers import TEXT, RegisterMap, Row

_READ_ONLY_ROLES = ("serial", "factor")


@dataclass(frozen=True, slots=True)
class Tables:
    """Both register tables of a meter and the parameters in them."""

    input: RegisterMap
    holding: RegisterMap
    settings: Mapping[str, Setting]
    constants: frozenset[str]
    """Constants that some row shows."""


def read_tables(top: Table, layouts: Traversable) -> Tables:
    """Read `[input]` and `[holding]` of a product's file; either may be the same as the other. Raises ProductError."""
    reader = _Reader(top, layouts)
    limits = top.table("limits")
    hole = read_hole(limits, "hole")
    whole = limits.has("whole_values") and limits.fact("whole_values").boolean("value")
    blocks = {}
    for part in top.tables("block"):
        part.provenance()
        blocks[part.integer("address")] = part.integer("registers", low=1, high=125)
    maps: dict[str, RegisterMap] = {}
    for name in ("input", "holding"):
        table = top.table(name)
        if not table.has("same_as"):
            rows = reader.rows(table)
            try:
                maps[name] = RegisterMap(rows, hole, whole_values=whole, blocks=blocks)
            except ValueError as error:
                raise table.error("rows", str(error)) from error
    for name, other in (("input", "holding"), ("holding", "input")):
        table = top.table(name)
        if table.has("same_as"):
            table.choice("same_as", [other] if other in maps else [])
            maps[name] = maps[other]
    reader.finish()
    shown = {row.quantity for registers in maps.values() for row in registers.rows}
    constants = {
        f"{kind}_percent" for kind in ("thd_voltage", "thd_current") if any(name.startswith(kind) for name in shown)
    }
    return Tables(maps["input"], maps["holding"], reader.settings, frozenset(constants))


@dataclass(slots=True)
class _Reader:
    """Reads rows against what the rest of the product's file says of counters, resolutions and refresh groups."""

    top: Table
    layouts: Traversable
    settings: dict[str, Setting] = field(default_factory=dict)
    _counters: dict[str, tuple[float, float]] = field(default_factory=dict)
    _factors: dict[str, str] = field(default_factory=dict)

    def rows(self, table: Table) -> list[Row]:
        """The rows of one table; those of the layouts it names first, without what this product does not have."""
        rows: list[Row] = []
        for layout in table.texts("layouts") if table.has("layouts") else ():
            shared = Table.load(find_file(self.layouts, layout, "layout"))
            rows += [self._row(shared, part) for part in shared.tables("rows")]
            shared.finish()
        for pattern in table.texts("without") if table.has("without") else ():
            hit = {row.quantity for row in rows if fnmatch.fnmatchcase(row.quantity, pattern)} & set(QUANTITIES)
            if not hit:
                raise table.error("without", f"{pattern!r} is the quantity of no row of the layouts; remove it")
            rows = [replace(row, quantity=ABSENT) if row.quantity in hit else row for row in rows]
        return rows + [self._row(table, part) for part in table.tables("rows")]

    def finish(self) -> None:
        """Check what can only be known at the end: that every factor is there, that every resolution is a figure."""
        resolution = self.top.table("resolution")
        for key in resolution.keys:
            resolution.fact(key).number("value", low=0.0)
        for quantity, factor in self._factors.items():
            if factor not in self.settings or self.settings[factor].role != "factor":
                raise self.top.error("rows", f"{quantity}: {factor!r} is no row with the role factor")

    def _row(self, table: Table, part: Table) -> Row:
        row = read_row(table, part)
        if row.factor:
            self._factors[row.quantity] = row.factor
        if row.type == TEXT or part.has("initial"):
            if row.quantity in QUANTITIES or row.quantity in self.settings:
                raise part.error("quantity", f"{row.quantity!r} is a quantity or another parameter; name it otherwise")
            self.settings[row.quantity] = _setting(part, row)
            return row
        name = part.choice("quantity", QUANTITIES)
        resolution = self.top.table("resolution")
        if QUANTITIES[name].counter:
            rollover, step = self._counter(part.text("counter", ""))
            row = replace(row, resolution=step, rollover=rollover)
        elif resolution.has(name):
            row = replace(row, resolution=resolution.fact(name).number("value", low=0.0))
        if part.has("refresh"):
            groups = [key for key in self.top.table("refresh").keys if key not in GROUPS]
            row = replace(row, quantity=f"{name}@{part.choice('refresh', groups)}")
        return row

    def _counter(self, name: str) -> tuple[float, float]:
        """When a counter rolls over and in which steps it counts, in the unit of the quantity."""
        if name not in self._counters:
            table = self.top.table("counters")
            if name and not table.has(name):
                raise table.error(name, "is missing; rows with this counter need its rollover")
            part = table.table(name) if name else table
            step = part.fact("resolution").number("value", low=0.0) if part.has("resolution") else 0.0
            self._counters[name] = part.fact("rollover").number("value", low=0.0), step
        return self._counters[name]


def _setting(part: Table, row: Row) -> Setting:
    role = part.choice("role", ROLES, "")
    read_only = row.type == TEXT or role in _READ_ONLY_ROLES or part.boolean("read_only", default=False)
    return Setting(
        quantity=row.quantity,
        initial=part.number("initial", 0.0 if row.type == TEXT else None),
        allowed=part.integers("allowed") if part.has("allowed") else (),
        low=part.number("low") if part.has("low") else -math.inf,
        high=part.number("high") if part.has("high") else math.inf,
        locked=part.boolean("locked", default=False),
        role=role,
        writable=not read_only,
    )
