"""A caller of VNish's REST interface without a socket."""

from __future__ import annotations

import json
from typing import Any

from emulator.wire import SECOND
from firmware_mocks.miners import vnish

PUBLIC = [*vnish.PAGES, "status", "metrics", *(f"logs/{kind}" for kind in ("status", "miner", "api", "system"))]
"""Pages that ask for no token."""


class Rest:
    """A caller of the REST interface: one connection a call, and the token once it has unlocked."""

    def __init__(self, made: Any) -> None:
        self.made = made
        self.token = ""

    def call(
        self, method: str, name: str, body: Any = None, now: int | None = None, **headers: str
    ) -> tuple[int, Any, int]:
        """(status, JSON or text, instant of the reply)."""
        content = b"" if body is None else json.dumps(body).encode() if not isinstance(body, bytes) else body
        given = {"Host": "m", "Content-Length": str(len(content))}
        given |= {"Authorization": f"Bearer {self.token}"} if self.token else {}
        given |= {name.replace("_", "-"): text for name, text in headers.items()}
        lines = [f"{method} /api/v1/{name} HTTP/1.1", *(f"{key}: {text}" for key, text in given.items()), "", ""]
        at = self.made.start if now is None else now
        status, _, said, done = self.made.web("\r\n".join(lines).encode() + content, at)
        try:
            return status, json.loads(said), done
        except ValueError:
            return status, said.decode(), done

    def get(self, name: str, now: int | None = None, **headers: str) -> Any:
        return self.call("GET", name, None, now, **headers)[1]

    def post(self, name: str, body: Any = None, now: int | None = None, **headers: str) -> tuple[int, Any]:
        return self.call("POST", name, body, now, **headers)[:2]

    def unlock(self, now: int | None = None) -> Rest:
        self.token = self.post("unlock", {"pw": "admin"}, now)[1]["token"]
        return self


def seconds(rest: Rest, n: float) -> int:
    """An instant `n` seconds after the tests' start."""
    return int(rest.made.start + n * SECOND)
