"""A miner that tests can set by hand, and ways to talk to a face without a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import h11
import httpx
import pytest

from emulator.catalogue import MinerModel, Phase, model
from emulator.seed import Seed
from emulator.wire import SECOND, Close, Send
from firmware_mocks import miners

HOUR = 3600 * SECOND
START = 10 * HOUR
"""Instant at which tests begin; the miner has been up and hashing since instant 0."""
ROOT = "root"
EPOCH = datetime(2026, 5, 28, tzinfo=UTC)


@dataclass
class FakeUnit:
    """Physics set by hand; `ran` notes every script with its instant and set-point."""

    model: MinerModel
    id: str = "m1"
    index: int = 0
    now_phase: Phase = Phase.HASHING
    watts: float = 3000.0
    hash_steps: list[tuple[int, float]] = field(default_factory=list)
    powered: int | None = 0
    api: int | None = 0
    mining: int | None = 0
    share: float = 1.0
    board_c: float = 60.0
    air_c: float = 25.0
    fans: float = 0.75
    ran: list[tuple[str, int, float | None]] = field(default_factory=list)
    hash_shares: list[float | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hash_steps = self.hash_steps or [(-(10**18), self.model.nominal_ths)]

    def phase(self, now: int) -> Phase:
        return self.now_phase

    def power_w(self, now: int) -> float:
        return self.watts

    def hash_ths(self, now: int) -> float:
        return [ths for since, ths in self.hash_steps if since <= now][-1]

    def mean_hash_ths(self, start: int, stop: int) -> float:
        ends = [since for since, _ in self.hash_steps[1:]] + [10**18]
        work = 0.0
        for (since, ths), end in zip(self.hash_steps, ends, strict=True):
            work += ths * max(0, min(stop, end) - max(start, since))
        return work / (stop - start)

    def work_th(self, start: int, stop: int) -> float:
        return self.mean_hash_ths(start, stop) * (stop - start) / SECOND if stop > start else 0.0

    def energy_j(self, start: int, stop: int) -> float:
        return self.watts * (stop - start) / SECOND

    def powered_since_ns(self, now: int) -> int | None:
        return self.powered

    def api_since_ns(self, now: int) -> int | None:
        return self.api

    def mining_since_ns(self, now: int) -> int | None:
        return self.mining

    def setpoint(self, now: int) -> float:
        return self.share

    def temperature_c(self, now: int) -> float:
        return self.board_c

    def inlet_c(self, now: int) -> float:
        return self.air_c

    def fan_share(self, now: int) -> float:
        return self.fans

    def run(self, script: str, now: int, *, setpoint: float | None = None, hash_share: float | None = None) -> None:
        self.ran.append((script, now, setpoint))
        self.hash_shares.append(hash_share)

    def sleeps(self, now: int) -> None:
        """What the physics does when it has gone to sleep."""
        self.now_phase, self.mining, self.watts = Phase.SLEEP, None, 25.0
        self.hash_steps.append((now, 0.0))

    def boots(self, up_ns: int) -> None:
        """Power lost and back: the API comes up at `up_ns`."""
        self.powered, self.api = up_ns - SECOND, up_ns


@dataclass
class Bench:
    """One face on one fake miner, and a hand to talk to it."""

    device: Any
    unit: FakeUnit
    start: int = START

    def send(self, data: bytes, now: int = START, port: int = 4028) -> tuple[bytes, int, bool]:
        """What comes back on a new connection: bytes, nanoseconds until the last of them, and whether it was closed."""
        actions = self.device.converse(port, "127.0.0.1", now).received(data, now)
        sent = b"".join(action.data for action in actions if isinstance(action, Send))
        delay = sum(action.delay_ns for action in actions)
        return sent, delay, any(isinstance(action, Close) for action in actions)

    def web(self, request: bytes, now: int = START, port: int = 80) -> tuple[int, dict[str, str], bytes, int]:
        """The (last) response to a request on a new connection: status, headers, body, and when it is out."""
        sent, delay, _ = self.send(request, now, port)
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method="GET", target="/", headers=[("Host", "m")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(sent)
        reader.receive_data(b"")
        head, body = reader.next_event(), b""
        assert isinstance(head, h11.Response), head
        while isinstance(event := reader.next_event(), h11.Data):
            body += bytes(event.data)
        return head.status_code, {k.decode(): v.decode() for k, v in head.headers}, body, now + delay

    def cgi(
        self, name: str, body: Any = None, now: int = START, username: str = ROOT, password: str = ROOT
    ) -> tuple[int, Any, int]:
        """A digest request as a client makes it: (status, JSON or text of the body, instant of the reply)."""
        path = f"/cgi-bin/{name}.cgi" if not name.startswith("/") else name
        text = b"" if body is None else json.dumps(body).encode() if not isinstance(body, bytes) else body
        method = "GET" if body is None else "POST"
        request = httpx.Request(method, f"http://miner{path}", content=text)
        flow = httpx.DigestAuth(username, password).auth_flow(request)
        next(flow)
        status, headers, _, done = self.web(wire_form(request), now)
        assert status == 401
        again = flow.send(httpx.Response(401, headers=headers, request=request))
        status, _, said, done = self.web(wire_form(again), done)
        try:
            return status, json.loads(said), done
        except ValueError:
            return status, said.decode(), done

    def ask(self, command: str, parameter: Any = None, now: int = START) -> dict[str, Any]:
        """A JSON command and its reply."""
        asked = {"command": command} | ({} if parameter is None else {"parameter": parameter})
        sent, _, closed = self.send(json.dumps(asked).encode(), now)
        assert sent.endswith(b"\x00")
        assert closed
        answer: dict[str, Any] = json.loads(sent[:-1])
        return answer


@pytest.fixture
def host() -> Callable[..., miners.HostInfo]:
    def make(address: str = "127.7.1.5") -> miners.HostInfo:
        return miners.HostInfo(address, "02:5e:10:00:00:17", "Antminer", "SMTTYEX0123", wall)

    return make


@pytest.fixture
def bench(host: Callable[..., miners.HostInfo]) -> Callable[..., Bench]:
    """Make a face: bench("luxos", "s21", knob=value); without a model on an S19j Pro, or what the firmware runs on."""

    def make(firmware: str, model_id: str = "", **knobs: Any) -> Bench:
        face = miners.load(firmware).tuned(**knobs)
        default = "s19j_pro" if "s19j_pro" in face.models else min(face.models)
        unit = FakeUnit(model(model_id or default))
        return Bench(face.boot(unit, host(), Seed(11) / "miner" / 0), unit)

    return make


def wire_form(request: httpx.Request) -> bytes:
    """A request as bytes."""
    head = f"{request.method} {request.url.raw_path.decode()} HTTP/1.1\r\n"
    head += "".join(f"{name}: {text}\r\n" for name, text in request.headers.items())
    return head.encode() + b"\r\n" + request.content


def wall(now: int) -> datetime:
    return EPOCH + timedelta(microseconds=now // 1000)
