"""The cgminer socket (port 4028) that nearly every firmware speaks, sans I/O: request bytes in, reply bytes out.

Owns framing, JSON and text dialects, joined commands, error replies and the strictly serial server; what a command does
and says is the face's. Source: cgminer 4.11, api.c and API-README (S), unless a line says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

from emulator.wire import SECOND, Action, Close, Instant, Send
from firmware_mocks.miners.base import HostInfo, Lanes
from firmware_mocks.miners.replies import Template, compact

MAX_REQUEST = 4095
_CLOSE = Close()
IDLE_NS = 60 * SECOND  # estimate: the original waits for ever; a bench must not collect dead connections


@dataclass(frozen=True, slots=True)
class Request:
    """One command as asked for; `parameter` is text whatever JSON type it came in."""

    command: str
    parameter: str = ""
    is_json: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> list[str]:
        """The comma-joined parameter, split; empty list when there is none."""
        return [part.strip() for part in self.parameter.split(",")] if self.parameter else []


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command answers. `then` is called with the instant at which the reply leaves: effects start there."""

    status: str
    code: int
    msg: str
    sections: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    bare: str = ""
    takes_ns: int = 0
    then: Callable[[Instant], None] | None = None


class Host(Protocol):
    """The part of a device that the socket needs."""

    host: HostInfo
    api_lane: Lanes
    boot_ns: Instant | None

    def gone(self, port: int, boot_ns: Instant | None, now: Instant) -> list[Action] | None:
        """Actions for a conversation whose host has gone away."""
        ...


D = TypeVar("D", bound=Host)
Handler = Callable[[D, Request, Instant], Reply]


@dataclass(frozen=True, slots=True)
class Command(Generic[D]):
    """A command of a face. Only parameterless reports may be joined; a denied one answers code 45."""

    run: Handler[D]
    joinable: bool = True
    denied: bool = False


@dataclass(frozen=True, slots=True)
class Dialect(Generic[D]):
    """How one firmware speaks on the socket.

    `one_recv` keeps the genuine habit of a single recv: a request in two segments is parsed half. `service_ns` is how
    long the server is busy with one request. `when_since_boot` has `When` count from the boot, not from 1970.
    """

    banner: str
    commands: Mapping[str, Command[D]]
    service_ns: int
    joins: bool = True
    nul: bool = True
    one_recv: bool = True
    port: int = 4028
    when_since_boot: bool = False

    def when_s(self, device: D, now: Instant) -> int:
        """What this firmware writes into `When`, seconds."""
        return (now - (device.boot_ns or 0)) // SECOND if self.when_since_boot else device.host.unix_s(now)


def render(template: Template, readings: object, row: Mapping[str, Any] | None = None) -> Reply:
    """A reply rendered from its template; `row` adds values that stand in no reading."""
    row = row or {}
    sections = {name: rows(readings, row) for name, rows in template.sections.items()}
    return Reply(template.status, template.code, template.msg(readings, row), sections)


def invalid_command() -> Reply:
    """E/14."""
    return Reply("E", 14, "Invalid command")


def access_denied(command: str) -> Reply:
    """E/45."""
    return Reply("E", 45, f"Access denied to '{command}' command")


@lru_cache(maxsize=256)  # a fleet is asked the same again and again
def parse(data: bytes) -> Request | Reply:
    """Read a request; an error reply (codes 14, 23, 24) where it is none. Nobody may change what is returned."""
    text = data.split(b"\x00", 1)[0].decode("utf-8", errors="replace").strip()
    if not text.startswith("{"):
        command, _, parameter = text.partition("|")
        return Request(command, parameter.rstrip("|"), is_json=False)
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError):
        return Reply("E", 23, "Invalid JSON")
    if "command" not in asked:
        return Reply("E", 24, "Missing JSON 'command'")
    if not isinstance(asked["command"], str):
        return invalid_command()
    parameter = asked.get("parameter")
    is_scalar = isinstance(parameter, str | int | float) and not isinstance(parameter, bool)
    extra = {key: entry for key, entry in asked.items() if key not in ("command", "parameter")}
    return Request(asked["command"], str(parameter) if is_scalar else "", extra=extra)


def encode(reply: Reply, banner: str, unix_s: int, is_json: bool) -> str:
    """A reply as the firmware writes it, without the closing NUL."""
    return compact(_tree(reply, banner, unix_s)) if is_json else _text(reply, banner, unix_s)


def answer(device: D, dialect: Dialect[D], data: bytes, now: Instant) -> tuple[bytes, Reply]:
    """Serve one request: its bytes, and the reply that says how long it takes and what happens then."""
    request = parse(data)
    unix_s = dialect.when_s(device, now)
    tail = b"\x00" if dialect.nul else b""
    if isinstance(request, Reply):
        return encode(request, dialect.banner, unix_s, is_json=True).encode() + tail, request
    if dialect.joins and "+" in request.command:
        text, reply = _joined(device, dialect, request, now)
    else:
        reply = _single(device, dialect, request, now)
        text = encode(reply, dialect.banner, unix_s, request.is_json)
    return text.encode() + tail, reply


