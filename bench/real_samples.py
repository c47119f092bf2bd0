"""What real devices said during a run: samples with their time stamps, and what is known of each device.

Owns `real.parquet` and the series that a verdict rests on when the meter at the point of interconnection is real; it
reads no device (`bench/real.py` does) and no clock.
"""

from __future__ import annotations

import json
import math
from array import array
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.facts import Series
from emulator.meters.reading import POWER

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.wire import Instant

FILE = "real.parquet"
_HALF_WIDTH = 1.0 / math.sqrt(3.0)
"""Standard uncertainty of a value that is somewhere within a half-width, all places alike (GUM 4.3.7)."""
_COMMON = 0.99
"""The round trip that a stamp's uncertainty is taken from: the one that this share of requests did not exceed."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A real device, as the run took it. Durations in ns.

    `lag_ns` is how far the middle of what a value averages over lies behind the reading of it, known to within
    `tolerance_ns`. `limit` is the maker's relative limit of error for active power, `quantum_w` the register's step.
    """

    id: str
    product: str
    way: str
    measures: str
    """"poi", the id of a feeder, or "" for a PDU."""
    poll_ns: int
    lag_ns: int
    tolerance_ns: int
    window_ns: int
    limit: float
    quantum_w: float


@dataclass(slots=True)
class Samples:
    """Samples in the order in which they came. A stamp is the middle between request and reply; no lag is in it."""

    slots: dict[str, Slot] = field(default_factory=dict)
    _t_ns: array[int] = field(default_factory=lambda: array("q"))
    _took_ns: array[int] = field(default_factory=lambda: array("q"))
    _value: array[float] = field(default_factory=lambda: array("d"))
    _of: list[tuple[str, str]] = field(default_factory=list)

    def add(self, device: str, quantity: str, value: float, sent: Instant, received: Instant) -> None:
        """`device` is a slot, or an outlet of one."""
        self._t_ns.append((sent + received) // 2)
        self._took_ns.append(received - sent)
        self._value.append(value)
        self._of.append((device, quantity))

    def write(self, folder: Path) -> None:
        """Write `real.parquet`: t_ns, took_ns, device, quantity, value; the slots in the schema's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        devices, quantities = zip(*self._of, strict=True) if self._of else ((), ())
        table = pa.table(
            {
                "t_ns": pa.array(np.array(self._t_ns, dtype=np.int64)),
                "took_ns": pa.array(np.array(self._took_ns, dtype=np.int64)),
                "device": pa.array(devices, pa.string()).dictionary_encode(),
                "quantity": pa.array(quantities, pa.string()).dictionary_encode(),
                "value": pa.array(np.array(self._value, dtype=np.float64)),
            }
        )
        meta = {"slots": [asdict(slot) for slot in self.slots.values()]}
        pq.write_table(table.replace_schema_metadata({"ramprig": json.dumps(meta)}), folder / FILE, compression="zstd")


@dataclass(frozen=True, slots=True)
class Measured:
    """The power that one real meter has measured, and the longest time for which nothing is known of it."""

    slot: Slot
    power: Series
    gap_ns: int

    @property
    def text(self) -> str:
        """Who measured, how well, for people."""
        slot, power = self.slot, self.power
        return (
            f"{slot.id}, a real {slot.product} at {slot.way}: {power.t_ns.size} samples, lag {slot.lag_ns / 1e6:g} ms, "
            f"standard uncertainties {power.u:.3g} W (limit of error {slot.limit:.2%}) and "
            f"{power.u_time_ns / 1e6:.3g} ms"
        )


def measured(table: Any, slot_id: str, start: Instant, stop: Instant) -> Measured:
    """The power series of a slot over [start, stop] from the table of `real.parquet`.

    Stamps are moved back by the lag. The uncertainty of a value is that of the maker's limit at the highest power of
    the run, taken as a half-width, and of the register's step; that of a stamp is of the lag's tolerance and of the
    round trip. The gap counts from `start` and to `stop` as well. Raises KeyError for a slot that is not in the table,
    ValueError for stamps that do not grow.
    """
    meta = json.loads(table.schema.metadata[b"ramprig"])
    slot = next((Slot(**entry) for entry in meta["slots"] if entry["id"] == slot_id), None)
    if slot is None:
        raise KeyError(slot_id)
    device = np.array(table.column("device").to_pylist(), dtype=str)
    quantity = np.array(table.column("quantity").to_pylist(), dtype=str)
    mine = (device == slot_id) & (quantity == POWER)
    t_ns = table.column("t_ns").to_numpy()[mine] - slot.lag_ns
    took_ns = table.column("took_ns").to_numpy()[mine]
    value = table.column("value").to_numpy()[mine]
    if t_ns.size > 1 and not bool(np.all(np.diff(t_ns) > 0)):
        raise ValueError(f"the stamps of {slot_id} do not grow")
    # one sample beyond either end, so that the ends of the run lie between two samples
    first = max(0, int(np.searchsorted(t_ns, start, side="right")) - 1)
    last = min(t_ns.size, int(np.searchsorted(t_ns, stop, side="left")) + 1)
    t_ns, took_ns, value = t_ns[first:last], took_ns[first:last], value[first:last]
    if t_ns.size == 0:
        return Measured(slot, Series(t_ns, value, window_ns=slot.window_ns), stop - start)
    edges = np.concatenate([[min(start, int(t_ns[0]))], t_ns, [max(stop, int(t_ns[-1]))]])
    trip_ns = float(np.quantile(took_ns, _COMMON))
    u_w = math.hypot(slot.limit * _HALF_WIDTH * float(np.abs(value).max()), slot.quantum_w / 2 * _HALF_WIDTH)
    u_time_ns = math.hypot(slot.tolerance_ns * _HALF_WIDTH, trip_ns / 2 * _HALF_WIDTH)
    power = Series(t_ns, value, "W", slot.window_ns, u_w, u_time_ns)
    return Measured(slot, power, int(np.diff(edges).max()))
