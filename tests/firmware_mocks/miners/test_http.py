"""The web server of a control board: framing by h11, digest authentication judged by httpx."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from emulator.wire import SECOND, Close, Send
from firmware_mocks.miners.http import MAX_BODY, MAX_REQUESTS, Access, Digest, HttpRequest, whole_number

MakeBench = Callable[..., Any]
ROOT = "root"
GET = b"GET / HTTP/1.1\r\nHost: m\r\n\r\n"
TOO_MUCH = b" / HTTP/1.1\r\nHost: m\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (MAX_BODY + 1)


def authorised(digest: Digest, now: int, password: str = ROOT, target: str = "/x") -> HttpRequest:
    """A request that httpx would send after a challenge."""
    request = httpx.Request("GET", f"http://m{target}")
    flow = httpx.DigestAuth("root", password).auth_flow(request)
    next(flow)
    header = {"www-authenticate": digest.challenge(now)}
    again = flow.send(httpx.Response(401, headers=header, request=request))
    return HttpRequest("GET", target, {"authorization": again.headers["authorization"]}, b"")


def test_the_right_password_is_granted_and_any_other_denied() -> None:
    digest = Digest("antMiner Configuration", 7)
    assert digest.check(authorised(digest, 5), "root", "root", 6) is Access.GRANTED
    assert digest.check(authorised(digest, 5, "toor"), "root", "root", 6) is Access.DENIED
    assert digest.check(authorised(digest, 5), "admin", "root", 6) is Access.DENIED


def test_a_nonce_grows_stale_and_a_foreign_one_never_was_fresh() -> None:
    digest, other = Digest("r", 7), Digest("r", 8)
    assert digest.check(authorised(digest, 5), "root", "root", 6 + digest.life_ns) is Access.STALE
    assert digest.check(authorised(other, 5), "root", "root", 6) is Access.STALE
    assert "stale=true" in digest.challenge(9, stale=True)


def test_an_answer_for_one_path_opens_no_other() -> None:
    digest = Digest("r", 7)
    stolen = authorised(digest, 5, target="/cgi-bin/summary.cgi")
    forged = HttpRequest("GET", "/cgi-bin/reboot.cgi", stolen.headers, b"")
    assert digest.check(forged, "root", "root", 6) is Access.DENIED


def test_the_older_form_without_qop_is_understood() -> None:
    digest = Digest("r", 7)
    nonce = digest.challenge(5).split('nonce="')[1].split('"')[0]
    ha1, ha2 = (hashlib.md5(text.encode()).hexdigest() for text in ("root:r:root", "GET:/x"))  # noqa: S324
    response = hashlib.md5(f"{ha1}:{nonce}:{ha2}".encode()).hexdigest()  # noqa: S324
    header = f'Digest username="root", realm="r", nonce="{nonce}", uri="/x", response="{response}"'
    assert digest.check(HttpRequest("GET", "/x", {"authorization": header}, b""), "root", "root", 6) is Access.GRANTED


@pytest.mark.parametrize("header", ["", "Basic cm9vdDpyb290", "Digest", "Digest a", 'Digest username="root", realm='])
def test_an_authorisation_that_is_none_is_denied(header: str) -> None:
    request = HttpRequest("GET", "/x", {"authorization": header}, b"")
    assert Digest("r", 7).check(request, "root", "root", 6) is Access.DENIED


def test_a_connection_stays_open_and_answers_pipelined_requests_in_order(bench: MakeBench) -> None:
    actions = bench("luxos").device.converse(80, "127.0.0.1", 10).received(GET + GET.replace(b"/ ", b"/no ") + GET, 10)
    assert [action.data.split(b" ")[1] for action in actions if isinstance(action, Send)] == [b"200", b"404", b"200"]
    assert not any(isinstance(action, Close) for action in actions)


def test_a_request_may_come_in_any_number_of_pieces(bench: MakeBench) -> None:
    talk = bench("luxos").device.converse(80, "127.0.0.1", 10)
    sent = [action for byte in GET for action in talk.received(bytes([byte]), 10)]
    assert len(sent) == 1
    assert sent[0].data.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_request_of_the_old_protocol_is_answered_and_the_connection_closed(bench: MakeBench) -> None:
    actions = bench("luxos").device.converse(80, "127.0.0.1", 10).received(b"GET / HTTP/1.0\r\n\r\n", 10)
    assert actions[-1] == Close()


def test_a_connection_ends_after_its_share_of_requests(bench: MakeBench) -> None:
    talk = bench("luxos").device.converse(80, "127.0.0.1", 10)
    for _ in range(MAX_REQUESTS - 1):
        assert len(talk.received(GET, 10)) == 1
    assert talk.received(GET, 10)[-1] == Close()
    assert list(talk.received(GET, 10)) == []


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400 Bad Request"),
        (b"BREW / HTTP/1.1\r\nHost: m\r\n\r\n", b"405 Method Not Allowed"),
        (b"CONNECT / HTTP/1.1\r\nHost: m\r\n\r\n", b"405 Method Not Allowed"),
        (
            b"POST" + TOO_MUCH,
            b"413 Payload Too Large",
        ),
        (
            b"HEAD" + TOO_MUCH,
            b"413 Payload Too Large",
        ),
        (b"GET / HTTP/1.1\r\nHost: m\r\nX: " + b"x" * 70_000, b"431 Request Header Fields Too Large"),
    ],
)
def test_a_faulty_request_gets_its_status(bench: MakeBench, said: bytes, status: bytes) -> None:
    actions = bench("luxos").device.converse(80, "127.0.0.1", 10).received(said, 10)
    assert isinstance(actions[0], Send)
    assert actions[0].data.startswith(b"HTTP/1.1 " + status + b"\r\n")


def test_head_gives_the_length_and_no_body(bench: MakeBench) -> None:
    (sent,) = bench("luxos").device.converse(80, "127.0.0.1", 10).received(GET.replace(b"GET", b"HEAD"), 10)
    assert b"content-length: " in sent.data.lower()
    assert sent.data.endswith(b"\r\n\r\n")


def test_a_client_that_asks_first_is_told_to_go_on(bench: MakeBench) -> None:
    talk = bench("antminer-stock").device.converse(80, "127.0.0.1", 10)
    head = b"POST /cgi-bin/blink.cgi HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    (go_on,) = talk.received(head, 10)
    assert go_on.data.startswith(b"HTTP/1.1 100 Continue\r\n")
    (sent,) = talk.received(b"{}", 11)
    assert sent.data.startswith(b"HTTP/1.1 401 Unauthorized\r\n")


def test_more_requests_than_workers_wait_for_one(bench: MakeBench) -> None:
    made = bench("antminer-stock", "s21", read_reply_ns=SECOND, web_workers=2)
    power = b"GET /miner_power HTTP/1.1\r\nHost: m\r\n\r\n"
    assert [made.web(power, port=6060)[3] - made.start for _ in range(5)] == [
        SECOND,
        SECOND,
        2 * SECOND,
        2 * SECOND,
        3 * SECOND,
    ]


@pytest.mark.parametrize(
    ("given", "number"),
    [(1, 1), ("1", 1), (" 7 ", 7), (True, None), ("-1", None), (1.0, None), ("٣", None), ("9" * 12, None)],
)
def test_a_whole_number_is_read_from_number_or_text(given: object, number: int | None) -> None:
    assert whole_number(given) == number
