from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer.rtu import FramerRTU

from emulator.modbus import rtu
from emulator.modbus.rtu import RtuReceiver
from emulator.modbus.serial_format import Parity, SerialFormat

FORM = SerialFormat(9600)
READ = rtu.encode(1, bytes.fromhex("03 0000 0002"))
pdus = st.binary(min_size=2, max_size=253)


def hear(receiver: RtuReceiver, *pieces: tuple[bytes, int], until: int = 10**12) -> list[bytes]:
    """Pieces with their instants, then silence."""
    frames = [heard.frame for data, start_ns in pieces for heard in receiver.hear(data, start_ns)]
    last = receiver.over(until)
    return frames + ([last.frame] if last else [])


@pytest.mark.parametrize(
    ("baud", "t15_us", "t35_us"),
    [(2400, 6875, 16042), (9600, 1719, 4010), (19200, 859, 2005), (38400, 750, 1750), (115200, 750, 1750)],
)
def test_the_silences_are_the_guides(baud, t15_us, t35_us):
    form = SerialFormat(baud)
    assert form.t15_ns == pytest.approx(t15_us * 1000, abs=1000)
    assert form.t35_ns == pytest.approx(t35_us * 1000, abs=1000)


@pytest.mark.parametrize(
    ("parity", "stop_bits", "bits"),
    [("none", 1, 10), ("none", 2, 11), ("even", 1, 11), ("odd", 1, 11), ("even", 2, 12)],
)
def test_a_character_has_the_bits_of_its_settings(parity, stop_bits, bits):
    form = SerialFormat(9600, Parity(parity), stop_bits)
    assert form.character_bits == bits
    assert form.span_ns(960) == bits * 100_000_000


@given(st.binary(max_size=256))
def test_the_checksum_is_pymodbus_checksum(data):
    assert rtu.crc16(data).to_bytes(2, "little") == FramerRTU.compute_CRC(data).to_bytes(2, "big")


@given(st.integers(0, 255), pdus)
def test_a_frame_reads_back(unit, pdu):
    assert rtu.decode(rtu.encode(unit, pdu)) == (unit, pdu)


