from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.faults import Fault, FaultPlan
from emulator.faulty_link import with_faults
from emulator.modbus import ascii as ascii_framing
from emulator.modbus import rtu
from emulator.modbus.serial_bus import BACKLOG_BYTES, Slave
from emulator.modbus.serial_device import SerialKind
from emulator.modbus.serial_format import Parity, SerialFormat
from emulator.seed import Seed
from emulator.wire import SECOND
from tests.emulator.modbus.lines import ANSWER, FORM, READ, READ_PDU, TURNAROUND_NS, bus, frames, play, slave
from tests.emulator.modbus.store import Store

MS = 1_000_000


def test_a_reply_begins_after_the_turnaround_and_takes_the_time_of_its_characters():
    heard = play(bus(), (0, READ))
    began = FORM.span_ns(8) + TURNAROUND_NS
    assert frames(heard) == ANSWER
    assert heard[0][0] == pytest.approx(began + FORM.character_ns, abs=2)
    assert heard[-1][0] == pytest.approx(began + FORM.span_ns(9), abs=2)


def test_a_device_quicker_than_the_silence_waits_for_it():
    (first, *_), *_ = play(bus(slave(turnaround_ns=0)), (0, READ))
    assert first == pytest.approx(FORM.span_ns(8) + FORM.t35_ns + FORM.character_ns, abs=2)


@pytest.mark.parametrize("form", [SerialFormat(2400), SerialFormat(19200, Parity.EVEN), SerialFormat(115200)])
def test_the_pace_is_the_lines(form):
    heard = play(bus(slave(form=form), form=form), (0, rtu.encode(1, bytes.fromhex("03 0000 0064"))))
    assert len(frames(heard)) == 205
    took = heard[-1][0] - form.span_ns(8) - TURNAROUND_NS
    assert took == pytest.approx(form.span_ns(205), abs=300)
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(heard[:-1])]
    assert min(gaps) >= min(MS, form.character_ns - 1)
    assert max(gaps) <= MS + form.character_ns + 1


def test_several_slaves_on_one_line_answer_for_themselves_only():
    models = {unit: Store() for unit in (1, 2, 3)}
    for unit, model in models.items():
        model.holding[0] = unit
    line = bus(*(slave(unit, model) for unit, model in models.items()))
    asked = [(unit * SECOND, rtu.encode(unit, bytes.fromhex("03 0000 0001"))) for unit in (1, 2, 3, 4)]
    answers = [rtu.encode(unit, bytes((3, 2, 0, unit))) for unit in (1, 2, 3)]
    assert frames(play(line, *asked)) == b"".join(answers)


def test_a_broadcast_is_acted_on_by_all_and_answered_by_none():
    models = [Store(), Store(), Store()]
    line = bus(slave(1, models[0]), slave(2, models[1]), slave(3, models[2], broadcast=False))
    assert play(line, (0, rtu.encode(0, bytes.fromhex("06 0005 4242")))) == []
    assert [model.holding[5] for model in models] == [0x4242, 0x4242, Store().holding[5]]


def test_after_a_broadcast_a_slave_hears_nothing_until_its_turnaround_is_over():
    write = rtu.encode(0, bytes.fromhex("06 0005 4242"))
    over = FORM.span_ns(8) + TURNAROUND_NS
    assert frames(play(bus(), (0, write), (over - 1, READ))) == b""
    assert frames(play(bus(), (0, write), (over + 1, READ))) == ANSWER


def test_other_slaves_frames_and_probes_are_met_with_silence():
    strange = [
        rtu.encode(2, bytes.fromhex("83 02")),
        rtu.encode(2, READ_PDU),
        rtu.encode(0, bytes.fromhex("08 0000 0000")),
    ]
    said = [(place * SECOND, frame) for place, frame in enumerate(strange)]
    assert frames(play(bus(), *said, (9 * SECOND, READ))) == ANSWER


@pytest.mark.parametrize(
    "junk",
    [READ[:4], READ[:-1] + b"\xff", b"\x00\xff\x00", READ[:-1], b"\xff" * 300, READ + b"\x00"],
    ids=["partial", "bad CRC", "noise", "cut", "too long", "trailing zero"],
)
def test_a_good_request_after_junk_and_a_silence_is_answered(junk):
    later = FORM.span_ns(len(junk)) + FORM.t35_ns + 1
    assert frames(play(bus(), (0, junk), (later, READ))) == ANSWER


def test_a_gap_inside_a_frame_loses_it():
    assert play(bus(), (0, READ[:4]), (200 * MS, READ[4:])) == []


def test_of_two_requests_back_to_back_the_second_is_lost_while_the_slave_thinks():
    second = FORM.span_ns(8) + FORM.t35_ns
    assert frames(play(bus(), (0, READ), (second, READ))) == ANSWER
    assert play(bus(), (0, READ + READ)) == []


def test_an_unknown_function_is_refused_and_the_next_request_answered():
    heard = frames(play(bus(), (0, rtu.encode(1, b"\x41")), (SECOND, READ)))
    assert heard == rtu.encode(1, b"\xc1\x01") + ANSWER


