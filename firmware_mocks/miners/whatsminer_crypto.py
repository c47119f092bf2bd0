"""The cryptography of WhatsMiner's two APIs: md5crypt, the AES envelope of V2, the salted token of V3.

Owns bytes and hashes only; who may do what is `whatsminer_access.py`. Sources: vendor manuals 2.0.5 and 3.0.3, checked
against three clients (S); md5crypt is the "$1$" scheme of Unix passwords.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from emulator.seed import Seed

ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BLOCK = 16
_ORDER = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))


def salt(seed: Seed, length: int = 8) -> str:
    """A salt of md5crypt's alphabet that belongs to `seed`."""
    key = seed.key
    return "".join(ALPHABET[(key >> 6 * place) % len(ALPHABET)] for place in range(length))


@lru_cache(maxsize=4096)
def md5crypt(word: str, salted: str) -> str:
    """The 22 characters that the "$1$" scheme makes of `word` and the first eight characters of `salted`."""
    password, salt_bytes = word.encode("utf-8", errors="replace"), salted[:8].encode("utf-8", errors="replace")
    other = _md5(password + salt_bytes + password)
    text = password + b"$1$" + salt_bytes
    text += (other * (len(password) // _BLOCK + 1))[: len(password)]
    length = len(password)
    while length:
        text += b"\x00" if length & 1 else password[:1]
        length >>= 1
    digest = _md5(text)
    for turn in range(1000):
        head, tail = (password, digest) if turn & 1 else (digest, password)
        middle = (salt_bytes if turn % 3 else b"") + (password if turn % 7 else b"")
        digest = _md5(head + middle + tail)
    pieces = [_spell(int.from_bytes(bytes(digest[place] for place in places)), 4) for places in _ORDER]
    return "".join(pieces) + _spell(digest[11], 2)


def seal(key: str, plain: str) -> str:
    """Plain text as the miner encrypts it: AES-256-ECB under SHA-256 of `key`, padded with zeros, base64."""
    data = plain.encode()
    padded = data + bytes(-len(data) % _BLOCK)
    encryptor = _cipher(hashlib.sha256(key.encode()).digest()).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def unbase64(text: object) -> bytes | None:
    """Base64 with or without line breaks; None where it is none or no whole blocks of AES."""
    if not isinstance(text, str):
        return None
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        return None
    return data if data and len(data) % _BLOCK == 0 else None


def unseal(aes_key: bytes, data: bytes) -> Any:
    """The JSON value in encrypted blocks, padded with zeros or by PKCS7; None where another key was used."""
    decryptor = _cipher(aes_key).decryptor()
    plain = decryptor.update(data) + decryptor.finalize()
    pad = plain[-1]
    if 1 <= pad <= _BLOCK and plain.endswith(bytes([pad]) * pad):
        plain = plain[:-pad]
    try:
        return json.loads(plain.rstrip(b"\x00").decode())
    except (ValueError, RecursionError):
        return None


def envelope_key(key: str) -> bytes:
    """The AES key of V2: SHA-256 of the password's hash."""
    return hashlib.sha256(key.encode()).digest()


def v3_digest(command: str, password: str, salted: str, timestamp: int) -> bytes:
    """SHA-256 over command, password, salt and time: its base64 begins with the token, itself is the AES key."""
    return hashlib.sha256(f"{command}{password}{salted}{timestamp}".encode("utf-8", errors="replace")).digest()


def v3_token(digest: bytes) -> str:
    """The eight characters that a write carries."""
    return base64.b64encode(digest)[:8].decode()


def md5_hex(text: str) -> str:
    """MD5 in hexadecimal, as the answer to the write-API challenge."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _cipher(aes_key: bytes) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES(aes_key), modes.ECB())  # noqa: S305 - it is the vendor's mode


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _spell(number: int, places: int) -> str:
    return "".join(ALPHABET[number >> 6 * place & 63] for place in range(places))
