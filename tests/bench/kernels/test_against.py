"""The external program: its rate is found, it is bounded and nothing of it stays behind."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kernels.against import RATE, AgainstError, find_rate, rate_pattern, run

PATTERN = re.compile(RATE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[2024-01-01] CPU #0: 24.24 MH/s", 24.24e6),
        ("thread 0: 524288 hashes, 13100 khash/s\nTotal: 13097 khash/s", 13_097e3),
        ("1 H/s\n2.5 kH/s\nbye", 2.5e3),
        ("3 GH/s", 3e9),
        ("nothing", None),
    ],
)
def test_the_last_rate_in_the_output_counts(text: str, expected: float | None) -> None:
    found = find_rate(text, PATTERN)
    assert (None if found is None else found[0]) == expected


@given(text=st.text())
def test_any_output_gives_a_rate_or_none(text: str) -> None:
    found = find_rate(text, PATTERN)
    assert found is None or found[0] >= 0


def test_the_line_of_the_rate_is_kept() -> None:
    assert find_rate("a\n b: 5 MH/s (x)\nc", PATTERN) == (5e6, "b: 5 MH/s")


def test_a_pattern_without_a_prefix_is_in_hashes_a_second() -> None:
    assert find_rate("rate=1200", rate_pattern(r"rate=(\d+)")) == (1200.0, "rate=1200")


@pytest.mark.parametrize("text", ["(", "no group", "(a)(b)(c)"])
def test_a_wrong_pattern_is_named(text: str) -> None:
    with pytest.raises(AgainstError, match="--against-rate: "):
        rate_pattern(text)


def test_a_group_that_is_no_number_is_named() -> None:
    with pytest.raises(AgainstError, match="holds no number"):
        find_rate("fast/s", rate_pattern(r"(\w+)/s"))


def test_a_program_that_ends_by_itself_gives_its_rate() -> None:
    assert run("echo 24.5 MH/s", PATTERN, 10.0) == (24.5e6, "24.5 MH/s")


def test_a_program_without_a_rate_is_told_with_its_last_line() -> None:
    with pytest.raises(AgainstError, match=r"printed no rate .* \(exit code 0, last line 'hello'\)"):
        run("echo hello", PATTERN, 10.0)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(AgainstError, match="'no-such-miner' cannot be started"):
        run("no-such-miner --benchmark", PATTERN, 1.0)
