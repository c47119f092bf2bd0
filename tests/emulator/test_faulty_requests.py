"""Faults before a device's ears: exceptions, pauses, gaps, gateways, too many callers; faults aimed at requests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from emulator.clock import Clock, run
from emulator.faults import Fault, FaultPlan, Value
from emulator.faulty_link import FaultyDevice, with_faults
from emulator.modbus.frames import Frame, Framing, opened
from emulator.modbus.link import Link
from emulator.modbus.pdu import HANDLERS, Model
from emulator.modbus.rtu_tcp import SerialOverTcpDevice
from emulator.modbus.serial_device import ModbusSerialDevice, SerialKind
from emulator.modbus.tcp import ModbusTcpDevice
from emulator.modbus.udp import ModbusUdpDevice
from emulator.network import Network
from emulator.seed import Seed
from emulator.wire import Action, Close, Device, Instant, Reach, Send

MS, S = 1_000_000, 1_000_000_000
READ, READ_NEXT, COIL = "04 0046 0002", "04 0048 0002", "05 0065 ff00"


class Noted(Model):
    """Registers that hold their address; notes what it is asked and when."""

    functions = frozenset(HANDLERS)

    def __init__(self) -> None:
        self.asked: list[tuple[Instant, str, int]] = []

    def read_input_registers(self, address: int, count: int, now: Instant) -> bytes:
        self.asked.append((now, "read", address))
        return b"".join((address + i).to_bytes(2, "big") for i in range(count))

    def read_holding_registers(self, address: int, count: int, now: Instant) -> bytes:
        return self.read_input_registers(address, count, now)

    def write_coil(self, address: int, word: int, now: Instant) -> None:
        self.asked.append((now, "write", address))


def faulty(kind: str, model: Noted | None = None, *, start: int = 0, stop: int | None = None, **given: Value) -> Any:
    device = ModbusTcpDevice({1: model or Noted()}, Link(turnaround_ns=2 * MS))
    return FaultyDevice(device, [Fault("m", kind, start, stop, given)], Seed(1))


def request(pdu: str, transaction: int = 7, unit: int = 1) -> bytes:
    return Frame(Framing.MBAP, unit, bytes.fromhex(pdu), transaction).sealed()


def pdus(actions: Sequence[Action]) -> list[str]:
    """What is sent, as PDUs; a close as such."""
    return [a.data[7:].hex() if isinstance(a, Send) else "reset" if a.reset else "close" for a in actions]


def instants(now: int, actions: Sequence[Action]) -> list[int]:
    out = []
    for action in actions:
        now += action.delay_ns
        out.append(now)
    return out


# ---- aimed faults ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aim", "struck"),
    [
        ({}, [0, 1, 2]), ({"functions": "4"}, [0, 1]), ({"functions": "5-6"}, [2]), ({"registers": "71"}, [0]),
        ({"registers": "60-72"}, [0, 1]), ({"registers": "101"}, [2]), ({"units": "2"}, []),
        ({"functions": "4", "registers": "101"}, []), ({"units": "1", "functions": "5"}, [2]),
    ],
)  # fmt: skip
def test_of_three_requests_in_one_segment_those_named_are_hit(aim: dict[str, Value], struck: list[int]) -> None:
    together = b"".join(request(pdu, number) for number, pdu in enumerate((READ, READ_NEXT, COIL)))
    actions = faulty("exception_storm", code=11, **aim).converse(502, "peer", 0).received(together, 0)
    assert [int.from_bytes(a.data[:2], "big") for a in actions if isinstance(a, Send)] == [0, 1, 2]
    assert [n for n, pdu in enumerate(pdus(actions)) if int(pdu[:2], 16) & 0x80] == struck


@given(st.lists(st.sampled_from([READ, COIL]), max_size=6), st.lists(st.integers(0, 70), max_size=5))
def test_fragments_do_not_change_what_is_hit(asked: list[str], cuts: list[int]) -> None:
    stream = b"".join(request(pdu, number) for number, pdu in enumerate(asked))
    talk = faulty("drop", functions="5").converse(502, "peer", 0)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    said = [a for i, j in pairwise(edges) for a in talk.received(stream[i:j], 0)]
    assert pdus(said) == ["0404" + "00460047"] * asked.count(READ)


@pytest.mark.parametrize("way", ["udp", "rtu", "ascii", "line"])
def test_requests_are_named_by_the_same_numbers_on_every_way(way: str) -> None:
    device = ModbusTcpDevice({1: Noted()})
    made: dict[str, tuple[Device, Framing]] = {
        "udp": (ModbusUdpDevice(device, 502), Framing.MBAP),
        "rtu": (SerialOverTcpDevice(device, 502), Framing.RTU),
        "ascii": (SerialOverTcpDevice(device, 502, SerialKind.ASCII), Framing.ASCII),
        "line": (ModbusSerialDevice(1, Noted()), Framing.RTU),
    }
    behind, framing = made[way]
    faults = [
        Fault("m", "exception_storm", parameters={"registers": "72", "code": 11}),
        Fault("m", "misframed", parameters={"how": "unit", "functions": "5"}),
    ]
    talk = FaultyDevice(behind, faults, Seed(1)).converse(502, "peer", 0)
    said = []
    for pdu in (READ, READ_NEXT, COIL):
        asked = Frame(framing, 1, bytes.fromhex(pdu), 7).sealed()
        for piece in [asked] if way in ("udp", "line") else [asked[:3], asked[3:]]:
            said += [action.data for action in talk.received(piece, 0) if isinstance(action, Send)]
    heard = [opened(data, framing) for data in said]
    assert [(frame.unit, frame.pdu.hex()) for frame in heard if frame is not None] == [
        (1, "040400460047"), (1, "840b"), (2, "050065ff00"),
    ]  # fmt: skip


def test_junk_in_a_datagram_is_not_remembered_under_faults_either() -> None:
    device = FaultyDevice(ModbusUdpDevice(ModbusTcpDevice({1: Noted()}), 502), [Fault("m", "delay")], Seed(1))
    talk = device.converse(502, "peer", 0)
    assert list(talk.received(b"\x00\x01\x00", 0)) == []
    assert pdus(talk.received(request(READ), 0)) == ["040400460047"]


def test_a_stream_without_frame_boundaries_is_still_closed_by_the_device() -> None:
    talk = faulty("drop", probability=0.0).converse(502, "peer", 0)
    assert pdus(talk.received(request(READ) + bytes.fromhex("0001 0000 ffff 01"), 0)) == ["040400460047", "close"]


# ---- kinds ----------------------------------------------------------------------------------------------------------


def test_a_storm_answers_with_exceptions_and_nothing_is_carried_out() -> None:
    model = Noted()
    talk = faulty("exception_storm", model, stop=S, code=4, after_ns=30 * MS).converse(502, "peer", 0)
    actions = talk.received(request(COIL), 0)
    assert (pdus(actions), instants(0, actions), model.asked) == (["8504"], [30 * MS], [])
    assert pdus(talk.received(request(COIL), 2 * S)) == ["050065ff00"]


@settings(max_examples=15)
@given(st.floats(0.05, 0.95), st.integers(0, 50))
def test_a_storm_hits_its_share_and_is_the_same_for_the_same_seed(share: float, seed: int) -> None:
    def hits() -> list[bool]:
        faults = [Fault("m", "exception_storm", parameters={"probability": share})]
        talk = FaultyDevice(ModbusTcpDevice({1: Noted()}), faults, Seed(seed)).converse(502, "peer", 0)
        return [pdus(talk.received(request(READ), now))[0].startswith("84") for now in range(100)]

    assert hits() == hits()
    assert abs(sum(hits()) - 100 * share) < 30


def test_a_device_that_needs_a_pause_hears_nothing_before() -> None:
    talk = faulty("pause_after_connect", pause_ns=S).converse(502, "peer", 5 * S)
    assert pdus(talk.received(request(READ), 5 * S + 999 * MS)) == []
    assert pdus(talk.received(request(READ), 6 * S)) == ["040400460047"]


def test_requests_that_come_too_soon_are_lost_whoever_asks() -> None:
    device = faulty("minimum_gap", gap_ns=300 * MS)
    one, other = (device.converse(502, "peer", 0) for _ in range(2))
    answered = [
        bool(t.received(request(READ), ms * MS)) for t, ms in ((one, 0), (other, 200), (one, 300), (other, 599))
    ]
    assert answered == [True, False, True, False]
    assert pdus(faulty("minimum_gap", then="silent").converse(502, "p", 0).received(request(READ) * 2, 0)) == [
        "040400460047"
    ]
    talk = faulty("minimum_gap", then="reset").converse(502, "peer", 0)
    assert pdus(talk.received(request(READ) * 3, 0)) == ["040400460047", "reset"]


def test_the_first_part_of_a_reply_comes_at_once_and_the_rest_later() -> None:
    talk = faulty("partial_reply", first=0.5, after_ns=700 * MS).converse(502, "peer", 0)
    actions = talk.received(request(READ), 0)
    assert [len(a.data) for a in actions if isinstance(a, Send)] == [6, 7]
    assert instants(0, actions) == [2 * MS, 702 * MS]
    assert instants(702 * MS, talk.received(request(READ), 0)) == [702 * MS, 704 * MS], (
        "the next one waits for the rest"
    )


def test_late_partial_and_wrong_frames_compose() -> None:
    device = ModbusTcpDevice({1: Noted()})
    kinds: list[tuple[str, dict[str, Value]]] = [
        ("misframed", {"how": "unit"}), ("late_reply", {}), ("partial_reply", {"first": 0.5, "after_ns": MS}),
    ]  # fmt: skip
    talk = FaultyDevice(device, [Fault("m", kind, parameters=p) for kind, p in kinds], Seed(1)).converse(502, "p", 0)
    assert talk.received(request(READ, 1), 0) == []
    first, rest = talk.received(request(READ_NEXT, 2), 0)
    assert isinstance(first, Send)
    assert isinstance(rest, Send)
    assert (first.data + rest.data).hex() == "000100000007" + "02" + "0404" + "00460047"


# ---- a gateway ------------------------------------------------------------------------------------------------------


def test_two_callers_of_a_gateway_wait_for_each_other_and_ask_in_turn() -> None:
    model = Noted()
    device = faulty("slow_gateway", model, delay_ns=100 * MS)
    one, other = (device.converse(502, "peer", 0) for _ in range(2))
    assert instants(0, one.received(request(READ), 0)) == [102 * MS]
    assert (list(other.received(request(COIL), 10 * MS)), other.wake_ns) == ([], 100 * MS)
    assert list(other.woken(99 * MS)) == []
    assert instants(100 * MS, other.woken(100 * MS)) == [202 * MS]
    assert model.asked == [(0, "read", 0x46), (100 * MS, "write", 0x65)]
    assert other.wake_ns is None
    assert instants(500 * MS, one.received(request(READ), 500 * MS)) == [602 * MS], "a free line is taken at once"


def test_a_gateway_refuses_a_caller_whose_queue_is_full() -> None:
    talk = faulty("slow_gateway", delay_ns=S, queue=2).converse(502, "peer", 0)
    assert pdus(talk.received(b"".join(request(READ, n) for n in range(4)), 0)) == ["040400460047", "8406"]
    assert pdus(talk.woken(S)) == ["040400460047"]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 300 * MS)), min_size=1, max_size=12),
    st.integers(1, 80 * MS), st.integers(0, 80 * MS),
)  # fmt: skip
def test_a_gateway_never_serves_two_at_a_time(calls: list[tuple[int, int]], delay: int, jitter: int) -> None:
    model = Noted()
    device = faulty("slow_gateway", model, delay_ns=delay, jitter_ns=jitter)
    talks = [device.converse(502, "peer", 0) for _ in range(3)]
    now, due = 0, sorted((at, who) for who, at in calls)
    while due or any(talk.wake_ns is not None for talk in talks):
        wakes = [(talk.wake_ns, talk) for talk in talks if talk.wake_ns is not None]
        now = min([at for at, _ in due[:1]] + [at for at, _ in wakes])
        for at, talk in wakes:
            if at == now:
                talk.woken(now)
        while due and due[0][0] == now:
            talks[due.pop(0)[1]].received(request(READ), now)
    starts = [at for at, _, _ in model.asked]
    assert len(starts) == len(calls)
    assert all(b - a >= delay for a, b in pairwise(starts))


def test_unchanged_clients_queue_behind_each_other_at_one_gateway() -> None:
    async def main(clock: Clock) -> list[int]:
        plan = FaultPlan([Fault("meter", "slow_gateway", parameters={"delay_ns": 50 * MS})], Seed(1))
        network = Network(clock)
        network.attach("127.9.2.1", with_faults(plan, "meter", "meter", ModbusTcpDevice({1: Noted()})))
        await network.open()
        clients = [AsyncModbusTcpClient("127.9.2.1", port=502, timeout=3) for _ in range(4)]
        took = []

        async def ask(client: AsyncModbusTcpClient) -> None:
            assert await client.connect()
            for _ in range(3):
                began = clock.now()
                reply = await client.read_input_registers(5, count=1)
                assert reply.registers == [5]
                took.append(clock.now() - began)
            client.close()

        for task in [clock.loop.create_task(ask(client)) for client in clients]:
            await task
        await network.close()
        return took

    took = run(main)
    assert took == [50 * MS, 100 * MS, 150 * MS] + [200 * MS] * 9


# ---- few connections ------------------------------------------------------------------------------------------------


def test_a_further_caller_is_refused_or_takes_the_place_of_the_oldest() -> None:
    device = faulty("few_connections", further="refused")
    talk = device.converse(502, "peer", 0)
    assert device.reach(502, 1) is Reach.REFUSES
    talk.ended(2)
    assert device.reach(502, 3) is Reach.ANSWERS
    device = faulty("few_connections", further="replaces", at_most=2)
    first, second, third = (device.converse(502, "peer", 0) for _ in range(3))
    assert [pdus(t.received(request(READ), 1)) for t in (third, second, first)] == [
        ["040400460047"], ["040400460047"], ["reset"],
    ]  # fmt: skip
    assert first.received(request(READ), 2) == ()


def test_a_caller_that_is_gone_keeps_the_only_place_until_the_device_forgets_him() -> None:
    device = ModbusTcpDevice({1: Noted()}, Link(idle_timeout_ns=30 * S))
    faults = [Fault("m", "half_open", 5 * S), Fault("m", "few_connections")]
    both = FaultyDevice(device, faults, Seed(1))
    gone = both.converse(502, "peer", 0)
    assert pdus(gone.received(request(READ), S)) == ["040400460047"]
    assert gone.received(request(READ), 6 * S) == ()
    assert both.converse(502, "peer", 10 * S).received(request(READ), 10 * S) == (Close(reset=True),)
    assert pdus(both.converse(502, "peer", 37 * S).received(request(READ), 37 * S)) == ["040400460047"]
