"""WhatsMiner API V2 on 4028: reads in plain text, writes in an AES envelope under a token (vendor manual 2.0.5, S).

Owns the recipe of the envelope as a client sees it; md5crypt is the "$1$" scheme of Unix passwords.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from firmware_mocks.controllers.drivers.base import DeviceError, Mode, confirmed
from firmware_mocks.controllers.drivers.socket_api import ask

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BLOCK = 16
_SHOWN: Mapping[str, Mode] = {"true": "sleep", "false": "mine"}


class WhatsMinerV2:
    """One miner. Before it is stopped fast boot is set, which holds for the next start: back in a minute (S)."""

    def __init__(self, address: str, port: int, credentials: Mapping[str, str], timeout_s: float) -> None:
        self._address, self._port, self._timeout_s = address, port, timeout_s
        self._password = credentials.get("password", "admin")

    async def set_mode(self, mode: Mode) -> None:
        """power_off or power_on, then read `mineroff` back."""
        if mode == "sleep":
            await self._write("enable_btminer_fast_boot")
            await self._write("power_off", respbefore="true")
        else:
            await self._write("power_on")
        await confirmed(self._shown, mode, self._address)

    async def _shown(self) -> Mode | None:
        status = (await self._ask({"cmd": "status"})).get("Msg")
        off = status.get("mineroff") if isinstance(status, dict) else None
        return _SHOWN.get(str(off))

    async def _write(self, command: str, **parameters: str) -> None:
        """One write under a token of its own. Raises DeviceError for a refusal."""
        token = (await self._ask({"cmd": "get_token"})).get("Msg")
        if not isinstance(token, dict):
            raise DeviceError(f"{self._address}: get_token: {token}")
        key = md5crypt(self._password, str(token.get("salt")))
        sign = md5crypt(key + str(token.get("time")), str(token.get("newsalt")))
        plain = json.dumps({"cmd": command, **parameters, "token": sign})
        reply = await self._ask({"enc": 1, "data": _sealed(key, plain)})
        said = _opened(key, reply) if "enc" in reply else reply
        if said.get("STATUS") != "S":
            raise DeviceError(f"{self._address}: {command}: {said.get('Msg', said)}")

    async def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return await ask(self._address, self._port, request, self._timeout_s)


def _cipher(key: str) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES(hashlib.sha256(key.encode()).digest()), modes.ECB())  # noqa: S305 - the vendor's mode


def _sealed(key: str, plain: str) -> str:
    data = plain.encode()
    encryptor = _cipher(key).encryptor()
    return base64.b64encode(encryptor.update(data + bytes(-len(data) % _BLOCK)) + encryptor.finalize()).decode()


def _opened(key: str, reply: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in an envelope; empty where it cannot be read."""
    try:
        decryptor = _cipher(key).decryptor()
        data = decryptor.update(base64.b64decode(str(reply["enc"]))) + decryptor.finalize()
        said = json.loads(data.rstrip(b"\x00").decode())
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


@lru_cache(maxsize=1024)
def md5crypt(word: str, salt: str) -> str:
    """The 22 characters of the "$1$" scheme for `word` and the first eight characters of `salt`."""
    password, salted = word.encode(), salt[:8].encode()

    def md5(*parts: bytes) -> bytes:
        return hashlib.md5(b"".join(parts), usedforsecurity=False).digest()

    inner = md5(password, salted, password)
    start = password + b"$1$" + salted + (inner * (len(password) // _BLOCK + 1))[: len(password)]
    bits = len(password)
    while bits:
        start += b"\x00" if bits & 1 else password[:1]
        bits >>= 1
    digest = md5(start)
    for turn in range(1000):
        odd = turn & 1
        digest = md5(
            password if odd else digest, salted if turn % 3 else b"", password if turn % 7 else b"",
            digest if odd else password,
        )  # fmt: skip
    triples = [(digest[a], digest[a + 6], digest[a + 12 if a < 4 else 5]) for a in range(5)]
    numbers = [(high << 16 | middle << 8 | low, 4) for high, middle, low in triples] + [(digest[11], 2)]
    return "".join(_ALPHABET[number >> 6 * place & 63] for number, places in numbers for place in range(places))
