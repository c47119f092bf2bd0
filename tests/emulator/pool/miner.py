"""A Stratum client written from the protocol alone: it shares no code with the pool but the protocol's bytes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any

import fastpath

DIFFICULTY_1 = 0xFFFF << 208


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


@dataclass
class Work:
    """What the last mining.notify, set_difficulty and the subscription said."""

    extranonce1: bytes = b""
    extranonce2_bytes: int = 0
    difficulty: float = 1.0
    mask: int = 0
    job: list[Any] = field(default_factory=list)

    def hear(self, message: dict[str, Any]) -> None:
        if message.get("method") == "mining.set_difficulty":
            self.difficulty = message["params"][0]
        elif message.get("method") == "mining.notify":
            self.job = message["params"]

    def header(self, extranonce2: bytes, version_bits: int = 0) -> bytes:
        _, previous, first, second, branch, version, bits, time, _ = self.job
        root = sha256d(bytes.fromhex(first) + self.extranonce1 + extranonce2 + bytes.fromhex(second))
        for sibling in branch:
            root = sha256d(root + bytes.fromhex(sibling))
        words = struct.unpack(">8I", bytes.fromhex(previous))
        rolled = (int(version, 16) & ~self.mask) | (version_bits & self.mask)
        return (
            struct.pack("<I", rolled)
            + struct.pack("<8I", *words)
            + root
            + struct.pack("<3I", int(time, 16), int(bits, 16), 0)
        )

    def mine(self, worker: str, *, extranonce2: int = 0, version_bits: int | None = None, skip: int = 0) -> list[str]:
        """Parameters of a mining.submit that meets the difficulty."""
        second = extranonce2.to_bytes(self.extranonce2_bytes)
        target = int(DIFFICULTY_1 / self.difficulty)
        header = self.header(second, version_bits or 0)
        nonce = next(n for start in range(0, 1 << 32, 4096) for n in fastpath.scan(header, start, 4096, target)[skip:])
        share = [worker, self.job[0], second.hex(), self.job[7], f"{nonce:08x}"]
        return share if version_bits is None else [*share, f"{version_bits:08x}"]


class Client:
    """The same over an asyncio stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._count = 0
        self.work = Work()
        self.heard: list[str] = []

    async def next(self) -> dict[str, Any]:
        line = await self._reader.readline()
        if not line:
            raise ConnectionError("the pool hung up")
        message: dict[str, Any] = json.loads(line)
        if message.get("method"):
            self.heard.append(message["method"])
        self.work.hear(message)
        return message

    async def call(self, method: str, *params: Any) -> dict[str, Any]:
        self._count += 1
        self._writer.write(json.dumps({"id": self._count, "method": method, "params": params}).encode() + b"\n")
        while (message := await self.next()).get("id") != self._count:
            pass
        return message

    async def begin(self, worker: str, difficulty: float | None = None) -> None:
        options = {"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 2}
        configured = await self.call("mining.configure", ["version-rolling"], options)
        self.work.mask = int(configured["result"]["version-rolling.mask"], 16)
        subscribed = await self.call("mining.subscribe", "test/1.0")
        self.work.extranonce1 = bytes.fromhex(subscribed["result"][1])
        self.work.extranonce2_bytes = subscribed["result"][2]
        if difficulty is not None:
            await self.call("mining.suggest_difficulty", difficulty)
        assert (await self.call("mining.authorize", worker, "x"))["result"] is True
        while not self.work.job:
            await self.next()

    def close(self) -> None:
        self._writer.close()
