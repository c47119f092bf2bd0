"""How a client reacts to a fault: one read that is hit, one that is not; and the table in which the docs say so.

A cell of the table has an outcome for each: `right`; `wrong`, a value that is not in the register; `stale`, the value
of the other read; `exception`, one of Modbus by its number; `error` at once; `time-out`.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from emulator.faults import Fault, FaultPlan, Value
from emulator.faulty_link import with_faults
from emulator.faulty_registers import with_register_faults
from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import load_product
from emulator.modbus.tcp import ModbusTcpDevice
from emulator.seed import Seed
from emulator.wire import Device, Instant

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "modbus-faults.md"
HIT, SPARED = 0x00, 0x46
"""Addresses of the two reads, voltage and frequency."""
VALUES = {HIT: 240.0, SPARED: 50.0}
_PRODUCT = load_product("eastron_sdm630")


class Point:
    """1 MW at 240 V."""

    def power_w(self, at: Instant) -> float:
        return 1e6

    def energy_j(self, start: Instant, stop: Instant) -> float:
        return 1e6 * (stop - start) * 1e-9

    def voltage_v(self, at: Instant) -> float:
        return VALUES[HIT]


def faults(timeout_ns: int, framing: str) -> dict[str, tuple[str, dict[str, Value]]]:
    """Rows of the table: how the docs call it -> kind and parameters, for a client with this time-out."""
    rows: dict[str, tuple[str, dict[str, Value]]] = {
        "no fault": ("delay", {"delay_ns": 0}),
        "`delay` 1.4 time-outs": ("delay", {"delay_ns": timeout_ns * 7 // 5}),
        "`late_reply`": ("late_reply", {}),
        "`drop`": ("drop", {}),
        "`no_answer`": ("no_answer", {}),
        "`slow_loris`, byte by byte": ("slow_loris", {"interval_ns": 1_000_000}),
        "`partial_reply`, rest after 0.5 time-outs": ("partial_reply", {"after_ns": timeout_ns // 2}),
        "`partial_reply`, rest after 3 time-outs": ("partial_reply", {"after_ns": 3 * timeout_ns}),
        "`exception_storm` 06": ("exception_storm", {}),
        "`word_order`": ("word_order", {}),
        "`no_value` NaN": ("no_value", {}),
    }
    if framing == "mbap":
        rows |= {
            "`reset`, RST in the frame": ("reset", {"after_bytes": 5}),
            "`reset`, FIN in the frame": ("reset", {"after_bytes": 5, "by": "fin"}),
            "`hang_up`": ("hang_up", {}),
        }
    for how in HOWS[framing]:
        rows[f"`misframed` `{how}`"] = ("misframed", {"how": how})
    return rows


HOWS = {
    "mbap": (
        "transaction", "transaction_0", "protocol", "length_long", "length_short", "unit", "unit_0", "function",
        "function_80", "fewer_registers", "byte_count_short", "byte_count_long", "cut", "leading_zero",
        "trailing_zero", "extra_bytes", "twice", "echo",
    ),
    "rtu": (
        "bit", "lost_byte", "doubled_byte", "unit", "function", "function_80", "fewer_registers", "byte_count_short",
        "cut", "leading_zero", "trailing_zero", "echo",
    ),
}  # fmt: skip


def meter() -> Meter:
    """The meter that is read."""
    return Meter(_PRODUCT, Point(), Grid(50.0, 1e6))


def faulty(
    kind: str, given: Mapping[str, Value], port: int = 502, way: Callable[[ModbusTcpDevice], Device] = lambda d: d
) -> Device:
    """The meter with a fault on the first of the two reads; `way` makes another device of one on TCP."""
    aimed = {**given, "registers": "*" if kind == "late_reply" else str(HIT)}  # the second is the one that is answered
    plan = FaultPlan([Fault("m", kind, parameters=aimed)], Seed(1))
    whole = meter()
    own = with_register_faults(plan, "m", "meter", whole.device(port), whole.tables)
    return with_faults(plan, "m", "meter", way(own))


def as_float(words: list[int]) -> float:
    """What two registers hold. Raises where there are not two."""
    return float(struct.unpack(">f", struct.pack(">HH", *words))[0]) if len(words) == 2 else math.nan


def outcome(address: int, value: float | None, took: float) -> str:
    """What a read has come to; `took` is in time-outs, `value` None where the client has raised."""
    if value is None:
        return "time-out" if took >= 0.9 else "error"
    known = [at for at, held in VALUES.items() if math.isclose(held, value, rel_tol=1e-3)]
    return "wrong" if not known else "right" if known[0] == address else "stale"


def fits(seen: str, told: str) -> bool:
    """Whether an observed cell is one that the page has; it may say `right or error` where both are seen."""
    pairs = zip(seen.split(", "), told.split(", "), strict=True)
    return all(outcome in words.split(" or ") for outcome, words in pairs)


def table(framing: str) -> dict[str, dict[str, str]]:
    """The page's table for a framing: row -> client -> cell."""
    text = PAGE.read_text(encoding="utf-8").partition(f"## {framing.upper()}")[2].partition("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", text, re.M)]
    head, rows = lines[0], lines[2:]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}
