from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.modbus.link import Link, UnitPolicy
from emulator.modbus.tcp import ModbusTcpDevice
from emulator.wire import Close, Reach, Send
from tests.emulator.modbus.store import Store


def frame(tid: int, pdu: bytes, unit: int = 1, protocol: int = 0) -> bytes:
    return struct.pack(">HHHB", tid, protocol, len(pdu) + 1, unit) + pdu


READ = bytes.fromhex("0300000002")


def device(policy: UnitPolicy = UnitPolicy.IGNORE, turnaround_ns: int = 0) -> ModbusTcpDevice:
    return ModbusTcpDevice({1: Store()}, Link(policy, turnaround_ns))


def talk(data: bytes, cuts=(), to: ModbusTcpDevice | None = None) -> list:
    conversation = (to or device()).converse(502, "127.0.0.1", 0)
    edges = [0, *sorted(cuts), len(data)]
    actions: list = []
    for start, stop in pairwise(edges):
        actions += conversation.received(data[start:stop], 0)
    return actions


def test_a_reply_carries_transaction_unit_and_its_own_length():
    (sent,) = talk(frame(0xBEEF, READ, unit=17))
    assert sent.data.hex(" ") == "be ef 00 00 00 07 11 03 04 00 01 01 02"


requests = st.lists(
    st.tuples(st.integers(0, 0xFFFF), st.integers(0, 255), st.binary(min_size=1, max_size=253)), max_size=8
)


@given(requests, st.data())
def test_pipelined_requests_get_as_many_replies_in_order_whatever_the_fragmentation(asked, data):
    stream = b"".join(frame(tid, pdu, unit) for tid, unit, pdu in asked)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    whole, cut = talk(stream), talk(stream, cuts)
    assert cut == whole
    assert [struct.unpack(">HHHB", sent.data[:7]) for sent in whole] == [
        (tid, 0, len(sent.data) - 6, unit) for (tid, unit, _), sent in zip(asked, whole, strict=True)
    ]


@given(st.binary(max_size=800), st.data())
def test_any_bytes_never_raise_and_never_pile_up(junk, data):
    cuts = data.draw(st.lists(st.integers(0, len(junk)), max_size=12))
    conversation = device().converse(502, "127.0.0.1", 0)
    edges = [0, *sorted(cuts), len(junk)]
    actions = []
    for start, stop in pairwise(edges):
        actions += conversation.received(junk[start:stop], 0)
        assert len(conversation._splitter._rest) < 266
    assert actions == talk(junk)
    assert all(isinstance(action, Send) for action in actions[:-1])


def test_a_byte_at_a_time_is_enough():
    stream = frame(1, READ) + frame(2, READ)
    assert talk(stream, range(len(stream))) == talk(stream)


def test_a_hundred_pipelined_requests_get_a_hundred_replies():
    sent = talk(b"".join(frame(tid, READ) for tid in range(100)))
    assert [int.from_bytes(action.data[:2], "big") for action in sent] == list(range(100))


def test_a_frame_of_another_protocol_is_discarded_and_the_next_one_answered():
    sent = talk(frame(1, READ, protocol=1) + frame(2, READ))
    assert [action.data[:2] for action in sent] == [b"\x00\x02"]


@pytest.mark.parametrize("length", [0, 1, 261, 0xFFFF])
def test_a_length_that_no_frame_can_have_closes_the_connection(length):
    bad = struct.pack(">HHH", 2, 0, length)
    sent = talk(frame(1, READ) + bad + frame(3, READ))
    assert len(sent) == 2
    assert sent[1] == Close()


def test_nothing_is_said_after_the_connection_was_closed():
    conversation = device().converse(502, "127.0.0.1", 0)
    conversation.received(b"\x00\x00\x00\x00\xff\xff", 0)
    assert conversation.received(frame(1, READ), 0) == []


def test_the_longest_frames_are_taken():
    (sent,) = talk(frame(1, bytes.fromhex("10 0000 007b f6") + 246 * b"\x01"))
    assert sent.data[7:].hex() == "100000007b"
    (sent,) = talk(frame(1, bytes.fromhex("03 0000 007d")))
    assert len(sent.data) == 9 + 250


def test_the_end_of_the_peers_stream_ends_the_connection():
    conversation = device().converse(502, "127.0.0.1", 0)
    conversation.received(frame(1, READ)[:5], 0)
    assert conversation.ended(0) == (Close(),)
    assert conversation.received(frame(1, READ)[5:], 0) == []


@pytest.mark.parametrize(
    ("policy", "reply"),
    [
        (UnitPolicy.IGNORE, "03 04 00 01 01 02"),
        (UnitPolicy.SILENT, None),
        (UnitPolicy.UNMAPPED, "83 0a"),
        (UnitPolicy.UNREACHABLE, "83 0b"),
    ],
)
@pytest.mark.parametrize("unit", [0, 2, 255])
def test_a_foreign_unit_id_is_treated_as_the_product_does(policy, reply, unit):
    sent = talk(frame(1, READ, unit), to=device(policy))
    assert [action.data[7:].hex(" ") for action in sent] == ([] if reply is None else [reply])
    assert len(talk(frame(1, READ, 1), to=device(policy))) == 1


def test_a_gateway_serves_several_units():
    first, second = Store(), Store()
    second.holding[0] = 0x4242
    gateway = ModbusTcpDevice({7: first, 9: second}, Link(UnitPolicy.UNREACHABLE))
    sent = talk(frame(1, READ, 7) + frame(2, READ, 9) + frame(3, READ, 8), to=gateway)
    assert [action.data[7:].hex(" ") for action in sent] == ["03 04 00 01 01 02", "03 04 42 42 01 02", "83 0b"]


def test_every_reply_waits_for_the_products_turnaround():
    sent = talk(frame(1, READ) + frame(2, READ), to=device(turnaround_ns=7_000_000))
    assert [action.delay_ns for action in sent] == [7_000_000, 7_000_000]


def test_a_device_is_met_on_its_port_only():
    meter = ModbusTcpDevice({1: Store()}, port=1502)
    assert meter.ports == (1502,)
    assert meter.reach(1502, 0) is Reach.ANSWERS
    assert meter.reach(502, 0) is Reach.REFUSES


def test_a_device_without_units_is_refused_when_it_is_made():
    with pytest.raises(ValueError, match="at least one unit"):
        ModbusTcpDevice({})


def test_the_idle_time_out_is_the_products():
    patient = ModbusTcpDevice({1: Store()}, Link(idle_timeout_ns=5))
    assert patient.converse(502, "", 0).idle_timeout_ns == 5
    assert device().converse(502, "", 0).idle_timeout_ns is None
