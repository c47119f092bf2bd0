"""The margin bar."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from bench.report.gauge import gauge
from bench.verdict import CheckResult, Limit, Measured, NotReached, Outcome, Quantity, Source

numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


def result(measured: Measured, limit: Limit) -> CheckResult:
    return CheckResult("c", "s", "t", "e", measured, limit, Outcome.PASS, None, Source("", "S"))


@given(numbers, numbers, numbers, st.floats(0, 1e3))
def test_the_mark_lies_on_the_allowed_side_exactly_when_the_value_is_inside(
    value: float, one: float, other: float, u: float
) -> None:
    low, high = min(one, other), max(one, other)
    assume(min(abs(value - low), abs(value - high)) > 1e-3 * (abs(value) + abs(low) + abs(high) + u))
    for limit in (Limit("W", low, high), Limit("W", low=low), Limit("W", high=high)):
        bar = gauge(result(Quantity(value, "W", u), limit))
        assert bar is not None
        inside = (bar.low is None or bar.low <= bar.value) and (bar.high is None or bar.value <= bar.high)
        assert inside == (limit.margin(value) >= 0)
        assert all(0 <= place <= 100 for place in (bar.left, bar.value, bar.right, bar.low or 0, bar.high or 0))


def test_a_limit_of_zero_is_drawn() -> None:
    bar = gauge(result(Quantity(0.0, "W"), Limit("W", high=0)))
    assert bar is not None
    assert bar.high == bar.value


def test_a_value_that_never_came_has_no_bar() -> None:
    assert gauge(result(NotReached("never"), Limit("s", high=0.25))) is None
    assert gauge(result(Quantity(float("nan"), "s"), Limit("s", high=0.25))) is None
