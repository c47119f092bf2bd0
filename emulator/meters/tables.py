"""The register tables of a meter's file: measured rows, parameters and texts, written there or in a shared layout.

Owns how the `[input]` and `[holding]` tables of a product and the files under `maps/layouts/` become register maps.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources.abc import Traversable

from emulator.meters.quantities import ABSENT, QUANTITIES
from emulator.meters.settings import ROLES, Setting
from emulator.modbus.products import Table, find_file, read_hole, read_row
from emulator.modbus.registers import TEXT, Hole, RegisterMap, Row

_READ_ONLY_ROLES = ("serial", "factor")


@dataclass(frozen=True, slots=True)
class Tables:
    """Both register tables of a meter and the parameters in them."""

    input: RegisterMap
    holding: RegisterMap
    settings: Mapping[str, Setting]
    constants: frozenset[str]
    """Constants that some row shows."""


@dataclass(slots=True)
class _Counters:
    """When counters roll over and in which steps they count, in the unit of the quantity; by name."""

    table: Table
    found: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> tuple[float, float]:
        if name not in self.found:
            if name and not self.table.has(name):
                raise self.table.error(name, "is missing; rows with this counter need its rollover")
            part = self.table if name == "" else self.table.table(name)
            self.found[name] = (
                part.fact("rollover").number("value", low=0.0),
                part.fact("resolution").number("value", low=0.0) if part.has("resolution") else 0.0,
            )
        return self.found[name]


def read_tables(top: Table, layouts: Traversable) -> Tables:
    """Read `[input]` and `[holding]` of a product's file; raises ProductError. Either may be the same as the other."""
    counters, resolution = _Counters(top.table("counters")), top.table("resolution")
    limits = top.table("limits")
    hole = read_hole(limits, "hole")
    whole = limits.has("whole_values") and limits.fact("whole_values").boolean("value")
    settings: dict[str, Setting] = {}
    rows: dict[str, list[Row]] = {}
    for name in ("input", "holding"):
        table = top.table(name)
        if not table.has("same_as"):
            rows[name] = _rows(table, counters, resolution, layouts, settings)
    maps = {name: _map(top, name, found, hole, whole=whole) for name, found in rows.items()}
    for name, other in (("input", "holding"), ("holding", "input")):
        table = top.table(name)
        if table.has("same_as"):
            table.choice("same_as", [other] if other in maps else [])
            maps[name] = maps[other]
    for key in resolution.keys:
        resolution.fact(key).number("value", low=0.0)
    shown = {row.quantity for found in rows.values() for row in found}
    _check_factors(top, rows, settings)
    constants = {
        f"{kind}_percent"
        for kind in ("thd_voltage", "thd_current")
        if any(name.startswith(kind) for name in shown)
    }  # fmt: skip
    return Tables(maps["input"], maps["holding"], settings, frozenset(constants))


def _map(top: Table, name: str, rows: list[Row], hole: Hole, *, whole: bool) -> RegisterMap:
    try:
        return RegisterMap(rows, hole, whole_values=whole)
    except ValueError as error:
        raise top.error(f"{name}.rows", str(error)) from error


def _rows(
    table: Table, counters: _Counters, resolution: Table, layouts: Traversable, settings: dict[str, Setting]
) -> list[Row]:
    """The rows of one table; those of the layouts it names first, without what this product does not have."""
    rows: list[Row] = []
    for layout in table.texts("layouts") if table.has("layouts") else ():
        shared = Table.load(find_file(layouts, layout, "layout"))
        rows += [_row(shared, part, counters, resolution, settings) for part in shared.tables("rows")]
        shared.finish()
    for pattern in table.texts("without") if table.has("without") else ():
        hit = {row.quantity for row in rows if fnmatch.fnmatchcase(row.quantity, pattern)} & set(QUANTITIES)
        if not hit:
            raise table.error("without", f"{pattern!r} is the quantity of no row of the layouts; remove it")
        rows = [replace(row, quantity=ABSENT) if row.quantity in hit else row for row in rows]
    return rows + [_row(table, part, counters, resolution, settings) for part in table.tables("rows")]


def _row(
    table: Table, part: Table, counters: _Counters, resolution: Table, settings: dict[str, Setting]
) -> Row:  # fmt: skip
    row = read_row(table, part)
    if row.type == TEXT or part.has("initial"):
        setting = _setting(part, row)
        if row.quantity in QUANTITIES or row.quantity in settings:
            raise part.error("quantity", f"{row.quantity!r} is a quantity or another parameter; choose another name")
        settings[row.quantity] = setting
        return row
    quantity = QUANTITIES[part.choice("quantity", QUANTITIES)]
    if quantity.counter:
        rollover, step = counters[part.text("counter", "")]
        row = replace(row, resolution=step, rollover=rollover)
    elif resolution.has(row.quantity):
        row = replace(row, resolution=resolution.fact(row.quantity).number("value", low=0.0))
    return row


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


def _check_factors(top: Table, rows: Mapping[str, list[Row]], settings: Mapping[str, Setting]) -> None:
    for name, found in rows.items():
        for row in found:
            if row.factor and (row.factor not in settings or settings[row.factor].role != "factor"):
                raise top.error(f"{name}.rows", f"{row.quantity}: {row.factor!r} is no row with the role factor")
