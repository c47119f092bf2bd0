"""Both back ends of fastpath against hashlib, real blocks and each other."""

from __future__ import annotations

import hashlib
import itertools
import struct
import subprocess
import sys
import threading
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastpath
from fastpath import _pure

try:
    from fastpath import _sha256d as compiled
except ImportError:
    compiled = None

BACK_ENDS = [
    pytest.param(_pure, id="pure"),
    pytest.param(
        compiled,
        id="c",
        marks=pytest.mark.skipif(compiled is None, reason="the extension was not built: no working C compiler"),
    ),
]
LAST_NONCE = 2**32 - 1
EVERY_HASH = 2**256 - 1
REGTEST_TARGET = 0x7FFFFF << 8 * (0x20 - 3)
GENESIS = bytes.fromhex(
    "01000000"
    + "00" * 32
    + "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a"
    + "29ab5f49ffff001d1dac2b7c"
)
"""Header of block 0; any node or explorer shows it. Its nonce is 2083236893."""
BLOCK_170_TXIDS = (
    "b1fea52486ce0c62bb442b530a3f0132b826c74e473d1f2c220bfa78111c5082",
    "f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16",
)
"""The first block with a payment; txids and root in the reversed order of explorers."""
BLOCK_170_ROOT = "7dac2c5666815c17a3b36427de37bb9d2e2c5ccec3f8633eb91a4205cb4c10ff"

headers = st.binary(min_size=80, max_size=80)


def double(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def hits_by_hashlib(header: bytes, start: int, count: int, target: int) -> list[int]:
    tried = range(start, start + count)
    return [n for n in tried if int.from_bytes(double(header[:76] + struct.pack("<I", n)), "little") <= target]


@pytest.fixture(params=BACK_ENDS)
def back_end(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


def each_back_end() -> list[ModuleType]:
    return [_pure] if compiled is None else [_pure, compiled]


@given(data=st.binary(max_size=300))
def test_sha256d_equals_hashlib_for_every_length(data: bytes) -> None:
    for module in each_back_end():
        assert module.sha256d(data) == double(data)


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 119, 120, 128, 2047, 2048, 100_000])
def test_sha256d_is_right_around_block_ends_and_with_the_gil_released(back_end: ModuleType, size: int) -> None:
    data = bytes(i * 31 & 0xFF for i in range(size))
    assert (
        back_end.sha256d(data)
        == back_end.sha256d(bytearray(data))
        == back_end.sha256d(memoryview(data))
        == double(data)
    )


FIPS_180 = {
    b"": "5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456",
    b"abc": "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358",
    b"hello": "9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50",
}


@pytest.mark.parametrize("message", FIPS_180)
def test_sha256d_of_known_messages(back_end: ModuleType, message: bytes) -> None:
    assert back_end.sha256d(message).hex() == FIPS_180[message]


def test_a_chain_of_a_thousand_digests_ends_where_hashlib_does(back_end: ModuleType) -> None:
    """In the manner of the Monte Carlo test of CAVP: an error in any step spoils all that follow."""
    ours = theirs = bytes(range(32))
    for length in range(1_000):
        ours, theirs = back_end.sha256d(ours + bytes(length % 70)), double(theirs + bytes(length % 70))
    assert ours == theirs


# From FIPS 180-4's examples and the CAVP short messages: one block each, so the state after it is the digest.
ONE_BLOCK = {
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    bytes.fromhex("d3"): "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1",
    bytes.fromhex("11af"): "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98",
}


@pytest.mark.parametrize("message", ONE_BLOCK)
def test_midstate_of_a_standard_vector_is_its_digest(back_end: ModuleType, message: bytes) -> None:
    block = message + b"\x80" + bytes(55 - len(message)) + struct.pack(">Q", 8 * len(message))
    assert back_end.midstate(block).hex() == ONE_BLOCK[message]


def test_sha256d_reads_an_unaligned_slice(back_end: ModuleType) -> None:
    data = bytes(range(200))
    assert back_end.sha256d(memoryview(data)[3:83]) == double(data[3:83])


