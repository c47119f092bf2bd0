"""The margin bar of a check: where the value lies beside its limit, as positions between 0 and 100.

Owns the geometry only, computed from the `Limit` and the value that judged; the template draws it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.rounding import COVERAGE
from bench.verdict import CheckResult, Quantity


@dataclass(frozen=True, slots=True)
class Gauge:
    """Bounds, value and expanded uncertainty on a bar from 0 to 100; a side without bound is None."""

    low: float | None
    high: float | None
    value: float
    left: float
    """Left end of the uncertainty whisker."""
    right: float


def gauge(check: CheckResult) -> Gauge | None:
    """The bar of a check; None where no number was measured."""
    measured, limit = check.measured, check.limit
    if not isinstance(measured, Quantity) or not math.isfinite(measured.value):
        return None
    expanded = COVERAGE * measured.u if math.isfinite(measured.u) else 0.0
    bounds = [bound for bound in (limit.low, limit.high) if bound is not None and math.isfinite(bound)]
    marks = [measured.value - expanded, measured.value + expanded, *bounds]
    if len(bounds) == 1:
        marks.append(0.0)  # a single bound shows its margin against its own size
    reach = max(marks) - min(marks) or abs(marks[0]) or 1.0
    start, width = min(marks) - 0.12 * reach, 1.24 * reach

    def place(value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else round(100 * (value - start) / width, 2)

    return Gauge(
        low=place(limit.low),
        high=place(limit.high),
        value=place(measured.value) or 0.0,
        left=place(measured.value - expanded) or 0.0,
        right=place(measured.value + expanded) or 0.0,
    )
