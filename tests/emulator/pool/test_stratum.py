"""The dialect: handshake, jobs, every reason to refuse a share, and bytes that are no Stratum at all."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.pool.server import Pool
from emulator.pool.stratum import StratumConversation, Terms
from emulator.seed import Seed
from emulator.wire import Close, Send
from tests.emulator.pool.miner import Work

S = 1_000_000_000
EASY = 1e-5


def pool_of(difficulty: float = EASY) -> Pool:
    return Pool(Seed(5), Terms(difficulty=difficulty))


class Talk:
    """A connection without a network: what is called, what comes back."""

    def __init__(self, pool: Pool) -> None:
        self.conversation: StratumConversation = pool.converse(3333, "127.0.0.1", 0)
        self.work = Work()
        self.closed = False
        self.pushed: list[str] = []

    def send(self, data: bytes, now: int = 0) -> list[dict[str, Any]]:
        return self.take(self.conversation.received(data, now))

    def take(self, actions: Any) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        for action in actions:
            if isinstance(action, Close):
                self.closed = True
            else:
                assert isinstance(action, Send)
                lines += [json.loads(line) for line in action.data.splitlines()]
        for line in lines:
            self.work.hear(line)
            if "method" in line:
                self.pushed.append(line["method"])
        return lines

    def call(self, method: str, *params: Any, now: int = 0) -> dict[str, Any]:
        reply = self.send(json.dumps({"id": 9, "method": method, "params": params}).encode() + b"\n", now)[0]
        assert reply["id"] == 9
        return reply

    def begin(self, worker: str = "site.m1", *, rolling: bool = True, now: int = 0) -> Talk:
        if rolling:
            reply = self.call("mining.configure", ["version-rolling"], {"version-rolling.mask": "ffffffff"}, now=now)
            self.work.mask = int(reply["result"]["version-rolling.mask"], 16)
        _, extranonce1, size = self.call("mining.subscribe", "test", now=now)["result"]
        self.work.extranonce1, self.work.extranonce2_bytes = bytes.fromhex(extranonce1), size
        assert self.call("mining.authorize", worker, "x", now=now)["result"] is True
        return self


def code(reply: dict[str, Any]) -> int | None:
    return None if reply["error"] is None else int(reply["error"][0])


def test_the_handshake_ends_in_a_difficulty_and_a_job() -> None:
    talk = Talk(pool_of()).begin()
    assert talk.work.mask == 0x1FFFE000
    assert talk.pushed == ["mining.set_difficulty", "mining.notify"]
    assert (talk.work.difficulty, talk.work.extranonce2_bytes, talk.work.job[8]) == (EASY, 8, True)


def test_every_connection_has_an_extranonce_of_its_own() -> None:
    pool = pool_of()
    assert len({Talk(pool).begin().work.extranonce1 for _ in range(100)}) == 100


def test_configure_grants_the_common_mask_and_denies_what_it_does_not_know() -> None:
    talk = Talk(pool_of())
    options = {"version-rolling.mask": "0000e000", "minimum-difficulty.value": 2048}
    names = ["version-rolling", "minimum-difficulty", "subscribe-extranonce", "info", "warp"]
    result = talk.call("mining.configure", names, options)["result"]
    assert result == {
        "version-rolling": True, "version-rolling.mask": "0000e000", "minimum-difficulty": True,
        "subscribe-extranonce": True, "info": False, "warp": False,
    }  # fmt: skip
    talk.begin(rolling=False)
    assert talk.work.difficulty == 2048
    wrong = talk.call("mining.configure", ["version-rolling"], {"version-rolling.mask": "xyz"})["result"]
    assert isinstance(wrong["version-rolling"], str)


def test_a_real_share_is_accepted_and_a_copy_of_it_is_not() -> None:
    pool = pool_of()
    talk = Talk(pool).begin()
    share = talk.work.mine("site.m1")
    assert talk.call("mining.submit", *share)["result"] is True
    assert code(talk.call("mining.submit", *share)) == 22
    tally = pool.tally("site.m1", S)
    assert (tally.accepted, tally.rejected, tally.stale, tally.synthetic) == (1, 1, 0, 0)
    assert tally.difficulty == EASY


def test_rolled_version_bits_are_part_of_the_hash_and_bits_outside_the_mask_are_refused() -> None:
    talk = Talk(pool_of()).begin()
    share = talk.work.mine("site.m1", version_bits=0x1A2AE000)
    assert talk.call("mining.submit", *share)["result"] is True
    assert code(talk.call("mining.submit", *share[:5])) == 23  # without the bits it is another hash
    assert code(talk.call("mining.submit", *share[:5], "20000000")) == 20
    plain = Talk(pool_of()).begin(rolling=False)
    assert code(plain.call("mining.submit", *plain.work.mine("site.m1"), "00002000")) == 20


def test_a_share_below_the_difficulty_is_refused() -> None:
    talk = Talk(pool_of(1e6)).begin()
    talk.work.difficulty = EASY
    reply = talk.call("mining.submit", *talk.work.mine("site.m1"))
    assert code(reply) == 23


def test_work_for_a_block_that_is_gone_is_stale_and_older_work_on_the_same_block_is_not() -> None:
    pool = pool_of()
    talk = Talk(pool).begin()
    first, second, third = (talk.work.mine("site.m1", extranonce2=i) for i in range(3))
    assert talk.call("mining.submit", *first, now=29 * S)["result"] is True
    assert talk.call("mining.submit", *second, now=31 * S)["result"] is True
    assert talk.work.job[0] != first[1]
    assert talk.work.job[8] is False
    assert code(talk.call("mining.submit", *third, now=600 * S)) == 21
    assert talk.work.job[8] is True
    assert pool.tally("site.m1", 601 * S).stale == 1


def test_callers_must_subscribe_and_authorize_first() -> None:
    pool = pool_of()
    talk = Talk(pool)
    assert code(talk.call("mining.submit", "site.m1", "0", "00" * 8, "0" * 8, "0" * 8)) == 25
    talk.begin()
    assert code(talk.call("mining.submit", "site.m2", "0", "00" * 8, "0" * 8, "0" * 8)) == 24
    assert code(talk.call("mining.authorize", "x" * 200, "x")) == 24
    assert code(talk.call("mining.authorize")) == 20
    assert pool.tally("site.m2", S).rejected == 0


@pytest.mark.parametrize(
    "change",
    [
        {2: "00"}, {2: "zz" * 8}, {3: "0"}, {3: "00000000"}, {3: "ffffffff"}, {4: "12 45678"}, {4: "-1234567"}, {4: 7},
        {1: "beef"},
    ],
)  # fmt: skip
def test_a_malformed_share_is_refused(change: dict[int, Any]) -> None:
    talk = Talk(pool_of()).begin()
    share: list[Any] = talk.work.mine("site.m1")
    for index, text in change.items():
        share[index] = text
    assert code(talk.call("mining.submit", *share)) in (20, 21)
    assert not talk.closed


def test_a_suggested_difficulty_holds_from_the_next_job_on() -> None:
    pool = pool_of(EASY)
    talk = Talk(pool).begin()
    assert talk.call("mining.suggest_difficulty", 2 * EASY)["result"] is True
    assert talk.work.difficulty == 2 * EASY
    talk.work.difficulty = EASY
    assert talk.call("mining.submit", *talk.work.mine("site.m1"), now=1)["result"] is True
    talk.send(b"\n", 31 * S)
    talk.work.difficulty = 2 * EASY
    assert talk.call("mining.submit", *talk.work.mine("site.m1"), now=31 * S)["result"] is True
    assert pool.tally("site.m1", 60 * S).difficulty == pytest.approx(3 * EASY)


@pytest.mark.parametrize("wrong", ["5", 0, -1, True, None, 1e999])
def test_a_difficulty_that_is_none_is_refused(wrong: object) -> None:
    talk = Talk(pool_of())
    text = json.dumps({"id": 9, "method": "mining.suggest_difficulty", "params": [wrong]}).encode()
    replies = talk.send(text + b"\n")
    assert talk.closed or code(replies[0]) == 20


def test_new_work_is_due_at_the_next_job_also_when_nobody_asks() -> None:
    talk = Talk(pool_of())
    assert talk.conversation.wake_ns is None
    talk.begin(now=12 * S)
    assert talk.conversation.wake_ns == 30 * S
    talk.take(talk.conversation.woken(30 * S))
    assert talk.pushed[-1] == "mining.notify"
    assert talk.conversation.wake_ns == 60 * S
    assert talk.conversation.woken(31 * S) == ()


def test_small_talk_is_answered() -> None:
    talk = Talk(pool_of())
    assert talk.call("mining.ping")["result"] == "pong"
    assert talk.call("mining.extranonce.subscribe")["result"] is True
    assert code(talk.call("mining.dance")) == 20
    assert talk.send(b'{"id":1,"result":true,"error":null}\n\r\n') == []


@pytest.mark.parametrize(
    "line",
    [b"GET / HTTP/1.1", b"[1]", b"{}", b'{"id":{},"method":"mining.ping"}', b"\xff\xfe", b"[" * 16000, b"x" * 20000,
     b'{"id":NaN,"method":"mining.ping"}', b'{"id":1e999,"method":"mining.ping"}',
     b'{"id":' + b"9" * 5000 + b',"method":"a"}'],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_json_rpc_ends_the_connection(line: bytes) -> None:
    talk = Talk(pool_of())
    talk.send(line + b"\n")
    assert talk.closed
    assert talk.send(b'{"id":1,"method":"mining.ping"}\n') == []


def test_a_line_without_an_end_is_not_hoarded() -> None:
    talk = Talk(pool_of())
    for _ in range(40):
        talk.send(b"x" * 1000)
    assert talk.closed


SESSION = b"".join(
    json.dumps({"id": i, "method": method, "params": params}).encode() + b"\n"
    for i, (method, params) in enumerate(
        [
            ("mining.configure", [["version-rolling"], {"version-rolling.mask": "1fffe000"}]),
            ("mining.subscribe", ["test"]),
            ("mining.authorize", ["w", "x"]),
            ("mining.submit", ["w", "0", "00" * 8, "6774f480", "00000000"]),
            ("mining.ping", []),
        ]
    )
)


@settings(deadline=None)
@given(st.lists(st.integers(0, len(SESSION)), max_size=20))
def test_fragmentation_changes_nothing(cuts: list[int]) -> None:
    def output(edges: list[int]) -> bytes:
        conversation = pool_of().converse(3333, "peer", 0)
        parts = [SESSION[a:b] for a, b in pairwise(edges)]
        return b"".join(a.data for part in parts for a in conversation.received(part, 0) if isinstance(a, Send))

    assert output([0, *sorted(cuts), len(SESSION)]) == output([0, len(SESSION)])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
methods = st.sampled_from(
    [f"mining.{n}" for n in ("configure", "subscribe", "authorize", "suggest_difficulty", "submit")]
)
requests = st.builds(
    lambda method, params: json.dumps({"id": 1, "method": method, "params": params}).encode() + b"\n",
    methods | st.text(max_size=10), json_values,
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(st.binary(max_size=200), requests), max_size=8), st.booleans())
def test_any_bytes_are_answered_or_end_the_connection(parts: list[bytes], begun: bool) -> None:
    talk = Talk(pool_of())
    if begun:
        talk.begin()
    for now, part in enumerate(parts):
        for action in talk.conversation.received(part, now * S):
            assert isinstance(action, Send | Close)
            if isinstance(action, Send):
                assert all(isinstance(json.loads(line), dict) for line in action.data.splitlines())
    talk.conversation.ended(100 * S)


@pytest.mark.parametrize(("start", "least"), [(0.0, 0.0), (1.0, 2.0), (float("inf"), 1.0), (float("nan"), 1.0)])
def test_impossible_terms_are_refused(start: float, least: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Terms(start, least)
