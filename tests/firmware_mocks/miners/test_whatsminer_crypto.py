"""The recipes of both WhatsMiner APIs against libraries that others wrote."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.seed import Seed
from firmware_mocks.miners.whatsminer_crypto import (
    ALPHABET,
    envelope_key,
    md5crypt,
    salt,
    seal,
    unbase64,
    unseal,
    v3_digest,
    v3_token,
)

passlib = pytest.importorskip("passlib.hash", reason="passlib comes with pyasic")
aes = pytest.importorskip("Crypto.Cipher.AES", reason="pycryptodome comes with whatsminer")
QUICK = settings(deadline=None, max_examples=25)
salts = st.text(ALPHABET, min_size=1, max_size=8)


@QUICK
@given(word=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40), salted=salts)
def test_md5crypt_is_the_scheme_of_unix_passwords(word: str, salted: str) -> None:
    assert md5crypt(word, salted) == passlib.md5_crypt.using(salt=salted).hash(word).rpartition("$")[2]


@QUICK
@given(
    key=st.text(ALPHABET, min_size=22, max_size=22), asked=st.dictionaries(st.text(max_size=9), st.text(max_size=30))
)
def test_an_envelope_is_aes_256_in_blocks_under_the_hash_of_the_key(key: str, asked: dict[str, str]) -> None:
    plain = json.dumps(asked)
    box = aes.new(hashlib.sha256(key.encode()).digest(), aes.MODE_ECB)
    assert box.decrypt(base64.b64decode(seal(key, plain))).rstrip(b"\x00").decode() == plain
    for padded in (plain.encode() + bytes(-len(plain) % 16), pkcs7(plain.encode())):
        broken = base64.encodebytes(box.encrypt(padded)).decode()  # with line breaks
        data = unbase64(broken)
        assert data is not None
        assert unseal(envelope_key(key), data) == asked
        assert unseal(envelope_key(key + "x"), data) is None


def pkcs7(data: bytes) -> bytes:
    pad = 16 - len(data) % 16
    return data + bytes([pad]) * pad


@pytest.mark.parametrize("text", [None, 7, "", "!", "AAAA", "QUJD=", "ä" * 24])
def test_what_is_no_base64_of_whole_blocks_is_none(text: object) -> None:
    assert unbase64(text) is None


def test_a_v3_token_is_the_head_of_the_salted_digest() -> None:
    digest = v3_digest("set.miner.service", "super", "x7TqLm2N", 1_780_000_000)
    assert digest == hashlib.sha256(b"set.miner.servicesuperx7TqLm2N1780000000").digest()
    assert v3_token(digest) == base64.b64encode(digest).decode()[:8]


def test_salts_belong_to_their_seed_and_suit_md5crypt() -> None:
    drawn = [salt(Seed(3) / n) for n in range(50)]
    assert drawn == [salt(Seed(3) / n) for n in range(50)]
    assert len(set(drawn)) == 50
    assert all(len(one) == 8 and set(one) <= set(ALPHABET) for one in drawn)
