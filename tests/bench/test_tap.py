"""What is overheard is what was said: counts, first contact, silences, frames; and nothing is changed by listening."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pyarrow.parquet as pq
import pytest

from bench import tap
from bench.tap import Tap, Traffic
from emulator.standing import standing_of
from emulator.wire import MILLISECOND, SECOND, Action, Close, Conversation, Instant, Reach, Send
from fastpath.exchange import Answer, Connection, Exchange, Standing


class Echo:
    """Answers every request with two parts, the second a while later, and grows impatient after the first."""

    def __init__(self) -> None:
        self.idle_timeout_ns: int | None = None

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        self.idle_timeout_ns = 5 * SECOND
        return [Send(data), Send(data, delay_ns=100 * MILLISECOND)]

    def ended(self, now: Instant) -> Sequence[Action]:
        return [Close()]


class Clock(Echo):
    """Says the time unasked."""

    @property
    def wake_ns(self) -> Instant | None:
        return 7 * SECOND

    def woken(self, now: Instant) -> Sequence[Action]:
        return [Send(str(now).encode())]


class House:
    ports = (502, 80)

    def __init__(self, kind: type[Echo] = Echo) -> None:
        self._kind = kind

    def reach(self, port: int, now: Instant) -> Reach:
        return Reach.SILENT if now > SECOND else Reach.ANSWERS

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        return self._kind()


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


def test_a_tapped_device_is_reached_and_answers_as_before(traffic: Traffic) -> None:
    device = Tap(House(), "meter-poi", "meter", traffic)
    assert device.ports == (502, 80)
    assert [device.reach(502, at) for at in (0, 2 * SECOND)] == [Reach.ANSWERS, Reach.SILENT]
    conversation = device.converse(502, "127.0.0.1", 0)
    assert conversation.received(b"hi", 0) == Echo().received(b"hi", 0)
    assert conversation.idle_timeout_ns == 5 * SECOND
    assert conversation.ended(0) == [Close()]


def test_who_speaks_unasked_still_does_and_is_overheard(traffic: Traffic) -> None:
    conversation = Tap(House(Clock), "pool", "pool", traffic).converse(80, "127.0.0.1", 0)
    assert conversation.wake_ns == 7 * SECOND  # type: ignore[attr-defined]
    assert conversation.woken(7 * SECOND) == [Send(b"7000000000")]  # type: ignore[attr-defined]
    assert traffic.frames == [(7 * SECOND, "pool", 80, "out", b"7000000000")]
    assert not hasattr(Tap(House(), "m", "miner", traffic).converse(80, "", 0), "wake_ns")


def test_requests_are_counted_by_kind(traffic: Traffic) -> None:
    meter = Tap(House(), "meter-poi", "meter", traffic).converse(502, "", 0)
    miner = Tap(House(), "miner-0001", "miner", traffic).converse(80, "", 0)
    for at_s in (1, 2, 9, 10):
        meter.received(b"?", at_s * SECOND)
    miner.received(b"?", 3 * SECOND)
    assert traffic.requests == {"meter": 4, "miner": 1}


def test_the_first_request_is_announced_once(traffic: Traffic) -> None:
    heard: list[Instant] = []
    traffic.on_first = heard.append
    conversation = Tap(House(), "m", "miner", traffic).converse(80, "", 0)
    conversation.received(b"a", 5)
    conversation.received(b"b", 6)
    assert heard == [5]


def test_frames_are_stamped_with_when_they_leave_and_written_in_that_order(traffic: Traffic, tmp_path: Path) -> None:
    conversation = Tap(House(), "m", "miner", traffic).converse(80, "", 0)
    conversation.received(b"a", 0)
    conversation.received(b"b", 50 * MILLISECOND)  # its answers wait for those to the first
    traffic.write(tmp_path / "frames.parquet")
    table = pq.read_table(tmp_path / "frames.parquet").to_pydict()
    told = list(zip(table["t_ns"], table["direction"], table["bytes"], strict=True))
    ms = MILLISECOND
    assert told == [
        (0, "in", b"a"), (0, "out", b"a"), (50 * ms, "in", b"b"),
        (100 * ms, "out", b"a"), (100 * ms, "out", b"b"), (200 * ms, "out", b"b"),
    ]  # fmt: skip


def test_the_record_is_bounded_and_says_how_much_it_left_out(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tap, "MOST_FRAMES", 4)
    monkeypatch.setattr(tap, "MOST_BYTES", 3)
    conversation = Tap(House(), "m", "miner", traffic).converse(80, "", 0)
    for at in range(3):
        conversation.received(b"abcdef", at)
    assert (len(traffic.frames), traffic.dropped) == (4, 5)
    assert {frame[4] for frame in traffic.frames} == {b"abc"}
    assert traffic.requests == {"miner": 3}


class Prompt(Echo):
    """A conversation with answers that stand."""

    def __init__(self) -> None:
        super().__init__()
        self.standing = Standing()


class Writes:
    """As much of a connection as an answer needs."""

    def __init__(self, sock: socket.socket) -> None:
        self.write = sock.sendall


def test_answers_that_stand_are_counted_announced_and_written_like_any(traffic: Traffic, tmp_path: Path) -> None:
    class Model:
        changes = 0

    heard: list[Instant] = []
    conversation = Tap(House(Prompt), "m", "meter", traffic).converse(502, "", 0)
    standing = standing_of(conversation)
    assert standing is not None
    standing.answers = {b"?": Answer(b"?", b"!", Model(), 0, 100)}
    near, far = socket.socketpair()
    with near, far:
        for at in (10, 20):
            exchange = Exchange(near, standing, cast(Connection, Writes(near)), lambda at=at: at, 0)
            if at == 20:
                traffic.on_first = heard.append
            far.send(b"12?")
            exchange.hear(select.EPOLLIN)
            assert far.recv(9) == b"12!"
        conversation.received(b"x", 30)
    assert (traffic.requests, heard, traffic.dropped) == ({"meter": 3}, [20], 0)
    assert traffic.heard("m") == [10, 20, 30]
    traffic.write(tmp_path / "frames.parquet")
    rows = pq.read_table(tmp_path / "frames.parquet").to_pylist()
    told = [(row["t_ns"], row["device"], row["port"], row["direction"], row["bytes"]) for row in rows]
    assert told[:4] == [
        (10, "m", 502, "in", b"12?"), (10, "m", 502, "out", b"12!"),
        (20, "m", 502, "in", b"12?"), (20, "m", 502, "out", b"12!"),
    ]  # fmt: skip


def test_a_run_without_traffic_has_an_empty_table(traffic: Traffic, tmp_path: Path) -> None:
    traffic.write(tmp_path / "frames.parquet")
    assert pq.read_table(tmp_path / "frames.parquet").num_rows == 0


def test_who_counts_his_connections_still_does_and_hears_of_their_end(traffic: Traffic) -> None:
    told: list[object] = []

    class Counted(Clock):
        def attend(self, rouse: Callable[[], None]) -> None:
            told.append(rouse)

        def lost(self, now: Instant) -> None:
            told.append(now)

    for kind in (Counted, Clock):
        conversation = Tap(House(kind), "m", "miner", traffic).converse(80, "127.0.0.1", 0)
        conversation.attend(print)  # type: ignore[attr-defined]
        conversation.lost(SECOND)  # type: ignore[attr-defined]
    assert told == [print, SECOND]
