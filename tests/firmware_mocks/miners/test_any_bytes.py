"""Any bytes on any port: nothing is raised, and without credentials nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.wire import SECOND, Close, Send
from firmware_mocks.miners import antminer_stock, luxos

MakeBench = Callable[..., Any]
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FACES = [
    ("antminer-stock", "s21"),
    ("luxos", "s21"),
    ("epic", "s21"),
    ("auradine", "at1500"),
    ("vnish", "s21"),
    ("mara", "s21"),
]

paths = st.sampled_from(
    ["/", "/cgi-bin/", "*", *(f"/cgi-bin/{name}.cgi" for name in [*antminer_stock.PAGES, *antminer_stock.ACTIONS])]
)
bodies = st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9), st.lists, max_leaves=5
).map(lambda value: json.dumps({"miner-mode": value, "blink": value, "pools": value, "freq-level": value}).encode())
commands = st.sampled_from(sorted({*antminer_stock.COMMANDS, *luxos.COMMANDS}))
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
parameters = (
    scalars
    | st.lists(st.text("0123456789,=+-.aW", max_size=8), max_size=5).map(",".join)
    | st.lists(scalars, max_size=3)
)


@st.composite
def web_requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from(["GET", "POST", "HEAD", "PUT", "CONNECT", "get"]))
    body = draw(bodies)
    headers = draw(st.lists(st.sampled_from([
        "Host: m", "Connection: close", "Transfer-Encoding: chunked", "Expect: 100-continue", "Upgrade: websocket",
        "Authorization: Digest", 'Authorization: Digest username="root", realm="antMiner Configuration", nonce="0:0"',
        f"Content-Length: {len(body)}", "Content-Length: 3", "X: \xff",
    ]), max_size=5))  # fmt: skip
    version = draw(st.sampled_from(["1.1", "1.1", "1.0", "2.0"]))
    lines = [f"{method} {draw(paths)} HTTP/{version}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@st.composite
def api_requests(draw: st.DrawFn) -> bytes:
    asked = {"command": draw(commands | st.lists(commands).map("+".join) | scalars), "parameter": draw(parameters)}
    if draw(st.booleans()):
        return json.dumps(asked).encode()
    return f"{asked['command']}|{asked['parameter']}".encode("utf-8", errors="replace")


anything = st.binary(max_size=200) | web_requests() | api_requests()


@pytest.mark.parametrize(("firmware", "model_id"), FACES)
@QUICK
@given(pieces=st.lists(anything, max_size=4), port=st.sampled_from([80, 4028, 6060, 8080]))
def test_any_bytes_raise_nothing_and_change_nothing(
    bench: MakeBench, firmware: str, model_id: str, pieces: list[bytes], port: int
) -> None:
    made = bench(firmware, model_id)
    free = {"addpool", "addgroup", "removepool", "removegroup", "switchpool", "enablepool", "disablepool", "groupquota"}
    before = made.device.conf
    talk = made.device.converse(port, "127.0.0.1", made.start)
    closed = False
    for n, piece in enumerate([*pieces, None]):
        at = made.start + n * SECOND
        actions = list(talk.ended(at) if piece is None else talk.received(piece, at))
        assert all(isinstance(action, Send | Close) and action.delay_ns >= 0 for action in actions)
        assert not (closed and any(isinstance(action, Send) for action in actions))
        closed = closed or any(isinstance(action, Close) for action in actions)
    assert made.unit.ran == []
    if firmware != "luxos" or not any(name.encode() in piece for name in free for piece in pieces):
        assert made.device.conf == before


@pytest.mark.parametrize("how", ["none", "wrong"])
@QUICK
@given(name=st.sampled_from(sorted(antminer_stock.ACTIONS)), body=bodies)
def test_no_web_write_works_without_the_password(bench: MakeBench, how: str, name: str, body: bytes) -> None:
    made = bench("antminer-stock", "s21")
    if how == "none":
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"POST /cgi-bin/{name}.cgi HTTP/1.1\r\nHost: m\r\n{length}\r\n".encode()
        assert made.web(head + body)[0] == 401
    else:
        assert made.cgi(name, body, password="guess")[0] == 401
    assert made.unit.ran == []
    assert (made.device.conf, made.device.blink, made.device.password) == (antminer_stock.FACTORY, False, "root")


@QUICK
@given(body=bodies)
def test_any_body_with_the_password_is_answered(bench: MakeBench, body: bytes) -> None:
    made = bench("antminer-stock", "s21")
    for name in antminer_stock.ACTIONS:
        if name not in ("passwd", "log"):
            status, said, _ = made.cgi(name, body)
            assert status == 200
            assert isinstance(said, dict)
    for name in antminer_stock.PAGES:
        assert made.cgi(name)[0] == 200


@QUICK
@given(
    command=st.sampled_from(sorted(luxos.COMMANDS)),
    parameter=st.lists(st.text("0123456789=+-.aWkTHs", max_size=8), max_size=5),
)
def test_any_parameters_with_the_session_are_answered(bench: MakeBench, command: str, parameter: list[str]) -> None:
    made = bench("luxos", "s21")
    sid = made.ask("logon")["SESSION"][0]["SessionID"]
    assert made.ask(command, ",".join([sid, *parameter]))["STATUS"][0]["STATUS"] in "SE"
    for name in luxos.REPORTS:
        assert made.ask(name)["STATUS"][0]["STATUS"] == "S"
