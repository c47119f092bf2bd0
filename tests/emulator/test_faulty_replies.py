"""What becomes of a reply: damaged texts, other texts, other statuses, each in the envelope the reply came in."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.catalogue import GRADES
from emulator.envelope import opened
from emulator.faults import KINDS, Dice, Fault, Value
from emulator.faulty_replies import EDITS, NOTES, Occasion, malformations
from emulator.seed import Seed
from emulator.wire import Close

STATS = (
    b'{"STATUS":[{"STATUS":"S","When":17,"Code":70,"Msg":"CGMiner stats","Description":"cgminer 1.0.0"}],'
    b'"STATS":[{"Type":"Antminer S19j Pro"},{"GHS 5s":104377.12,"GHS av":104102.9,"ID":"BTM","temp0":3}],"id":1}'
)
ERRORS = b'{"STATUS":"S","When":17,"Code":131,"Msg":{"error_code":[{"530":"2024-01-05 10:22:11"}]},"Description":"w"}'
HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
CHALLENGE = b'HTTP/1.1 401 U\r\nWWW-Authenticate: Digest realm="x", nonce="1"\r\nContent-Length: 2\r\n\r\nno'


def web(body: bytes) -> bytes:
    return HTTP % len(body) + body


def occasion(kind: str, seed: int = 1, seen: dict[str, Any] | None = None, **given: Value) -> Occasion:
    return Occasion(Fault("m", kind, parameters=given), Dice(Seed(seed)), (), {} if seen is None else seen, {})


def turned(kind: str, data: bytes, seed: int = 1, seen: dict[str, Any] | None = None, **given: Value) -> bytes | None:
    instead = EDITS[kind](occasion(kind, seed, seen, **given), data)
    assert not isinstance(instead, Close)
    return instead


def damaged(how: str, data: bytes = STATS + b"\x00", seed: int = 1) -> bytes:
    wrong = turned("malformed", data, seed, how=how)
    assert wrong is not None
    return wrong


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        ("trailing_comma", b'"temp0":3,}],"id":1,}\x00'), ("missing_comma", b'"Antminer S19j Pro"}{"GHS 5s"'),
        ("extra_comma", b'"STATS":[,{"Type"'), ("missing_comma_temp0", b'"BTM""temp0":3'),
        ("missing_brace", b'"id":1\x00'), ("newline", b',\n"STATS":[{"Type"'), ("leading_comma", b',"STATUS":[{'),
        ("trailing_garbage", b'"id":1}}}\x00'), ("nul_missing", b'"id":1}'),
    ],
)  # fmt: skip
def test_each_damage_is_what_was_seen(how: str, shown: bytes) -> None:
    wrong = damaged(how)
    assert shown in wrong
    assert how == "nul_missing" or shown not in STATS + b"\x00"
    assert wrong.startswith(shown) or wrong.endswith(shown) or how not in ("leading_comma", "nul_missing")


@pytest.mark.parametrize("how", ["nan", "inf", "bare_nan", "newline_inside", "nul_inside", "missing_comma_pair"])
def test_a_damage_at_one_place_is_drawn(how: str) -> None:
    places = {damaged(how, seed=seed) for seed in range(12)}
    assert len(places) > 1
    assert damaged(how, seed=3) == damaged(how, seed=3)
    for wrong in places:
        assert abs(len(wrong) - len(STATS) - 1) <= 7


def test_an_error_list_is_written_like_an_object_and_numbers_become_words() -> None:
    assert b'"error_code":["530":"2024-01-05 10:22:11"]' in damaged("error_list", ERRORS)
    assert damaged("error_list") == STATS + b"\x00"
    assert {word for seed in range(9) for word in re.findall(rb'"GHS \w+":([^\d,]+)', damaged("nan", seed=seed))} == {
        b'"nan"'
    }


WELL_FORMED = {"newline", "nan", "inf", "nul_missing", "length_short", "length_long", "error_list"}


@pytest.mark.parametrize("how", sorted(malformations()))
def test_the_length_told_is_right_unless_that_is_the_damage(how: str) -> None:
    entry = malformations()[how]
    assert entry["grade"] in GRADES
    assert entry["what"]
    assert entry["source"]
    for wrap in (web, lambda body: len(body).to_bytes(4, "little") + body):
        wrong = damaged(how, wrap(STATS))
        assert (opened(wrong) is None) == how.startswith("length"), how
    envelope = opened(damaged(how))
    assert envelope is not None
    if how not in WELL_FORMED:
        with pytest.raises(ValueError):  # noqa: PT011  a decode error of any wording
            json.loads(envelope.body)


def test_a_damage_hits_json_and_nothing_else() -> None:
    for data in (CHALLENGE, b"<html></html>", b"\x00\x01\x00\x00\x00\x05\x01\x03\x02\x00\x07", web(b""), b""):
        for how in malformations():
            assert damaged(how, data) == data


@given(st.binary(max_size=60), st.sampled_from(sorted(EDITS)), st.integers(0, 9))
def test_no_bytes_make_an_edit_raise(data: bytes, kind: str, seed: int) -> None:
    for reply in (data, web(data), STATS + data, len(data).to_bytes(4, "little") + data):
        assert isinstance(EDITS[kind](occasion(kind, seed), reply), bytes | Close | None)
        if kind in NOTES:
            NOTES[kind](occasion(kind, seed), reply)


@pytest.mark.parametrize("how", [*KINDS["misread"].parameters["how"].of])
def test_a_misread_reply_has_the_length_it_has(how: str) -> None:
    wrong = turned("misread", web(STATS), how=how, keys="GHS_5s STATS", value="12345678901", factor=7.5)
    assert wrong is not None
    envelope = opened(wrong)
    assert envelope is not None
    json.loads(envelope.body)
    assert (wrong == web(STATS)) == (how == "freeze"), how


def test_another_text_stands_in_the_same_envelope() -> None:
    assert turned("other_body", STATS + b"\x00", body="empty") == b""
    assert turned("other_body", STATS + b"\x00", body="text", text="Not ready") == b"Not ready\x00"
    refused = turned("other_body", STATS + b"\x00", body="connect_failed")
    assert refused == b"Socket connect failed: Connection refused\n"
    html = turned("other_body", web(STATS), body="html")
    assert html is not None
    envelope = opened(html)
    assert envelope is not None
    assert envelope.status == 200
    assert envelope.field("content-type") == b"text/html"
    assert envelope.body.startswith(b"<html>")
    assert turned("other_body", web(STATS), body="empty") == HTTP % 0
    assert turned("other_body", CHALLENGE, body="html") == CHALLENGE, "a challenge is no reply to read"


def test_a_status_is_that_of_the_fault_and_a_401_repeats_the_challenge() -> None:
    assert (turned("http_status", web(STATS)) or b"").startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert turned("http_status", STATS, status=401) == STATS
    assert turned("http_status", CHALLENGE, status=401) == CHALLENGE
    seen: dict[str, Any] = {}
    assert b"WWW-Authenticate" not in (turned("http_status", web(STATS), seen=seen, status=401) or b"")
    for look in (NOTES["http_status"], EDITS["http_status"]):
        seen.clear()
        look(occasion("http_status", seen=seen, status=401), CHALLENGE)
    again = opened(turned("http_status", web(STATS), seen=seen, status=401) or b"")
    assert again is not None
    assert (again.status, again.field("WWW-Authenticate")) == (401, b'Digest realm="x", nonce="1"')


def test_an_error_has_the_form_of_the_face() -> None:
    error = {"STATUS": "E", "When": 17, "Code": 45, "Msg": "no"}
    listed = json.loads((turned("api_error", STATS + b"\x00", code=45, msg="no") or b"").rstrip(b"\x00"))
    assert listed == {"STATUS": [{**error, "Description": "cgminer 1.0.0"}], "id": 1}
    joined = turned("api_error", b'{"stats":[' + STATS + b'],"id":1}\x00', code=45, msg="no")
    assert json.loads((joined or b"").rstrip(b"\x00")) == listed
    flat = json.loads(turned("api_error", ERRORS, code=45, msg="no") or b"")
    assert flat == {**error, "Description": "w"}
    for data in (web(STATS), b"STATUS=S,When=17|", b'{"x":1}', b"[]", b'{"STATUS":"BYE","id":1}'):
        kept = turned("api_error", data)
        assert kept == data or data == b'{"STATUS":"BYE","id":1}'
