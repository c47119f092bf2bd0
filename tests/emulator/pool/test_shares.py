"""Shares follow work: the law of their number, of their instants and of their luck, drawn and hashed alike."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator import catalogue
from emulator.fleet import Fleet, MinerSpec
from emulator.pool.job import HASHES_PER_DIFFICULTY, JobPlan, target_of
from emulator.pool.server import Pool
from emulator.pool.shares import HashedSource, ShareSource, hashed_share
from emulator.pool.stratum import Terms
from emulator.seed import Seed
from emulator.wire import Send

S = 1_000_000_000
END = 900 * S


def fleet_of(miners: int, *commands: tuple[str, int, list[int]]) -> Fleet:
    specs = [MinerSpec(f"m{i}", catalogue.model("s21"), catalogue.family("luxos")) for i in range(miners)]
    fleet = Fleet(specs, Seed(3))
    for script, at, rows in commands:
        chosen = np.array(rows, dtype=np.int64)
        if script in ("on", "off"):
            fleet.switch_mains(chosen, script == "on", at)
        else:
            fleet.run(chosen, script, at)
    return fleet


def busy(miners: int = 6, difficulty: float | None = 30_000.0) -> ShareSource:
    """Miners that sleep, wake, reboot and lose their mains: slopes, exponentials and rests."""
    fleet = fleet_of(
        miners, ("sleep", 100 * S, [0, 1]), ("off", 150 * S, [2]), ("reboot", 180 * S, [3]), ("wake", 300 * S, [0]),
        ("on", 420 * S, [2]), ("wake_fast", 500 * S, [1]),
    )  # fmt: skip
    return ShareSource(fleet, Seed(11), difficulty)


def same(a: object, b: object) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("at_ns", "row", "difficulty"))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, END), max_size=6))
def test_shares_are_the_same_however_the_interval_is_split(cuts: list[int]) -> None:
    source = busy()
    whole = source.shares_between(0, END)
    edges = [0, *sorted(cuts), END]
    parts = [source.shares_between(a, b) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate([p.at_ns for p in parts]), whole.at_ns)
    assert np.array_equal(np.concatenate([p.row for p in parts]), whole.row)
    assert np.array_equal(np.concatenate([p.difficulty for p in parts]), whole.difficulty)
    counts = sum(source.counts_between(a, b) for a, b in pairwise(edges))
    assert np.array_equal(counts, np.bincount(whole.row, minlength=6))


def test_questions_have_one_answer_in_any_order() -> None:
    early = busy()
    first = early.shares_between(0, 200 * S)
    late = busy()
    late.shares_between(400 * S, END)
    assert same(first, late.shares_between(0, 200 * S))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, END), st.integers(0, END))
def test_counts_are_the_shares_counted(a: int, b: int) -> None:
    source = busy(difficulty=50_000.0)
    shares = source.shares_between(min(a, b), max(a, b))
    assert np.array_equal(source.counts_between(min(a, b), max(a, b)), np.bincount(shares.row, minlength=6))
    assert (shares.at_ns > min(a, b)).all()
    assert (shares.at_ns <= max(a, b)).all()
    assert (np.diff(shares.at_ns) >= 0).all()


def test_adding_a_miner_changes_no_other() -> None:
    few, many = busy(4), busy(9)
    a, b = few.shares_between(0, END), many.shares_between(0, END)
    kept = b.row < 4
    assert np.array_equal(a.at_ns, b.at_ns[kept])
    assert np.array_equal(a.difficulty, b.difficulty[kept])
    assert same(few.shares_between(0, END, slice(2, 3)), many.shares_between(0, END, np.array([2])))


def test_a_miner_that_sleeps_or_is_off_finds_nothing() -> None:
    fleet = fleet_of(40, ("sleep", 100 * S, list(range(20))), ("off", 100 * S, list(range(20, 40))))
    source = ShareSource(fleet, Seed(1), 1000.0)
    assert source.counts_between(0, 100 * S).min() > 1000
    assert source.counts_between(130 * S, 9000 * S).max() == 0
    assert len(source.shares_between(130 * S, 9000 * S)) == 0


def test_the_number_of_shares_is_a_poisson_variable_of_the_work() -> None:
    fleet = fleet_of(3000, ("sleep", 60 * S, list(range(1500))), ("wake", 200 * S, list(range(1500))))
    source = ShareSource(fleet, Seed(2), 100_000.0)
    mean = source.expected(600 * S)
    found = source.counts_between(0, 600 * S)
    assert mean[:1500].mean() < 0.9 * mean[1500:].mean()
    for part in (slice(0, 1500), slice(1500, 3000)):
        z = (found[part] - mean[part]) / np.sqrt(mean[part])
        assert abs(z.mean()) < 4 / math.sqrt(z.size)
        assert abs(z.var() - 1.0) < 4 * math.sqrt(2.0 / z.size + 1.0 / (z.size * mean[part].mean()))


def test_within_an_interval_shares_fall_evenly_on_the_work_done() -> None:
    fleet = fleet_of(1, ("sleep", 300 * S, [0]), ("wake", 330 * S, [0]))
    source = ShareSource(fleet, Seed(4), 400.0)
    shares = source.shares_between(0, END)
    total = fleet.work_th(END)[0]
    place = np.array([fleet.work_th(int(at), np.array([0]))[0] / total for at in shares.at_ns[:: len(shares) // 400]])
    steps = np.abs(np.sort(place) - np.linspace(0, 1, place.size)).max()  # Kolmogorov-Smirnov
    assert steps < 1.95 / math.sqrt(len(shares)) + 2 / place.size
    gaps = np.diff(shares.at_ns[shares.at_ns < 300 * S]) * 1e-9
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.05)  # exponential


def test_each_instant_is_the_first_at_which_the_work_was_done() -> None:
    source = busy(difficulty=60_000.0)
    shares = source.shares_between(0, END)
    for at, row in zip(shares.at_ns.tolist(), shares.row.tolist(), strict=True):
        rows = np.array([row])
        assert source.counts_between(at - 1, at, rows)[0] >= 1


def test_the_luck_of_a_share_is_that_of_a_hash() -> None:
    source = ShareSource(fleet_of(50), Seed(5), 1000.0)
    shares = source.shares_between(0, 30 * S)
    lucky = [(shares.difficulty >= 1000.0 * factor).mean() for factor in (1, 2, 10)]
    assert lucky == pytest.approx([1.0, 0.5, 0.1], abs=4 * 0.5 / math.sqrt(len(shares)))


def test_the_default_difficulty_gives_eighteen_shares_a_minute() -> None:
    source = ShareSource(fleet_of(3), Seed(5))
    assert source.expected(60 * S) == pytest.approx([18.0] * 3, rel=0.06)


def test_large_fleets_and_long_times_are_cut_into_parts() -> None:
    source = ShareSource(fleet_of(30), Seed(6), 10.0)
    counts = source.counts_between(0, 20 * S)
    assert counts.sum() == sum(int(source.counts_between(0, 20 * S, np.array([row]))[0]) for row in range(30))
    assert source.expected(20 * S).sum() > 2**20


@pytest.mark.parametrize("difficulty", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_difficulty_is_refused(difficulty: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        ShareSource(fleet_of(1), Seed(5), difficulty)


# ---- real hashes ---------------------------------------------------------------------------------------------------

JOBS = JobPlan(Seed(5) / "pool")


def test_a_hashed_share_is_accepted_by_the_pool() -> None:
    pool = Pool(Seed(5), Terms(difficulty=1e-5))
    talk = pool.converse(3333, "127.0.0.1", 0)
    talk.received(
        b'{"id":1,"method":"mining.subscribe","params":[]}\n{"id":2,"method":"mining.authorize","params":["w"]}\n', 0
    )
    share = hashed_share(pool.jobs.at(0), target_of(1e-5), (1).to_bytes(4), limit=1_000_000)
    assert share is not None
    assert share.difficulty >= 1e-5
    assert not share.synthetic
    request = '{"id":3,"method":"mining.submit","params":["' + '","'.join(share.submit("w")) + '"]}\n'
    (answer,) = talk.received(request.encode(), S)
    assert isinstance(answer, Send)
    assert b'"result":true' in answer.data
    following = hashed_share(
        pool.jobs.at(0), target_of(1e-5), (1).to_bytes(4), start=share.counter + 1, limit=1_000_000
    )
    assert following is not None
    assert following.counter > share.counter
    assert hashed_share(pool.jobs.at(0), 0, (1).to_bytes(4), limit=1000) is None


def test_the_search_goes_on_from_the_last_nonce_into_the_next_extranonce() -> None:
    share = hashed_share(JOBS.at(0), target_of(1e-6), bytes(4), start=(1 << 32) - 50, limit=2_000_000)
    assert share is not None
    assert share.extranonce2 == (1).to_bytes(8)
    assert share.counter == (1 << 32) + share.nonce


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(0, 200 * S), max_size=4))
def test_hashed_shares_are_the_same_however_the_interval_is_split(cuts: list[int]) -> None:
    def source() -> HashedSource:
        fleet = fleet_of(2, ("sleep", 40 * S, [1]), ("wake", 60 * S, [1]))
        return HashedSource(fleet, 1, JOBS, bytes(4), difficulty=1e-6, hashes_per_th=5.0)

    edges = [0, *sorted(cuts), 200 * S]
    split = source()
    parts = [share for a, b in pairwise(edges) for share in split.shares_between(a, b)]
    assert parts == source().shares_between(0, 200 * S)


def test_hashed_shares_tell_the_work_of_the_machine() -> None:
    fleet = fleet_of(1, ("sleep", 100 * S, [0]))
    source = HashedSource(fleet, 0, JOBS, bytes(4), difficulty=2e-6, hashes_per_th=100.0)
    awake, asleep = source.shares_between(0, 100 * S), source.shares_between(130 * S, 1000 * S)
    told = len(awake) * 2e-6 * HASHES_PER_DIFFICULTY * source.stands_for * 1e-12 / 100.0
    assert len(awake) > 100
    assert told == pytest.approx(float(fleet.work_th(100 * S)[0]) / 100.0, rel=4 / math.sqrt(len(awake)))
    assert asleep == []
    assert all(share.at_ns is not None and JOBS.at(share.at_ns - 1).id == share.job_id for share in awake)


def test_too_much_hashing_is_refused_before_it_begins() -> None:
    source = HashedSource(fleet_of(1), 0, JOBS, bytes(4), difficulty=1.0, hashes_per_th=1e9)
    with pytest.raises(ValueError, match="lower hashes_per_th"):
        source.shares_between(0, 3600 * S)
    with pytest.raises(ValueError, match="positive"):
        HashedSource(fleet_of(1), 0, JOBS, bytes(4), difficulty=1.0, hashes_per_th=0.0)