def test_what_the_master_says_into_a_reply_is_lost_and_so_is_what_it_does_not_hear():
    began = FORM.span_ns(8) + TURNAROUND_NS
    into = began + FORM.span_ns(3)
    heard = frames(play(bus(), (0, READ), (into, b"\x55" * 2)))
    assert heard == ANSWER[:3] + ANSWER[5:] or heard == ANSWER[:3] + ANSWER[6:]
    late = began + FORM.span_ns(8)
    line = bus(slave(1), slave(2))
    assert frames(play(line, (0, READ), (late, rtu.encode(2, READ_PDU)))) == ANSWER[:8]
    assert frames(play(line, (20 * SECOND, rtu.encode(2, READ_PDU)))) == rtu.encode(2, ANSWER[1:-2])


def test_two_slaves_of_one_id_speak_over_one_another():
    first, second = Store(), Store()
    second.holding[:2] = [0x5A5A, 0xA5A5]
    heard = frames(play(bus(slave(1, first), slave(1, second)), (0, READ)))
    assert heard[:3] == ANSWER[:3]
    assert len(heard) == len(ANSWER)
    assert rtu.decode(heard) is None


def test_two_slaves_of_one_id_that_say_the_same_at_once_are_not_noticed():
    assert frames(play(bus(slave(1), slave(1)), (0, READ))) == ANSWER


def test_two_slaves_of_one_id_with_different_turnarounds_answer_twice():
    quick, slow = slave(1, turnaround_ns=5 * MS), slave(1, turnaround_ns=50 * MS)
    heard = play(bus(quick, slow), (0, READ))
    assert frames(heard) == ANSWER + ANSWER
    half = slave(1, turnaround_ns=10 * MS)
    assert frames(play(bus(slave(1, turnaround_ns=5 * MS), half), (0, READ))) != ANSWER + ANSWER


def test_ascii_slaves_answer_at_line_speed_too():
    kind = SerialKind.ASCII
    request = ascii_framing.encode(1, READ_PDU)
    heard = play(bus(slave(kind=kind), kind=kind), (0, request))
    answer = ascii_framing.encode(1, ANSWER[1:-2])
    assert frames(heard) == answer
    assert heard[-1][0] == pytest.approx(FORM.span_ns(len(request) + len(answer)) + TURNAROUND_NS, abs=3)


def test_a_real_port_delivers_characters_that_have_already_taken_their_time():
    line = bus(instant=False, slack_ns=20 * MS)
    at = 100 * MS
    heard = play(line, (at, READ[:5]), (at + 15 * MS, READ[5:]))
    assert frames(heard) == ANSWER
    assert heard[0][0] == pytest.approx(at + 15 * MS + TURNAROUND_NS + FORM.character_ns, abs=3)


def test_faults_of_one_slave_work_on_its_frames():
    for kind, settings, expected in [
        ("drop", {}, b""),
        ("truncate", {"keep": 0.5}, ANSWER[:4]),
        ("silent", {}, b""),
        ("refuse", {}, b""),
    ]:
        plan = FaultPlan((Fault("meter-1", kind, 0, SECOND, parameters=settings),), Seed(1))
        hung = slave()
        hung = Slave(1, with_faults(plan, "meter-1", "meter", hung.device), hung.busy_ns)
        heard = play(bus(hung), (0, READ), (5 * SECOND, READ))
        assert frames(heard) == expected + ANSWER, kind


def test_a_delayed_reply_meets_the_next_request():
    plan = FaultPlan(
        (Fault("meter-1", "delay", 0, SECOND, parameters={"delay_ns": 700 * MS, "jitter_ns": 0}),), Seed(1)
    )
    hung = slave()
    line = bus(Slave(1, with_faults(plan, "meter-1", "meter", hung.device)))
    heard = play(line, (0, READ), (500 * MS, READ), (3 * SECOND, READ))
    assert frames(heard) == ANSWER + ANSWER  # the one in the middle met a slave that was still at work


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=600), st.integers(0, 300 * MS)), max_size=12), st.booleans())
def test_any_characters_never_raise_and_never_pile_up_and_the_line_recovers(said, ascii_line):
    kind = SerialKind.ASCII if ascii_line else SerialKind.RTU
    line = bus(slave(1, kind=kind), slave(2, kind=kind), kind=kind)
    at, script = 0, []
    for data, gap in said:
        at += gap
        script.append((at, data))
    play(line, *script)
    assert len(line._sending) <= 64
    rest = max(at, line._master_until_ns) + 20 * SECOND
    encode = kind.codec[0]
    assert frames(play(line, (rest, encode(1, READ_PDU)))) == encode(1, ANSWER[1:-2])


def test_what_is_poured_in_faster_than_the_line_is_lost_beyond_the_ports_buffer():
    line = bus(kind=SerialKind.ASCII)
    for _ in range(50):
        line.received(ascii_framing.encode(9, READ_PDU) * 60, 0)
    assert line._master_until_ns <= FORM.span_ns(BACKLOG_BYTES + 1)
    assert len(line._heard) <= BACKLOG_BYTES // 9


def test_a_line_tells_noise_requests_and_frames_for_nobody_apart():
    line, told = bus(slave(1), slave(2)), []
    line.on_request = told.append
    stranger = rtu.encode(7, READ_PDU)
    said = [READ, stranger, bytes(5), rtu.encode(2, READ_PDU), rtu.encode(0, READ_PDU), stranger]
    play(line, *((place * SECOND, frame) for place, frame in enumerate(said)))
    assert line.hearing.characters == sum(map(len, said))
    assert line.hearing.requests == len(told) == 3
    assert line.hearing.strangers == {7: 2}
    assert line.hearing.last_ns == told[-1]
    assert [at // SECOND for at in told] == [0, 3, 4]
