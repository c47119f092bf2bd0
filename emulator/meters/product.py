"""Meter products: what one TOML file under `maps/` says of a meter, checked.

Owns the shape of those files; behaviour is in `meter.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from emulator.meters.quantities import GROUPS, QUANTITIES
from emulator.modbus.link import Link
from emulator.modbus.products import (
    Fact,
    Table,
    find_file,
    list_files,
    read_hole,
    read_link,
    read_row,
)
from emulator.modbus.registers import RegisterMap, Row

_MAPS = files("emulator.meters") / "maps"
_ROLES = ("", "lock", "password", "unit", "serial")


@dataclass(frozen=True, slots=True)
class Refresh:
    """When a group of values is renewed and over which time before that it is averaged."""

    period_ns: int
    window_ns: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Relative limits the maker promises and the relative spread between instances (one standard deviation)."""

    voltage_limit: float
    voltage_sigma: float
    current_limit: float
    current_sigma: float
    power_limit: float
    frequency_limit: float
    frequency_sigma: float


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter in the holding registers. `role` is empty, `lock`, `password`, `unit` or `serial`."""

    quantity: str
    initial: float
    allowed: tuple[int, ...] = ()
    low: float = float("-inf")
    high: float = float("inf")
    locked: bool = False
    role: str = ""

    def accepts(self, value: float) -> bool:
        """Whether `value` may be written (NaN never)."""
        return self.low <= value <= self.high and (not self.allowed or value in self.allowed)


@dataclass(frozen=True, slots=True)
class MeterProduct:
    """A meter as its file describes it. `facts` are the figures with provenance, for listings."""

    id: str
    make: str
    model: str
    title: str
    functions: frozenset[int]
    link: Link
    max_registers: int
    over_limit_exception: int
    type_code_input: int | None
    """What a request for a single input register reads; None: the register."""
    type_code_holding: int | None
    refresh: Mapping[str, Refresh]
    accuracy: Accuracy
    power_factor: float
    constants: Mapping[str, float]
    input: RegisterMap
    holding: RegisterMap
    settings: Mapping[str, Setting]
    facts: tuple[Fact, ...]


def list_products() -> tuple[str, ...]:
    """The ids of the meters that ship, sorted."""
    return list_files(_MAPS)


@cache
def load_product(product: str) -> MeterProduct:
    """The meter with this id. Raises ProductError that says what is wrong and what there is."""
    return read_product(find_file(_MAPS, product, "meter"))


def read_product(file: Traversable) -> MeterProduct:
    """Read a meter's TOML file. Raises ProductError that names file, key, value and remedy."""
    top = Table.load(file)
    limits, accuracy, constants = top.table("limits"), top.table("accuracy"), top.table("constants")
    refresh_tables = {group: top.table("refresh").table(group) for group in GROUPS}
    input_table, holding_table = top.table("input"), top.table("holding")
    counters, resolution, link = top.table("counters"), top.table("resolution"), top.table("link")
    hole = read_hole(limits, "hole")
    published = top.table("published")
    for key in published.keys:
        published.fact(key).text("value")
    settings_tables = holding_table.tables("rows")
    try:
        input_map = RegisterMap(_input_rows(input_table, counters, resolution), hole)
        holding_map = RegisterMap([read_row(holding_table, row) for row in settings_tables], hole)
    except ValueError as error:
        raise top.error("rows", str(error)) from error
    product = MeterProduct(
        id=file.name.removesuffix(".toml"),
        make=top.text("make"),
        model=top.text("model"),
        title=top.text("title"),
        functions=frozenset(top.integers("functions")),
        link=read_link(link),
        max_registers=limits.fact("max_registers").integer("value", low=1, high=125),
        over_limit_exception=limits.fact("over_limit_exception").integer("value", low=1, high=0xFF),
        type_code_input=_type_code(limits, "type_code_input"),
        type_code_holding=_type_code(limits, "type_code_holding"),
        refresh={group: _refresh(table) for group, table in refresh_tables.items()},
        accuracy=Accuracy(*(accuracy.fact(key).number("value", low=0.0) for key in Accuracy.__slots__)),
        power_factor=constants.fact("power_factor").number("value", low=0.01, high=1.0),
        constants={key: constants.fact(key).number("value") for key in ("thd_voltage_percent", "thd_current_percent")},
        input=input_map,
        holding=holding_map,
        settings={setting.quantity: setting for setting in map(_setting, settings_tables)},
        facts=(),
    )
    top.finish()
    return replace(product, facts=top.facts)


def _input_rows(table: Table, counters: Table, resolution: Table) -> list[Row]:
    rollover = counters.fact("rollover").number("value", low=0.0)
    step = counters.fact("resolution").number("value", low=0.0)
    rows = []
    for part in table.tables("rows"):
        row = read_row(table, part)
        quantity = QUANTITIES[part.choice("quantity", QUANTITIES)]
        if resolution.has(row.quantity):
            row = replace(row, resolution=resolution.fact(row.quantity).number("value", low=0.0))
        if quantity.counter:
            row = replace(row, resolution=step, rollover=rollover)
        rows.append(row)
    return rows


def _type_code(limits: Table, key: str) -> int | None:
    return limits.fact(key).integer("value") if limits.has(key) else None


def _refresh(table: Table) -> Refresh:
    period, window = table.fact("period"), table.fact("window")
    refresh = Refresh(period.duration_ns("value"), window.duration_ns("value"))
    if not refresh.period_ns or not refresh.window_ns:
        raise table.error("period", "period and window must be longer than 0")
    return refresh


def _setting(table: Table) -> Setting:
    return Setting(
        quantity=table.text("quantity"),
        initial=table.number("initial"),
        allowed=table.integers("allowed") if table.has("allowed") else (),
        low=table.number("low") if table.has("low") else float("-inf"),
        high=table.number("high") if table.has("high") else float("inf"),
        locked=bool(table.get("locked", bool, False)),
        role=table.choice("role", _ROLES, ""),
    )
