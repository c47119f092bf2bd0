from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.faults import Fault, FaultPlan
from emulator.faulty_link import with_faults
from emulator.modbus.gateway import BROADCAST_TURNAROUND_NS, QUEUE_REQUESTS, ModbusGateway
from emulator.modbus.link import UnitPolicy
from emulator.modbus.mbap import encode
from emulator.modbus.serial_bus import Slave
from emulator.modbus.serial_format import SerialFormat
from emulator.seed import Seed
from emulator.wire import SECOND, Close, Reach
from tests.emulator.modbus.lines import FORM, READ_PDU, TURNAROUND_NS, slave
from tests.emulator.modbus.store import Store

MS = 1_000_000
REPLY = bytes.fromhex("03 04 0001 0102")
ONE_NS = FORM.span_ns(8) + TURNAROUND_NS + FORM.span_ns(9) + FORM.t35_ns
"""Request, turnaround, reply and the silence after it: what one request takes of the line."""


def gateway(*slaves: Slave, missing=UnitPolicy.UNREACHABLE, **settings) -> ModbusGateway:
    return ModbusGateway(slaves or (slave(1), slave(2)), FORM, missing, **settings)


def play(calls, script, until: int = 100 * SECOND) -> list[tuple[int, int, bytes]]:
    """(instant, caller, frame) of everything said; `script` has (instant, caller, bytes)."""
    said = []

    def note(now, index, actions):
        at = now
        for action in actions:
            at += action.delay_ns
            if not isinstance(action, Close):
                said.append((at, index, action.data))

    def run_to(limit):
        for _ in range(10_000):
            wakes = [(call.wake_ns, index) for index, call in enumerate(calls) if call.wake_ns is not None]
            if not wakes or min(wakes)[0] > limit:
                return
            at, index = min(wakes)
            note(at, index, calls[index].woken(at))
        raise AssertionError("the gateway never rests")

    for at, index, data in script:
        run_to(at)
        note(at, index, calls[index].received(data, at))
    run_to(until)
    return said


def calls_of(device: ModbusGateway, count: int = 1) -> list:
    return [device.converse(502, "", 0) for _ in range(count)]


def test_a_request_takes_the_time_of_the_line_behind_the_gateway():
    ((at, _, frame),) = play(calls_of(gateway()), [(0, 0, encode(7, 2, READ_PDU))])
    assert frame == encode(7, 2, REPLY)
    assert at == pytest.approx(ONE_NS, abs=3)


def test_clients_share_the_line_and_wait_for_one_another():
    said = play(calls_of(gateway(), 3), [(0, index, encode(index, 1, READ_PDU)) for index in range(3)])
    assert [index for _, index, _ in said] == [0, 1, 2]
    assert [at for at, _, _ in said] == pytest.approx([ONE_NS, 2 * ONE_NS, 3 * ONE_NS], abs=9)


def test_pipelined_requests_are_answered_in_order():
    stream = b"".join(encode(tid, 1 + tid % 2, READ_PDU) for tid in range(20))
    said = play(calls_of(gateway()), [(0, 0, stream)])
    assert [frame for _, _, frame in said] == [encode(tid, 1 + tid % 2, REPLY) for tid in range(20)]


def test_a_client_with_a_full_queue_is_told_that_the_gateway_is_busy():
    stream = b"".join(encode(tid, 1, READ_PDU) for tid in range(QUEUE_REQUESTS + 2))
    said = play(calls_of(gateway()), [(0, 0, stream)])
    assert [frame for at, _, frame in said if at == 0] == [
        encode(tid, 1, b"\x83\x06") for tid in (QUEUE_REQUESTS, QUEUE_REQUESTS + 1)
    ]
    assert len(said) == QUEUE_REQUESTS + 2


