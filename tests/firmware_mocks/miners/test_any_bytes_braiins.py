"""Any bytes on any port of Braiins OS: nothing is raised, without a token nothing is changed, nothing grows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import h2.connection
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.wire import SECOND, Close, Send, speaker_of
from firmware_mocks.miners.braiins_api import MESSAGES, METHODS, REST
from firmware_mocks.miners.braiins_calls import OPEN
from firmware_mocks.miners.braiins_conf import FACTORY
from firmware_mocks.miners.braiins_socket import COMMANDS
from firmware_mocks.miners.grpc import Status
from tests.firmware_mocks.miners.grpc_caller import LOGIN, Caller

MakeBench = Callable[..., Any]
QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FREE = {"pause", "resume", "addpool", "removepool", "switchpool", "enablepool", "disablepool"}
"""Commands that 4028 obeys without asking who calls, as the original does."""

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
values = st.recursive(leaves, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=6), some))
words = sorted({name for message in MESSAGES for field in MESSAGES[message].fields.values() for name in (
    field.name, field.oneof, field.name.replace("_", ""))} - {""})  # fmt: skip
documents = st.recursive(
    leaves, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.sampled_from(words), some, max_size=5)
)
routes = st.sampled_from([*REST, "GET version", "PATCH miner/hw/hashboards", "GET docs/openapi.json", "GET x"])


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_answered_as_text_too(command: str, bench: MakeBench) -> None:
    said, _, closed = bench("braiins", "s19j_pro").send(command.encode())
    assert said.startswith(b"STATUS=")
    assert closed
    if command in ("pause", "resume"):  # it runs, so there is nothing to resume
        assert said.endswith({"pause": b"|PAUSE=true|\x00", "resume": b"|RESUME=false|\x00"}[command])


@st.composite
def web_requests(draw: st.DrawFn) -> bytes:
    verb, path = draw(routes).split()
    path = draw(
        st.sampled_from([f"/api/v1/{path}", "/graphql", "/", "/cgi-bin/luci", "/cgi-bin/luci/admin", "*", "/x"])
    )
    body = draw(st.binary(max_size=60) | documents.map(lambda given: json.dumps(given).encode()))
    headers = draw(st.lists(st.sampled_from([
        "Host: m", "Connection: close", "Transfer-Encoding: chunked", "Expect: 100-continue", "Authorization: Bearer x",
        "Authorization: ", "Cookie: session_id=x; a=\x01", "Cookie: ;=;", f"Content-Length: {len(body)}", "X: \xff",
    ]), max_size=5))  # fmt: skip
    verb = draw(st.sampled_from([verb, "GET", "POST", "PUT", "get"]))
    return "\r\n".join([f"{verb} {path} HTTP/1.1", *headers, "", ""]).encode("latin-1") + body


@st.composite
def api_requests(draw: st.DrawFn) -> bytes:
    name = draw(st.sampled_from(sorted(COMMANDS)) | st.lists(st.sampled_from(sorted(COMMANDS))).map("+".join) | leaves)
    asked = {"command": name, "parameter": draw(leaves | st.text("0123456789,:/ab", max_size=20))}
    return (
        json.dumps(asked).encode() if draw(st.booleans()) else f"{name}|{asked['parameter']}".encode("utf-8", "replace")
    )


@st.composite
def grpc_requests(draw: st.DrawFn) -> bytes:
    client = h2.connection.H2Connection()
    client.initiate_connection()
    for n in range(draw(st.integers(0, 3))):
        head = {":method": draw(st.sampled_from(["POST", "GET"])), ":scheme": "http", ":authority": "m"}
        head[":path"] = draw(st.sampled_from([*METHODS, "/x"]))
        head |= draw(st.sampled_from([{}, {"content-type": "application/grpc"}, {"authorization": "x"}]))
        ends = draw(st.booleans())
        client.send_headers(2 * n + 1, list(head.items()), end_stream=ends)
        if not ends:
            client.send_data(2 * n + 1, draw(st.binary(max_size=40)), end_stream=draw(st.booleans()))
    return client.data_to_send()


anything = st.binary(max_size=200) | web_requests() | api_requests() | grpc_requests()


@QUICK
@given(pieces=st.lists(anything, max_size=4), port=st.sampled_from([80, 4028, 50051]))
def test_any_bytes_raise_nothing_and_change_nothing(bench: MakeBench, pieces: list[bytes], port: int) -> None:
    made = bench("braiins", "s21")
    talk = made.device.converse(port, "127.0.0.1", made.start)
    closed = False
    for n, piece in enumerate([*pieces, None]):
        at = made.start + n * SECOND
        actions = list(talk.ended(at) if piece is None else talk.received(piece, at))
        speaker = speaker_of(talk)
        if speaker is not None and speaker.wake_ns is not None:
            actions += speaker.woken(max(at, speaker.wake_ns))
        assert all(isinstance(action, Send | Close) and action.delay_ns >= 0 for action in actions)
        assert not (closed and any(isinstance(action, Send) for action in actions))
        closed = closed or any(isinstance(action, Close) for action in actions)
    assert (made.device.saved, made.device.light, made.device.password) == (FACTORY, False, "root")
    assert len(made.device.tokens) == len(made.device.sessions) == 0
    if port != 4028 or not any(name.encode() in piece for name in FREE for piece in pieces):
        assert made.unit.ran == []
        assert made.device.conf == FACTORY


def signed_in(bench: MakeBench) -> tuple[Any, Caller, str]:
    made = bench("braiins", "s21")
    caller = Caller(made.device.converse(50051, "127.0.0.1", made.start), made.start)
    asked = {"username": "root", "password": "root"}
    told = caller.call(LOGIN, MESSAGES.encode("LoginRequest", asked)).messages[0]
    return made, caller, MESSAGES.decode("LoginResponse", told)["token"]


@QUICK
@given(path=st.sampled_from([path for path in METHODS if path not in OPEN]), message=st.binary(max_size=60))
def test_any_message_with_the_token_is_answered(bench: MakeBench, path: str, message: bytes) -> None:
    made, caller, token = signed_in(bench)
    if METHODS[path].streams:
        return
    heard = caller.call(path, message, token=token)
    assert Status(heard.status) in (Status.OK, Status.INVALID_ARGUMENT, Status.INTERNAL, Status.NOT_FOUND)
    for name in ("GetMinerDetails", "GetMinerStats", "GetHashboards"):
        assert caller.call(f"/braiins.bos.v1.MinerService/{name}", token=token).status in (0, 16)
    assert made.ask("version")["STATUS"][0]["STATUS"] == "S"


@QUICK
@given(line=routes, body=documents | values)
def test_any_body_with_the_token_is_answered(bench: MakeBench, line: str, body: Any) -> None:
    made, _, token = signed_in(bench)
    verb, path = line.split()
    text = json.dumps(body).encode()
    head = f"{verb} /api/v1/{path} HTTP/1.1\r\nHost: m\r\nAuthorization: {token}\r\nContent-Length: {len(text)}\r\n\r\n"
    status, _, _, _ = made.web(head.encode() + text)
    assert status in (200, 201, 204, 400, 401, 404, 405, 422)
    for page in ("miner/details", "miner/stats", "configuration/miner", "performance/tuner-state", "pools"):
        head = f"GET /api/v1/{page} HTTP/1.1\r\nHost: m\r\nAuthorization: {token}\r\n\r\n"
        assert made.web(head.encode())[0] == 200


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_a_body_without_end_is_cut(bench: MakeBench, size: int) -> None:
    made = bench("braiins", "s21")
    head = f"PUT /api/v1/pools/batch HTTP/1.1\r\nHost: m\r\nContent-Length: {size}\r\n\r\n"
    assert made.web(head.encode() + b"[" * size)[0] in (400, 401, 413)
