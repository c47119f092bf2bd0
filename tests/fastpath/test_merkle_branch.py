"""The way from a transaction to the merkle root."""

from __future__ import annotations

import hashlib
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastpath
from fastpath import _pure

trees = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40)


def folded(leaf: bytes, index: int, branch: list[bytes]) -> bytes:
    for sibling in branch:
        pair = sibling + leaf if index & 1 else leaf + sibling
        leaf = hashlib.sha256(hashlib.sha256(pair).digest()).digest()
        index >>= 1
    return leaf


@pytest.mark.parametrize("module", [fastpath, _pure], ids=["chosen", "pure"])
@given(txids=trees, data=st.data())
def test_folding_a_branch_gives_the_root(module: ModuleType, txids: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(txids) - 1))
    branch = module.merkle_branch(txids, index)
    assert folded(txids[index], index, branch) == module.merkle_root(txids)
    assert len(branch) == (len(txids) - 1).bit_length()


@pytest.mark.parametrize("count", [47, 48, 49, 511, 1_000, 2_049])
def test_a_large_tree_is_folded_in_its_own_memory_without_a_fault(count: int) -> None:
    txids = [hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(count)]
    assert fastpath.merkle_root(txids) == _pure.merkle_root(txids)
    assert fastpath.merkle_branch(txids, count // 3) == _pure.merkle_branch(txids, count // 3)


@given(txids=trees, other=st.binary(min_size=32, max_size=32))
def test_the_branch_of_the_coinbase_does_not_depend_on_the_coinbase(txids: list[bytes], other: bytes) -> None:
    if len(txids) > 1:
        assert fastpath.merkle_branch(txids) == fastpath.merkle_branch([other, *txids[1:]])


@given(txids=trees, data=st.data())
def test_both_back_ends_give_the_same_branch(txids: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(txids) - 1))
    assert fastpath.merkle_branch(txids, index) == _pure.merkle_branch(txids, index)
