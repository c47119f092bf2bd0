"""Jobs: the header a miner hashes, difficulty and target, which job is current."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.pool.job import DIFFICULTY_1, Job, JobPlan, difficulty_of, target_of
from emulator.seed import Seed

S = 1_000_000_000
PLAN = JobPlan(Seed(5) / "pool")

GENESIS_COINBASE = bytes.fromhex(
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054"
    "696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420"
    "666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61"
    "deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def test_the_genesis_block_comes_out_of_a_job() -> None:
    job = Job(
        "0", 0, 0, 0, bytes(32), GENESIS_COINBASE[:60], GENESIS_COINBASE[72:], (), 1, 0x1D00FFFF, 1231006505, True
    )
    header = job.header(GENESIS_COINBASE[60:64], GENESIS_COINBASE[64:72], job.ntime, 2083236893, job.version)
    digest = sha256d(header)
    assert digest[::-1].hex() == "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    assert 2000 < difficulty_of(digest) < 3000  # the genesis block is far better than its difficulty of 1


def test_the_coinbase_is_a_transaction_with_room_for_the_extranonces() -> None:
    job = PLAN.at(0)
    raw = job.coinbase1 + bytes(12) + job.coinbase2
    script_bytes = raw[41]
    assert raw[:4] == b"\2\0\0\0"
    assert raw[37:41] == raw[42 + script_bytes : 46 + script_bytes] == b"\xff" * 4
    output = raw[46 + script_bytes :]
    assert output[0] == 1
    assert output[9] == 22
    assert len(output) == 10 + 22 + 4


@settings(deadline=None)
@given(st.floats(1e-9, 1e15))
def test_a_target_is_met_by_hashes_of_its_difficulty_and_missed_by_the_next(difficulty: float) -> None:
    target = target_of(difficulty)
    assert difficulty_of(target.to_bytes(32, "little")) == pytest.approx(difficulty, rel=1e-9) or target == 2**256 - 1
    assert target_of(difficulty * 2) <= target
    assert target_of(1.0) == DIFFICULTY_1


def test_a_new_job_comes_every_thirty_seconds_and_a_new_block_every_ten_minutes() -> None:
    assert PLAN.at(0) == PLAN.at(30 * S - 1)
    assert PLAN.at(30 * S).id != PLAN.at(0).id
    assert PLAN.at(30 * S).previous == PLAN.at(0).previous
    assert PLAN.at(600 * S).previous != PLAN.at(0).previous
    assert [PLAN.job(i).clean for i in (0, 1, 19, 20)] == [True, False, False, True]
    assert PLAN.next_ns(0) == PLAN.next_ns(30 * S - 1) == 30 * S
    assert list(PLAN.clean_instants(0, 1200 * S)) == [600 * S, 1200 * S]
    assert PLAN.at(45 * S).ntime - PLAN.at(0).ntime == 30


def test_jobs_are_a_function_of_the_seed() -> None:
    assert JobPlan(Seed(5) / "pool").job(7) == PLAN.job(7)
    assert JobPlan(Seed(6) / "pool").job(7).branch != PLAN.job(7).branch


def test_notify_swaps_the_words_of_the_previous_hash_and_nothing_else() -> None:
    job = PLAN.at(0)
    _, previous, first, second, branch, version, bits, time, clean = job.notify()
    words = bytes.fromhex(str(previous))
    assert b"".join(words[i : i + 4][::-1] for i in range(0, 32, 4)) == job.previous
    assert (first, second) == (job.coinbase1.hex(), job.coinbase2.hex())
    assert branch == [sibling.hex() for sibling in job.branch]
    assert (version, bits, time) == ("20000000", f"{job.nbits:08x}", f"{job.ntime:08x}")
    assert clean is True
