"""Quantities as people write them ("250 ms", "3.25 kW", "97 %") turned into plain numbers in one fixed unit each.

Owns the unit table and the error text; it does no arithmetic on quantities and keeps no state.
"""

from __future__ import annotations

import difflib
import math
import re

_UNITS: dict[str, dict[str, float]] = {
    "s": {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0},
    "W": {"mW": 1e-3, "W": 1.0, "kW": 1e3, "MW": 1e6, "GW": 1e9},
    "Wh": {"Wh": 1.0, "kWh": 1e3, "MWh": 1e6},
    "Ws": {"Ws": 1.0, "kWs": 1e3, "MWs": 1e6, "GWs": 1e9},
    "W/Hz": {"W/Hz": 1.0, "kW/Hz": 1e3, "MW/Hz": 1e6},
    "Hz": {"mHz": 1e-3, "Hz": 1.0, "kHz": 1e3, "MHz": 1e6},
    "V": {"mV": 1e-3, "V": 1.0, "kV": 1e3},
    "A": {"mA": 1e-3, "A": 1.0, "kA": 1e3},
    "pu": {"pu": 1.0, "%": 0.01},
    "fraction": {"": 1.0, "%": 0.01, "pu": 1.0},
    "W/s": {"W/s": 1.0, "kW/s": 1e3, "MW/s": 1e6, "kW/min": 1e3 / 60, "MW/min": 1e6 / 60},
    "1/s": {"1/s": 1.0, "%/s": 0.01, "pu/s": 1.0},
    "TH/s": {"GH/s": 1e-3, "TH/s": 1.0, "PH/s": 1e3},
    "J/TH": {"J/TH": 1.0},
    "K": {"K": 1.0},
    "degC": {"degC": 1.0, "°C": 1.0},
    "USD/MWh": {"USD/MWh": 1.0},
    "1": {"": 1.0, "1": 1.0},
}
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*$")

LONGEST_S = 3.15e9
"""A century: sums of a few durations still fit 64 bit nanoseconds."""


class UnitError(ValueError):
    """A quantity that cannot be read; the message names the text, what is wrong and what would be right."""


def parse(text: object, unit: str) -> float:
    """Read `text` ("250 ms") and return it in `unit` ("s").

    Raises UnitError when the text is no number with a unit, the unit does not belong to the quantity, or the number is
    not finite.
    """
    table = _UNITS[unit]
    match = _QUANTITY.match(text) if isinstance(text, str) else None
    if match is None:
        if isinstance(text, int | float) and not isinstance(text, bool) and "" in table:
            value, found = float(text), ""
        else:
            raise UnitError(f"{text!r} is not a quantity; write a number and a unit, for example {_example(unit)!r}")
    else:
        value, found = float(match[1]), match[2]
    if found not in table:
        near = difflib.get_close_matches(found, list(table), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(repr(u) for u in table if u)} is expected"
        what = f"unknown unit {found!r}" if found else "no unit"
        raise UnitError(f"{text!r}: {what}; {hint}")
    value *= table[found]
    if not math.isfinite(value):
        raise UnitError(f"{text!r} is not a finite number")
    return value


def duration_ns(text: object, *, negative: bool = False) -> int:
    """A duration as integer nanoseconds; a negative one is an error unless `negative`."""
    value = parse(text, "s")
    if value < 0 and not negative:
        raise UnitError(f"{text!r}: a duration cannot be negative")
    if abs(value) > LONGEST_S:
        raise UnitError(f"{text!r} is too long; instants are 64 bit nanoseconds, write at most {LONGEST_S:g} s")
    return round(value * 1e9)


def _example(unit: str) -> str:
    return {"s": "250 ms", "W": "3.25 kW", "Hz": "59.85 Hz", "fraction": "97 %", "TH/s": "104 TH/s"}.get(
        unit, f"1 {unit}"
    )
