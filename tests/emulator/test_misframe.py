"""Wrong frames: each damage does what its row says, and nothing to what is no frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.catalogue import GRADES
from emulator.faults import Dice, Fault
from emulator.faulty_replies import EDITS, Occasion
from emulator.misframe import misframed_reply, misframings
from emulator.modbus.frames import Frame, Framing, opened
from emulator.seed import Seed

MBAP, RTU, ASCII = Framing.MBAP, Framing.RTU, Framing.ASCII
PDU = bytes.fromhex("0404 42480000")


def wrong(how: str, framing: Framing = MBAP, pdu: bytes = PDU, seed: int = 1) -> bytes:
    request = Frame(framing, 1, bytes.fromhex("0400460002"), 7).sealed()
    return misframed_reply(Frame(framing, 1, pdu, 7).sealed(), framing, how, request, Dice(Seed(seed)))


@pytest.mark.parametrize(
    ("how", "reply"),
    [
        ("transaction", "0008 0000 0007 01 0404 42480000"), ("transaction_0", "0000 0000 0007 01 0404 42480000"),
        ("protocol", "0007 0001 0007 01 0404 42480000"), ("length_long", "0007 0000 000b 01 0404 42480000"),
        ("length_short", "0007 0000 0005 01 0404 42480000"), ("unit", "0007 0000 0007 02 0404 42480000"),
        ("unit_0", "0007 0000 0007 00 0404 42480000"), ("function", "0007 0000 0007 01 0304 42480000"),
        ("function_80", "0007 0000 0003 01 8001"), ("byte_count_short", "0007 0000 0007 01 0402 42480000"),
        ("fewer_registers", "0007 0000 0005 01 0402 4248"),
        ("byte_count_long", "0007 0000 0007 01 0406 42480000"), ("cut", "0007 0000 0007 01 0404 42"),
        ("leading_zero", "00 0007 0000 0007 01 0404 42480000"), ("extra_bytes", "0007 0000 0007 01 0404 42480000 0000"),
        ("trailing_zero", "0007 0000 0007 01 0404 42480000 00"),
        ("twice", "0007 0000 0007 01 0404 42480000" * 2),
        ("echo", "0007 0000 0006 01 0400460002" + "0007 0000 0007 01 0404 42480000"),
        ("lost_byte", "0007 0000 0007 01 0404 42480000"), ("doubled_byte", "0007 0000 0007 01 0404 42480000"),
    ],
)  # fmt: skip
def test_each_wrong_frame_on_tcp_is_what_its_row_says(how: str, reply: str) -> None:
    assert wrong(how).hex() == reply.replace(" ", "")


@pytest.mark.parametrize("framing", [RTU, ASCII])
@pytest.mark.parametrize("how", ["unit", "unit_0", "function", "function_80", "fewer_registers", "byte_count_short"])
def test_what_is_said_wrongly_on_a_line_has_a_right_checksum(framing: Framing, how: str) -> None:
    frame = opened(wrong(how, framing), framing)
    assert frame is not None
    assert (frame.unit, frame.pdu) != (1, PDU)


@pytest.mark.parametrize("how", ["bit", "lost_byte", "doubled_byte", "cut", "leading_zero"])
@given(seed=st.integers(0, 500))
def test_what_is_damaged_on_a_line_is_no_frame(how: str, seed: int) -> None:
    assert opened(wrong(how, RTU, seed=seed), RTU) is None


def test_a_trailing_zero_is_not_told_by_the_checksum() -> None:
    assert opened(wrong("trailing_zero", RTU), RTU) is not None, "a CRC over zeros behind itself stays 0"
    assert opened(wrong("trailing_zero", ASCII), ASCII) is None


def test_an_exception_keeps_the_bit_that_marks_it() -> None:
    assert wrong("function", pdu=b"\x84\x02")[7:] == b"\x83\x02"
    assert wrong("byte_count_short", pdu=b"\x84\x02")[7:] == b"\x84\x02"


@given(st.sampled_from(sorted(misframings())), st.sampled_from(Framing), st.binary(max_size=40))
def test_what_is_no_frame_stays_as_it_is(how: str, framing: Framing, data: bytes) -> None:
    if opened(data, framing) is None:
        assert misframed_reply(data, framing, how, b"?", Dice(Seed(1))) == data


def test_other_protocols_are_left_alone_and_draws_are_repeatable() -> None:
    occasion = Occasion(Fault("m", "misframed", parameters={"how": "bit"}), Dice(Seed(1)), (), {}, {})
    assert EDITS["misframed"](occasion, b'{"id":1}') == b'{"id":1}'
    assert wrong("bit", RTU) == wrong("bit", RTU) != wrong("bit", RTU, seed=2)


def test_every_row_is_complete_and_says_nothing_that_nobody_reads() -> None:
    words = {"transaction", "unit", "protocol", "function", "pdu", "registers", "byte_count", "length"}
    words |= {"flip", "lose", "double", "cut", "before", "behind", "times", "echo"}
    for how, row in misframings().items():
        assert set(row) - {"what", "framings", "grade", "source"} <= words, how
        assert len(set(row) & words) == 1, how
        assert {Framing(framing) for framing in row["framings"]}
        assert row["grade"] in GRADES
