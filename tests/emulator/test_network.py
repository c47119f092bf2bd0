"""Devices answer on their addresses in virtual time; delays, order, limits and ends are the device's own."""

import asyncio
import errno
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from emulator.clock import Clock, run
from emulator.line import OUTPUT_LIMIT_BYTES
from emulator.network import RESERVE, Network, NetworkError, PortInUseError, PortPermissionError, explained
from emulator.wire import MILLISECOND, SECOND, Action, Close, Conversation, Instant, Reach, Send

Answer = Callable[[bytes, Instant], Sequence[Action]]


def echo(data: bytes, now: Instant) -> Sequence[Action]:
    return [Send(data)]


@dataclass
class Talk:
    """A conversation that answers by a function and remembers what it saw."""

    answer: Answer
    idle_timeout_ns: int | None = None
    farewell: Sequence[Action] = ()
    seen: list[tuple[Instant, bytes]] = field(default_factory=list)

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        self.seen.append((now, data))
        return self.answer(data, now)

    def ended(self, now: Instant) -> Sequence[Action]:
        return self.farewell


@dataclass
class Box:
    """A device on port 4028 unless told otherwise."""

    answer: Answer = echo
    ports: tuple[int, ...] = (4028,)
    state: Reach | Callable[[Instant], Reach] = Reach.ANSWERS
    idle_timeout_ns: int | None = None
    farewell: Sequence[Action] = ()
    peers: list[str] = field(default_factory=list)

    def reach(self, port: int, now: Instant) -> Reach:
        return self.state if isinstance(self.state, Reach) else self.state(now)

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        self.peers.append(peer)
        return Talk(self.answer, self.idle_timeout_ns, self.farewell)


