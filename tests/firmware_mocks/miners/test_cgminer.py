"""The cgminer socket: framing, both dialects, joined commands, one request after the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.wire import SECOND, Close, Send
from firmware_mocks.miners.base import Lanes
from firmware_mocks.miners.cgminer import MAX_REQUEST, Reply, Request, encode, parse

MakeBench = Callable[..., Any]


def codes(reply: dict[str, Any]) -> tuple[str, int]:
    return reply["STATUS"][0]["STATUS"], reply["STATUS"][0]["Code"]


@pytest.mark.parametrize(
    ("said", "request_"),
    [
        (b'{"command":"summary"}', Request("summary")),
        (b'{\n  "command": "asc",\n  "parameter": 0\n}', Request("asc", "0")),
        (b'{"command":"x","parameter":2.5}\x00', Request("x", "2.5")),
        (b'{"command":"x","parameter":true}', Request("x")),
        (b"addpool|a,b,c", Request("addpool", "a,b,c", is_json=False)),
        (b"version\n", Request("version", is_json=False)),
    ],
)
def test_a_request_is_read_in_either_dialect(said: bytes, request_: Request) -> None:
    assert parse(said) == request_


def test_keys_beyond_command_and_parameter_are_kept() -> None:
    request = parse(b'{"command":"stats","new_api":true}')
    assert isinstance(request, Request)
    assert request.extra == {"new_api": True}


@pytest.mark.parametrize(
    ("said", "code"), [(b'{"command":', 23), (b"{}", 24), (b'{"command":7}', 14), (b'{"a":[[', 23)]
)
def test_a_broken_request_gets_the_code_of_its_fault(bench: MakeBench, said: bytes, code: int) -> None:
    sent, _, closed = bench("luxos").send(said)
    assert codes(json.loads(sent[:-1])) == ("E", code)
    assert closed


def test_a_reply_ends_with_one_nul_and_the_connection_is_closed(bench: MakeBench) -> None:
    actions = bench("luxos").device.converse(4028, "127.0.0.1", 10 * SECOND).received(b"version", 10 * SECOND)
    assert isinstance(actions[0], Send)
    assert actions[0].data.count(b"\x00") == 1
    assert actions[0].data.endswith(b"|\x00")
    assert actions[1] == Close()


def test_text_replies_name_their_sections_the_way_cgminer_does() -> None:
    rows = {"POOLS": [{"POOL": 0, "URL": "a|b"}], "SUMMARY": [{"Elapsed": 3, "On": True}], "DEVS": [{"ASC": 0}]}
    text = encode(Reply("S", 7, "ok", rows), "miner 1", 5, is_json=False)
    head = "STATUS=S,When=5,Code=7,Msg=ok,Description=miner 1|"
    assert text == head + "POOL=0,URL=a\\|b|SUMMARY,Elapsed=3,On=true|ASC=0|"


def test_a_bare_status_is_a_string_and_not_a_list() -> None:
    assert json.loads(encode(Reply("S", 0, "", bare="RESTART"), "b", 0, is_json=True)) == {"STATUS": "RESTART", "id": 1}


def test_joined_commands_come_back_one_key_each(bench: MakeBench) -> None:
    reply = bench("luxos").ask("version+summary+version+logon+nonsense")
    assert list(reply) == ["version", "summary", "logon", "nonsense", "id"]
    assert [codes(reply[name][0]) for name in ("version", "summary", "logon", "nonsense")] == [
        ("S", 22), ("S", 11), ("E", 45), ("E", 14),
    ]  # fmt: skip


def test_joined_commands_in_text_are_announced_by_name(bench: MakeBench) -> None:
    sent, _, _ = bench("luxos").send(b"version+power")
    assert sent.startswith(b"CMD=version|STATUS=S")
    assert b"|CMD=power|STATUS=S" in sent


def test_a_request_in_two_segments_is_parsed_half_as_by_the_real_single_recv(bench: MakeBench) -> None:
    talk = bench("luxos").device.converse(4028, "127.0.0.1", 10)
    (sent, closed) = talk.received(b'{"command":"ver', 10)
    assert codes(json.loads(sent.data[:-1])) == ("E", 23)
    assert closed == Close()
    assert list(talk.received(b'sion"}', 11)) == []
    assert list(talk.ended(12)) == []


def test_a_patient_server_waits_for_the_rest(bench: MakeBench) -> None:
    talk = bench("luxos", one_recv=False).device.converse(4028, "127.0.0.1", 10)
    assert list(talk.received(b'{"command":"ver', 10)) == []
    sent, _ = talk.received(b'sion"}', 11)
    assert codes(json.loads(sent.data[:-1])) == ("S", 22)


def test_half_a_request_is_served_when_the_peer_goes(bench: MakeBench) -> None:
    talk = bench("luxos", one_recv=False).device.converse(4028, "127.0.0.1", 10)
    talk.received(b'{"command":', 10)
    sent, _ = talk.ended(11)
    assert codes(json.loads(sent.data[:-1])) == ("E", 23)


def test_a_peer_that_says_nothing_hears_nothing(bench: MakeBench) -> None:
    assert list(bench("luxos").device.converse(4028, "127.0.0.1", 10).ended(11)) == [Close()]


def test_an_endless_request_is_cut_at_the_size_of_the_buffer(bench: MakeBench) -> None:
    talk = bench("luxos", one_recv=False).device.converse(4028, "127.0.0.1", 10)
    assert list(talk.received(b'{"command":"' + b"x" * 3000, 10)) == []
    sent, closed = talk.received(b"x" * MAX_REQUEST, 11)
    assert codes(json.loads(sent.data[:-1])) == ("E", 23)
    assert closed == Close()


def test_requests_are_served_strictly_one_after_the_other(bench: MakeBench) -> None:
    made = bench("luxos")
    service = made.device.knobs.api_reply_ns
    delays = [made.send(b'{"command":"version"}')[1] for _ in range(5)]
    assert delays == [service * n for n in range(1, 6)]
    assert made.send(b'{"command":"version"}', made.start + SECOND)[1] == service


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=40), st.integers(1, 4))
def test_lanes_serve_in_order_and_never_more_at_once_than_they_are(jobs: list[tuple[int, int]], count: int) -> None:
    lanes, now, spans = Lanes(count), 0, []
    for gap, takes in jobs:
        now += gap
        done = lanes.serve(now, takes)
        assert done >= now + takes
        spans.append((done - takes, done))
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    for start, _ in spans:
        assert sum(begun <= start < ended for begun, ended in spans) <= count
