"""An answer that stands is the answer: with it or without, a caller gets the same bytes, whatever he asks and when."""

from __future__ import annotations

import select
import socket
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import load_product
from emulator.modbus.link import Link, UnitPolicy
from emulator.modbus.tcp import ModbusTcpConversation, ModbusTcpDevice
from emulator.standing import standing_of
from emulator.timeline import Signal
from emulator.wire import MILLISECOND, Send
from fastpath import _pure_exchange, exchange
from tests.emulator.meters.test_meter import Point

PROMPT = replace(load_product("eastron_sdm630"), link=Link(UnitPolicy.SILENT))


def device() -> ModbusTcpDevice:
    """A meter whose every value moves all the time."""
    hour = [0, 3_600_000_000_000]
    grid = Grid(60.0, 1e6)
    grid.play({"frequency": Signal(hour, [60.0, 62.0])}, 0)
    meter = Meter(PROMPT, Point(Signal(hour, [1e6, 2e6]), Signal(hour, [240.0, 250.0])), grid, phase_ns=7 * MILLISECOND)
    return meter.device()


class Caller:
    """A connection to a device over a pair of sockets, as a real loop reads it."""

    def __init__(self, called: ModbusTcpDevice, *, pure: bool) -> None:
        self.now = 0
        self.conversation = called.converse(502, "127.0.0.1", 0)
        self.near, self.far = socket.socketpair()
        twin = _pure_exchange if pure else exchange
        standing = standing_of(self.conversation)
        assert standing is not None
        self.taken = 0
        self.exchange = twin.Exchange(self.near, standing, self, lambda: self.now, 0)  # type: ignore[arg-type]

    def take(self, data: bytes) -> None:
        self.taken += 1
        for action in self.conversation.received(data, self.now):
            if isinstance(action, Send):
                assert action.delay_ns == 0
                self.near.send(action.data)

    def write(self, data: bytes) -> None:
        self.near.send(data)

    def say(self, data: bytes) -> bytes:
        if data:
            self.far.send(data)
            self.exchange.hear(select.EPOLLIN)
        try:
            return self.far.recv(65_536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""


def frame(tid: int, pdu: bytes, unit: int = 1) -> bytes:
    return struct.pack(">HHHB", tid, 0, len(pdu) + 1, unit) + pdu


reads = st.builds(
    lambda tid, function, address, count, unit: frame(tid, struct.pack(">BHH", function, address, count), unit),
    st.integers(0, 0xFFFF), st.sampled_from([3, 4]), st.sampled_from([0, 0x34, 0x46, 0x5000]),
    st.sampled_from([1, 2, 4, 20, 81]), st.sampled_from([1, 1, 1, 9]),
)  # fmt: skip
writes = st.builds(
    lambda tid, minutes: frame(tid, struct.pack(">BHHBf", 16, 2, 2, 4, minutes)),
    st.integers(0, 0xFFFF), st.sampled_from([0.0, 5.0, 60.0, 77.0]),
)  # fmt: skip
words = st.lists(
    st.tuples(
        st.one_of(reads, reads, writes, st.builds(lambda a, b: a + b, reads, reads), st.binary(max_size=14)),
        st.sampled_from([0, 1, 40, 100, 201]),
        st.integers(0, 300),
    ),
    max_size=12,
)


@pytest.mark.parametrize("pure", [False, True])
@given(words=words)
def test_a_caller_gets_the_same_bytes_with_and_without_answers_that_stand(words, pure: bool):
    called = device()
    caller, plain = Caller(device(), pure=pure), ModbusTcpConversation(called.answer, called.link)
    with caller.near, caller.far:
        for data, pause_ms, cut in words:
            for part in (data[:cut], data[cut:]):
                sent = (
                    b"".join(a.data for a in plain.received(part, caller.now) if isinstance(a, Send)) if part else b""
                )
                assert caller.say(part) == sent
            caller.now += pause_ms * MILLISECOND


def test_what_is_polled_between_two_ticks_is_worked_out_once_for_all_callers():
    called = device()
    first, second = Caller(called, pure=False), Caller(called, pure=False)
    request = struct.pack(">BHH", 4, 0, 20)
    with first.near, first.far, second.near, second.far:
        for at_ms, tid in ((10, 1), (206, 2), (207, 3), (300, 4)):
            first.now = second.now = at_ms * MILLISECOND
            assert first.say(frame(tid, request))[2:] == second.say(frame(tid + 100, request))[2:]
        assert (first.taken, second.taken) == (2, 0)


def test_a_device_that_takes_its_time_has_no_answers_that_stand():
    slow = ModbusTcpDevice({1: Meter(PROMPT, Point(Signal.constant(1e6)), Grid(60.0, 1e6))}, Link(turnaround_ns=1))
    assert standing_of(slow.converse(502, "", 0)) is None
