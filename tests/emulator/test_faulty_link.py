"""Faults on connections: what each stage does to replies, how delays compose, and that no fault is no fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.clock import Clock, run
from emulator.faults import Fault, FaultPlan, Value
from emulator.faulty_link import FaultyDevice, with_faults
from emulator.network import Network
from emulator.seed import Seed
from emulator.wire import Action, Close, Conversation, Instant, Reach, Send

MS = 1_000_000
S = 1_000_000_000


@dataclass
class Talk:
    idle_timeout_ns: int | None = None
    delay_ns: int = 0
    seen: list[tuple[Instant, bytes]] = field(default_factory=list)

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        self.seen.append((now, data))
        self.idle_timeout_ns = now
        return [Send(b"<" + data + b">", self.delay_ns), *([Close(3)] if data == b"bye" else [])]

    def ended(self, now: Instant) -> Sequence[Action]:
        return [Close()]


@dataclass
class Box:
    """Answers <what it heard>."""

    delay_ns: int = 0
    ports: tuple[int, ...] = (4028,)
    talks: list[Talk] = field(default_factory=list)

    def reach(self, port: int, now: Instant) -> Reach:
        return Reach.ANSWERS

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        self.talks.append(Talk(delay_ns=self.delay_ns))
        return self.talks[-1]


def faulty(*kinds: tuple[str, dict[str, Value]], seed: int = 1, box: Box | None = None) -> FaultyDevice:
    return FaultyDevice(box or Box(), [Fault("m", kind, parameters=given) for kind, given in kinds], Seed(seed))


def one(device: FaultyDevice, data: bytes = b"abcdef", now: int = 0) -> list[Action]:
    return list(device.converse(4028, "peer", now).received(data, now))


def delivered(batches: Sequence[tuple[Instant, Sequence[Action]]]) -> list[tuple[Instant, Action]]:
    """What a connection carries out and when, by the rule of the network: each action waits for the one before."""
    out: list[tuple[Instant, Action]] = []
    due = 0
    for now, actions in batches:
        for action in actions:
            due = max(due, now) + action.delay_ns
            out.append((due, action))
    return out


def test_a_closed_port_refuses_callers_and_resets_open_connections() -> None:
    device = FaultyDevice(Box(), [Fault("m", "refuse", 5, 9)], Seed(1))
    assert [device.reach(4028, now) for now in (4, 5, 8, 9)] == [
        Reach.ANSWERS, Reach.REFUSES, Reach.REFUSES, Reach.ANSWERS,
    ]  # fmt: skip
    talk = device.converse(4028, "peer", 0)
    assert talk.received(b"a", 4) == [Send(b"<a>")]
    assert talk.received(b"b", 6) == (Close(reset=True),)
    assert talk.received(b"c", 10) == ()
    assert talk.ended(10) == ()


def test_a_black_hole_takes_requests_before_the_device_sees_them() -> None:
    box = Box()
    device = FaultyDevice(box, [Fault("m", "silent", 5, 9)], Seed(1))
    assert device.reach(4028, 6) is Reach.SILENT
    talk = device.converse(4028, "peer", 0)
    assert talk.received(b"lost", 6) == ()
    assert talk.received(b"kept", 9) == [Send(b"<kept>")]
    assert [data for _, data in box.talks[0].seen] == [b"kept"]


def test_a_delay_moves_everything_and_keeps_the_order() -> None:
    talk = faulty(("delay", {"delay_ns": 50 * MS})).converse(4028, "peer", 0)
    batches = [(0, talk.received(b"a", 0)), (10 * MS, talk.received(b"bye", 10 * MS))]
    assert delivered(batches) == [
        (50 * MS, Send(b"<a>", 50 * MS)), (60 * MS, Send(b"<bye>", 10 * MS)), (60 * MS + 3, Close(3)),
    ]  # fmt: skip


def test_delays_add_up_along_the_pipe() -> None:
    for order in ((20, 30), (30, 20)):
        stages: list[tuple[str, dict[str, Value]]] = [("delay", {"delay_ns": part * MS}) for part in order]
        device = faulty(*stages, box=Box(delay_ns=5 * MS))
        assert one(device) == [Send(b"<abcdef>", 55 * MS)]


@settings(deadline=None)
@given(st.integers(0, 400))
def test_jitter_stays_in_its_range(seed: int) -> None:
    (send,) = one(faulty(("delay", {"delay_ns": 50 * MS, "jitter_ns": 10 * MS}), seed=seed))
    assert 50 * MS <= send.delay_ns < 60 * MS


def test_a_reset_comes_in_the_middle_of_the_output() -> None:
    talk = faulty(("reset", {"after_bytes": 5})).converse(4028, "peer", 0)
    assert talk.received(b"a", 0) == [Send(b"<a>")]
    assert talk.received(b"b", 1) == [Send(b"<b"), Close(reset=True)]
    assert talk.received(b"c", 2) == ()


def test_a_connection_may_also_end_with_a_fin_in_the_middle_of_the_output() -> None:
    assert one(faulty(("reset", {"after_bytes": 5, "by": "fin"}))) == [Send(b"<abcd"), Close()]


def test_replies_are_cut_dropped_garbled_and_sliced() -> None:
    assert one(faulty(("truncate", {"keep": 0.5}))) == [Send(b"<abc")]
    assert one(faulty(("truncate", {"keep": 0.0}))) == []
    assert one(faulty(("drop", {}))) == []
    (send,) = one(faulty(("garbage", {})))
    assert isinstance(send, Send)
    assert len(send.data) == 8
    assert send.data != b"<abcdef>"
    assert one(faulty(("slow_loris", {"slice_bytes": 3, "interval_ns": 7}))) == [
        Send(b"<ab"), Send(b"cde", 7), Send(b"f>", 7),
    ]  # fmt: skip


def test_a_dropped_reply_is_to_a_command_that_was_carried_out() -> None:
    box = Box()
    one(faulty(("drop", {}), box=box))
    assert box.talks[0].seen == [(0, b"abcdef")]


def test_a_late_reply_answers_the_next_request() -> None:
    talk = faulty(("late_reply", {})).converse(4028, "peer", 0)
    assert [list(talk.received(data, i)) for i, data in enumerate((b"a", b"b", b"c"))] == [
        [], [Send(b"<a>")], [Send(b"<b>")],
    ]  # fmt: skip


def test_a_frozen_device_takes_the_beginning_of_the_fault_for_the_present() -> None:
    box = Box()
    talk = FaultyDevice(box, [Fault("m", "freeze", 10, 20)], Seed(1)).converse(502, "peer", 0)
    for now in (5, 12, 19, 20):
        talk.received(b"?", now)
    assert [now for now, _ in box.talks[0].seen] == [5, 10, 10, 20]


def test_a_device_that_hangs_takes_calls_and_never_answers_or_hangs_up() -> None:
    box = Box()
    device = FaultyDevice(box, [Fault("m", "hang", 5, 9)], Seed(1))
    assert device.reach(4028, 6) is Reach.ANSWERS
    talk = device.converse(4028, "peer", 6)
    assert (talk.received(b"lost", 6), talk.idle_timeout_ns) == ((), None)
    assert talk.received(b"kept", 9) == [Send(b"<kept>")]
    assert [data for _, data in box.talks[0].seen] == [b"kept"]


def test_what_was_open_when_the_fault_began_is_dead_for_good_and_what_comes_later_lives() -> None:
    told: list[int] = []
    device = FaultyDevice(Box(), [Fault("m", "half_open", 5, 9)], Seed(1), "m", lambda now, *_: told.append(now))
    old = device.converse(4028, "peer", 0)
    assert old.received(b"a", 4) == [Send(b"<a>")]
    assert [old.received(b"b", now) for now in (5, 8, 9, 99)] == [(), (), (), ()]
    assert (old.ended(100), told) == ((), [5, 8, 9, 99, 100])
    assert device.converse(4028, "peer", 5).received(b"c", 6) == [Send(b"<c>")]


class Patient(Box):
    """Hangs up after 60 ns without a word."""

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        talk = super().converse(port, peer, now)
        talk.idle_timeout_ns = 60
        return talk


def test_the_end_of_silence_brings_the_idle_time_out_back() -> None:
    talk = FaultyDevice(Patient(), [Fault("m", "silent", 5, 9)], Seed(1)).converse(4028, "peer", 0)
    talk.received(b"lost", 6)
    assert talk.idle_timeout_ns == 63, "counted from the lost request, 60 after the silence"
    for_good = FaultyDevice(Patient(), [Fault("m", "silent", 5)], Seed(1)).converse(4028, "peer", 0)
    assert for_good.idle_timeout_ns == 60
    for_good.received(b"lost", 6)
    assert for_good.idle_timeout_ns is None


@pytest.mark.parametrize(
    ("kind", "start", "idle"), [("hang", 50, 150), ("hang", 70, 60), ("half_open", 50, None), ("half_open", 70, 60)]
)
def test_nobody_hears_a_mute_device_hang_up(kind: str, start: int, idle: int | None) -> None:
    device = FaultyDevice(Patient(), [Fault("m", kind, start, 90)], Seed(1))
    assert device.converse(4028, "peer", 0).idle_timeout_ns == idle


def test_a_connection_too_many_is_taken_and_reset_until_one_is_over() -> None:
    device = faulty(("few_connections", {"at_most": 2}), box=Box(delay_ns=50))
    first, second, third = (device.converse(4028, "peer", 0) for _ in range(3))
    assert third.received(b"a", 1) == (Close(reset=True),)
    assert first.received(b"bye", 1)[-1] == Close(3)
    assert device.converse(4028, "peer", 53).received(b"b", 53) == (Close(reset=True),), "its reply is on its way"
    assert device.converse(4028, "peer", 54).received(b"b", 54) == [Send(b"<b>", 50)]
    second.ended(60)
    assert device.converse(4028, "peer", 61).received(b"c", 61) == [Send(b"<c>", 50)]
    assert device.converse(4028, "peer", 61).received(b"d", 61) == (Close(reset=True),)
    assert device.converse(4028, "peer", 61 * S).received(b"e", 61 * S) == [Send(b"<e>", 50)], "forgotten callers"


@dataclass
class Other(Box):
    """Answers as itself, and refuses on the web."""

    def reach(self, port: int, now: Instant) -> Reach:
        return Reach.REFUSES if port == 80 else Reach.ANSWERS

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        self.talks.append(Talk())
        return self.talks[-1]


def test_two_devices_on_one_address_answer_in_turns_that_both_door_and_room_agree_on() -> None:
    here, other = Box(), Other()
    fault = Fault("m", "duplicate_address", parameters={"other": "n", "every_ns": 10, "probability": 0.5})
    device = FaultyDevice(here, [fault], Seed(1), find={"n": other}.get)
    answered = []
    for now in range(0, 400, 5):
        refused = device.reach(80, now) is Reach.REFUSES
        count = len(other.talks)
        device.converse(80, "peer", now).received(b"a", now)
        assert (len(other.talks) > count) is refused
        answered.append(refused)
    assert answered[::2] == answered[1::2], "the same one for a span"
    assert 8 < sum(answered[::2]) < 32
    alone = FaultyDevice(here, [fault], Seed(1), find={"n": None}.get)
    assert all(alone.reach(80, now) is Reach.ANSWERS for now in range(400))


def test_a_fault_can_be_aimed_at_ports() -> None:
    device = faulty(("refuse", {"ports": "4028 44*"}), ("drop", {"ports": "80"}))
    assert [device.reach(port, 0) for port in (80, 4028, 4433)] == [Reach.ANSWERS, Reach.REFUSES, Reach.REFUSES]
    assert device.converse(80, "peer", 0).received(b"a", 0) == []
    assert device.converse(8080, "peer", 0).received(b"a", 0) == [Send(b"<a>")]


def test_a_request_without_an_answer_is_carried_out_and_nothing_follows_ever() -> None:
    box = Box()
    device = faulty(("no_answer", {"requests": "bye"}), box=box)
    talk = device.converse(4028, "peer", 0)
    assert talk.received(b"a", 0) == [Send(b"<a>")]
    assert [talk.received(data, 1) for data in (b"bye", b"a")] == [[], ()]
    assert (talk.idle_timeout_ns, box.talks[0].seen[-1]) == (None, (1, b"bye"))


@pytest.mark.parametrize("kind", ["drop", "hang_up"])
def test_a_fault_can_be_aimed_at_requests_also_in_pieces(kind: str) -> None:
    device = faulty((kind, {"requests": "stats POST/cgi*"}))
    for hit in (b'{"command":"stats"}', b"POST /cgi-bin/x.cgi HTTP/1.1\r\n", b"stats"):
        got = device.converse(4028, "peer", 0).received(hit, 0)
        assert list(got) == ([] if kind == "drop" else [Close()])
    for missed in (b'{"command":"summary"}', b"GET /cgi-bin/x.cgi HTTP/1.1\r\n", b"\x00\x01\x00\x00"):
        assert device.converse(4028, "peer", 0).received(missed, 0) == [Send(b"<" + missed + b">")]


def test_the_next_request_of_a_connection_is_another_one() -> None:
    talk = faulty(("drop", {"requests": "stats"})).converse(4028, "peer", 0)
    assert talk.received(b"stats", 0) == []
    assert talk.received(b"version", 1) == [Send(b"<version>")]


def test_a_value_is_frozen_as_it_was_before_the_fault() -> None:
    class Json(Box):
        def converse(self, port: int, peer: str, now: Instant) -> Conversation:
            return Counting()

    class Counting(Talk):
        def received(self, data: bytes, now: Instant) -> Sequence[Action]:
            return [Send(b'{"Elapsed":%d,"rate":%d.5}\x00' % (now, now)), Close()]

    device = FaultyDevice(Json(), [Fault("m", "misread", 5, 9, {"how": "freeze", "keys": "rate"})], Seed(1))
    seen = [device.converse(4028, "peer", now).received(b"stats", now)[0] for now in (3, 4, 6, 8, 9)]
    assert [action.data for action in seen if isinstance(action, Send)] == [
        b'{"Elapsed":%d,"rate":%d.5}\x00' % pair for pair in ((3, 3), (4, 4), (6, 4), (8, 4), (9, 9))
    ]


KINDS: list[tuple[str, dict[str, Value]]] = [
    ("hang", {}), ("half_open", {}), ("few_connections", {}), ("duplicate_address", {"other": "m"}),
    ("acknowledge_only", {}), ("hang_up", {}), ("no_answer", {}), ("malformed", {"how": "cut"}),
    ("misread", {"how": "set"}),
    ("other_body", {}), ("http_status", {}), ("api_error", {}), ("drop", {"requests": "hello", "ports": "40*"}),
    ("refuse", {}), ("silent", {}), ("delay", {"jitter_ns": MS}), ("reset", {}), ("truncate", {}), ("drop", {}),
    ("garbage", {}), ("slow_loris", {}), ("late_reply", {}), ("freeze", {}),
]  # fmt: skip
requests = st.lists(st.tuples(st.integers(0, 50 * MS), st.sampled_from([b"a", b"hello", b"bye", b""])), max_size=8)


def converse(device: Box | FaultyDevice, plan: list[tuple[int, bytes]]) -> list[tuple[Instant, Sequence[Action]]]:
    talk = device.converse(4028, "peer", 0)
    now = 0
    out: list[tuple[Instant, Sequence[Action]]] = []
    for after, data in plan:
        now += after
        out.append((now, list(talk.received(data, now))))
        out.append((talk.idle_timeout_ns or 0, []))
        if data == b"bye":
            break
    return out


@settings(deadline=None)
@given(requests, st.lists(st.sampled_from(KINDS), max_size=5), st.integers(0, 20 * MS))
def test_a_fault_of_probability_zero_is_no_fault(
    plan: list[tuple[int, bytes]], kinds: list[tuple[str, dict[str, Value]]], delay_ns: int
) -> None:
    device = faulty(*[(kind, {**given, "probability": 0.0}) for kind, given in kinds], box=Box(delay_ns))
    assert device.reach(4028, 0) is Reach.ANSWERS
    assert converse(device, plan) == converse(Box(delay_ns), plan)


@settings(deadline=None)
@given(requests, st.lists(st.sampled_from(KINDS), max_size=5))
def test_a_fault_outside_its_window_is_no_fault(
    plan: list[tuple[int, bytes]], kinds: list[tuple[str, dict[str, Value]]]
) -> None:
    later = [Fault("m", kind, 10 * S, parameters=given) for kind, given in kinds]
    assert converse(FaultyDevice(Box(), later, Seed(1)), plan) == converse(Box(), plan)


@settings(deadline=None)
@given(requests, st.lists(st.sampled_from(KINDS), max_size=5), st.integers(0, 9))
def test_the_same_seed_gives_the_same_faults_on_each_connection_whatever_the_others_do(
    plan: list[tuple[int, bytes]], kinds: list[tuple[str, dict[str, Value]]], seed: int
) -> None:
    half = [(kind, {**given, "probability": 0.5}) for kind, given in kinds]
    quiet, busy = faulty(*half, seed=seed), faulty(*half, seed=seed)
    first = converse(quiet, plan)
    other = busy.converse(4028, "peer", 0)  # connection 1 has begun ...
    busy.converse(4028, "other", 0).received(b"noise", 0)  # ... when another one makes noise
    again, now = [], 0
    for after, data in plan:
        now += after
        again.append((now, list(other.received(data, now))))
        again.append((other.idle_timeout_ns or 0, []))
        if data == b"bye":
            break
    assert again == first


@settings(deadline=None)
@given(requests, st.lists(st.sampled_from(KINDS), max_size=6), st.integers(0, 99))
def test_actions_leave_in_order_and_nothing_follows_the_end(
    plan: list[tuple[int, bytes]], kinds: list[tuple[str, dict[str, Value]]], seed: int
) -> None:
    out = delivered(converse(faulty(*kinds, seed=seed), plan))
    assert all(action.delay_ns >= 0 for _, action in out)
    closes = [i for i, (_, action) in enumerate(out) if isinstance(action, Close)]
    assert closes in ([], [len(out) - 1])


def test_a_device_without_faults_is_not_wrapped() -> None:
    box = Box()
    plan = FaultPlan([Fault("m2", "drop"), Fault("m1", "ignore_commands")], Seed(1))
    assert with_faults(plan, "m1", "miner", box) is box
    assert with_faults(plan, "m2", "miner", box) is not box
    assert with_faults(plan, "m2", "feeder", box) is box


def test_every_hit_is_told() -> None:
    told: list[tuple[int, str, str]] = []
    plan = FaultPlan([Fault("m*", "truncate"), Fault("m*", "refuse", 5)], Seed(1))
    device = with_faults(plan, "m1", "miner", Box(), lambda now, fault, name: told.append((now, fault.kind, name)))
    talk = device.converse(4028, "peer", 0)
    talk.received(b"a", 1)
    device.reach(4028, 7)
    talk.received(b"a", 8)
    assert told == [(1, "truncate", "m1"), (7, "refuse", "m1"), (8, "refuse", "m1")]


@dataclass
class Clockwork:
    """Says something by itself."""

    idle_timeout_ns: int | None = None
    wake_ns: Instant | None = 5

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        return []

    def ended(self, now: Instant) -> Sequence[Action]:
        return []

    def woken(self, now: Instant) -> Sequence[Action]:
        self.wake_ns = now + 5
        return [Send(b"tick")]


class Belfry(Box):
    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        return Clockwork()


def test_unasked_words_are_disturbed_too() -> None:
    talk = faulty(("delay", {"delay_ns": 9}), box=Belfry()).converse(4028, "peer", 0)
    assert talk.wake_ns == 5
    assert talk.woken(5) == [Send(b"tick", 9)]
    assert talk.wake_ns == 10
    silent = faulty(("drop", {})).converse(4028, "peer", 0)
    assert (silent.wake_ns, silent.woken(5)) == (None, ())


def test_a_device_that_counts_its_connections_still_does_behind_a_fault() -> None:
    told: list[object] = []

    class Counted(Clockwork):
        def attend(self, rouse: Callable[[], None]) -> None:
            told.append(rouse)

        def lost(self, now: Instant) -> None:
            told.append(now)

    class Turnstile(Box):
        def converse(self, port: int, peer: str, now: Instant) -> Conversation:
            return Counted()

    talk = faulty(("reset", {"after_bytes": 1}), box=Turnstile()).converse(4028, "peer", 0)
    talk.attend(print)
    assert talk.woken(5)[-1] == Close(reset=True)
    assert talk.wake_ns is None, "what is over has nothing to say, however often it is asked"
    talk.lost(6)
    assert told == [print, 6]
    plain = faulty(("drop", {})).converse(4028, "peer", 0)
    plain.attend(print)
    plain.lost(6)


@pytest.mark.parametrize(
    ("kind", "parameters", "expected", "at_ns"),
    [
        ("delay", {"delay_ns": 80 * MS}, b"<hello>", 80 * MS),
        ("slow_loris", {"slice_bytes": 1, "interval_ns": 10 * MS}, b"<hello>", 60 * MS),
        ("truncate", {"keep": 0.5}, b"<he", None),
        ("drop", {}, b"", None),
    ],
)
def test_a_client_meets_the_fault_through_the_network(
    kind: str, parameters: dict[str, Value], expected: bytes, at_ns: int | None
) -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach("127.9.1.1", faulty((kind, parameters)))
        await network.open()
        reader, writer = await asyncio.open_connection("127.9.1.1", 4028)
        writer.write(b"hello")
        heard = b""
        try:
            while len(heard) < 7:
                heard += await asyncio.wait_for(reader.read(100), 2)
        except TimeoutError:
            assert at_ns is None
        else:
            assert clock.now() == at_ns
        assert heard == expected
        writer.close()
        await network.close()
        assert network.defects == 0

    run(main)


def test_a_reset_and_a_refusal_reach_the_client_as_such() -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach("127.9.1.1", faulty(("reset", {"after_bytes": 3})))
        network.attach("127.9.1.2", faulty(("refuse", {})))
        network.attach("127.9.1.3", FaultyDevice(Box(), [Fault("m", "silent", 0, 2 * S)], Seed(1)))
        network.attach("127.9.1.4", faulty(("few_connections", {})))
        network.attach("127.9.1.5", faulty(("hang", {})))
        await network.open()
        reader, writer = await asyncio.open_connection("127.9.1.1", 4028)
        writer.write(b"hello")
        heard = await reader.read(100)  # the reset may overtake what was on the way
        assert heard in (b"<he", b"")
        with pytest.raises(ConnectionResetError):
            await reader.read(100)
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.9.1.2", 4028)
        assert clock.now() == 0
        _, writer = await asyncio.open_connection("127.9.1.3", 4028)
        assert clock.now() == 3 * S  # the second repetition of the SYN finds the host awake
        writer.close()
        _, first = await asyncio.open_connection("127.9.1.4", 4028)
        reader, writer = await asyncio.open_connection("127.9.1.4", 4028)
        writer.write(b"hello")
        with pytest.raises(ConnectionResetError):
            await reader.read(100)
        first.close()
        writer.close()
        reader, writer = await asyncio.open_connection("127.9.1.5", 4028)
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(100), 500)
        writer.close()
        await network.close()

    run(main)
