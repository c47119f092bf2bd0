"""Every tier this processor runs, forced one after the other, against hashlib."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastpath

LAST_NONCE = 2**32 - 1
EVERY_HASH = 2**256 - 1
REGTEST_TARGET = 0x7FFFFF << 8 * (0x20 - 3)
BLOCK = 2048
"""Nonces a kernel takes between two looks at its results."""
TIERS = fastpath.kernels()
HERE = [tier.name for tier in TIERS if tier.available]
BLOCK_125552 = bytes.fromhex(
    "0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000"
    "e320b6c2fffc8d750423db8b1eb942ae710e951ed797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695"
)
"""Header of block 125552; its nonce is 0x9546A142."""
MASK = 0x1FFFE000
"""The bits BIP 320 leaves to miners."""

headers = st.binary(min_size=80, max_size=80)
starts = st.integers(0, LAST_NONCE) | st.integers(LAST_NONCE - 70, LAST_NONCE)
targets = (
    st.sampled_from([0, REGTEST_TARGET, EVERY_HASH])
    | st.integers(224, 255).map(lambda bits: (1 << bits) - 1)
    | st.integers(1 << 250, EVERY_HASH)
)


def double(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def hits_by_hashlib(header: bytes, start: int, count: int, target: int) -> list[int]:
    tried = range(start, start + count)
    return [n for n in tried if int.from_bytes(double(header[:76] + struct.pack("<I", n)), "little") <= target]


def with_version(header: bytes, version: int) -> bytes:
    return struct.pack("<I", version) + header[4:]


each_tier = pytest.mark.parametrize(
    "kernel",
    [
        pytest.param(tier.name, marks=pytest.mark.skipif(not tier.available, reason=f"{tier.name}: {tier.why}"))
        for tier in TIERS
    ],
)


@each_tier
@settings(deadline=None, max_examples=25)
@given(header=headers, start=starts, count=st.integers(0, 70), target=targets)
def test_a_scan_finds_what_hashlib_finds(kernel: str, header: bytes, start: int, count: int, target: int) -> None:
    count = min(count, LAST_NONCE + 1 - start)
    assert fastpath.scan(header, start, count, target, kernel=kernel) == hits_by_hashlib(header, start, count, target)


@each_tier
@pytest.mark.parametrize("count", [1, 3, 7, 8, 9, 15, 16, 17, BLOCK - 1, BLOCK, BLOCK + 1])
def test_a_scan_ends_where_it_is_told_to_around_vectors_and_blocks(kernel: str, count: int) -> None:
    target = 1 << 253  # one hash in eight: several in one vector
    for start in (12_345, LAST_NONCE + 1 - count):
        expected = hits_by_hashlib(BLOCK_125552, start, count, target)
        assert fastpath.scan(BLOCK_125552, start, count, target, kernel=kernel) == expected


@each_tier
def test_every_hash_is_a_hit_of_the_highest_target(kernel: str) -> None:
    assert fastpath.scan(BLOCK_125552, 5, 5_000, EVERY_HASH, kernel=kernel) == list(range(5, 5_005))


@each_tier
def test_a_scan_finds_the_nonce_of_a_real_block(kernel: str) -> None:
    target = 0x44B9F2 << 8 * (0x1A - 3)
    assert fastpath.scan(BLOCK_125552, 0x9546A142 - 3_000, 6_000, target, kernel=kernel) == [0x9546A142]


@each_tier
def test_a_real_block_is_found_by_rolling_to_its_version(kernel: str) -> None:
    target = 0x44B9F2 << 8 * (0x1A - 3)
    rolled_away = with_version(BLOCK_125552, 1 | 5 << 13)
    hits = fastpath.scan_versions(rolled_away, MASK, 16, 0x9546A142 - 10, 20, target, kernel=kernel)
    assert hits == [(1, 0x9546A142)]


@each_tier
@settings(deadline=None, max_examples=15)
@given(
    header=headers,
    rolls=st.lists(st.integers(0, 0xFFFF), max_size=70),
    start=starts,
    count=st.integers(0, 18),
    target=st.sampled_from([1 << 252, REGTEST_TARGET, EVERY_HASH, 0]),
)
def test_rolled_versions_hit_where_a_scan_of_each_does(
    kernel: str, header: bytes, rolls: list[int], start: int, count: int, target: int
) -> None:
    count = min(count, LAST_NONCE + 1 - start, 2_000 // (len(rolls) + 1))
    fixed = struct.unpack("<I", header[:4])[0] & ~MASK
    versions = [fixed | roll << 13 for roll in rolls]
    expected = [
        (nonce, place)
        for place, version in enumerate(versions)
        for nonce in hits_by_hashlib(with_version(header, version), start, count, target)
    ]
    hits = fastpath.scan_versions(header, MASK, versions, start, count, target, kernel=kernel)
    assert hits == [(versions[place], nonce) for nonce, place in sorted(expected)]


@each_tier
@pytest.mark.parametrize("versions", [1, 3, 4, 8, 16, 17, 63, 64, 65, 128, 129, 257])
def test_a_number_of_versions_is_dealt_to_the_mask_from_below(kernel: str, versions: int) -> None:
    base = struct.unpack("<I", BLOCK_125552[:4])[0]
    expected = [(base & ~MASK | number << 13, nonce) for nonce in (9, 10) for number in range(versions)]
    assert fastpath.scan_versions(BLOCK_125552, MASK, versions, 9, 2, EVERY_HASH, kernel=kernel) == expected


@each_tier
@pytest.mark.parametrize("item_size", [64, 80, 1, 33])
@settings(deadline=None, max_examples=10)
@given(count=st.integers(0, 20), offset=st.integers(0, 17), noise=st.randoms(use_true_random=False))
def test_a_batch_equals_hashlib_item_by_item_at_any_alignment(
    kernel: str, item_size: int, count: int, offset: int, noise: object
) -> None:
    memory = noise.randbytes(offset + item_size * count)  # type: ignore[attr-defined]
    view = memoryview(memory)[offset:]
    expected = b"".join(double(view[item_size * i : item_size * (i + 1)].tobytes()) for i in range(count))
    assert fastpath.sha256d_many(view, item_size, kernel=kernel) == expected


@each_tier
@pytest.mark.parametrize("item_size", [64, 80])
@pytest.mark.parametrize("count", [23, 24, 25, 27, 28, 255, 256, 257, 511, 520])
def test_a_batch_is_whole_around_vectors_and_turns_of_its_loop(kernel: str, item_size: int, count: int) -> None:
    items = b"".join(hashlib.sha512(struct.pack("<I", number)).digest() * 2 for number in range(count))
    items = items[: item_size * count]
    expected = b"".join(double(items[item_size * i : item_size * (i + 1)]) for i in range(count))
    assert fastpath.sha256d_many(items, item_size, kernel=kernel) == expected


@settings(deadline=None, max_examples=20)
@given(header=headers, start=starts, count=st.integers(0, 3 * BLOCK))
def test_all_tiers_agree_on_a_long_scan(header: bytes, start: int, count: int) -> None:
    count = min(count, LAST_NONCE + 1 - start)
    compiled = [kernel for kernel in HERE if kernel != "pure"] or ["pure"]
    hits = [fastpath.scan(header, start, count, 1 << 247, kernel=kernel) for kernel in compiled]
    assert all(found == hits[0] for found in hits)
