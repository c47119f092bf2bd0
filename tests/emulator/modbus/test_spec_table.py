"""What the specification asks for, request by request: the rows in which servers in use differ from one another.

The rows are those on which five servers were compared (docs/decisions/0013-modbus-transports.md); each is asked over
TCP and over a line.
"""

from __future__ import annotations

import struct

import pytest

from emulator.modbus import rtu
from emulator.modbus.identity import Identity
from emulator.modbus.link import Link, UnitPolicy
from emulator.modbus.pdu import HANDLERS, ExceptionCode, Model
from emulator.modbus.serial_device import ModbusSerialDevice
from emulator.modbus.tcp import ModbusTcpDevice
from emulator.wire import Close
from tests.emulator.modbus.store import Store

WITHOUT = frozenset(HANDLERS) - {0x2B}


class Bare(Store):
    """A device without identification."""

    functions = WITHOUT
    identity = None


def mbap(pdu: bytes, tid: int = 1, unit: int = 1, protocol: int = 0, more: int = 0) -> bytes:
    return struct.pack(">HHHB", tid, protocol, len(pdu) + 1 + more, unit) + pdu


def over_tcp(model: Model, pdu: bytes) -> str | None:
    sent = ModbusTcpDevice({1: model}).converse(502, "", 0).received(mbap(pdu), 0)
    return sent[0].data[7:].hex(" ") if sent else None


def over_rtu(model: Model, pdu: bytes) -> str | None:
    sent = ModbusSerialDevice(1, model).converse(0, "", 0).received(rtu.encode(1, pdu), 0)
    return rtu.decode(sent[0].data)[1].hex(" ") if sent else None


ROWS = [
    ("FC1 normal", "01 0000 0008", "01 01 49"),
    ("FC2 normal", "02 0000 0008", "02 01 21"),
    ("FC3 normal", "03 0000 0002", "03 04 00 01 01 02"),
    ("FC4 normal", "04 0000 0002", "04 04 00 05 00 52"),
    ("FC5 normal", "05 0001 ff00", "05 00 01 ff 00"),
    ("FC6 normal", "06 0001 1234", "06 00 01 12 34"),
    ("FC15 normal", "0f 0000 0004 01 0a", "0f 00 00 00 04"),
    ("FC16 normal", "10 0000 0002 04 0001 0002", "10 00 00 00 02"),
    ("FC3 quantity 0", "03 0000 0000", "83 03"),
    ("FC3 quantity 126", "03 0000 007e", "83 03"),
    ("FC1 quantity 2001", "01 0000 07d1", "81 03"),
    ("FC3 past the end of the table", "03 00c7 0002", "83 02"),
    ("FC1 past the end of the table", "01 00c7 0002", "81 02"),
    ("FC5 value 1234", "05 0001 1234", "85 03"),
    ("FC15 quantity 1969", "0f 0000 07b1 f7 " + 247 * "00", "8f 03"),
    ("FC16 quantity 124", "10 0000 007c f8 " + 248 * "00", "90 03"),
    ("FC16 byte count wrong", "10 0000 0002 03 0001 0002", "90 03"),
    ("FC22 normal", "16 0004 00f2 0025", "16 00 04 00 f2 00 25"),
    ("FC23 normal", "17 0003 0002 000e 0001 02 00ff", "17 04 03 04 04 05"),
    ("FC43/14 of a device without it", "2b 0e 01 00", "ab 01"),
    ("FC43/13", "2b 0d 00 00", "ab 01"),
    *(
        (f"FC{code} unsupported", f"{code:02x} 0000 0000", f"{code | 0x80:02x} 01")
        for code in (7, 8, 11, 12, 17, 20, 21, 24)
    ),
    ("FC 41h", "41", "c1 01"),
    ("FC 83h, the error bit set", "83 0000 0001", "83 01"),
    ("short PDU", "03 00", "83 03"),
]  # fmt: skip


ASKED = [
    pytest.param(ask, bytes.fromhex(request), reply, id=f"{name}, {ask.__name__}")
    for name, request, reply in ROWS
    for ask in (over_tcp, over_rtu)
    if ask is over_tcp or len(bytes.fromhex(request)) <= 253  # no frame of a line is longer
]


@pytest.mark.parametrize(("ask", "request_pdu", "reply"), ASKED)
def test_a_request_is_answered_as_the_specification_asks(ask, request_pdu, reply):
    assert ask(Bare(), request_pdu) == reply


def test_a_table_that_ends_at_ffff_can_be_read_to_its_end():
    assert over_tcp(Store(0x10000), bytes.fromhex("03 ffff 0001")) == "03 02 ff 00"
    assert over_tcp(Store(0x10000), bytes.fromhex("03 ffff 0002")) == "83 02"


def test_the_identification_is_the_devices_own():
    first, second = Store(), Store()
    second.identity = Identity({0: b"other", 1: b"x", 2: b"2"})
    gateway = ModbusTcpDevice({1: first, 2: second}, Link(UnitPolicy.UNREACHABLE))
    request = bytes.fromhex("2b0e0400")
    names = [gateway.answer(unit, request, 0)[9:] for unit in (1, 2)]
    assert names == [b"ramprig", b"other"]