@given(st.binary(min_size=4, max_size=256), st.integers(0, 8 * 256 - 1))
def test_no_single_wrong_bit_passes(body, bit):
    frame = bytearray(rtu.encode(body[0], body[1:-2])) if len(body) > 4 else bytearray(READ)
    bit %= 8 * len(frame)
    frame[bit // 8] ^= 1 << bit % 8
    assert rtu.decode(bytes(frame)) is None


@pytest.mark.parametrize(
    "pdu",
    [
        "01 0000 0008", "02 0000 0008", "03 0000 0008", "04 0000 0008", "05 0000 ff00", "06 0000 1234", "07",
        "08 0000 1234", "0b", "0c", "11", "0f 0000 0004 01 0a", "10 0000 0002 04 0001 0002", "14 07 06 0001 0002 0003",
        "15 09 06 0001 0002 0001 abcd", "16 0004 00f2 0025", "17 0003 0002 000e 0001 02 00ff", "18 0000", "2b 0e 01 00",
    ],
)  # fmt: skip
def test_the_length_of_every_standard_request_is_told_from_its_head(pdu):
    frame = rtu.encode(17, bytes.fromhex(pdu))
    told = [rtu.request_bytes(frame[:size]) for size in range(len(frame) + 1)]
    assert told[-1] == len(frame)
    assert {size for size in told if size is not None} == {len(frame)}


def test_a_frame_is_over_after_three_and_a_half_characters_of_silence_and_not_before():
    receiver = RtuReceiver(FORM)
    assert list(receiver.hear(READ, 0)) == []
    end = FORM.span_ns(8)
    assert receiver.due_ns == end + FORM.t35_ns
    assert receiver.over(end + FORM.t35_ns - 1) is None
    heard = receiver.over(end + FORM.t35_ns)
    assert heard is not None
    assert (heard.frame, heard.start_ns, heard.end_ns) == (READ, 0, end)
    assert receiver.due_ns is None


@given(st.lists(st.integers(1, 7), max_size=7, unique=True), st.data())
def test_gaps_of_up_to_t15_keep_a_frame_and_longer_ones_spoil_it(cuts, data):
    edges = [0, *sorted(cuts), 8]
    gaps = [data.draw(st.integers(0, 2 * FORM.t15_ns)) for _ in edges[1:-1]]
    pieces, at = [], 0
    for place, (start, stop) in enumerate(pairwise(edges)):
        pieces.append((READ[start:stop], at))
        at += FORM.span_ns(stop - start) + (gaps[place] if place < len(gaps) else 0)
    good = all(gap <= FORM.t15_ns for gap in gaps)
    assert hear(RtuReceiver(FORM), *pieces) == ([READ] if good else [])


def test_what_was_begun_and_left_is_dropped_after_t35_and_the_next_request_answered():
    later = FORM.span_ns(4) + FORM.t35_ns
    assert hear(RtuReceiver(FORM), (READ[:4], 0), (READ, later)) == [READ]


def test_a_spoilt_frame_lasts_until_the_next_silence():
    gap = FORM.span_ns(4) + FORM.t15_ns + 1
    spoilt = gap + FORM.span_ns(4)
    receiver = RtuReceiver(FORM)
    assert hear(receiver, (READ[:4], 0), (READ[4:], gap), (READ, spoilt + FORM.t15_ns)) == []
    assert hear(receiver, (READ, 2 * 10**12), until=3 * 10**12) == [READ]


def test_garbage_right_before_a_request_takes_it_along_and_after_a_silence_does_not():
    assert hear(RtuReceiver(FORM), (b"\x00\xff\x10" + READ, 0)) == []
    assert hear(RtuReceiver(FORM), (b"\x00\xff\x10", 0), (READ, FORM.span_ns(3) + FORM.t35_ns)) == [READ]


def test_a_trailing_byte_and_two_frames_without_a_silence_are_no_frame():
    assert hear(RtuReceiver(FORM), (READ + b"\x00", 0)) == []
    assert hear(RtuReceiver(FORM), (READ + READ, 0)) == []


def test_a_frame_of_256_bytes_is_heard_and_one_of_257_is_not():
    longest = rtu.encode(1, bytes(253))
    assert hear(RtuReceiver(FORM), (longest, 0)) == [longest]
    assert hear(RtuReceiver(FORM), (longest + b"\x00", 0)) == []


def test_slack_forgives_lumps_and_spares_a_complete_request_the_wait():
    slack = 20_000_000
    receiver = RtuReceiver(FORM, slack)
    assert hear(receiver, (READ[:3], 0), (READ[3:], FORM.span_ns(3) + 16_000_000)) == [READ]
    list(receiver.hear(READ[:7], 2 * 10**12))
    assert receiver.due_ns == 2 * 10**12 + FORM.span_ns(7) + FORM.t35_ns + slack
    list(receiver.hear(READ[7:], 2 * 10**12 + FORM.span_ns(7)))
    assert receiver.due_ns == pytest.approx(2 * 10**12 + FORM.span_ns(8) + FORM.t35_ns, abs=1)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=400), st.integers(0, 10_000_000)), max_size=20))
def test_any_characters_never_raise_and_never_pile_up_and_the_next_request_is_heard(pieces):
    receiver, at = RtuReceiver(FORM), 0
    for data, gap in pieces:
        at += gap
        for heard in receiver.hear(data, at):
            assert rtu.decode(heard.frame) is not None
        at += FORM.span_ns(len(data))
        assert len(receiver._buffer) <= rtu.MAX_FRAME_BYTES
    at += FORM.t35_ns
    assert [heard.frame for heard in receiver.hear(READ, at)][1:] == []
    last = receiver.over(at + FORM.span_ns(8) + FORM.t35_ns)
    assert last is not None
    assert last.frame == READ


@pytest.mark.parametrize("wrong", [{"baud": 0}, {"stop_bits": 3}, {"data_bits": 9}])
def test_settings_that_no_port_has_are_refused(wrong):
    with pytest.raises(ValueError, match=r"possible|more than 0"):
        SerialFormat(**wrong)
