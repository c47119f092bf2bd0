"""A gRPC caller without a socket: h2 on the client's side of a conversation, and the replies it has understood."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events

from emulator.wire import Close, Conversation, Send

ACTIONS = "/braiins.bos.v1.ActionsService/"
LOGIN = "/braiins.bos.v1.AuthenticationService/Login"


@dataclass
class Heard:
    """What came back on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    ended: bool = False
    reset: bool = False

    @property
    def status(self) -> int:
        return int(self.headers["grpc-status"])

    @property
    def detail(self) -> str:
        return unquote(self.headers.get("grpc-message", ""))

    @property
    def messages(self) -> list[bytes]:
        found, at = [], 0
        while at < len(self.data):
            compressed, size = struct.unpack_from(">BI", self.data, at)
            assert not compressed
            found.append(self.data[at + 5 : at + 5 + size])
            at += 5 + size
        return found


class Caller:
    """One connection; `now` goes on by itself to the instant at which a reply is due."""

    def __init__(self, talk: Conversation, now: int, **settings: Any) -> None:
        self.talk: Any = talk
        self.now = now
        self.closed = False
        self.streams: dict[int, Heard] = {}
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        if settings:
            self.h2.local_settings.update(settings)
        self.h2.initiate_connection()
        self.flush()

    def open(self, path: str, message: bytes = b"", *, token: str = "", raw: bool = False, **headers: str) -> int:
        """Begin a call; `raw` sends `message` without its prefix."""
        number = self.h2.get_next_available_stream_id()
        head = {":method": "POST", ":scheme": "http", ":authority": "m", ":path": path, "te": "trailers"}
        head |= {"content-type": "application/grpc"} | ({"authorization": token} if token else {})
        head |= {name.replace("_", "-"): entry for name, entry in headers.items()}
        self.streams[number] = Heard()
        self.h2.send_headers(number, list(head.items()))
        body = message if raw else struct.pack(">BI", 0, len(message)) + message
        while len(body) > 16_000:
            self.h2.send_data(number, body[:16_000])
            self.flush()
            body = body[16_000:]
        self.h2.send_data(number, body, end_stream=True)
        self.flush()
        return number

    def call(self, path: str, message: bytes = b"", **how: Any) -> Heard:
        """A whole unary call."""
        number = self.open(path, message, **how)
        self.wait(number)
        return self.streams[number]

    def wait(self, number: int) -> None:
        for _ in range(100):
            if self.streams[number].ended or self.closed or self.talk.wake_ns is None:
                return
            self.wake()

    def wake(self) -> None:
        self.now = max(self.now, self.talk.wake_ns)
        self.take(self.talk.woken(self.now))
        self.flush()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.take(self.talk.received(data, self.now))
            if self.h2._data_to_send:
                self.flush()

    def take(self, actions: Any) -> None:
        for action in actions:
            assert action.delay_ns == 0
            if isinstance(action, Close):
                self.closed = True
                continue
            assert isinstance(action, Send)
            for event in self.h2.receive_data(action.data):
                heard = self.streams.get(getattr(event, "stream_id", None) or 0)
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived) and heard is not None:
                    heard.headers |= dict(event.headers)
                elif isinstance(event, h2.events.DataReceived) and heard is not None:
                    heard.data += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded) and heard is not None:
                    heard.ended = True
                elif isinstance(event, h2.events.StreamReset) and heard is not None:
                    heard.ended = heard.reset = True
                elif isinstance(event, h2.events.ConnectionTerminated):
                    self.closed = True
