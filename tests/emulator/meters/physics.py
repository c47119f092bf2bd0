"""What a meter should show, worked out from the physics alone, and its registers read as a client reads them."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass

from emulator.meters.meter import Meter
from emulator.modbus.pdu import Responder
from emulator.modbus.registers import TYPES, Row
from emulator.wire import SECOND

_FUNCTIONS = {"input": 4, "holding": 3}
_LINE_RATIO = {1: 1.0, 2: 2.0, 3: math.sqrt(3.0)}


@dataclass(frozen=True)
class Expected:
    """A true value, how far a good instrument of this class may be off (relative), and whether it is a counter."""

    value: float
    limit: float = 0.0
    counter: bool = False


class Truth:
    """The physics at one meter's terminals at `now`, as its product's windows and ticks (shifted by phase) see it."""

    def __init__(self, product, point, grid, phase_ns: int, now: int) -> None:
        self.product, self.point, self.grid, self.phase_ns, self.now = product, point, grid, phase_ns, now

    def __call__(self, quantity: str) -> Expected | None:
        """None: the register shows that there is no value."""
        name, _, group = quantity.partition("@")
        accuracy, phases, pf = self.product.accuracy, self.product.phases, self.product.power_factor
        tan = math.sqrt(1.0 - pf * pf) / pf
        if name == "absent":
            return None
        if name == "frequency_hz":
            start, tick = self._window(group or "frequency")
            mean = self.grid.mean_frequency_hz(start, tick) if tick > start else self.grid.frequency_hz(start)
            return Expected(mean, accuracy.frequency_limit)
        if re.search(r"_kwh$|_kvarh$|_kvah$", name):
            _, tick = self._window("energy")
            imported = max(self.point.energy_j(0, tick), 0.0) if tick > 0 else 0.0
            kwh = 0.0 if name.startswith("export") else imported / 3.6e6
            by = {"kwh": 1.0, "kvarh": tan, "kvah": 1.0 / pf}[name.rpartition("_")[2]]
            return Expected(kwh * by / self._share(name), accuracy.power_limit, counter=True)
        start, tick = self._window(group or "power")
        power_w = (
            self.point.energy_j(start, tick) * SECOND / (tick - start) if tick > start else self.point.power_w(start)
        )
        voltage_v = 0.5 * (self.point.voltage_v(start) + self.point.voltage_v(tick))
        if name.startswith("voltage"):
            between = "line" in name or re.search(r"l\d_l\d", name)
            return Expected(voltage_v * (_LINE_RATIO[phases] if between else 1.0), accuracy.voltage_limit)
        if name.startswith("current"):
            total_a = power_w / pf / voltage_v if voltage_v else 0.0
            share = 1.0 if name == "current_sum_a" else float(phases)
            if name == "current_neutral_a":
                return Expected(total_a if phases == 1 else 0.0, 1.0)
            return Expected(total_a / share, (1 + accuracy.power_limit) / (1 - accuracy.voltage_limit) - 1)
        if name.startswith("power_factor"):
            return Expected(pf)
        if name == "demand_w":
            return self._demand()
        if name.startswith(("power", "apparent", "reactive")):
            by = {"w": 1.0, "va": 1.0 / pf, "var": tan}[name.rpartition("_")[2]]
            return Expected(power_w * by / self._share(name), accuracy.power_limit)
        if name.startswith("phase_angle"):
            return Expected(math.degrees(math.acos(pf)))
        if name.startswith("thd"):
            return Expected(self.product.constants[f"{name.split('_')[0]}_{name.split('_')[1]}_percent"])
        if name.startswith("unbalance"):
            return Expected(0.0)
        raise AssertionError(f"no physics for {name}")

    def _demand(self) -> Expected:
        setting = self.product.settings.get("demand_period_min")
        _, tick = self._window("energy")
        start = max(0, tick - round(setting.initial * 60 * SECOND)) if setting else tick
        if tick > start:
            mean = self.point.energy_j(start, tick) * SECOND / (tick - start)
        else:
            at = tick - (tick - self.phase_ns) % self.product.refresh["power"].period_ns
            start, at = max(0, at - self.product.refresh["power"].window_ns), max(0, at)
            mean = self.point.energy_j(start, at) * SECOND / (at - start) if at > start else self.point.power_w(0)
        return Expected(mean, self.product.accuracy.power_limit)

    def _window(self, group: str) -> tuple[int, int]:
        refresh = self.product.refresh[group]
        tick = self.now - (self.now - self.phase_ns) % refresh.period_ns
        return max(0, tick - refresh.window_ns), max(0, tick)

    def _share(self, name: str) -> float:
        return float(self.product.phases) if re.search(r"_l\d_", name) else 1.0


def ask(meter: Meter, table: str, address: int, count: int, now: int) -> bytes:
    """Registers over the whole protocol core; fails where an exception comes back."""
    request = struct.pack(">BHH", _FUNCTIONS[table], address, count)
    reply = Responder(meter).answer(request, now)
    assert reply[0] == request[0], f"{table} {address}: exception {reply[-1]}"
    return reply[2:]


def shown(meter: Meter, table: str, row: Row, base: int, now: int) -> float | None:
    """The quantity that stands in `row`, scaled by the scale factor the meter shows; None where it says "no value"."""
    data = ask(meter, table, row.address + base, row.registers, now)
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    if row.order.value == "lo-hi":
        words.reverse()
    data = b"".join(words)
    (number,) = struct.unpack(">" + TYPES[row.type][0], data)
    if number != number or (row.absent is not None and data == row.absent.to_bytes(len(data), "big")):
        return None
    return number * row.scale * 10.0 ** exponent(meter, table, row, base, now)


def exponent(meter: Meter, table: str, row: Row, base: int, now: int) -> int:
    """The decimal exponent that the meter shows for `row`."""
    if not row.factor:
        return 0
    (factor,) = (one for one in getattr(meter.product, table).rows if one.quantity == row.factor)
    return struct.unpack(">h", ask(meter, table, factor.address + base, 1, now))[0]


def measured(product):
    """(table, row) of every row that shows something measured, clocks left out."""
    for table in ("input", "holding"):
        if table == "holding" and product.holding is product.input:
            continue
        for row in getattr(product, table).rows:
            if row.quantity not in product.settings and not row.quantity.startswith("clock"):
                yield table, row


def close(row: Row, found: float | None, expected: Expected | None, scale: float) -> bool:
    """Whether a register shows the physics within class and resolution; `scale` is the row's with its factor."""
    if expected is None:
        return found is None or (row.absent is None and found == 0.0)
    if found is None:
        return False
    integer = TYPES[row.type][0] not in "fd"
    step = max(row.resolution, scale if integer else 0.0)
    value, slack = expected.value, expected.limit * abs(expected.value)
    slack += 0.5 * step * (1 + 1e-6) + 2e-7 * abs(value) + 1e-9
    if integer:
        bits, signed = 16 * row.registers, TYPES[row.type][0].islower()
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        value = min(max(value, low * scale), high * scale)
    if row.rollover:
        off = abs(found - value) % row.rollover
        return min(off, row.rollover - off) <= slack
    return abs(found - value) <= slack