class ApiConversation(Generic[D]):
    """One connection: one request, one reply, close."""

    __slots__ = ("_boot_ns", "_device", "_dialect", "_heard", "_served")

    idle_timeout_ns: int | None = IDLE_NS

    def __init__(self, device: D, dialect: Dialect[D]) -> None:
        self._device = device
        self._dialect = dialect
        self._boot_ns = device.boot_ns
        self._heard = b""
        self._served = False

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Serve the request that `data` is (or, without `one_recv`, completes)."""
        if self._served or not data:
            return []
        gone = self._device.gone(self._dialect.port, self._boot_ns, now)
        if gone is not None:
            return gone
        self._heard = (self._heard + data)[:MAX_REQUEST]
        return self._serve(now) if self._has_all() else []

    def ended(self, now: Instant) -> Sequence[Action]:
        """The peer closed its side: half a request is served as what it is, silence gets silence."""
        if self._served or self._device.gone(self._dialect.port, self._boot_ns, now) is not None:
            return []
        return self._serve(now) if self._heard else [Close()]

    def _has_all(self) -> bool:
        """Whether the server reads no further."""
        return self._dialect.one_recv or len(self._heard) >= MAX_REQUEST or _is_complete(self._heard)

    def _serve(self, now: Instant) -> Sequence[Action]:
        self._served = True
        text, reply = answer(self._device, self._dialect, self._heard, now)
        self._heard = b""
        done = self._device.api_lane.serve(now, self._dialect.service_ns + reply.takes_ns)
        if reply.then is not None:
            reply.then(done)
        return [Send(text, done - now), _CLOSE]


def _single(device: D, dialect: Dialect[D], request: Request, now: Instant) -> Reply:
    command = dialect.commands.get(request.command)
    if command is None:
        return invalid_command()
    return access_denied(request.command) if command.denied else command.run(device, request, now)


def _joined(device: D, dialect: Dialect[D], request: Request, now: Instant) -> tuple[str, Reply]:
    slots: dict[str, Reply] = {}
    for name in filter(None, request.command.split("+")):
        command = dialect.commands.get(name)
        if command is not None and (command.denied or not command.joinable):
            slots[name] = access_denied(name)
        elif name not in slots:
            slots[name] = invalid_command() if command is None else command.run(device, Request(name), now)
    unix_s = dialect.when_s(device, now)
    if request.is_json:
        text = compact({name: [_tree(reply, dialect.banner, unix_s)] for name, reply in slots.items()} | {"id": 1})
    else:
        text = "".join(f"CMD={name}|{_text(reply, dialect.banner, unix_s)}" for name, reply in slots.items())
    return text, Reply("S", 0, "", takes_ns=dialect.service_ns * max(0, len(slots) - 1))


def _tree(reply: Reply, banner: str, unix_s: int) -> dict[str, Any]:
    if reply.bare:
        return {"STATUS": reply.bare, "id": 1}
    head = {"STATUS": reply.status, "When": unix_s, "Code": reply.code, "Msg": reply.msg, "Description": banner}
    return {"STATUS": [head], **reply.sections, "id": 1}


def _text(reply: Reply, banner: str, unix_s: int) -> str:
    if reply.bare:
        return f"{reply.bare}|"
    said = f"Msg={_escape(reply.msg)},Description={_escape(banner)}|"
    head = f"STATUS={reply.status},When={unix_s},Code={reply.code},{said}"
    rows = (_text_row(name, row) for name, rows in reply.sections.items() for row in rows)
    return head + "".join(rows)


def _text_row(section: str, row: object) -> str:
    if not isinstance(row, Mapping):  # Braiins' "RESUME":[true]; what it is as text is an estimate
        return f"{section}={_escape(_plain(row))}|"
    pairs = [f"{key}={_escape(_plain(entry))}" for key, entry in row.items()]
    numbered = bool(row) and next(iter(row)) in (section, section.removesuffix("S"), "ASC")
    return ",".join(pairs if numbered else [section, *pairs]) + "|"


def _plain(entry: Any) -> str:
    return str(entry).lower() if isinstance(entry, bool) else str(entry)


def _escape(text: str) -> str:
    for mark in ("\\", "|", "=", ","):
        text = text.replace(mark, "\\" + mark)
    return text


def _is_complete(heard: bytes) -> bool:
    if not heard.lstrip().startswith(b"{"):
        return True
    try:
        json.loads(heard.rstrip(b"\x00"))
    except (ValueError, RecursionError):
        return False
    return True
