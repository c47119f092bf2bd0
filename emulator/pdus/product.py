"""PDU products: what one TOML file under `maps/` says of a PDU, checked.

Owns the shape of those files; behaviour is in `pdu.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from emulator.modbus.products import Fact, Table, find_file, list_files, read_hole, read_link, read_row
from emulator.modbus.registers import RegisterMap, Row

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

    from emulator.modbus.link import Link

_MAPS = files("emulator.pdus") / "maps"

SETTING_QUANTITIES = ("inputs", "outputs", "metered_outputs", "output_state", "output_short_s")
MEASURED_QUANTITIES = (
    "frequency_hz",
    "voltage_v",
    "power_factor",
    "current_a",
    "power_w",
    "phase_deg",
    "energy_wh",
    "output_current_a",
    "output_power_w",
    "output_energy_wh",
    "output_power_factor",
    "output_phase_deg",
)
_EACH = ("", "output", "metered")
_WRITES = ("", "action", "short")


@dataclass(frozen=True, slots=True)
class PduProduct:
    """A PDU as its file describes it. In the maps `name:3` is quantity `name` of output 3; `facts` are for listings."""

    id: str
    make: str
    model: str
    title: str
    functions: frozenset[int]
    link: Link
    outputs: int
    inputs: int
    metered_outputs: int
    """Outputs that are measured; with none, every measuring register reads 0."""
    latency_ns: int
    """From the command to the relay's contacts."""
    spread_ns: int
    short_ns: int
    """How long a "short" action lasts until a client sets another time."""
    period_ns: int
    window_ns: int
    power_limit: float
    power_sigma: float
    power_factor: float
    partial_write_exception: int
    outputs_at: int
    inputs_at: int
    holding: RegisterMap
    writes: Mapping[int, tuple[str, int]]
    """Wire address -> what writing it does (`action`, `short`), and to which output (from 0)."""
    input: RegisterMap
    facts: tuple[Fact, ...]


def list_products() -> tuple[str, ...]:
    """The ids of the PDUs that ship, sorted."""
    return list_files(_MAPS)


@cache
def load_product(product: str) -> PduProduct:
    """The PDU with this id. Raises ProductError that says what is wrong and what there is."""
    return read_product(find_file(_MAPS, product, "PDU"))


def read_product(file: Traversable) -> PduProduct:
    """Read a PDU's TOML file. Raises ProductError that names file, key, value and remedy."""
    top = Table.load(file)
    relay, refresh, accuracy, limits, bits = (
        top.table(key) for key in ("relay", "refresh", "accuracy", "limits", "bits")
    )
    outputs = top.fact("outputs").integer("value", low=1, high=64)
    metered = top.fact("metered_outputs").integer("value", high=outputs)
    counts = {"": 1, "output": outputs, "metered": metered}
    holding_rows, writes = _rows(top.table("holding"), counts, SETTING_QUANTITIES)
    input_rows, _ = _rows(top.table("input"), counts, MEASURED_QUANTITIES)
    hole = read_hole(limits, "hole")
    try:
        holding_map, input_map = RegisterMap(holding_rows, hole), RegisterMap(input_rows, hole)
    except ValueError as error:
        raise top.error("rows", str(error)) from error
    product = PduProduct(
        id=file.name.removesuffix(".toml"),
        make=top.text("make"),
        model=top.text("model"),
        title=top.text("title"),
        functions=frozenset(top.integers("functions")),
        link=read_link(top.table("link")),
        outputs=outputs,
        inputs=top.fact("inputs").integer("value", high=64),
        metered_outputs=metered,
        latency_ns=relay.fact("latency").duration_ns("value"),
        spread_ns=relay.fact("spread").duration_ns("value"),
        short_ns=relay.fact("short_time").duration_ns("value"),
        period_ns=refresh.fact("period").duration_ns("value"),
        window_ns=refresh.fact("window").duration_ns("value"),
        power_limit=accuracy.fact("power_limit").number("value", low=0.0),
        power_sigma=accuracy.fact("power_sigma").number("value", low=0.0),
        power_factor=top.table("constants").fact("power_factor").number("value", low=0.01, high=1.0),
        partial_write_exception=limits.fact("partial_write_exception").integer("value", low=1, high=0xFF),
        outputs_at=bits.fact("outputs_at").integer("value"),
        inputs_at=bits.fact("inputs_at").integer("value"),
        holding=holding_map,
        writes=writes,
        input=input_map,
        facts=(),
    )
    if not product.period_ns or not product.window_ns:
        raise refresh.error("period", "period and window must be longer than 0")
    if product.spread_ns > product.latency_ns:
        raise relay.error("spread", "is longer than the latency; a relay cannot move before it is told to")
    top.finish()
    return replace(product, facts=top.facts)


def _rows(
    table: Table, counts: Mapping[str, int], quantities: tuple[str, ...]
) -> tuple[list[Row], dict[int, tuple[str, int]]]:
    """The rows of a register table, one for each output where the file has one for all, and what writing them does."""
    rows: list[Row] = []
    writes: dict[int, tuple[str, int]] = {}
    for part in table.tables("rows"):
        part.choice("quantity", quantities)
        row, each = read_row(table, part), part.choice("each", _EACH, "")
        stride = part.integer("stride", row.registers, low=row.registers)
        write = part.choice("write", _WRITES, "")
        for output in range(counts[each]):
            address = row.address + output * stride
            quantity = f"{row.quantity}:{output + 1}" if each else row.quantity
            rows.append(replace(row, address=address, quantity=quantity))
            if write:
                writes[address] = (write, output)
    return rows, writes
