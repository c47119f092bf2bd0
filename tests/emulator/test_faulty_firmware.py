"""Requests that are answered and forgotten: state is put back, hardware hears nothing, identities stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from emulator.faults import Fault, FaultPlan, Value
from emulator.faulty_firmware import taken_back
from emulator.faulty_link import FaultyDevice, with_faults
from emulator.seed import Seed
from emulator.wire import Action, Conversation, Instant, Reach, Send


@dataclass
class Unit:
    ran: list[str] = field(default_factory=list)
    watts: float = 3000.0

    def run(self, script: str, now: Instant, *, setpoint: float | None = None) -> None:
        self.ran.append(script)


class Board:
    """A firmware in the smallest: it counts, keeps settings in a dict and in a list, and commands its unit."""

    __slots__ = ("count", "itself", "late", "ports", "settings", "talks", "unit")

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.ports: tuple[int, ...] = (80,)
        self.count = 0
        self.settings: dict[str, list[str]] = {"pools": ["a"]}
        self.itself = self
        self.talks: list[Talk] = []

    def reach(self, port: int, now: Instant) -> Reach:
        return Reach.ANSWERS

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        self.talks.append(Talk(self))
        return self.talks[-1]


@dataclass(eq=False)
class Talk:
    board: Board
    idle_timeout_ns: int | None = None
    heard: bytes = b""

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        self.heard += data
        if not self.heard.endswith(b"\r\n\r\n"):
            return []
        self.heard = b""
        self.board.count += 1
        self.board.settings["pools"].append("b")
        self.board.late = 1
        self.board.unit.run("sleep", now)
        return [Send(b"ok %d %g" % (self.board.count, self.board.unit.watts))]

    def ended(self, now: Instant) -> Sequence[Action]:
        return []


POST, GET = b"POST /set HTTP/1.1\r\n\r\n", b"GET /set HTTP/1.1\r\n\r\n"


def test_whatever_happens_inside_is_taken_back() -> None:
    board = Board(unit := Unit())
    with taken_back(board):
        assert Talk(board).received(POST, 0) == [Send(b"ok 1 3000")]
        assert board.unit is not unit
    assert (board.count, board.settings, unit.ran, hasattr(board, "late")) == (0, {"pools": ["a"]}, [], False)
    assert board.unit is unit
    assert board.itself is board
    with pytest.raises(KeyError), taken_back(board):
        raise KeyError
    assert board.unit is unit


def faulty(board: Board, told: list[int] | None = None, **given: Value) -> Any:
    heard = None if told is None else lambda now, fault, target: told.append(now)
    return FaultyDevice(board, [Fault("m", "acknowledge_only", 5, 9, given)], Seed(1), "m", heard)


def test_a_request_is_answered_and_forgotten_while_the_fault_lasts() -> None:
    board, told = Board(Unit()), list[int]()
    talk = faulty(board, told).converse(80, "peer", 0)
    assert [talk.received(POST, now) for now in (4, 5, 8, 9)] == [
        [Send(b"ok 1 3000")], [Send(b"ok 2 3000")], [Send(b"ok 2 3000")], [Send(b"ok 2 3000")],
    ]  # fmt: skip
    assert (board.count, board.unit.ran, told) == (2, ["sleep", "sleep"], [5, 8])


def test_a_device_that_knows_its_connections_goes_on_knowing_them() -> None:
    board = Board(Unit())
    device = faulty(board)
    first = device.converse(80, "peer", 5)
    known = list(board.talks)
    first.received(POST, 6)
    assert board.talks == known
    device.converse(80, "peer", 6).received(POST, 7)
    assert board.talks[:1] == known
    assert [talk.heard for talk in board.talks] == [b"", b""]


def test_only_the_requests_that_are_named_are_forgotten_also_in_pieces() -> None:
    board = Board(Unit())
    talk = faulty(board, requests="POST*").converse(80, "peer", 0)
    talk.received(GET, 6)
    assert board.count == 1
    assert talk.received(POST[:9], 6) == []
    assert talk.received(POST[9:-2], 6) == []
    assert talk.received(POST[-2:], 6) == [Send(b"ok 2 3000")]
    assert (board.count, board.unit.ran) == (1, ["sleep"])
    talk.received(GET, 7)
    assert board.count == 2


def test_a_draw_decides_for_a_request_however_many_pieces_it_comes_in() -> None:
    counts = []
    for pieces in (1, len(POST)):
        board = Board(Unit())
        talk = faulty(board, probability=0.5).converse(80, "peer", 0)
        size = len(POST) // pieces
        for _ in range(40):
            for at in range(0, len(POST), size):
                talk.received(POST[at : at + size], 6)
        counts.append(board.count)
    assert all(8 < count < 32 for count in counts)


def test_a_miner_without_the_fault_is_not_wrapped() -> None:
    plan = FaultPlan([Fault("m2", "acknowledge_only")], Seed(1))
    board = Board(Unit())
    assert with_faults(plan, "m1", "miner", board) is board
