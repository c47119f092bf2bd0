"""Protection relay products: what one TOML file under `maps/` says of a relay, checked.

Owns the shape of those files; behaviour is in `relay.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from emulator.modbus.products import Fact, Table, find_file, list_files, read_link, read_row
from emulator.modbus.registers import Hole, RegisterMap

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

    from emulator.modbus.link import Link

_MAPS = files("emulator.protection") / "maps"

SETTINGS = ("enabled", "level_hz", "delay_s", "min_trip_s")
QUANTITIES = (
    *SETTINGS, "current_a", "current_angle_deg", "angle_deg", "line_voltage_v", "voltage_v", "power_w", "reactive_var",
    "apparent_va", "power_factor", "frequency_hz", "energy_out_wh", "energy_in_wh", "reactive_energy_out_varh",
    "apparent_energy_vah", "trip_status_high", "warn_status_high", "counter", "row",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RelayProduct:
    """A relay as its file describes it. In the map `name:3` is quantity `name` of element 3; `facts` are listed."""

    id: str
    make: str
    model: str
    title: str
    functions: frozenset[int]
    link: Link
    frequency_cycles: int
    """Cycles of nominal frequency over which a frequency is measured."""
    power_cycles: int
    period_ns: int
    power_factor: float
    supervision_pu: float
    elements: int
    level_low_hz: float
    level_high_hz: float
    level_step_hz: float
    delay_high_ns: int
    delay_step_ns: int
    default_level_hz: float
    default_delay_ns: int
    min_trip_ns: int
    outputs: int
    pulse_ns: int
    last_register: int
    max_write: int
    registers: RegisterMap
    bounds: Mapping[int, tuple[int, int]]
    """Wire address of a setting -> lowest and highest word that it takes."""
    facts: tuple[Fact, ...]


def list_products() -> tuple[str, ...]:
    """The ids of the relays that ship, sorted."""
    return list_files(_MAPS)


@cache
def load_product(product: str) -> RelayProduct:
    """The relay with this id. Raises ProductError that says what is wrong and what there is."""
    return read_product(find_file(_MAPS, product, "relay"))


def read_product(file: Traversable) -> RelayProduct:
    """Read a relay's TOML file. Raises ProductError that names file, key, value and remedy."""
    top = Table.load(file)
    measuring, elements, logic, limits, table = (
        top.table(key) for key in ("measuring", "elements", "logic", "limits", "registers")
    )
    parts = table.tables("rows")
    bounds = {}
    for part in parts:
        name = part.text("quantity").partition(":")[0]
        if name not in QUANTITIES:
            raise part.error("quantity", f"unknown quantity {name!r}; there are {', '.join(QUANTITIES)}")
        if name in SETTINGS:
            bounds[part.integer("address")] = part.integer("low"), part.integer("high")
    try:
        registers = RegisterMap([read_row(table, part) for part in parts], Hole.ZERO)
    except ValueError as error:
        raise top.error("rows", str(error)) from error
    for told in ("wiring", "tripping"):
        logic.fact(told).text("value")
    limits.fact("reserved_reads").integer("value", high=0)
    product = RelayProduct(
        id=file.name.removesuffix(".toml"),
        make=top.text("make"),
        model=top.text("model"),
        title=top.text("title"),
        functions=frozenset(top.integers("functions")),
        link=read_link(top.table("link")),
        frequency_cycles=measuring.fact("frequency_cycles").integer("value", low=1),
        power_cycles=measuring.fact("power_cycles").integer("value", low=1),
        period_ns=measuring.fact("period").duration_ns("value"),
        power_factor=measuring.fact("power_factor").number("value", low=0.01, high=1.0),
        supervision_pu=measuring.fact("supervision_pu").number("value", low=0.0, high=1.0),
        elements=elements.fact("count").integer("value", low=1, high=6),
        level_low_hz=elements.fact("level_low").number("value", low=1.0),
        level_high_hz=elements.fact("level_high").number("value", low=1.0),
        level_step_hz=elements.fact("level_step").number("value", low=1e-6),
        delay_high_ns=elements.fact("delay_high").duration_ns("value"),
        delay_step_ns=elements.fact("delay_step").duration_ns("value"),
        default_level_hz=elements.fact("default_level").number("value", low=1.0),
        default_delay_ns=elements.fact("default_delay").duration_ns("value"),
        min_trip_ns=logic.fact("min_trip_time").duration_ns("value"),
        outputs=logic.fact("outputs").integer("value", low=3, high=8),
        pulse_ns=logic.fact("pulse").duration_ns("value"),
        last_register=limits.fact("last_register").integer("value"),
        max_write=limits.fact("max_write").integer("value", low=1, high=123),
        registers=registers,
        bounds=bounds,
        facts=(),
    )
    if not product.period_ns or not product.delay_step_ns:
        raise measuring.error("period", "must be longer than 0, and so must elements.delay_step")
    top.finish()
    return replace(product, facts=top.facts)