@given(block=st.binary(min_size=64, max_size=64))
def test_both_midstates_are_equal(block: bytes) -> None:
    assert len({module.midstate(block) for module in each_back_end()}) == 1


def test_midstate_of_a_padded_message_is_its_sha256(back_end: ModuleType) -> None:
    """FIPS 180-4 pads "abc" to one block, so the state after it is the digest."""
    block = b"abc\x80" + bytes(52) + struct.pack(">Q", 24)
    assert back_end.midstate(block) == hashlib.sha256(b"abc").digest()


def test_scan_finds_the_nonce_of_the_genesis_block(back_end: ModuleType) -> None:
    target = 0xFFFF << 8 * (0x1D - 3)
    assert back_end.scan(GENESIS, 2083236893 - 500, 1_000, target) == [2083236893]


def test_scan_does_not_read_the_nonce_that_stands_in_the_header(back_end: ModuleType) -> None:
    other = GENESIS[:76] + b"\xff\xff\xff\xff"
    assert back_end.scan(other, 7, 40, REGTEST_TARGET) == back_end.scan(GENESIS, 7, 40, REGTEST_TARGET)


@settings(deadline=None)
@given(
    header=headers,
    start=st.integers(0, LAST_NONCE) | st.integers(LAST_NONCE - 40, LAST_NONCE),
    count=st.integers(0, 40),
    target=st.sampled_from([0, REGTEST_TARGET, EVERY_HASH]) | st.integers(0, 255).map(lambda bits: (1 << bits) - 1),
)
def test_scan_finds_what_hashlib_finds(header: bytes, start: int, count: int, target: int) -> None:
    count = min(count, LAST_NONCE + 1 - start)
    expected = hits_by_hashlib(header, start, count, target)
    for module in each_back_end():
        assert module.scan(header, start, count, target) == expected


@given(header=headers, nonce=st.integers(0, LAST_NONCE))
def test_a_target_equal_to_the_hash_hits_and_one_below_misses(header: bytes, nonce: int) -> None:
    value = int.from_bytes(double(header[:76] + struct.pack("<I", nonce)), "little")
    for module in each_back_end():
        assert module.scan(header, nonce, 1, value) == [nonce]
        assert module.scan(header, nonce, 1, value - 1) == []


@settings(deadline=None)
@given(header=headers, cuts=st.lists(st.integers(0, 120), max_size=6))
def test_a_range_cut_in_pieces_gives_the_hits_of_the_whole(header: bytes, cuts: list[int]) -> None:
    start, count, target = 0xFFFF_F000, 120, 1 << 254
    edges = [0, *sorted(cuts), count]
    for module in each_back_end():
        pieces = [module.scan(header, start + a, b - a, target) for a, b in itertools.pairwise(edges)]
        assert list(itertools.chain(*pieces)) == module.scan(header, start, count, target)


def test_a_scan_longer_than_one_chunk_loses_no_nonce_at_the_seam() -> None:
    module = each_back_end()[-1]
    start, count = 1_000, 65_536 + 3
    hits = module.scan(GENESIS, start, count, 1 << 245)
    assert hits == hits_by_hashlib(GENESIS, start, count, 1 << 245)
    assert len(hits) > 10


def test_threads_that_share_a_header_find_the_hits_of_one(back_end: ModuleType) -> None:
    target, found = 1 << 250, {}

    def work(part: int) -> None:
        found[part] = back_end.scan(GENESIS, part * 500, 500, target)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] + found[1] + found[2] + found[3] == back_end.scan(GENESIS, 0, 2_000, target)


def test_the_last_nonce_can_be_scanned_and_none_after_it(back_end: ModuleType) -> None:
    assert back_end.scan(GENESIS, LAST_NONCE, 1, EVERY_HASH) == [LAST_NONCE]
    assert back_end.scan(GENESIS, LAST_NONCE + 1, 0, EVERY_HASH) == []


def test_merkle_root_of_one_transaction_is_its_own_hash(back_end: ModuleType) -> None:
    assert back_end.merkle_root([GENESIS[36:68]]) == GENESIS[36:68]


