from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer.ascii import FramerAscii
from pymodbus.pdu import DecodePDU

from emulator.modbus import ascii as framing
from emulator.modbus.ascii import AsciiReceiver, AsciiSplitter
from emulator.modbus.serial_format import SerialFormat
from emulator.wire import SECOND

FORM = SerialFormat(9600)
READ = framing.encode(1, bytes.fromhex("03 0000 0002"))


def hear(receiver: AsciiReceiver, data: bytes, start_ns: int = 0) -> list[bytes]:
    return [heard.frame for heard in receiver.hear(data, start_ns)]


def test_a_frame_is_what_the_guide_shows():
    assert READ == b":010300000002FA\r\n"


@given(st.integers(0, 255), st.binary(min_size=1, max_size=253))
def test_a_frame_reads_back_and_is_pymodbus_frame(unit, pdu):
    frame = framing.encode(unit, pdu)
    assert framing.decode(frame) == (unit, pdu)
    assert frame == FramerAscii(DecodePDU(True)).encode(pdu, unit, 0)
    assert hear(AsciiReceiver(FORM), frame) == [frame]


@given(st.binary(max_size=1200), st.lists(st.integers(0, 1200), max_size=8))
def test_any_characters_never_raise_never_pile_up_and_the_next_request_is_heard(junk, cuts):
    receiver = AsciiReceiver(FORM)
    edges = [0, *sorted(min(cut, len(junk)) for cut in cuts), len(junk)]
    at = 0
    for start, stop in pairwise(edges):
        for heard in receiver.hear(junk[start:stop], at):
            assert framing.decode(heard.frame) is not None
        at += FORM.span_ns(stop - start)
        assert len(receiver._splitter._buffer) < framing.MAX_FRAME_BYTES
    assert hear(receiver, READ, at) == [READ]


@pytest.mark.parametrize(
    "bad",
    [
        READ[:-4] + b"FB\r\n", b":0103\r\n", READ.lower(), READ.replace(b"3", b"G"), READ[:-2] + b"\n", b":01030\r\n",
        READ[1:],
    ],
    ids=["LRC", "short", "small letters", "no digit", "no CR", "odd", "no colon"],
)  # fmt: skip
def test_what_is_no_frame_is_ignored_and_the_next_one_heard(bad):
    assert hear(AsciiReceiver(FORM), bad + READ) == [READ]


def test_a_colon_always_begins_a_frame():
    assert hear(AsciiReceiver(FORM), READ[:9] + READ) == [READ]


def test_a_frame_ends_with_its_line_end_and_begins_with_its_colon():
    (heard,) = AsciiReceiver(FORM).hear(b"??" + READ, 1000)
    assert (heard.start_ns, heard.end_ns) == (1000 + FORM.span_ns(2), 1000 + FORM.span_ns(2 + len(READ)))


def test_a_second_of_silence_gives_a_frame_up_and_less_does_not():
    receiver = AsciiReceiver(FORM)
    assert hear(receiver, READ[:5]) == []
    assert receiver.due_ns == FORM.span_ns(5) + SECOND
    assert hear(receiver, READ[5:], FORM.span_ns(5) + SECOND - 1) == [READ]
    assert hear(receiver, READ[:5], 10 * SECOND) == []
    assert hear(receiver, READ[5:], 11 * SECOND + FORM.span_ns(5)) == []
    assert receiver.due_ns is None


def test_the_longest_frame_is_heard_and_a_longer_one_given_up():
    longest = framing.encode(1, bytes(253))
    assert len(longest) == framing.MAX_FRAME_BYTES
    splitter = AsciiSplitter()
    assert [frame for frame in map(splitter.take, longest) if frame] == [longest]
    assert [frame for frame in map(splitter.take, framing.encode(1, bytes(254))) if frame] == []
