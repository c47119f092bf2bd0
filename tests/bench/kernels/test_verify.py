"""The proof: the data proves itself, every tier of this machine passes, and a wrong kernel is caught."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

import fastpath
from bench.kernels import verify
from bench.kernels.vectors import BLOCKS, VECTORS

PURE = fastpath.Kernel("pure", (), True, ("scan", "versions", "batch"), (), "", {})


def double(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


@pytest.mark.parametrize("block", BLOCKS, ids=[str(block.height) for block in BLOCKS])
def test_a_header_has_the_hash_of_its_block_and_enough_work(block: Any) -> None:
    assert double(block.header)[::-1].hex() == block.hash
    assert int(block.hash, 16) <= block.target


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.source for vector in VECTORS])
def test_a_vector_is_what_hashlib_says(vector: Any) -> None:
    assert hashlib.sha256(vector.message).hexdigest() == vector.sha256


def test_every_tier_that_runs_here_passes() -> None:
    proof = verify.verify(fastpath.kernels(), hashes=3_000)
    assert [check for check in proof.checks if not check.passed] == []
    assert proof.passed
    available = {kernel.name for kernel in fastpath.kernels() if kernel.available}
    assert available <= set(proof.tiers())


def test_a_tier_that_cannot_run_here_is_skipped_with_its_reason() -> None:
    lacking = replace(PURE, name="other", available=False, why="this processor lacks sha")
    proof = verify.verify((PURE, lacking), hashes=100)
    assert proof.skipped == {"other": "this processor lacks sha"}
    assert "other" not in proof.tiers()


def test_a_proof_of_nothing_is_no_pass() -> None:
    assert not verify.Proof((), {}, 1).passed


def test_what_is_made_up_follows_from_the_seed() -> None:
    first, again, other = (verify._bytes(seed, "header", 3, size=80) for seed in (1, 1, 2))
    assert first == again != other


def _drops_the_last(*arguments: Any, **options: Any) -> list[int]:
    return fastpath._pure.scan(*arguments, **{**options, "kernel": None})[:-1]


def _flips_a_bit(*arguments: Any, **options: Any) -> bytes:
    digests = bytearray(fastpath._pure.sha256d_many(*arguments))
    if digests:
        digests[-1] ^= 1
    return bytes(digests)


def _refuses(*arguments: Any, **options: Any) -> list[int]:
    raise RuntimeError("kernel 'x' proposed nonce 7")


@pytest.mark.parametrize(
    ("function", "wrong", "work"),
    [
        ("scan", _drops_the_last, "scan"),
        ("scan", _refuses, "scan"),
        ("scan_versions", lambda *_, **__: [], "versions"),
        ("sha256d_many", _flips_a_bit, "batch"),
    ],
)
def test_a_wrong_kernel_fails_in_its_own_work_only(
    monkeypatch: pytest.MonkeyPatch, function: str, wrong: Any, work: str
) -> None:
    monkeypatch.setattr(fastpath, function, wrong)
    proof = verify.verify((PURE,), hashes=500)
    failed = {check.name.split(":")[0] for check in proof.checks if not check.passed}
    assert failed == {work}
    assert not proof.passed
    assert all(check.problem for check in proof.checks if not check.passed)


def test_the_json_of_a_proof_has_every_check() -> None:
    data: Any = verify.as_json(verify.verify((PURE,), hashes=100))
    assert data["passed"] is True
    assert {check["passed"] for check in data["tiers"]["pure"]["checks"]} == {True}
    assert all(check["cases"] > 0 for check in data["tiers"]["pure"]["checks"])