def test_merkle_root_of_block_170_is_the_one_in_its_header(back_end: ModuleType) -> None:
    txids = [bytes.fromhex(txid)[::-1] for txid in BLOCK_170_TXIDS]
    assert back_end.merkle_root(txids)[::-1].hex() == BLOCK_170_ROOT


@given(txids=st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=20))
def test_merkle_root_is_the_fold_of_its_halves_over_a_full_tree(txids: list[bytes]) -> None:
    width = 1 << (len(txids) - 1).bit_length()
    full = [txids[i % len(txids)] for i in range(width)]
    for module in each_back_end():
        if width == 1:
            assert module.merkle_root(full) == full[0]
        else:
            half = width // 2
            assert module.merkle_root(full) == double(module.merkle_root(full[:half]) + module.merkle_root(full[half:]))


@given(txids=st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=20).filter(lambda ids: len(ids) % 2))
def test_an_odd_level_repeats_its_last_hash(txids: list[bytes]) -> None:
    for module in each_back_end():
        if len(txids) > 1:
            assert module.merkle_root(txids) == module.merkle_root([*txids, txids[-1]])


WRONG = [
    (("sha256d", "abc"), TypeError, "data must be a bytes-like object, not str"),
    (("sha256d", memoryview(bytes(10))[::2]), ValueError, "data must be contiguous"),
    (("midstate", bytes(63)), ValueError, "block64 must be 64 bytes long, not 63"),
    (("midstate", None), TypeError, "block64 must be a bytes-like object"),
    (("scan", bytes(79), 0, 1, 0), ValueError, "header80 must be 80 bytes long, not 79"),
    (("scan", bytes(80), "0", 1, 0), TypeError, "start must be an int, not str"),
    (("scan", bytes(80), -1, 1, 0), ValueError, "start must lie in"),
    (("scan", bytes(80), 2**32 + 1, 0, 0), ValueError, "start must lie in"),
    (("scan", bytes(80), 0, 1.0, 0), TypeError, "count must be an int, not float"),
    (("scan", bytes(80), 0, -1, 0), ValueError, "count must lie in"),
    (("scan", bytes(80), 2**32 - 10, 11, 0), ValueError, r"count must lie in 0 \.\. 10 .* not 11"),
    (("scan", bytes(80), 0, 1, None), TypeError, "target must be an int, not NoneType"),
    (("scan", bytes(80), 0, 1, -1), ValueError, "target must lie in"),
    (("scan", bytes(80), 0, 1, 2**256), ValueError, "target must lie in"),
    (("merkle_root", []), ValueError, "txids must hold at least one hash"),
    (("merkle_root", [bytes(32), bytes(31)]), ValueError, r"txids\[1\] must be 32 bytes long, not 31"),
    (("merkle_root", ["x"]), TypeError, r"txids\[0\] must be a bytes-like object"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=[f"{w[0][0]}: {w[2]}" for w in WRONG])
def test_a_wrong_argument_is_named(
    back_end: ModuleType, call: tuple[object, ...], error: type[Exception], message: str
) -> None:
    name, *arguments = call
    with pytest.raises(error, match=message):
        getattr(back_end, str(name))(*arguments)


def test_the_package_exports_the_compiled_back_end_where_there_is_one() -> None:
    assert (fastpath.BACKEND == "c") is (compiled is not None)
    assert fastpath.scan is each_back_end()[-1].scan


def test_the_package_falls_back_to_pure_python_without_the_extension() -> None:
    program = (
        "import sys; sys.modules['fastpath._sha256d'] = None\n"
        "import fastpath; print(fastpath.BACKEND, fastpath.sha256d(b'').hex()[:8])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["pure", double(b"").hex()[:8]]


def test_both_back_ends_show_the_same_documentation() -> None:
    for name in ("sha256d", "midstate", "scan", "merkle_root"):
        documents = {getattr(module, name).__doc__ for module in each_back_end()}
        assert len(documents) == 1
        assert "Raises" in documents.pop()
