"""Frames are taken apart and put together again, and cut out of streams in any fragmentation."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.modbus.frames import Frame, Framing, MbapCutter, opened
from emulator.modbus.rtu import crc16

frames = st.builds(
    Frame,
    st.sampled_from(Framing),
    st.integers(0, 255),
    st.binary(min_size=1, max_size=252),
    st.integers(0, 0xFFFF),
)


@given(frames)
def test_a_sealed_frame_opens_as_what_it_was(frame: Frame) -> None:
    again = opened(frame.sealed(), frame.framing)
    assert again is not None
    assert (again.unit, again.pdu) == (frame.unit, frame.pdu)
    assert again.transaction == (frame.transaction if frame.framing is Framing.MBAP else 0)


@given(st.binary(max_size=300), st.sampled_from(Framing))
def test_any_bytes_open_as_a_frame_of_the_same_bytes_or_not_at_all(data: bytes, framing: Framing) -> None:
    frame = opened(data, framing)
    assert frame is None or frame.sealed() == data


@given(frames, st.data())
def test_a_serial_frame_with_one_wrong_bit_is_none(frame: Frame, data: st.DataObject) -> None:
    if frame.framing is Framing.MBAP:
        return
    sealed = bytearray(frame.sealed())
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    assert opened(bytes(sealed), frame.framing) is None


def test_the_checksum_is_that_of_the_specification() -> None:
    assert crc16(bytes.fromhex("02 07")).to_bytes(2, "little") == bytes.fromhex(
        "41 12"
    )  # the example of its appendix B
    assert Frame(Framing.ASCII, 1, bytes.fromhex("0300000002")).sealed() == b":010300000002FA\r\n"


@given(st.lists(st.binary(min_size=1, max_size=253), max_size=6), st.lists(st.integers(0, 400), max_size=20))
def test_a_stream_is_cut_into_its_requests_whatever_the_fragmentation(pdus: list[bytes], cuts: list[int]) -> None:
    sent = [Frame(Framing.MBAP, 1, pdu, number).sealed() for number, pdu in enumerate(pdus)]
    stream, cutter, pieces = b"".join(sent), MbapCutter(), []
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    for start, stop in pairwise(edges):
        pieces += list(cutter.pieces(stream[start:stop]))
    assert pieces == sent


@given(st.lists(st.binary(max_size=600), max_size=8))
def test_no_byte_is_lost_and_less_than_a_frame_is_held(parts: list[bytes]) -> None:
    cutter, out = MbapCutter(), b""
    for part in parts:
        out += b"".join(cutter.pieces(part))
        assert len(cutter._rest) < 260
    assert out + cutter._rest == b"".join(parts)


@pytest.mark.parametrize(
    ("pdu", "touched"),
    [
        ("0400460002", [(0x46, 0x48)]), ("0500650001", [(0x65, 0x66)]), ("06000a1234", [(10, 11)]),
        ("100010000204deadbeef", [(16, 18)]), ("1600040000ffff", [(4, 5)]),
        ("17000000010064000102abcd", [(0, 1), (100, 101)]), ("2b0e0100", []), ("03", []),
    ],
)  # fmt: skip
def test_a_request_tells_the_addresses_it_touches(pdu: str, touched: list[tuple[int, int]]) -> None:
    frame = Frame(Framing.RTU, 1, bytes.fromhex(pdu))
    assert [(span.start, span.stop) for span in frame.touched] == touched
