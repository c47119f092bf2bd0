from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.modbus import rtu
from emulator.modbus.collision import Transmission, received
from emulator.modbus.serial_format import Parity, SerialFormat

FORMS = [SerialFormat(9600), SerialFormat(19200, Parity.EVEN), SerialFormat(115200, Parity.ODD, 2)]
frames = st.binary(min_size=1, max_size=40)


def heard(form: SerialFormat, *sent: Transmission) -> bytes:
    return bytes(character.byte for character in received(sent, form))


@pytest.mark.parametrize("form", FORMS)
@given(data=frames, start=st.integers(0, 10**9))
def test_one_transmission_arrives_as_it_is_at_line_speed(form, data, start):
    characters = received([Transmission(start, data)], form)
    assert bytes(character.byte for character in characters) == data
    assert characters[-1].end_ns == start + form.span_ns(len(data))


@pytest.mark.parametrize("form", FORMS)
@given(data=frames, start=st.integers(0, 10**9))
def test_equal_replies_in_step_arrive_intact(form, data, start):
    characters = received([Transmission(start, data), Transmission(start, data)], form)
    assert bytes(character.byte for character in characters) == data
    assert abs(characters[-1].end_ns - start - form.span_ns(len(data))) <= len(data)


@given(first=frames, second=frames)
def test_in_step_without_parity_a_zero_wins_over_a_one(first, second):
    size = min(len(first), len(second))
    mixed = heard(FORMS[0], Transmission(0, first), Transmission(0, second))
    assert mixed[:size] == bytes(a & b for a, b in zip(first, second, strict=False))
    assert mixed[size:] == max(first, second, key=len)[size:]


@given(first=frames, second=frames, gap=st.integers(0, 10**7))
def test_those_that_do_not_overlap_arrive_one_after_the_other(first, second, gap):
    form = FORMS[0]
    later = Transmission(form.span_ns(len(first)) + gap, second)
    assert heard(form, later, Transmission(0, first)) == first + second


@given(st.lists(st.tuples(st.integers(0, 10**8), frames), max_size=5), st.sampled_from(FORMS))
def test_any_mixture_is_at_most_as_long_as_the_time_it_takes(sent, form):
    transmissions = [Transmission(start, data) for start, data in sent]
    characters = received(transmissions, form)
    assert all(a.end_ns <= b.start_ns + form.bit_ns for a, b in pairwise(characters))
    if sent:
        span = max(one.end_ns(form) for one in transmissions) - min(start for start, _ in sent)
        assert len(characters) <= span / form.character_ns + len(sent) + 1


def test_two_different_replies_half_a_character_apart_pass_for_no_frame():
    form = FORMS[0]
    one, other = rtu.encode(1, bytes.fromhex("03 04 00010203")), rtu.encode(1, bytes.fromhex("03 04 44556677"))
    mixed = heard(form, Transmission(0, one), Transmission(form.character_ns // 2, other))
    assert rtu.decode(mixed) is None
    assert mixed not in (one, other)
