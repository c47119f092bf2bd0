"""Any bytes on any port of a WhatsMiner: nothing is raised, and without credentials nothing is changed."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.wire import SECOND, Close, Send
from firmware_mocks.miners import whatsminer_v2, whatsminer_v3
from tests.firmware_mocks.miners.whatsminer_hand import Hand, framed

MakeBench = Callable[..., Any]
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FACES = [("whatsminer", "m50s"), ("whatsminer-v3", "m63s")]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
trees = st.recursive(
    scalars | st.sampled_from(["auto", "stop", "low", "dhcp", "enable", "70", "2500"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
v2_names = [*whatsminer_v2.WRITES, *whatsminer_v2.READS, *whatsminer_v2.REPORTS, "get_token", "open_write_api"]
v3_reads = ["get.device.info", "get.miner.status", *whatsminer_v3.PLAIN_READS]
commands = st.sampled_from([*v2_names, *whatsminer_v3.WRITES, *v3_reads])
V2_KEYS = (
    "percent", "power_limit", "power", "upfreq_speed", "temp_offset", "param", "color", "period", "duration", "start",
    "pool1", "worker1", "old", "new", "ip", "hostname", "timezone", "zonename", "respbefore", "mode", "poweroff_cool",
    "fan_zero_speed",
)  # fmt: skip
parameters = st.dictionaries(st.sampled_from(V2_KEYS), trees, max_size=5)


@st.composite
def v2_requests(draw: st.DrawFn) -> bytes:
    key = draw(st.sampled_from(["cmd", "command"]))
    name = draw(commands | st.lists(commands, min_size=2, max_size=4).map("+".join) | trees)
    asked = {key: name, "token": draw(trees)} | draw(parameters)
    if draw(st.booleans()):
        asked |= {"enc": 1, "data": draw(trees | st.binary(max_size=64).map(lambda data: data.hex()))}
    return json.dumps(asked).encode()


@st.composite
def v3_requests(draw: st.DrawFn) -> bytes:
    asked = {name: draw(trees) for name in draw(st.sets(st.sampled_from(["param", "ts", "token", "account"])))}
    text = json.dumps({"cmd": draw(commands | trees)} | asked).encode()
    return draw(st.sampled_from([framed(text), struct.pack("<I", len(text) // 2) + text, text]))


anything = st.binary(max_size=200) | v2_requests() | v3_requests() | st.just(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")


@pytest.mark.parametrize(("firmware", "model_id"), FACES)
@QUICK
@given(pieces=st.lists(anything, max_size=4), port=st.sampled_from([80, 4028, 4433]))
def test_any_bytes_raise_nothing_and_change_nothing(
    bench: MakeBench, firmware: str, model_id: str, pieces: list[bytes], port: int
) -> None:
    made = bench(firmware, model_id)
    device = made.device
    before = (device.conf, device.access.doors, device.led, device.is_stopped)
    talk = device.converse(port, "127.0.0.1", made.start)
    closed = False
    for n, piece in enumerate([*pieces, None]):
        at = made.start + n * SECOND
        actions = list(talk.ended(at) if piece is None else talk.received(piece, at))
        assert all(isinstance(action, Send | Close) and action.delay_ns >= 0 for action in actions)
        assert not (closed and any(isinstance(action, Send) for action in actions))
        closed = closed or any(isinstance(action, Close) for action in actions)
    assert made.unit.ran == []
    assert (device.conf, device.access.doors, device.led, device.is_stopped) == before


@QUICK
@given(command=st.sampled_from([*whatsminer_v2.WRITES]), asked=parameters)
def test_any_parameters_in_the_envelope_are_answered(bench: MakeBench, command: str, asked: dict[str, Any]) -> None:
    made = bench("whatsminer", "m50s", mode_answers=True)
    hand = Hand(made)
    reply = hand.write(command, **asked)
    assert (reply["STATUS"], reply["Code"]) in (("S", 131), ("E", 132))
    assert all(at >= made.start for _, at, _ in made.unit.ran)
    for name in (*whatsminer_v2.READS, *whatsminer_v2.REPORTS):
        status = hand.read(name, made.start + 60 * SECOND)["STATUS"]
        assert (status if isinstance(status, str) else status[0]["STATUS"]) == "S"


@QUICK
@given(command=st.sampled_from([*whatsminer_v3.WRITES]), param=trees, sealed=st.booleans())
def test_any_parameter_with_the_token_is_answered(bench: MakeBench, command: str, param: Any, sealed: bool) -> None:
    made = bench("whatsminer-v3", "m63s", mode_answers=True)
    hand = Hand(made)
    reply = hand.tell(command, param, sealed=sealed)
    assert reply["code"] in (0, -1, -3)
    assert reply["desc"] == command
    later = made.start + 60 * SECOND
    for name in ("get.device.info", *whatsminer_v3.PLAIN_READS):
        assert hand.ask(name, now=later)["code"] == 0
    assert hand.ask("get.miner.status", "summary+edevs", now=later)["code"] == 0
