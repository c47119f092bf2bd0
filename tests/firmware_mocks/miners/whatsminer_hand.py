"""Ways to talk to both WhatsMiner APIs without a socket, written from the manuals and not from the faces."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from passlib.hash import md5_crypt

from emulator.wire import Close, Send

BLOCK = 16
ADMIN = "admin"


def crypt(word: str, salt: str) -> str:
    return str(md5_crypt.using(salt=salt).hash(word)).rpartition("$")[2]


def encrypt(key: bytes, plain: str) -> str:
    data = plain.encode()
    box = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - the vendor's mode
    return base64.b64encode(box.update(data + bytes(-len(data) % BLOCK)) + box.finalize()).decode()


def decrypt(key: bytes, text: str) -> Any:
    box = Cipher(algorithms.AES(key), modes.ECB()).decryptor()  # noqa: S305 - the vendor's mode
    return json.loads((box.update(base64.b64decode(text)) + box.finalize()).rstrip(b"\x00"))


@dataclass
class Hand:
    """A face on a bench, and both languages."""

    bench: Any

    def read(self, command: str, now: int | None = None, **more: Any) -> dict[str, Any]:
        """A read in plain text: the reply, which must come without NUL and with a close."""
        at = self.bench.start if now is None else now
        sent, _, closed = self.bench.send(json.dumps({"cmd": command, **more}).encode(), at)
        assert closed
        assert sent.endswith(b"}")
        reply: dict[str, Any] = json.loads(sent)
        return reply

    def token(self, now: int | None = None, password: str = ADMIN) -> tuple[bytes, str]:
        """AES key and sign of a fresh token."""
        msg = self.read("get_token", now)["Msg"]
        key = crypt(password, msg["salt"])
        return hashlib.sha256(key.encode()).digest(), crypt(key + msg["time"], msg["newsalt"])

    def write(
        self,
        command: str,
        now: int | None = None,
        password: str = ADMIN,
        token: tuple[bytes, str] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """A write in the envelope: the reply, opened; empty where the connection just ends."""
        at = self.bench.start if now is None else now
        aes_key, sign = token or self.token(at, password)
        inner = encrypt(aes_key, json.dumps({"cmd": command, "token": sign, **more}))
        sent, _, closed = self.bench.send(json.dumps({"enc": 1, "data": inner}).encode(), at)
        assert closed
        reply: dict[str, Any] = json.loads(sent) if sent else {}
        return decrypt(aes_key, reply["enc"]) if "enc" in reply else reply

    def frame(self, *asked: Any, now: int | None = None) -> list[dict[str, Any]]:
        """Frames to port 4433 on one connection, and the replies."""
        at = self.bench.start if now is None else now
        talk = self.bench.device.converse(4433, "127.0.0.1", at)
        found = replies(talk.received(b"".join(framed(one) for one in asked), at))
        talk.ended(at)
        return found

    def ask(self, command: str, param: Any = None, now: int | None = None) -> dict[str, Any]:
        """A V3 read."""
        return self.frame({"cmd": command, "param": param}, now=now)[0]

    def tell(
        self, command: str, param: Any = None, now: int | None = None, account: str = "super",
        password: str | None = None, sealed: bool = False, **more: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """A V3 write with its token; `sealed` encrypts the parameter."""
        salt = self.ask("get.device.info", "salt", now)["msg"]["salt"]
        ts = 1_780_000_000
        digest = hashlib.sha256(f"{command}{account if password is None else password}{salt}{ts}".encode()).digest()
        given = encrypt(digest, json.dumps(param)) if sealed else param
        asked = {"cmd": command, "param": given, "ts": ts, "account": account}
        asked["token"] = base64.b64encode(digest).decode()[:8]
        return (self.frame(asked | more, now=now) or [{}])[0]


def framed(asked: Any) -> bytes:
    text = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    return struct.pack("<I", len(text)) + text


def replies(actions: Any) -> list[dict[str, Any]]:
    found = []
    for action in actions:
        if isinstance(action, Send):
            (length,) = struct.unpack_from("<I", action.data)
            assert len(action.data) == 4 + length
            found.append(json.loads(action.data[4:]))
        else:
            assert isinstance(action, Close)
    return found
