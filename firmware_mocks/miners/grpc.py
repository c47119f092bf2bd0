"""A miner's gRPC server, sans I/O on h2: bytes of an HTTP/2 connection (prior knowledge, no TLS) in, bytes out.

Owns streams, message framing, status trailers, flow control, server streams and every bound on memory; methods and
their messages are the face's. Source: gRPC over HTTP/2, PROTOCOL-HTTP2 of the gRPC project (S); RFC 9113.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush
from typing import Protocol

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from emulator.wire import SECOND, Action, Close, Instant, Send
from firmware_mocks.miners.base import Lanes

MAX_MESSAGE = 64 * 1024
"""Bytes of one request. estimate: requests are a few hundred bytes (the default of gRPC servers is 4 MB)."""
MAX_STREAMS = 32
"""Calls at once on one connection. estimate"""
MAX_HEADERS = 16 * 1024
"""Bytes of one header list. GK: the default of most servers"""
MAX_FRAME = 16 * 1024
"""Bytes of one frame: the least that HTTP/2 asks for, and what we announce (S: RFC 9113, 4.2)."""
MAX_WAITING = 4 * MAX_STREAMS
"""Replies that may wait for their instant; a caller who resets his calls and makes more is told to go away."""
IDLE_NS = 3600 * SECOND
"""A connection without a byte from its caller. estimate: the original keeps it for ever."""
WATCH_NS = SECOND
"""How often the value behind a server stream is looked at. estimate"""
_PREFACE_SIZE = 24
_HEADERS_FRAME, _CONTINUATION_FRAME, _END_HEADERS = 1, 9, 4
_PREFIX = struct.Struct(">BI")
_HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


class Status(IntEnum):
    """Status codes of gRPC that a miner answers with."""

    OK = 0
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    FAILED_PRECONDITION = 9
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class GrpcCall:
    """One call: `/package.Service/Method`, its metadata (lower-case names) and the bytes of its one message."""

    path: str
    metadata: dict[str, str]
    message: bytes


Watch = Callable[[Instant], bytes]


@dataclass(frozen=True, slots=True)
class GrpcReply:
    """What a call answers. `then` is called with the instant at which the reply leaves: effects start there.

    `watch` makes a server stream of it: the message again each time it differs, until the caller goes away.
    """

    message: bytes = b""
    status: Status = Status.OK
    detail: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    takes_ns: int = 0
    then: Callable[[Instant], None] | None = None
    watch: Watch | None = None


class Host(Protocol):
    """The part of a device that its gRPC server needs."""

    boot_ns: Instant | None

    def gone(self, port: int, boot_ns: Instant | None, now: Instant) -> list[Action] | None:
        """Actions for a conversation whose host has gone away."""
        ...


App = Callable[[GrpcCall, Instant], GrpcReply]


@dataclass(slots=True)
class _Stream:
    headers: dict[str, str]
    heard: bytearray = field(default_factory=bytearray)
    out: bytearray = field(default_factory=bytearray)
    """Message bytes that wait for the peer's flow-control window."""
    trailers: list[tuple[str, str]] | None = None
    reply: GrpcReply | None = None
    last: bytes | None = None
    """What a server stream said last."""


class _Gauge:
    """Looks at the headers of frames alone: h2 buffers a frame, or a split header block, before it measures it."""

    __slots__ = ("_block", "_head", "_skip")

    def __init__(self) -> None:
        self._skip = _PREFACE_SIZE
        self._head = bytearray()
        self._block = 0

    def fits(self, data: bytes) -> bool:
        """Whether no frame that begins in `data` is longer than MAX_FRAME, and no header block than MAX_HEADERS."""
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            part = data[at : at + 9 - len(self._head)]
            self._head += part
            at += len(part)
            if len(self._head) < 9:
                break
            size, kind, flags = int.from_bytes(self._head[:3], "big"), self._head[3], self._head[4]
            self._head.clear()
            self._skip = size
            self._block += size if kind in (_HEADERS_FRAME, _CONTINUATION_FRAME) else 0
            if size > MAX_FRAME or self._block > MAX_HEADERS:
                return False
            if flags & _END_HEADERS:
                self._block = 0
        return True