@pytest.mark.parametrize(
    ("request_hex", "reply"),
    [("2b 0e 04 77", "ab 02"), ("2b 0e 05 00", "ab 03"), ("2b 0e 00 00", "ab 03")],
    ids=["unknown object", "read code 5", "read code 0"],
)
def test_a_wrong_question_for_identification_is_refused(request_hex, reply):
    assert over_tcp(Store(), bytes.fromhex(request_hex)) == reply


def test_a_stream_from_an_unknown_object_begins_again_at_the_first():
    assert over_tcp(Store(), bytes.fromhex("2b0e0177")) == over_tcp(Store(), bytes.fromhex("2b0e0100"))


@pytest.mark.parametrize("unit", [0, 9, 255])
@pytest.mark.parametrize(
    ("policy", "code"),
    [(UnitPolicy.SILENT, None), (UnitPolicy.UNMAPPED, 0x0A), (UnitPolicy.UNREACHABLE, 0x0B)],
)
def test_an_unknown_unit_on_tcp_is_the_products_business(unit, policy, code):
    device = ModbusTcpDevice({1: Store()}, Link(policy))
    sent = device.converse(502, "", 0).received(mbap(bytes.fromhex("03 0000 0001"), unit=unit), 0)
    assert [action.data[7:] for action in sent] == ([] if code is None else [bytes((0x83, code))])


def test_an_unknown_unit_on_a_line_is_met_with_silence():
    slave = ModbusSerialDevice(1, Store()).converse(0, "", 0)
    assert slave.received(rtu.encode(2, bytes.fromhex("03 0000 0001")), 0) == ()
    assert slave.received(rtu.encode(2, bytes.fromhex("83 02")), 0) == ()


def test_unit_0_on_a_line_is_acted_on_and_never_answered():
    model = Store()
    slave = ModbusSerialDevice(1, model).converse(0, "", 0)
    assert slave.received(rtu.encode(0, bytes.fromhex("06 0000 4242")), 0) == ()
    assert model.holding[0] == 0x4242
    assert slave.received(rtu.encode(0, bytes.fromhex("41")), 0) == ()


def test_another_protocol_identifier_is_discarded():
    conversation = ModbusTcpDevice({1: Store()}).converse(502, "", 0)
    sent = conversation.received(mbap(b"\x03\x00\x00\x00\x01", 1, protocol=1) + mbap(b"\x03\x00\x00\x00\x01", 2), 0)
    assert [action.data[:2] for action in sent] == [b"\x00\x02"]


def test_a_length_that_is_too_large_waits_for_what_it_promises_or_closes():
    conversation = ModbusTcpDevice({1: Store()}).converse(502, "", 0)
    assert conversation.received(mbap(bytes.fromhex("03 0000 0001"), more=4), 0) == []
    assert conversation.received(bytes(4), 0)[0].data[7:].hex(" ") == "83 03"
    assert conversation.received(mbap(bytes.fromhex("03 0000 0001"), more=260), 0) == [Close()]


@pytest.mark.parametrize("count", [2, 5, 23, 100])
def test_pipelined_requests_are_all_answered_in_order(count):
    stream = b"".join(mbap(struct.pack(">BHH", 3, tid, 1), tid) for tid in range(count))
    sent = ModbusTcpDevice({1: Store()}).converse(502, "", 0).received(stream, 0)
    assert [struct.unpack(">H", action.data[:2])[0] for action in sent] == list(range(count))
    assert [action.data[9:] for action in sent] == [
        ((tid * 257 + 1) & 0xFFFF).to_bytes(2, "big") for tid in range(count)
    ]


def test_byte_by_byte_with_pauses_is_answered():
    conversation = ModbusTcpDevice({1: Store()}).converse(502, "", 0)
    frame = mbap(bytes.fromhex("03 0000 0001"))
    answers = [conversation.received(frame[i : i + 1], i * 1_000_000_000) for i in range(len(frame))]
    assert [len(sent) for sent in answers] == [0] * (len(frame) - 1) + [1]


def test_slow_replies_keep_their_order():
    conversation = ModbusTcpDevice({1: Store()}, Link(turnaround_ns=50_000_000)).converse(502, "", 0)
    sent = conversation.received(b"".join(mbap(bytes.fromhex("03 0000 0001"), tid) for tid in (7, 8, 9)), 0)
    assert [(action.data[1], action.delay_ns) for action in sent] == [(7, 50_000_000), (8, 50_000_000), (9, 50_000_000)]


def test_the_exception_codes_are_the_specifications():
    assert {code.name: code.value for code in ExceptionCode} == {
        "ILLEGAL_FUNCTION": 1, "ILLEGAL_DATA_ADDRESS": 2, "ILLEGAL_DATA_VALUE": 3, "SERVER_DEVICE_FAILURE": 4,
        "ACKNOWLEDGE": 5, "SERVER_DEVICE_BUSY": 6, "NEGATIVE_ACKNOWLEDGE": 7, "MEMORY_PARITY_ERROR": 8,
        "GATEWAY_PATH_UNAVAILABLE": 10, "GATEWAY_TARGET_FAILED": 11,
    }  # fmt: skip
