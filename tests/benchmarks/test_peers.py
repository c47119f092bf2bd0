"""The peers of the benchmarks compute SHA-256d: a peer that is wrong would make any ratio to it worthless."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

import fastpath
from benchmarks.peers import FORMS, Peer, compiled

HEADER = bytes(range(80))
COUNT, MASK = 1 << 10, 0x1F


@pytest.fixture(scope="module")
def peers() -> Iterator[list[Peer]]:
    """Those that this machine compiles and runs."""
    with compiled() as found:
        if not found:
            pytest.skip("no C compiler, or no instructions a peer could use")
        yield found


def test_a_peer_is_there_only_where_its_instructions_are(peers: list[Peer]) -> None:
    runs = {tier.name for tier in fastpath.kernels() if tier.available}
    assert [peer.form for peer in peers] == [form for form in FORMS if form.tier in runs]


@pytest.mark.parametrize("start", [0, 1_000_003, (1 << 32) - COUNT])
def test_a_peer_counts_the_nonces_hashlib_counts(peers: list[Peer], start: int) -> None:
    last_words = []
    for nonce in range(start, start + COUNT):
        inner = hashlib.sha256(HEADER[:76] + nonce.to_bytes(4, "little")).digest()
        last_words.append(int.from_bytes(hashlib.sha256(inner).digest()[28:], "big"))
    expected = sum(word & MASK == 0 for word in last_words)
    assert 0 < expected < COUNT
    for peer in peers:
        assert peer.scan(HEADER, start, COUNT, MASK) == expected, peer.form.name


@pytest.mark.parametrize("size", [64, 80])
def test_a_peer_hashes_a_batch_as_hashlib_does(peers: list[Peer], size: int) -> None:
    items = bytes((7 * i + i // 251) & 0xFF for i in range(6 * size))
    each = [items[size * i : size * i + size] for i in range(6)]
    expected = b"".join(hashlib.sha256(hashlib.sha256(item).digest()).digest() for item in each)
    for peer in peers:
        if peer.form.batches:
            assert peer.batch(items, size) == expected, peer.form.name
