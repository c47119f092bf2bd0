"""Numbers as text: how many digits a value has, with and without an uncertainty.

Owns the rounding that every sentence about a measured value shares, in a reason of the judge as in a report.
"""

from __future__ import annotations

import math
from decimal import Decimal

from bench.verdict import Quantity

COVERAGE = 2.0
"""Expanded uncertainty U = COVERAGE times the standard one: about 95 % for a normal distribution (GUM 6.3.3)."""

_NEGLIGIBLE = 1e-6  # an uncertainty beyond the six digits shown is that of the arithmetic
_DUST = 1e-7
"""What is smaller is the rounding of sums of watts, in whatever unit it is shown."""


def number(value: float, digits: int = 6) -> str:
    """A number to `digits` significant digits, without exponent between 1e-4 and 1e15."""
    if not math.isfinite(value):
        return "not a finite number"
    if value == 0 or 1e-4 <= abs(value) < 1e15:
        return format(Decimal(f"{value:.{digits}g}"), "f")
    return f"{value:.{digits}g}"


def quantity_text(quantity: Quantity, unit: str | None = None, factor: float = 1.0) -> str:
    """`0.213 ± 0.004 s` with the expanded uncertainty, in another `unit` by `factor` where one is given."""
    unit = quantity.unit if unit is None else unit
    value, expanded = factor * quantity.value, factor * COVERAGE * quantity.u
    if abs(value) < _DUST and expanded < _DUST:
        return f"0 {unit}".rstrip()
    if not (math.isfinite(expanded) and expanded > max(_NEGLIGIBLE * abs(value), 1e-9)):
        return f"{number(value)} {unit}".rstrip()
    decimals = min(9, max(0, 1 - math.floor(math.log10(expanded))))
    return f"{value:.{decimals}f} ± {expanded:.{decimals}f} {unit}".rstrip()
