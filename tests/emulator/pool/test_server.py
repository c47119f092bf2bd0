"""The pool on its address and its books: what a client meets, what the shares tell of a hash rate."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator import catalogue
from emulator.clock import Clock, run
from emulator.fleet import Fleet, MinerSpec
from emulator.network import Network
from emulator.pool.accounts import Accounts, HashRate, Tally, Verdict
from emulator.pool.server import LATENCY_NS, PORT, Pool
from emulator.pool.shares import ShareSource
from emulator.pool.stratum import Terms
from emulator.seed import Seed
from emulator.wire import Reach
from tests.emulator.pool.miner import Client

S = 1_000_000_000
ADDRESS = "127.9.253.1"
EASY = 1e-5


def fleet_of(miners: int) -> Fleet:
    specs = [MinerSpec(f"m{i}", catalogue.model("s21"), catalogue.family("luxos")) for i in range(miners)]
    return Fleet(specs, Seed(3))


def test_a_client_mines_through_the_network() -> None:
    async def main(clock: Clock) -> None:
        pool = Pool(Seed(5), Terms(difficulty=EASY))
        network = Network(clock)
        network.attach(ADDRESS, pool)
        await network.open()
        client = Client(*await asyncio.open_connection(ADDRESS, PORT))
        await client.begin("site.m1")
        assert client.heard == ["mining.set_difficulty", "mining.notify"]
        share = client.work.mine("site.m1", version_bits=0x2000)
        assert (await client.call("mining.submit", *share))["result"] is True
        assert (await client.call("mining.submit", *share))["error"][0] == 22
        assert (await client.call("mining.submit", *share[:4], "00000000", share[5]))["error"][0] in (22, 23)

        await clock.sleep_until(100 * S)
        old = client.work.mine("site.m1", extranonce2=1)
        await client.call("mining.ping")
        while client.work.job[0] != pool.jobs.at(100 * S).id:
            await client.next()
        assert (await client.call("mining.submit", *old))["result"] is True

        await clock.sleep_until(600 * S)
        assert (await client.call("mining.submit", *client.work.mine("site.m1")))["error"][0] == 21
        assert pool.tally("site.m1", clock.now()) == Tally(2, 2, 1, 2 * EASY, 0, 100 * S)
        client.close()
        await network.close()
        assert network.defects == 0

    run(main)


def test_a_miner_that_says_nothing_for_ten_minutes_is_dropped() -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach(ADDRESS, Pool(Seed(5)))
        await network.open()
        reader, writer = await asyncio.open_connection(ADDRESS, PORT)
        assert await reader.read() == b""
        assert clock.now() == 600 * S
        writer.close()
        await network.close()

    run(main)


def test_the_pool_has_one_port() -> None:
    pool = Pool(Seed(5))
    assert pool.ports == (3333,)
    assert pool.reach(3333, 0) is Reach.ANSWERS
    assert pool.reach(80, 0) is Reach.REFUSES


# ---- books ---------------------------------------------------------------------------------------------------------


def test_drawn_shares_are_credited_to_their_workers() -> None:
    source = ShareSource(fleet_of(3), Seed(1))
    pool = Pool(Seed(5))
    pool.attach(source, ["a", None, "c"])
    found = source.counts_between(0, 550 * S)
    assert pool.tally("a", 550 * S).accepted == pool.tally("a", 550 * S).synthetic == found[0]
    assert pool.tally("c", 550 * S).difficulty == pytest.approx(found[2] * source.difficulty[2])
    assert pool.tally("b", 550 * S) == Tally()
    both = pool.site_hash_rate(0, 550 * S)
    assert both.shares == found[0] + found[2]


def test_a_share_found_just_after_a_new_block_is_stale() -> None:
    source = ShareSource(fleet_of(10), Seed(1), 200.0)
    pool = Pool(Seed(5))
    pool.attach(source, [f"m{i}" for i in range(10)])
    late = source.counts_between(600 * S, 600 * S + LATENCY_NS)
    assert late.sum() > 30
    assert [pool.tally(f"m{i}", 601 * S).stale for i in range(10)] == late.tolist()
    tally = pool.tally("m0", 601 * S)
    assert tally.accepted + tally.stale == source.counts_between(0, 601 * S)[0]


def test_the_hash_rate_told_lies_within_its_own_standard_error() -> None:
    fleet = fleet_of(400)
    pool = Pool(Seed(5))
    pool.attach(ShareSource(fleet, Seed(8)), [f"m{i}" for i in range(400)])
    true = fleet.work_th(590 * S) / 590.0
    told = [pool.hash_rate(f"m{i}", 0, 590 * S) for i in range(400)]
    errors = np.array([(t.ths - h) / (h / math.sqrt(t.shares)) for t, h in zip(told, true, strict=True)])
    assert abs(errors.mean()) < 4 / math.sqrt(400)
    assert abs(errors.std() - 1.0) < 0.2
    assert told[0].relative_error == 1 / math.sqrt(told[0].shares)
    site = pool.site_hash_rate(0, 590 * S)
    assert site.standard_error_ths is not None
    assert abs(site.ths - true.sum()) < 4 * site.standard_error_ths


def test_without_a_share_nothing_is_known_and_nothing_is_claimed() -> None:
    rate = Pool(Seed(5)).hash_rate("nobody", 0, 60 * S)
    assert rate == HashRate(0.0, 0)
    assert rate.relative_error is None
    assert rate.standard_error_ths is None
    assert Pool(Seed(5)).site_hash_rate(0, 60 * S) == HashRate(0.0, 0)


def test_one_name_cannot_stand_for_two_miners() -> None:
    with pytest.raises(ValueError, match="stands for two miners"):
        Pool(Seed(5)).attach(ShareSource(fleet_of(2), Seed(1)), ["a", "a"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 100), st.sampled_from(Verdict)), max_size=40), st.integers(0, 100))
def test_the_book_of_an_interval_is_the_sum_of_its_shares(entries: list[tuple[int, Verdict]], cut: int) -> None:
    book = Accounts()
    assert book.open("w")
    for at, verdict in sorted(entries, key=lambda entry: entry[0]):
        book.enter("w", verdict, 2.0, at)
    accepted = [at for at, verdict in entries if verdict is Verdict.ACCEPTED]
    early, late = book.accepted_between("w", 0, cut), book.accepted_between("w", cut, 100)
    assert early[1] == sum(at <= cut for at in accepted)
    assert (early[1] + late[1], early[0] + late[0]) == (len(accepted), 2.0 * len(accepted))
    tally = book.tally("w")
    assert tally.accepted + tally.rejected + tally.stale == len(entries)
    assert list(book) == ["w"]


def test_an_estimate_reaches_back_only_as_far_as_the_memory() -> None:
    book = Accounts()
    book.open("w")
    for at in range(5000):
        book.enter("w", Verdict.ACCEPTED, 1.0, at)
    difficulty, shares, begin = book.accepted_between("w", -1, 4999)
    assert (difficulty, shares, begin) == (4096.0, 4096, 903)
    assert book.tally("w").accepted == 5000
