"""VNish: any call without a token changes nothing, any body with one is answered, any bytes raise nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.wire import SECOND, Close, Send
from firmware_mocks.miners import vnish
from firmware_mocks.miners.vnish_conf import FACTORY
from tests.firmware_mocks.miners.vnish_rest import PUBLIC, Rest, seconds

MakeBench = Callable[..., Any]
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


NAMES = st.sampled_from(sorted({*PUBLIC, *vnish.READS, *vnish.WRITES, "unlock", "metrics?step=-1&time_slice=9"}))
KEYS = st.sampled_from([
    "miner", "overclock", "preset", "globals", "freq", "volt", "pools", "url", "user", "pass", "cooling", "mode",
    "name", "param", "misc", "restart_temp", "password", "current", "pw", "presets", "restart", "key", "pool_id",
    "regional", "timezone", "network", "hostname",
])  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(["2500", "admin"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
BODIES = st.binary(max_size=60) | st.dictionaries(KEYS, VALUES, max_size=4).map(lambda body: json.dumps(body).encode())


@QUICK
@given(method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]), name=NAMES, body=BODIES)
def test_any_call_without_a_token_changes_nothing(bench: MakeBench, method: str, name: str, body: bytes) -> None:
    made = bench("vnish")
    caller = Rest(made)
    status = caller.call(method, name, body)[0]
    takes_anyone = method == "POST" and name == "unlock"  # and so it may have something against the body
    assert status in ((200, 400, 403) if takes_anyone else (200, 401, 404))
    assert status != 200 or method == "GET" or takes_anyone
    assert made.unit.ran == []
    assert (made.device.conf, made.device.halted, made.device.doors.keys) == (FACTORY, None, {})


@QUICK
@given(name=NAMES, body=BODIES, then=NAMES)
def test_any_body_with_a_token_is_answered(bench: MakeBench, name: str, body: bytes, then: str) -> None:
    caller = Rest(bench("vnish")).unlock()
    assert caller.call("POST", name, body)[0] in (200, 400, 401, 403, 404, 500)
    caller.call("POST", then, body, seconds(caller, 1))
    for page in PUBLIC:
        assert caller.call("GET", page, None, seconds(caller, 2))[0] == 200
    for command in vnish.REPORTS:
        assert caller.made.ask(command)["STATUS"][0]["STATUS"] == "S"


@QUICK
@given(pieces=st.lists(st.binary(max_size=200), max_size=4), port=st.sampled_from([80, 4028]))
def test_any_bytes_raise_nothing(bench: MakeBench, pieces: list[bytes], port: int) -> None:
    made = bench("vnish")
    talk = made.device.converse(port, "127.0.0.1", made.start)
    for n, piece in enumerate([*pieces, None]):
        at = made.start + n * SECOND
        actions = talk.ended(at) if piece is None else talk.received(piece, at)
        assert all(isinstance(action, Send | Close) for action in actions)
    assert made.unit.ran == []
