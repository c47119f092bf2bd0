"""The order of slices, what takes part, and the machine's facts. No speed is asserted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastpath
from bench.kernels import contestants, machine, measure
from bench.kernels.session import OptionError, Options, bench, segments


@given(count=st.integers(0, 20), number=st.integers(0, 100))
def test_everyone_goes_once_in_a_round(count: int, number: int) -> None:
    assert sorted(measure.order(count, number)) == list(range(count))


def test_everyone_goes_first_and_has_both_neighbours_in_turn() -> None:
    orders = [measure.order(5, number) for number in range(10)]
    assert {order[0] for order in orders} == set(range(5))
    before = {(order[order.index(2) - 1]) for order in orders if order.index(2) > 0}
    assert before == {1, 3}


@given(rounds=st.integers(1, 200), runs=st.integers(0, 20))
def test_the_rounds_around_external_runs_are_all_rounds_once(rounds: int, runs: int) -> None:
    found = segments(rounds, runs)
    assert len(found) == min(runs, rounds)
    assert [number for around in found.values() for number in around] == (list(range(rounds)) if runs else [])
    assert all(middle in around for middle, around in found.items())


def test_thread_counts_are_all_up_to_eight_then_powers_of_two() -> None:
    assert contestants.thread_counts(3) == [1, 2, 3]
    assert contestants.thread_counts(20) == [1, 2, 3, 4, 5, 6, 7, 8, 16, 20]


def test_a_round_has_a_record_of_each_contestant() -> None:
    crew = contestants.Crew(2)
    try:
        entered = contestants.contestants(fastpath.kernels(), contestants.WORKS, ("pure",), crew, 2)
        made = list(measure.rounds(entered, 2, slice_s=1e-4, nominal_hz=3e9))
    finally:
        crew.close()
    keys = {each.key for each in entered}
    assert {
        "scan/pure",
        "scan/pure x2",
        "versions/pure",
        "batch80/pure",
        "scan/hashlib",
        "scan/hashlib-scan",
        "batch64/hashlib",
    } <= keys
    assert [{record.key for record in records} for records in made] == [keys, keys]
    assert all(r.hashes > 0 and r.seconds > 0 and r.frequency_hz == 3e9 for records in made for r in records)


def test_a_contestant_does_about_as_many_hashes_as_asked() -> None:
    crew = contestants.Crew(1)
    entered = contestants.contestants(fastpath.kernels(), contestants.WORKS, (), crew, 1)
    crew.close()
    for each in entered:
        assert 500 <= each.run(600) <= 1024, each.key


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(works=("mine",)), "--work: there is no 'mine'; there are scan, versions"),
        (Options(kernels=("mine",)), "--kernel: there is no 'mine'; there are .*pure"),
    ],
)
def test_a_wrong_option_is_named_before_anything_is_measured(options: Options, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        bench(options)


def test_the_facts_of_the_first_processor_are_read() -> None:
    text = "processor\t: 0\nmodel name\t: AMD EPYC\ncpu MHz\t\t: 2596.148\nflags :\n\nprocessor\t: 1\nmodel name\t: B\n"
    assert machine.cpu_facts(text) == {"processor": "0", "model name": "AMD EPYC", "cpu MHz": "2596.148", "flags": ""}
    assert machine.cpu_facts("") == {}


def test_the_limit_is_told_only_where_it_is_known(zen_4: Any) -> None:
    assert machine.limit_hashes_per_s("scan", ("sha", "avx"), 3.66e9, zen_4) == pytest.approx(60e6)
    assert machine.limit_hashes_per_s("scan", ("avx2",), 3.66e9, zen_4) is None
    assert machine.limit_hashes_per_s("scan", ("sha",), None, zen_4) is None


@pytest.mark.parametrize(("model", "core"), [(1, "Zen 3"), (0x21, "Zen 3"), (17, "Zen 4"), (0x61, "Zen 4"), (0x80, "")])
def test_the_core_is_known_by_family_and_model(monkeypatch: pytest.MonkeyPatch, model: int, core: str) -> None:
    facts = f"model name\t: AMD\ncpu family\t: 25\nmodel\t\t: {model}\n"
    monkeypatch.setattr(machine, "_read", lambda _path: facts)
    found = machine.machine()
    assert found.rnds2_per_cycle == (1.0 if core else None)
    assert found.limit_source.startswith(f"{core}: one" if core else "not known")


def test_dependent_additions_are_counted() -> None:
    additions = machine.dependent_additions()
    if additions is None:
        pytest.skip("no x86-64, or no executable memory")
    assert additions(6_400) == 6_400
    assert additions(1) == machine.ADDS
    assert measure.frequency(additions) > 0