class GrpcConversation:
    """One HTTP/2 connection. It speaks when a reply is due and when the value behind a server stream has changed."""

    __slots__ = (
        "_app",
        "_boot_ns",
        "_device",
        "_due",
        "_gauge",
        "_h2",
        "_lanes",
        "_over",
        "_port",
        "_started",
        "_streams",
    )

    idle_timeout_ns: int | None = IDLE_NS

    def __init__(self, device: Host, app: App, port: int, lanes: Lanes) -> None:
        self._device = device
        self._app = app
        self._port = port
        self._lanes = lanes
        self._boot_ns = device.boot_ns
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding=False))
        bounds = {SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS, SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADERS}
        self._h2.local_settings = Settings(client=False, initial_values=bounds)
        self._h2.decoder.max_header_list_size = MAX_HEADERS
        self._gauge = _Gauge()
        self._streams: dict[int, _Stream] = {}
        self._due: list[tuple[Instant, int]] = []
        self._started = self._over = False

    # ---- what the transport says ----------------------------------------------------------------------------------

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Take bytes: begin calls whose message is complete, and answer what the protocol itself asks for."""
        gone = self._gone(now)
        if gone is not None:
            return gone
        if self._over or not data:
            return []
        if not self._started:
            self._started = True
            self._h2.initiate_connection()
        try:
            if self._gauge.fits(data):
                for event in self._h2.receive_data(data):
                    self._handle(event, now)
            else:
                self._h2.close_connection(ErrorCodes.FRAME_SIZE_ERROR)
                self._over = True
        except ProtocolError:
            self._over = True  # h2 has put its GOAWAY into the outgoing bytes
        return self._actions()

    def ended(self, now: Instant) -> Sequence[Action]:
        """The peer closed its side of the connection; no call can be answered on half of it."""
        if self._over:
            return []
        self._over = True
        return [Close()]

    @property
    def wake_ns(self) -> Instant | None:
        """When the next reply is due, or a server stream is looked at."""
        return self._due[0][0] if self._due and not self._over else None

    def woken(self, now: Instant) -> Sequence[Action]:
        """Send what is due."""
        gone = self._gone(now)
        if gone is not None:
            return gone
        while self._due and self._due[0][0] <= now and not self._over:
            _, number = heappop(self._due)
            stream = self._streams.get(number)
            if stream is not None and stream.reply is not None:
                self._answer(number, stream, stream.reply, now)
        return self._actions()

    # ---- what the peer says ---------------------------------------------------------------------------------------

    def _handle(self, event: Event, now: Instant) -> None:
        if isinstance(event, RequestReceived):
            headers = {_text(name): _text(entry) for name, entry in event.headers}
            self._streams[event.stream_id] = _Stream(headers)
        elif isinstance(event, DataReceived):
            with suppress(ProtocolError):  # the stream may be closed already
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            stream = self._streams.get(event.stream_id)
            if stream is not None and stream.reply is None:
                stream.heard += event.data
                if len(stream.heard) > MAX_MESSAGE + _PREFIX.size:
                    why = f"Error, decoded message length too large: the limit is {MAX_MESSAGE} bytes"
                    self._call(event.stream_id, stream, GrpcReply(status=Status.OUT_OF_RANGE, detail=why), now)
        elif isinstance(event, StreamEnded):
            stream = self._streams.get(event.stream_id)
            if stream is not None and stream.reply is None:
                self._call(event.stream_id, stream, self._ask(stream, now), now)
        elif isinstance(event, StreamReset):
            self._streams.pop(event.stream_id, None)
        elif isinstance(event, WindowUpdated | RemoteSettingsChanged):
            for number, stream in list(self._streams.items()):
                self._flush(number, stream)
        elif isinstance(event, ConnectionTerminated):
            self._over = True

    def _ask(self, stream: _Stream, now: Instant) -> GrpcReply:
        """The face's reply to a call, or the server's own when it is no call."""
        if len(stream.heard) < _PREFIX.size:
            return GrpcReply(status=Status.INTERNAL, detail="Missing request message.")
        compressed, size = _PREFIX.unpack_from(stream.heard)
        message = bytes(stream.heard[_PREFIX.size :])
        stream.heard.clear()
        if compressed:
            return GrpcReply(status=Status.UNIMPLEMENTED, detail="Compression is not supported")
        if size != len(message):
            return GrpcReply(status=Status.INTERNAL, detail="Unexpected EOF decoding stream.")
        return self._app(GrpcCall(stream.headers.get(":path", ""), stream.headers, message), now)

    def _call(self, number: int, stream: _Stream, reply: GrpcReply, now: Instant) -> None:
        stream.heard.clear()
        if len(self._due) >= MAX_WAITING:
            self._h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._over = True
            return
        done = self._lanes.serve(now, reply.takes_ns)
        if reply.then is not None:
            reply.then(done)
        stream.reply = reply
        heappush(self._due, (done, number))

    # ---- what we say ----------------------------------------------------------------------------------------------

    def _answer(self, number: int, stream: _Stream, reply: GrpcReply, now: Instant) -> None:
        http = self._http_status(stream)
        if http is not None:
            self._h2.send_headers(number, [(":status", http)], end_stream=True)
            self._close(number)
            return
        trailers = [("grpc-status", str(int(reply.status)))]
        if reply.detail:
            trailers.append(("grpc-message", _percent(reply.detail)))
        if reply.status is not Status.OK:
            self._h2.send_headers(number, [*_HEADERS, *reply.metadata, *trailers], end_stream=True)
            self._close(number)
            return
        message = reply.message if reply.watch is None else reply.watch(now)
        if stream.last is None:
            self._h2.send_headers(number, [*_HEADERS, *reply.metadata])
        if message != stream.last and not stream.out:
            stream.last = message
            stream.out += _PREFIX.pack(0, len(message)) + message
        if reply.watch is None:
            stream.trailers = trailers
        else:
            heappush(self._due, (now + WATCH_NS, number))
        self._flush(number, stream)

    def _http_status(self, stream: _Stream) -> str | None:
        """The plain HTTP status for a request that is no gRPC call; None for one that is."""
        if stream.headers.get(":method") != "POST":
            return "405"
        is_grpc = stream.headers.get("content-type", "").startswith("application/grpc")
        return None if is_grpc else "415"

    def _flush(self, number: int, stream: _Stream) -> None:
        try:
            while stream.out:
                room = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
                if room <= 0:
                    return
                self._h2.send_data(number, bytes(stream.out[:room]))
                del stream.out[:room]
            if stream.trailers is not None:
                self._h2.send_headers(number, stream.trailers, end_stream=True)
                self._close(number)
        except ProtocolError:
            self._streams.pop(number, None)  # the peer has closed it meanwhile

    def _close(self, number: int) -> None:
        """Our side is finished; a caller who has not ended his is told that nothing more is read."""
        del self._streams[number]
        with suppress(ProtocolError):
            if number in self._h2.streams and not self._h2.streams[number].closed:
                self._h2.reset_stream(number, ErrorCodes.NO_ERROR)

    def _actions(self) -> list[Action]:
        data = self._h2.data_to_send()
        actions: list[Action] = [Send(data)] if data else []
        if self._over:
            self._streams.clear()
            self._due.clear()
            actions.append(Close())
        return actions

    def _gone(self, now: Instant) -> list[Action] | None:
        gone = self._device.gone(self._port, self._boot_ns, now)
        if gone is not None:
            self._streams.clear()
            self._due.clear()
        return gone


def _text(given: bytes | str) -> str:
    return given if isinstance(given, str) else given.decode("latin-1")


def _percent(detail: str) -> str:
    return "".join(
        chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}" for byte in detail.encode("utf-8")
    )
