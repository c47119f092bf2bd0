"""The gRPC server without a socket: framing, status, flow control, streams, and what it refuses to remember."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import h2.connection
import pytest
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.wire import SECOND, Action, Close, Send
from firmware_mocks.miners import grpc
from firmware_mocks.miners.base import Lanes
from firmware_mocks.miners.grpc import GrpcCall, GrpcConversation, GrpcReply, Status
from tests.firmware_mocks.miners.grpc_caller import Caller

QUICK = settings(max_examples=80, deadline=None)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclass
class House:
    """A host with one method for each thing a server can do; `calls` notes what reached it."""

    boot_ns: int | None = 0
    left: bool = False
    calls: list[GrpcCall] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    value: bytes = b"one"

    def gone(self, port: int, boot_ns: int | None, now: int) -> list[Action] | None:
        return [Close(reset=True)] if self.left else None

    def app(self, call: GrpcCall, now: int) -> GrpcReply:
        self.calls.append(call)
        if call.path == "/t.T/Echo":
            return GrpcReply(call.message, metadata=(("x-extra", "yes"),), takes_ns=5_000_000, then=self.done.append)
        if call.path == "/t.T/Watch":
            return GrpcReply(watch=lambda now: self.value)
        if call.path == "/t.T/Fail":
            return GrpcReply(status=Status.INVALID_ARGUMENT, detail="50 % is too \u00b5uch")
        return GrpcReply(status=Status.UNIMPLEMENTED)


@pytest.fixture
def house() -> House:
    return House()


def talk(house: House) -> GrpcConversation:
    return GrpcConversation(house, house.app, 50051, Lanes(1))


def caller(house: House, **how: Any) -> Caller:
    return Caller(talk(house), 0, **how)


def test_a_call_is_answered_when_the_server_has_worked(house: House) -> None:
    peer = caller(house)
    heard = peer.call("/t.T/Echo", b"hello")
    assert heard.messages == [b"hello"]
    assert (heard.headers[":status"], heard.status, heard.headers["x-extra"]) == ("200", 0, "yes")
    assert heard.headers["content-type"] == "application/grpc"
    assert peer.now == 5_000_000 == house.done[0]
    assert house.calls[0].metadata["te"] == "trailers"


def test_calls_of_one_connection_are_served_in_turn(house: House) -> None:
    peer = caller(house)
    numbers = [peer.open("/t.T/Echo", bytes([n])) for n in range(5)]
    peer.wait(numbers[-1])
    assert [peer.streams[number].messages for number in numbers] == [[bytes([n])] for n in range(5)]
    assert house.done == [5_000_000 * n for n in range(1, 6)]


def test_an_error_is_in_the_headers_with_its_text_encoded(house: House) -> None:
    heard = caller(house).call("/t.T/Fail")
    assert (heard.status, heard.detail) == (3, "50 % is too \u00b5uch")
    assert heard.headers["grpc-message"] == "50 %25 is too %C2%B5uch"
    assert heard.messages == []
    assert caller(house).call("/t.T/Nothing").status == 12


def test_what_is_no_grpc_call_gets_a_plain_status_and_no_method_runs_for_a_broken_one(house: House) -> None:
    peer = caller(house)
    assert peer.call("/t.T/Echo", content_type="text/plain").headers[":status"] == "415"
    for raw, status in ((b"", 13), (b"\0\0\0\0\x05ab", 13), (b"\1\0\0\0\0", 12), (b"\0\0\0\0\1ab", 13)):
        assert peer.call("/t.T/Echo", raw, raw=True).status == status
    assert len(house.calls) == 1, "only the one with the wrong content type is whole"
    assert not peer.closed


def test_a_request_without_bounds_is_cut_and_the_connection_lives(house: House) -> None:
    peer = caller(house)
    number = peer.h2.get_next_available_stream_id()
    peer.open("/t.T/Echo", b"small")
    number = peer.h2.get_next_available_stream_id()
    head = {":method": "POST", ":scheme": "http", ":authority": "m", ":path": "/t.T/Echo"}
    peer.h2.send_headers(number, [*head.items(), ("content-type", "application/grpc")])
    peer.streams[number] = heard = type(peer.streams[1])()
    for _ in range(40):
        room = min(peer.h2.local_flow_control_window(number), 16_000)
        if room > 0 and not heard.ended:
            peer.h2.send_data(number, b"x" * room)
            peer.flush()
    peer.wait(number)
    assert heard.status == Status.OUT_OF_RANGE
    assert peer.call("/t.T/Echo", b"still").messages == [b"still"]
    assert len(house.calls) == 2


def test_a_large_reply_waits_for_the_peers_window(house: House) -> None:
    peer = caller(house)
    message = bytes(range(256)) * 250
    assert peer.call("/t.T/Echo", message).messages == [message]
    slow = caller(house)
    slow.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100})
    slow.flush()
    assert slow.call("/t.T/Echo", message[:5000]).messages == [message[:5000]]


def test_a_peer_that_gives_no_window_gets_nothing_and_costs_one_reply(house: House) -> None:
    peer = caller(house)
    peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    peer.flush()
    number = peer.open("/t.T/Echo", b"hello")
    peer.wait(number)
    assert peer.streams[number].data == b""
    peer.h2.increment_flow_control_window(10, number)
    peer.flush()
    assert peer.streams[number].messages == [b"hello"]
    assert peer.streams[number].ended


def test_a_server_stream_speaks_when_its_value_changes(house: House) -> None:
    peer = caller(house)
    number = peer.open("/t.T/Watch")
    for _ in range(3):
        peer.wake()
    assert peer.streams[number].messages == [b"one"]
    house.value = b"two"
    peer.wake()
    peer.wake()
    assert peer.streams[number].messages == [b"one", b"two"]
    assert not peer.streams[number].ended
    peer.h2.reset_stream(number)
    peer.flush()
    peer.wake()
    assert peer.talk.wake_ns is None


def test_a_call_in_the_meantime_does_not_wait_for_the_stream(house: House) -> None:
    peer = caller(house)
    peer.open("/t.T/Watch")
    peer.wake()
    assert peer.talk.wake_ns == grpc.WATCH_NS
    peer.open("/t.T/Echo", b"x")
    assert peer.talk.wake_ns == 5_000_000


def test_the_host_that_went_takes_its_replies_with_it(house: House) -> None:
    peer = caller(house)
    number = peer.open("/t.T/Echo", b"x")
    house.left = True
    assert list(peer.talk.woken(10 * SECOND)) == [Close(reset=True)]
    assert peer.talk.wake_ns is None
    assert peer.streams[number].data == b""
    assert list(peer.talk.received(b"x", 11 * SECOND)) == [Close(reset=True)]


def test_a_caller_who_closes_is_closed(house: House) -> None:
    peer = caller(house)
    peer.open("/t.T/Echo", b"x")
    assert list(peer.talk.ended(1)) == [Close()]
    assert peer.talk.wake_ns is None
    assert list(peer.talk.received(b"more", 2)) == []
    other = caller(house)
    other.h2.close_connection()
    other.flush()
    assert other.closed


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\nHost: m\r\n\r\n", b"\0" * 40, PREFACE + b"\xff" * 40])
def test_what_is_no_http2_is_told_to_go_away(house: House, said: bytes) -> None:
    actions = list(talk(house).received(said, 0))
    assert isinstance(actions[-1], Close)
    assert house.calls == []


def test_calls_that_are_reset_at_once_end_in_a_request_to_calm_down(house: House) -> None:
    peer = caller(house)
    for _ in range(10 * grpc.MAX_WAITING):
        if peer.closed:
            break
        number = peer.open("/t.T/Echo", b"x")
        if not peer.closed:
            peer.h2.reset_stream(number)
            peer.flush()
    assert peer.closed
    assert len(house.calls) <= grpc.MAX_WAITING + 1


def test_too_many_calls_at_once_are_refused(house: House) -> None:
    conversation = talk(house)
    client = h2.connection.H2Connection()
    client.initiate_connection()
    conversation.received(client.data_to_send(), 0)
    head = [(":method", "POST"), (":scheme", "http"), (":authority", "m"), (":path", "/t.T/Echo")]
    closed = False
    for n in range(2 * grpc.MAX_STREAMS):
        client.send_headers(2 * n + 1, head)
        actions = conversation.received(client.data_to_send(), 0)
        closed = closed or any(isinstance(action, Close) for action in actions)
    assert closed


def test_a_header_list_without_bounds_is_refused(house: House) -> None:
    conversation = talk(house)
    client = h2.connection.H2Connection()
    client.initiate_connection()
    many = ((f"x{n}", f"{n:0200}") for n in range(400))
    client.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "m"), *many])
    assert isinstance(list(conversation.received(client.data_to_send(), 0))[-1], Close)
    assert house.calls == []


def test_a_frame_is_refused_before_it_is_kept(house: House) -> None:
    conversation = talk(house)
    conversation.received(PREFACE + b"\0\0\0\4\0\0\0\0\0", 0)
    assert isinstance(list(conversation.received(b"\x01\0\0\0\0\0\0\0\1" + b"x" * 100, 0))[-1], Close)
    assert conversation._h2.incoming_buffer._data == b""


def test_a_header_block_in_pieces_is_measured_as_one(house: House) -> None:
    conversation = talk(house)
    conversation.received(PREFACE + b"\0\0\0\4\0\0\0\0\0" + b"\0\x10\0\1\0\0\0\0\1" + bytes(4096), 0)
    closed = False
    for _ in range(6):
        actions = conversation.received(b"\0\x10\0\x09\0\0\0\0\1" + bytes(4096), 0)
        closed = closed or any(isinstance(action, Close) for action in actions)
    assert closed


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


flags = st.sampled_from([0, 1, 4, 5, 8, 0x20, 0xFF])
frames = st.builds(frame, st.integers(0, 12), flags, st.integers(0, 7), st.binary(max_size=40))


@QUICK
@given(pieces=st.lists(st.binary(max_size=120) | frames, max_size=8), preface=st.booleans())
def test_any_bytes_raise_nothing_and_are_forgotten(pieces: list[bytes], preface: bool) -> None:
    house = House()
    conversation = talk(house)
    closed = False
    for n, piece in enumerate([PREFACE] * preface + pieces):
        actions = list(conversation.received(piece, n))
        assert all(isinstance(action, Send | Close) for action in actions)
        assert not (closed and actions)
        closed = closed or any(isinstance(action, Close) for action in actions)
    conversation.woken(SECOND)
    conversation.ended(SECOND)
    assert conversation.wake_ns is None
    assert not conversation._streams or not closed


@QUICK
@given(data=st.data())
def test_any_fragmentation_is_the_same_to_the_server(data: st.DataObject) -> None:
    client = h2.connection.H2Connection()
    client.initiate_connection()
    head = [(":method", "POST"), (":scheme", "http"), (":authority", "m"), (":path", "/t.T/Echo")]
    client.send_headers(1, [*head, ("content-type", "application/grpc")])
    client.send_data(1, b"\0\0\0\0\5hello", end_stream=True)
    said, house = client.data_to_send(), House()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=6)))
    conversation = talk(house)
    for start, stop in zip([0, *cuts], [*cuts, len(said)], strict=True):
        conversation.received(said[start:stop], 0)
    assert [call.message for call in house.calls] == [b"hello"]
