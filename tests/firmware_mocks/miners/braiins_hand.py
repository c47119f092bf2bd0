"""A hand for every door of a Braiins OS miner, without a socket: REST, gRPC, GraphQL, and the 4028 of the bench."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emulator.wire import SECOND
from firmware_mocks.miners.braiins_api import MESSAGES, METHODS
from tests.firmware_mocks.miners.grpc_caller import Caller

MakeBench = Callable[..., Any]
V1 = "/braiins.bos.v1."
ROOT = {"username": "root", "password": "root"}

POOL = {"url": "stratum+tcp://new.example:1", "user": "me", "password": "x"}


@dataclass
class Hand:
    """A bench with a token, and ways to use every door."""

    bench: Any
    token: str = ""
    cookie: str = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bench, name)

    def rest(self, verb: str, path: str, body: Any = None, *, now: int | None = None, token: str | None = None) -> Any:
        """Status, parsed body (or text), and when the answer was out."""
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = (
            f"{verb} /api/v1/{path} HTTP/1.1\r\nHost: m\r\nAuthorization: {self.token if token is None else token}\r\n"
        )
        at = self.bench.start if now is None else now
        status, _, said, done = self.bench.web(f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text, at)
        try:
            return status, json.loads(said), done
        except ValueError:
            return status, said.decode(), done

    def login(self, now: int | None = None) -> None:
        self.token = self.rest("POST", "auth/login", ROOT, now=now)[1]["token"]

    def grpc(
        self, name: str, tree: dict[str, Any] | None = None, *, now: int | None = None, token: str | None = None
    ) -> Any:
        """A gRPC call on a connection of its own: (status, reply tree or detail)."""
        method = METHODS[V1 + name if not name.startswith("/") else name]
        at = self.bench.start if now is None else now
        caller = Caller(self.bench.device.converse(50051, "127.0.0.1", at), at)
        heard = caller.call(
            method.path, MESSAGES.encode(method.asks, tree or {}), token=self.token if token is None else token
        )
        if heard.status:
            return heard.status, heard.detail
        return 0, MESSAGES.full(method.gives, MESSAGES.decode(method.gives, heard.messages[0]))

    def ql(self, query: str, variables: dict[str, Any] | None = None, *, now: int | None = None) -> dict[str, Any]:
        text = json.dumps({"query": query, "variables": variables}).encode()
        head = f"POST /graphql HTTP/1.1\r\nHost: m\r\nCookie: {self.cookie}\r\nContent-Length: {len(text)}\r\n\r\n"
        at = self.bench.start if now is None else now
        status, headers, said, _ = self.bench.web(head.encode() + text, at)
        assert status == 200
        self.cookie = headers.get("set-cookie", self.cookie).partition(";")[0]
        answer: dict[str, Any] = json.loads(said)
        return answer


def pause(bos: Hand) -> int:
    """Pause, let the physics follow, and say when it was."""
    _, _, done = bos.rest("PUT", "actions/pause")
    bos.unit.sleeps(done + 10 * SECOND)
    return int(done)