@pytest.mark.parametrize(
    ("missing", "reply", "after_ns"),
    [
        (UnitPolicy.UNMAPPED, b"\x83\x0a", 0),
        (UnitPolicy.UNREACHABLE, b"\x83\x0b", SECOND),
        (UnitPolicy.SILENT, None, None),
    ],
)
def test_an_id_that_nobody_has_is_treated_as_configured(missing, reply, after_ns):
    script = [(0, 0, encode(1, 9, READ_PDU)), (0, 0, encode(2, 1, READ_PDU))]
    said = play(calls_of(gateway(missing=missing)), script)
    assert said[-1][2] == encode(2, 1, REPLY)
    if reply is None:
        assert len(said) == 1
        assert said[0][0] > SECOND  # the line was waited on for as long
    else:
        assert said[0][2] == encode(1, 9, reply)
        assert said[0][0] == pytest.approx(after_ns, abs=20 * MS)


def test_a_broadcast_reaches_all_and_is_answered_by_none():
    models = [Store(), Store()]
    device = gateway(slave(1, models[0]), slave(2, models[1]))
    said = play(calls_of(device), [(0, 0, encode(1, 0, bytes.fromhex("06 0000 4242")) + encode(2, 1, READ_PDU))])
    assert [frame for _, _, frame in said] == [encode(2, 1, bytes.fromhex("03 04 4242 0102"))]
    assert said[0][0] >= BROADCAST_TURNAROUND_NS
    assert [model.holding[0] for model in models] == [0x4242, 0x4242]


@pytest.mark.parametrize("kind", ["drop", "truncate", "garbage", "silent", "refuse"])
def test_a_slave_that_fails_on_the_line_is_a_target_that_failed(kind):
    plan = FaultPlan((Fault("m", kind, 0, 2 * SECOND),), Seed(1))
    broken = Slave(1, with_faults(plan, "m", "meter", slave(1).device))
    said = play(calls_of(gateway(broken)), [(0, 0, encode(1, 1, READ_PDU)), (5 * SECOND, 0, encode(2, 1, READ_PDU))])
    assert [frame for _, _, frame in said] == [encode(1, 1, b"\x83\x0b"), encode(2, 1, REPLY)]


def test_values_are_those_at_the_instant_when_the_slave_hears():
    model = Store()
    device = gateway(slave(1, model))
    call = device.converse(502, "", 0)
    call.received(encode(1, 1, READ_PDU), 0)
    model.holding[0] = 0x7777
    assert [frame for *_, frame in play([call], [])] == [encode(1, 1, bytes.fromhex("03 04 7777 0102"))]


def test_a_caller_who_leaves_has_his_requests_played_and_the_others_go_on():
    model = Store()
    calls = calls_of(gateway(slave(1, model)), 2)
    calls[0].received(encode(1, 1, bytes.fromhex("06 0000 1111")), 0)
    assert calls[0].ended(0) == [Close()]
    said = play([calls[1]], [(0, 0, encode(2, 1, READ_PDU))])
    assert [frame for *_, frame in said] == [encode(2, 1, bytes.fromhex("03 04 1111 0102"))]


@given(st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=400)), max_size=12))
def test_any_bytes_never_raise_and_end_in_rest(pieces):
    device = gateway()
    calls = calls_of(device, 2)
    play(calls, [(place * MS, index, data) for place, (index, data) in enumerate(pieces)], 10**15)
    assert device.next_ns is None
    assert len(device._queue) == 0


def test_a_gateway_must_look_at_unit_ids_and_stands_on_its_port():
    with pytest.raises(ValueError, match="cannot ignore"):
        gateway(missing=UnitPolicy.IGNORE)
    device = ModbusGateway([slave(1)], SerialFormat(19200), port=1502)
    assert (device.reach(1502, 0), device.reach(502, 0)) == (Reach.ANSWERS, Reach.REFUSES)


def test_a_stream_that_lost_its_boundary_is_closed():
    (call,) = calls_of(gateway())
    assert call.received(b"\x00\x01\x00\x00\xff\xff\x00", 0) == [Close()]
    assert call.received(encode(1, 1, READ_PDU), 0) == []
