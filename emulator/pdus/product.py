"""PDU products: what one TOML file under `maps/` says of a PDU, checked.

Owns the shape of those files; behaviour is in `pdu.py`, the tables of bits in `bits.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from emulator.modbus.identity import Identity
from emulator.modbus.products import Fact, Table, find_file, list_files, read_hole, read_link, read_row
from emulator.modbus.registers import RegisterMap, Row
from emulator.pdus.bits import COIL_JOBS, INPUT_JOBS, BitMap, read_bits
from emulator.wire import SECOND

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

    from emulator.modbus.link import Link

_MAPS = files("emulator.pdus") / "maps"

LIVE_QUANTITIES = (
    "output_state", "outputs_mask", "output_short_s", "output_pulses", "output_pulse_on_s", "output_pulse_off_s",
    "output_closings", "output_closings_total", "input_count", "inputs_mask", "unit",
)  # fmt: skip
"""What does not freeze between update ticks."""
SETTING_QUANTITIES = (*LIVE_QUANTITIES, "inputs", "outputs", "metered_outputs", "constant", "absent")
"""What no meter measures; `constant` reads the row's `value`, `absent` "no value"."""
MEASURED_QUANTITIES = (
    "frequency_hz", "voltage_v", "power_factor", "current_a", "power_w", "phase_deg", "energy_wh", "apparent_va",
    "reactive_var", "reactive_energy_varh", "run_s", "inrush_current_a",
    "output_voltage_v", "output_frequency_hz", "output_current_a", "output_power_w", "output_energy_wh",
    "output_power_factor", "output_phase_deg", "output_apparent_va", "output_reactive_var",
    "output_reactive_energy_varh", "output_run_s", "output_inrush_current_a",
)  # fmt: skip
_QUANTITIES = SETTING_QUANTITIES + MEASURED_QUANTITIES
_EACH = ("", "output", "metered", "input")
WRITES = ("", "action", "short", "mask", "pulses", "pulse_on", "pulse_off", "unit", "keep")


@dataclass(frozen=True, slots=True)
class PduProduct:
    """A PDU as its file describes it. In the maps `name:3` is quantity `name` of output 3; `facts` are for listings."""

    id: str
    make: str
    model: str
    title: str
    functions: frozenset[int]
    identity: Identity | None
    link: Link
    outputs: int
    inputs: int
    metered_outputs: int
    """Outputs that are measured one by one."""
    metered_total: bool
    """Whether the sum of all outputs is measured; where it is not, its registers read 0."""
    latency_ns: int
    """From the command to the relay's contacts."""
    spread_ns: int
    short_ns: int
    """How long a "short" action lasts until a client sets another time."""
    pulse_ns: int
    """How long a pulse of a train is on, and off, until a client sets another time."""
    pulse_unit_ns: int
    """What the registers of pulse times count in."""
    sequence_ns: int
    """Between outputs that one request closes."""
    period_ns: int
    window_ns: int
    power_limit: float
    power_sigma: float
    power_factor: float
    partial_write_exception: int
    """What a write of several outputs is refused with unless it covers all of them; 0: it is done."""
    toggle_word: int
    """Value of function 5 that toggles an output; 0: there is none."""
    coils: BitMap
    discrete_inputs: BitMap
    holding: RegisterMap
    writes: Mapping[int, tuple[str, int]]
    """Wire address -> what writing it does, and to which output (from 0)."""
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
    relay, refresh, accuracy, constants, limits, bits = (
        top.table(key) for key in ("relay", "refresh", "accuracy", "constants", "limits", "bits")
    )
    measures = top.has("refresh") or top.has("accuracy") or top.has("constants")  # a bare relay has none of these
    outputs = top.fact("outputs").integer("value", low=1, high=64)
    inputs = top.fact("inputs").integer("value", high=64)
    metered = top.fact("metered_outputs").integer("value", high=outputs)
    total = top.fact("metered_total").integer("value", high=1) if top.has("metered_total") else int(metered > 0)
    counts = {"": 1, "output": outputs, "metered": metered, "input": inputs}
    holding_rows, writes = _rows(top.table("holding"), counts)
    input_rows, _ = _rows(top.table("input"), counts)
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
        identity=_identity(top.table("identity")) if top.has("identity") else None,
        link=read_link(top.table("link")),
        outputs=outputs,
        inputs=inputs,
        metered_outputs=metered,
        metered_total=bool(total),
        latency_ns=relay.fact("latency").duration_ns("value"),
        spread_ns=relay.fact("spread").duration_ns("value"),
        short_ns=_duration_ns(relay, "short_time"),
        pulse_ns=_duration_ns(relay, "pulse_time"),
        pulse_unit_ns=_duration_ns(relay, "pulse_unit"),
        sequence_ns=_duration_ns(relay, "sequence"),
        period_ns=refresh.fact("period").duration_ns("value") if measures else SECOND,
        window_ns=refresh.fact("window").duration_ns("value") if measures else SECOND,
        power_limit=accuracy.fact("power_limit").number("value", low=0.0) if measures else 0.0,
        power_sigma=accuracy.fact("power_sigma").number("value", low=0.0) if measures else 0.0,
        power_factor=constants.fact("power_factor").number("value", low=0.01, high=1.0) if measures else 1.0,
        partial_write_exception=limits.fact("partial_write_exception").integer("value", high=0xFF),
        toggle_word=bits.fact("toggle_word").integer("value", low=1) if bits.has("toggle_word") else 0,
        coils=read_bits(bits, "coils", COIL_JOBS, counts),
        discrete_inputs=read_bits(bits, "inputs", INPUT_JOBS, counts),
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


def _duration_ns(table: Table, key: str) -> int:
    """A duration that only some products have; 0 where it is not given."""
    return table.fact(key).duration_ns("value") if table.has(key) else 0


def _identity(table: Table) -> Identity:
    """The texts of function 43/14 by object number, and the conformity level where it is not the usual one."""
    conformity = table.fact("conformity").integer("value", high=0xFF) if table.has("conformity") else -1
    texts = {}
    for part in table.tables("objects"):
        part.provenance()
        texts[part.integer("number", high=0xFF)] = part.text("text").encode()
    return Identity(texts, conformity)


def _rows(table: Table, counts: Mapping[str, int]) -> tuple[list[Row], dict[int, tuple[str, int]]]:
    """The rows of a register table, one for each output where the file has one for all, and what writing them does."""
    rows: list[Row] = []
    writes: dict[int, tuple[str, int]] = {}
    for part in table.tables("rows"):
        name = part.choice("quantity", _QUANTITIES)
        row, each = read_row(table, part), part.choice("each", _EACH, "")
        repeat = part.integer("repeat", 1, low=1, high=256)
        stride = part.integer("stride", row.registers, low=row.registers)
        write = part.choice("write", WRITES, "")
        if name == "constant":
            row = replace(row, quantity=f"constant:{part.number('value')}")
        for number in range(counts[each] * repeat):
            address = row.address + number * stride
            quantity = f"{name}:{number + 1}" if each and name != "constant" else row.quantity
            rows.append(replace(row, address=address, quantity=quantity))
            if write:
                writes[address] = (write, number if each else 0)
    return rows, writes
