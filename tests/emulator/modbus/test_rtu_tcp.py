from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.modbus import ascii as ascii_framing
from emulator.modbus import rtu
from emulator.modbus.link import Link
from emulator.modbus.mbap import encode
from emulator.modbus.rtu_tcp import RtuSplitter, SerialOverTcpDevice
from emulator.modbus.serial_device import SerialKind
from emulator.modbus.tcp import ModbusTcpDevice
from emulator.modbus.udp import ModbusUdpDevice
from emulator.wire import Close, Send
from tests.emulator.modbus.lines import ANSWER, READ, READ_PDU
from tests.emulator.modbus.store import Store

reads = st.tuples(st.integers(0, 150), st.integers(1, 20)).map(lambda span: bytes((3, 0, span[0], 0, span[1])))
writes = st.tuples(st.integers(0, 150), st.binary(min_size=2, max_size=60)).map(
    lambda given: bytes((16, 0, given[0], 0, len(given[1]) // 2, len(given[1]) & ~1)) + given[1][: len(given[1]) & ~1]
)


def over(kind: SerialKind = SerialKind.RTU, turnaround_ns: int = 0) -> SerialOverTcpDevice:
    return SerialOverTcpDevice(ModbusTcpDevice({1: Store()}, Link(turnaround_ns=turnaround_ns)), 502, kind)


def talk(device, data: bytes, cuts=()) -> list[bytes]:
    conversation = device.converse(502, "", 0)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [sent.data for start, stop in pairwise(edges) for sent in conversation.received(data[start:stop], 0)]


@pytest.mark.parametrize("kind", list(SerialKind))
@given(asked=st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.one_of(reads, writes)), max_size=6), data=st.data())
def test_the_units_own_requests_are_answered_in_order_whatever_the_fragmentation(kind, asked, data):
    encode_frame, decode_frame = kind.codec
    stream = b"".join(encode_frame(unit, pdu) for unit, pdu in asked)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))
    replies = talk(over(kind), stream, cuts)
    assert [decode_frame(reply)[0] for reply in replies] == [1 for unit, _ in asked if unit == 1]
    assert [decode_frame(reply)[1][0] for reply in replies] == [pdu[0] for unit, pdu in asked if unit == 1]


@given(st.binary(max_size=900), st.lists(st.integers(0, 900), max_size=8))
def test_after_any_bytes_the_next_good_request_is_found(junk, cuts):
    conversation = over().converse(502, "", 0)
    edges = [0, *sorted(min(cut, len(junk)) for cut in cuts), len(junk)]
    for start, stop in pairwise(edges):
        conversation.received(junk[start:stop], 0)
        assert len(conversation._splitter._rest) < rtu.MAX_FRAME_BYTES
    replies = conversation.received(READ, 0)
    assert replies
    assert replies[-1].data == ANSWER


def test_the_sum_of_a_wrong_frame_and_a_good_one_is_the_good_ones_answer():
    bad = bytearray(READ)
    bad[4] ^= 1
    assert talk(over(), bytes(bad) + READ + b"\x01\x10\x00" + READ) == [ANSWER, ANSWER]


def test_an_unknown_function_ends_where_its_checksum_comes_out_right():
    strange = rtu.encode(1, bytes.fromhex("41 0102030405"))
    assert talk(over(), strange + READ, [3]) == [rtu.encode(1, b"\xc1\x01"), ANSWER]
    assert list(RtuSplitter().frames(strange)) == [strange]


def test_unit_0_is_for_all_and_a_foreign_unit_is_met_with_silence():
    first, second = Store(), Store()
    device = SerialOverTcpDevice(ModbusTcpDevice({1: first, 2: second}), 502)
    assert talk(device, rtu.encode(0, bytes.fromhex("06 0000 4242")) + rtu.encode(3, READ_PDU)) == []
    assert (first.holding[0], second.holding[0]) == (0x4242, 0x4242)


def test_replies_wait_for_the_turnaround_and_the_end_closes():
    conversation = over(turnaround_ns=9).converse(502, "", 0)
    assert conversation.received(READ, 0) == [Send(ANSWER, 9)]
    assert conversation.ended(0) == (Close(),)


def test_bad_ascii_in_a_stream_costs_nothing_but_itself():
    good = ascii_framing.encode(1, READ_PDU)
    assert talk(over(SerialKind.ASCII), b":0G03\r\n" + b"\xff:01" + good) == [ascii_framing.encode(1, ANSWER[1:-2])]


# ---- datagrams -------------------------------------------------------------------------------------------------------


def datagram(data: bytes) -> list[bytes]:
    conversation = ModbusUdpDevice(ModbusTcpDevice({1: Store()}), 502).converse(502, "", 0)
    return [sent.data for sent in conversation.received(data, 0)]


def test_one_datagram_is_one_frame():
    good = encode(7, 1, READ_PDU)
    assert datagram(good) == [encode(7, 1, ANSWER[1:-2])]
    for junk in (b"", b"\x00\x01\x02", good[:-1], good + b"\x00", good + good, good[:2] + b"\x00\x01" + good[4:]):
        assert datagram(junk) == []


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_any_datagrams_never_raise_and_are_forgotten(junk):
    conversation = ModbusUdpDevice(ModbusTcpDevice({1: Store()}), 502).converse(502, "", 0)
    for data in junk:
        conversation.received(data, 0)
    assert [sent.data for sent in conversation.received(encode(7, 1, READ_PDU), 0)] == [encode(7, 1, ANSWER[1:-2])]
