"""Meter products: what one TOML file under `maps/` says of a meter, checked.

Owns the shape of those files; the register tables in them are read by `tables.py`, behaviour is in `meter.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from emulator.meters.quantities import GROUPS
from emulator.meters.settings import Setting
from emulator.meters.tables import read_tables
from emulator.modbus.identity import Identity
from emulator.modbus.link import Link
from emulator.modbus.pdu import ENCAPSULATED_INTERFACE
from emulator.modbus.products import Fact, Table, find_file, list_files, read_link
from emulator.modbus.registers import RegisterMap

_MAPS = files("emulator.meters") / "maps"
_OBJECTS = {
    "vendor": 0x00, "product": 0x01, "revision": 0x02, "url": 0x03, "product_name": 0x04, "model": 0x05,
    "application": 0x06,
}  # fmt: skip
"""Objects of function 43/14 by name (Modbus application protocol V1.1b3, section 6.21)."""


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
class MeterProduct:
    """A meter as its file describes it. `facts` are the figures with provenance, for listings."""

    id: str
    make: str
    model: str
    title: str
    functions: frozenset[int]
    link: Link
    phases: int
    """Lines it measures: 1, 2 (the halves of a split phase) or 3."""
    max_registers: int
    over_limit_exception: int
    type_code_input: int | None
    """What a request for a single input register reads; None: the register."""
    type_code_holding: int | None
    singles: Mapping[int, int]
    """What a request for this one register reads, in any table, whatever a longer request finds there."""
    one_write: bool
    """A request may write one parameter only."""
    partial_writes: bool
    """A request may write some words of a parameter."""
    refresh: Mapping[str, Refresh]
    accuracy: Accuracy
    power_factor: float
    constants: Mapping[str, float]
    rated_w: float
    """Power that the scale factors are chosen for, unless the meter is told another."""
    input: RegisterMap
    holding: RegisterMap
    settings: Mapping[str, Setting]
    identity: Identity | None
    bases: tuple[int, ...]
    """Addresses the whole map may begin at; the first is the usual one."""
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
    refresh = top.table("refresh")
    refresh_tables = {group: refresh.table(group) for group in dict.fromkeys((*GROUPS, *refresh.keys))}
    published = top.table("published")
    for key in published.keys:
        published.fact(key).text("value")
    tables = read_tables(top, _MAPS / "layouts")
    product = MeterProduct(
        id=file.name.removesuffix(".toml"),
        make=top.text("make"),
        model=top.text("model"),
        title=top.text("title"),
        functions=frozenset(top.integers("functions")),
        link=read_link(top.table("link")),
        phases=top.integer("phases", 3, low=1, high=3),
        max_registers=_limit(limits, "max_registers", 125, 125),
        over_limit_exception=_limit(limits, "over_limit_exception", 3, 0xFF),
        type_code_input=_type_code(limits, "type_code_input"),
        type_code_holding=_type_code(limits, "type_code_holding"),
        singles=_singles(top.tables("single")),
        one_write=limits.has("one_write") and limits.fact("one_write").boolean("value"),
        partial_writes=limits.has("partial_writes") and limits.fact("partial_writes").boolean("value"),
        refresh={group: _refresh(table) for group, table in refresh_tables.items()},
        accuracy=Accuracy(*(accuracy.fact(key).number("value", low=0.0) for key in Accuracy.__slots__)),
        power_factor=constants.fact("power_factor").number("value", low=0.01, high=1.0),
        constants={
            key: constants.fact(key).number("value")
            for key in ("thd_voltage_percent", "thd_current_percent")
            if constants.has(key) or key in tables.constants
        },
        rated_w=constants.fact("rated_w").number("value", low=1.0) if constants.has("rated_w") else 1e6,
        input=tables.input,
        holding=tables.holding,
        settings=tables.settings,
        identity=_identity(top.table("identity")),
        bases=_bases(top),
        facts=(),
    )
    if (product.identity is not None) != (ENCAPSULATED_INTERFACE in product.functions):
        raise top.error("functions", "function 0x2B and the table identity belong together; write both or neither")
    top.finish()
    return replace(product, facts=top.facts)


def _limit(limits: Table, key: str, default: int, high: int) -> int:
    return limits.fact(key).integer("value", low=1, high=high) if limits.has(key) else default


def _type_code(limits: Table, key: str) -> int | None:
    return limits.fact(key).integer("value") if limits.has(key) else None


def _singles(tables: list[Table]) -> dict[int, int]:
    found = {}
    for table in tables:
        table.provenance()
        found[table.integer("address")] = table.integer("value")
    return found


def _bases(top: Table) -> tuple[int, ...]:
    if not top.has("bases"):
        return (0,)
    fact = top.fact("bases")
    bases = fact.integers("value")
    if not bases or not all(0 <= base <= 0xFFFF for base in bases):
        raise fact.error("value", f"{list(bases)}: addresses of 0 to 65535 are expected")
    return bases


def _identity(table: Table) -> Identity | None:
    if not table.keys:
        return None
    conformity = table.fact("conformity").integer("value", high=0xFF) if table.has("conformity") else -1
    objects = {}
    for key in table.keys:
        if key == "conformity":
            continue
        if key.startswith("object_"):
            try:
                number = int(key.removeprefix("object_"), 16)
            except ValueError:
                raise table.error(key, "an object number of two hex digits is expected, as object_80") from None
        else:
            table.choice_key(key, _OBJECTS)
            number = _OBJECTS[key]
        objects[number] = table.fact(key).text("value").encode("latin-1", "replace")
    try:
        return Identity(objects, conformity)
    except ValueError as error:
        raise table.error("identity", str(error)) from error


def _refresh(table: Table) -> Refresh:
    period, window = table.fact("period"), table.fact("window")
    refresh = Refresh(period.duration_ns("value"), window.duration_ns("value"))
    if not refresh.period_ns or not refresh.window_ns:
        raise table.error("period", "period and window must be longer than 0")
    return refresh