async def ask(address: str, request: bytes = b"?", port: int = 4028) -> bytes:
    """Connect, say `request`, return all that comes until the end."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()


def once(*actions: Action) -> Answer:
    return lambda data, now: actions


def test_each_address_is_answered_by_its_own_device_and_knows_its_caller() -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        boxes = {f"127.1.{k // 200}.{k % 200 + 1}": Box(once(Send(b"%d" % k), Close())) for k in range(500)}
        for address, box in boxes.items():
            network.attach(address, box)
        await network.open()
        replies = await asyncio.gather(*(ask(address) for address in boxes))
        assert replies == [b"%d" % k for k in range(500)]
        assert boxes["127.1.1.7"].peers == ["127.0.0.1"]
        await clock.settle()
        assert (network.live("127.1.1.7"), network.defects, clock.now()) == (0, 0, 0)
        await network.close()

    run(main)


def test_an_address_or_port_nobody_has_refuses() -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach("127.1.1.1", Box())
        network.attach("127.1.1.2", Box(ports=(80,)))
        await network.open()
        for address, port in (("127.1.1.3", 4028), ("127.1.1.1", 80), ("127.1.1.2", 4028)):
            with pytest.raises(ConnectionRefusedError):
                await ask(address, port=port)
        await network.close()
        with pytest.raises(ConnectionRefusedError):
            await ask("127.1.1.1")

    run(main)


def test_a_device_may_be_attached_while_the_network_is_open() -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        await network.open()
        network.attach("127.1.1.1", Box(once(Close()), ports=(502,)))
        assert await ask("127.1.1.1", port=502) == b""
        await network.close()

    run(main)


@pytest.mark.parametrize("address", ["127.1.1", "miner-17", "192.168.1.5", "::2", "127.1.1.1"])
def test_what_is_no_address_not_allowed_or_taken_is_refused_by_name(address: str) -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach("127.1.1.1", Box())
        with pytest.raises(NetworkError, match=address):
            network.attach(address, Box())
        Network(clock, allowed=["192.168.1.0/24"]).attach("192.168.1.5", Box())

    run(main)


def test_two_networks_cannot_share_a_port() -> None:
    async def main(clock: Clock) -> None:
        first, second = Network(clock), Network(clock)
        first.attach("127.1.1.1", Box(ports=(502,)))
        second.attach("127.1.1.2", Box(ports=(80, 502)))
        await first.open()
        with pytest.raises(PortInUseError, match="port 502"):
            await second.open()
        with pytest.raises(ConnectionRefusedError):  # nothing of it stayed open
            await ask("127.1.1.2", port=80)
        await first.close()
        await second.open()
        await second.close()

    run(main)


def test_errors_of_binding_name_the_port_and_the_remedy() -> None:
    denied = explained(OSError(errno.EACCES, ""), "127.1.1.1", 80)
    assert isinstance(denied, PortPermissionError)
    assert "ip_unprivileged_port_start=80" in str(denied)
    assert "--time virtual" in str(denied)
    taken = explained(OSError(errno.EADDRINUSE, ""), "0.0.0.0", 502)
    assert isinstance(taken, PortInUseError)
    assert "another rig that is served" in str(taken)
    assert "502" in str(taken)
    assert "Cannot assign" in str(explained(OSError(errno.EADDRNOTAVAIL, ""), "10.0.0.1", 502))


def test_actions_are_carried_out_in_order_each_at_its_own_delay() -> None:
    script = (Send(b"a"), Send(b"b", 30), Send(b"c"), Send(b"d", 5), Close(delay_ns=1000))

    async def main(clock: Clock) -> list[tuple[Instant, bytes]]:
        network = Network(clock)
        network.attach("127.1.1.1", Box(once(*script)))
        await network.open()
        reader, writer = await asyncio.open_connection("127.1.1.1", 4028)
        await clock.sleep(100)
        writer.write(b"?")
        heard = []
        while data := await reader.read(100):
            heard.append((clock.now(), data))
        heard.append((clock.now(), b""))
        writer.close()
        await network.close()
        return heard

    assert run(main) == [(100, b"a"), (130, b"bc"), (135, b"d"), (1135, b"")]


def test_input_that_comes_while_answers_wait_is_read_at_once_and_answered_after_them() -> None:
    talks: list[Talk] = []

    class Slow(Box):
        def converse(self, port: int, peer: str, now: Instant) -> Conversation:
            talks.append(Talk(lambda data, at: [Send(data.upper(), 10 * MILLISECOND)]))
            return talks[-1]

    async def main(clock: Clock) -> list[tuple[Instant, bytes]]:
        network = Network(clock)
        network.attach("127.1.1.1", Slow())
        await network.open()
        reader, writer = await asyncio.open_connection("127.1.1.1", 4028)
        for word in (b"one", b"two", b"six"):
            writer.write(word)
            await clock.sleep(MILLISECOND)
        heard = []
        for _ in range(3):
            word = await reader.readexactly(3)
            heard.append((clock.now(), word))
        writer.close()
        await network.close()
        return heard

    assert run(main) == [(10 * MILLISECOND, b"ONE"), (20 * MILLISECOND, b"TWO"), (30 * MILLISECOND, b"SIX")]
    assert [at for at, _ in talks[0].seen] == [0, MILLISECOND, 2 * MILLISECOND]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.integers(0, 3)), min_size=1, max_size=12))
def test_whatever_the_delays_the_bytes_arrive_in_order_and_the_last_at_their_sum(
    script: list[tuple[bytes, int]],
) -> None:
    async def main(clock: Clock) -> tuple[bytes, int]:
        network = Network(clock)
        network.attach("127.1.1.1", Box(once(*(Send(data, delay_ns) for data, delay_ns in script), Close())))
        await network.open()
        reply = await ask("127.1.1.1")
        at = clock.now()
        await network.close()
        return reply, at

    assert run(main) == (b"".join(data for data, _ in script), sum(delay_ns for _, delay_ns in script))


def test_close_with_reset_is_a_reset_and_without_is_an_end() -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach("127.1.1.1", Box(once(Send(b"bye"), Close())))
        network.attach("127.1.1.2", Box(once(Send(b"bye"), Close(delay_ns=SECOND, reset=True))))
        await network.open()
        assert await ask("127.1.1.1") == b"bye"
        with pytest.raises(ConnectionResetError):
            await ask("127.1.1.2")
        assert clock.now() == SECOND
        await network.close()

    run(main)


def test_what_a_device_says_after_its_close_is_never_sent() -> None:
    async def main(clock: Clock) -> bytes:
        network = Network(clock)
        network.attach("127.1.1.1", Box(once(Send(b"a"), Close(), Send(b"b"), Send(b"c", 5))))
        await network.open()
        reply = await ask("127.1.1.1")
        await network.close()
        return reply

    assert run(main) == b"a"


def test_a_device_may_answer_after_its_caller_has_ended_his_side() -> None:
    async def main(clock: Clock) -> tuple[bytes, int]:
        network = Network(clock)
        network.attach("127.1.1.1", Box(once(Send(b"late", SECOND)), farewell=[Send(b" bye", SECOND)]))
        await network.open()
        reader, writer = await asyncio.open_connection("127.1.1.1", 4028)
        writer.write(b"?")
        writer.write_eof()
        reply = await reader.read()
        writer.close()
        await network.close()
        return reply, clock.now()

    assert run(main) == (b"late bye", 2 * SECOND)


def test_the_idle_timeout_counts_from_the_last_byte_but_not_while_the_device_works() -> None:
    def answer(data: bytes, now: Instant) -> Sequence[Action]:
        return [Send(b"slow", 15 * SECOND)] if data == b"work" else []

    async def main(clock: Clock) -> list[int]:
        network = Network(clock)
        network.attach("127.1.1.1", Box(answer, idle_timeout_ns=10 * SECOND))
        network.attach("127.1.1.2", Box(answer))
        await network.open()
        ends = []
        for words in ((), (b"x", b"x"), (b"work",)):
            began = clock.now()
            reader, writer = await asyncio.open_connection("127.1.1.1", 4028)
            for word in words:
                await clock.sleep(4 * SECOND)
                writer.write(word)
            await reader.read()
            ends.append(clock.now() - began)
            writer.close()
        reader, writer = await asyncio.open_connection("127.1.1.2", 4028)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(), 86400)
        writer.close()
        await network.close()
        return ends

    idle, chatty, working = run(main)
    assert (idle, chatty) == (10 * SECOND, 18 * SECOND)
    assert 29 * SECOND <= working <= 39 * SECOND


@dataclass
class Alarm:
    """A conversation that speaks at the instants it is told of, the earliest first."""

    idle_timeout_ns: int | None = None
    due: list[int] = field(default_factory=list)

    @property
    def wake_ns(self) -> int | None:
        return min(self.due, default=None)

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        self.due += [now + SECOND * int(word) for word in data.split()]
        return []

    def woken(self, now: Instant) -> Sequence[Action]:
        due = [at for at in self.due if at <= now]
        self.due = [at for at in self.due if at > now]
        return [Send(b"%d " % (at // SECOND)) for at in due]

    def ended(self, now: Instant) -> Sequence[Action]:
        return [Close()]


@dataclass
class AlarmBox(Box):
    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        return Alarm()


def test_what_is_due_sooner_is_said_sooner_whenever_it_was_asked() -> None:
    async def main(clock: Clock) -> list[tuple[int, bytes]]:
        network = Network(clock)
        network.attach("127.1.1.1", AlarmBox())
        await network.open()
        reader, writer = await asyncio.open_connection("127.1.1.1", 4028)
        heard = []
        for request in (b"9 ", b"2 5 "):
            writer.write(request)
            await clock.sleep(SECOND // 10)
        for _ in range(3):
            said = await reader.readuntil(b" ")
            heard.append((clock.now() // SECOND, said))
        writer.close()
        await network.close()
        return heard

    assert run(main) == [(2, b"2 "), (5, b"5 "), (9, b"9 ")]


def test_a_device_that_refuses_refuses() -> None:
    async def main(clock: Clock) -> int:
        network = Network(clock)
        network.attach("127.1.1.1", Box(state=Reach.REFUSES))
        await network.open()
        with pytest.raises(ConnectionRefusedError, match=r"127\.1\.1\.1 port 4028"):
            await ask("127.1.1.1")
        await network.close()
        return clock.now()

    assert run(main) == 0


def test_a_silent_device_lets_its_caller_run_into_his_own_timeout_or_the_kernels() -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach("127.1.1.1", Box(state=Reach.SILENT))
        await network.open()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask("127.1.1.1"), 2.5)
        assert clock.now() == 2500 * MILLISECOND
        with pytest.raises(TimeoutError) as caught:
            await ask("127.1.1.1")
        assert caught.value.errno == errno.ETIMEDOUT
        assert clock.now() == 129_500 * MILLISECOND
        await network.close()

    run(main)


def test_a_caller_of_a_silent_device_gets_through_at_the_next_syn_after_it_is_back() -> None:
    back_ns = 5 * SECOND

    async def main(clock: Clock) -> tuple[bytes, int]:
        network = Network(clock)
        network.attach(
            "127.1.1.1",
            Box(once(Send(b"up"), Close()), state=lambda now: Reach.ANSWERS if now >= back_ns else Reach.SILENT),
        )
        await network.open()
        reply = await ask("127.1.1.1")
        await network.close()
        return reply, clock.now()

    assert run(main) == (b"up", 7 * SECOND)


def test_a_drop_resets_all_connections_of_one_address_and_of_no_other() -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        for address in ("127.1.1.1", "127.1.1.2"):
            network.attach(address, Box(once(Send(b"late", SECOND))))
        await network.open()
        lost = [await asyncio.open_connection("127.1.1.1", 4028) for _ in range(3)]
        kept = await asyncio.open_connection("127.1.1.2", 4028)
        for _, writer in (*lost, kept):
            writer.write(b"?")
        await clock.sleep(SECOND // 2)
        assert network.live("127.1.1.1") == 3
        network.drop("127.1.1.1")
        for reader, writer in lost:
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
        assert await kept[0].read(100) == b"late"
        kept[1].close()
        assert clock.now() == SECOND
        await network.close()

    run(main)


def test_a_drop_at_the_very_instant_of_a_connection_catches_it_too() -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach("127.1.1.1", Box(once(Send(b"ghost"))))
        network.on_connect = lambda address, *_: clock.loop.call_soon(network.drop, address)
        await network.open()
        with pytest.raises(ConnectionError):  # broken pipe or reset: he is in the middle of writing
            await ask("127.1.1.1")
        await network.close()

    run(main)


def test_one_device_takes_no_more_connections_than_allowed() -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock, connections=4)
        network.attach("127.1.1.1", Box())
        network.attach("127.1.1.2", Box(once(Close())))
        await network.open()
        held = [await asyncio.open_connection("127.1.1.1", 4028) for _ in range(4)]
        with pytest.raises(ConnectionRefusedError):
            await ask("127.1.1.1")
        assert network.refused == 1
        assert await ask("127.1.1.2") == b""
        held[0][1].close()
        await clock.settle()
        held[0] = await asyncio.open_connection("127.1.1.1", 4028)
        for _, writer in held:
            writer.close()
        await network.close()

    run(main)


def test_all_devices_together_leave_descriptors_to_the_rest_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (RESERVE + 11, 9999))

    async def main(clock: Clock) -> None:
        network = Network(clock)
        for k in range(1, 9):
            network.attach(f"127.1.1.{k}", Box())
        await network.open()
        held = [await asyncio.open_connection(f"127.1.1.{k}", 4028) for k in range(1, 6)]  # two ends each
        with pytest.raises(ConnectionRefusedError):
            await ask("127.1.1.6")
        assert network.refused == 1
        held[0][1].close()
        await clock.settle()
        held[0] = await asyncio.open_connection("127.1.1.6", 4028)
        for _, writer in held:
            writer.close()
        await network.close()

    run(main)


def test_no_input_is_read_while_more_than_a_megabyte_of_output_waits() -> None:
    block = bytes(OUTPUT_LIMIT_BYTES // 4)
    requests: list[Instant] = []

    def answer(data: bytes, now: Instant) -> Sequence[Action]:
        requests.extend([now] * len(data))
        return [Send(block, MILLISECOND) for _ in data]

    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach("127.1.1.1", Box(answer))
        await network.open()
        reader, writer = await asyncio.open_connection("127.1.1.1", 4028, limit=1024)
        total = 40
        for _ in range(total):
            writer.write(b"?")
            await clock.sleep(MILLISECOND)
        await clock.sleep(SECOND)
        stuck = len(requests)
        assert 4 <= stuck <= 12  # about a megabyte here and what the sockets hold
        received = 0
        while received < total * len(block):
            received += len(await reader.read(1 << 20))
        assert len(requests) == total
        writer.close()
        await network.close()

    run(main)


def test_a_conversation_that_raises_costs_its_own_connection_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    def fail(data: bytes, now: Instant) -> Sequence[Action]:
        raise LookupError("no such command")

    class Broken(Box):
        def converse(self, port: int, peer: str, now: Instant) -> Conversation:
            raise LookupError("no conversation")

    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach("127.1.1.1", Box(fail))
        network.attach("127.1.1.2", Box())
        network.attach("127.1.1.3", Broken())
        network.attach("127.1.1.4", Box(state=lambda now: Reach["BROKEN"]))
        network.attach("127.1.1.5", Box(lambda data, now: [Send("text", 5)]))  # type: ignore[arg-type]
        await network.open()
        good = await asyncio.open_connection("127.1.1.2", 4028)
        assert await ask("127.1.1.1") == b""
        for address in ("127.1.1.3", "127.1.1.4"):
            with pytest.raises(ConnectionRefusedError):
                await ask(address)
        assert await ask("127.1.1.5") == b""
        good[1].write(b"still here")
        assert await good[0].read(100) == b"still here"
        good[1].close()
        assert network.defects == 4
        await network.close()

    with caplog.at_level(logging.ERROR, "ramprig.network"):
        run(main)
    assert "no such command" in caplog.text


def test_hooks_hear_every_attempt_and_every_request_with_its_instant() -> None:
    async def main(clock: Clock) -> tuple[list[object], list[object]]:
        network = Network(clock)
        network.attach("127.1.1.1", Box())
        network.attach("127.1.1.2", Box(state=Reach.SILENT))
        connects: list[object] = []
        requests: list[object] = []
        network.on_connect = lambda *contact: connects.append(contact)
        network.on_request = lambda *contact: requests.append(contact)
        await network.open()
        reader, writer = await asyncio.open_connection("127.1.1.1", 4028)
        for _ in range(2):
            await clock.sleep(SECOND)
            writer.write(b"?")
            await reader.read(1)
        writer.close()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask("127.1.1.2"), 1)
        await network.close()
        return connects, requests

    connects, requests = run(main)
    assert connects == [("127.1.1.1", 4028, "127.0.0.1", 0), ("127.1.1.2", 4028, "127.0.0.1", 2 * SECOND)]
    assert requests == [("127.1.1.1", 4028, "127.0.0.1", SECOND), ("127.1.1.1", 4028, "127.0.0.1", 2 * SECOND)]


@dataclass
class Stool:
    """A device with room for one: whoever comes next makes the one before it leave, with a word."""

    ports: tuple[int, ...] = (4028,)
    fails: bool = False
    taken: list["Guest"] = field(default_factory=list)
    ends: list[tuple[int, Instant]] = field(default_factory=list)
    came: int = 0

    def reach(self, port: int, now: Instant) -> Reach:
        return Reach.ANSWERS

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        self.came += 1
        return Guest(self, self.came)


@dataclass
class Guest:
    stool: Stool
    number: int
    idle_timeout_ns: int | None = None
    wake_ns: Instant | None = None
    rouse: Callable[[], None] | None = None

    def attend(self, rouse: Callable[[], None]) -> None:
        if self.stool.fails:
            raise ValueError("no legs")
        self.rouse = rouse
        for guest in self.stool.taken:
            guest.wake_ns = 0
            assert guest.rouse is not None
            guest.rouse()
        self.stool.taken = [self]

    def lost(self, now: Instant) -> None:
        self.stool.ends.append((self.number, now))

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        return []

    def ended(self, now: Instant) -> Sequence[Action]:
        return [Close()]

    def woken(self, now: Instant) -> Sequence[Action]:
        self.wake_ns = None
        return [Send(b"out"), Close()]


def test_a_device_learns_of_the_end_of_a_connection_and_can_make_another_one_speak() -> None:
    async def main(clock: Clock) -> None:
        network, stool = Network(clock), Stool()
        network.attach("127.1.1.1", stool)
        await network.open()
        first, first_writer = await asyncio.open_connection("127.1.1.1", 4028)
        await clock.sleep(SECOND)
        _, second_writer = await asyncio.open_connection("127.1.1.1", 4028)
        assert await first.read() == b"out"
        assert stool.ends == [(1, SECOND)]
        await clock.sleep(SECOND)
        second_writer.close()
        await clock.settle()
        third, third_writer = await asyncio.open_connection("127.1.1.1", 4028)
        await clock.sleep(SECOND)
        network.drop("127.1.1.1")
        with pytest.raises(ConnectionResetError):
            await third.read()
        assert stool.ends == [(1, SECOND), (2, 2 * SECOND), (3, 3 * SECOND)]
        assert network.defects == 0
        for writer in (first_writer, third_writer):
            writer.close()
        await network.close()

    run(main)


def test_a_device_that_fails_when_told_of_a_connection_loses_that_connection_only() -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach("127.1.1.1", Stool(fails=True))
        network.attach("127.1.1.2", Box(once(Send(b"!"), Close())))
        await network.open()
        reader, writer = await asyncio.open_connection("127.1.1.1", 4028)
        assert await reader.read() == b""
        writer.close()
        assert await ask("127.1.1.2") == b"!"
        assert network.defects == 1
        await network.close()

    run(main)
