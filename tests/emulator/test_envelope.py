"""What is around the text of a reply: taken off and put on again, with the right length."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.envelope import opened, page

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: %d\r\nServer: x\r\n\r\n"
texts = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), min_size=1).map(str.encode)


def http(body: bytes) -> bytes:
    return HEAD % len(body) + body


def prefixed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + body


WRAPPINGS = [lambda body: body, lambda body: body + b"\x00", lambda body: body + b"\n", http, prefixed]


@pytest.mark.parametrize("wrap", WRAPPINGS, ids=["bare", "nul", "line", "http", "prefix"])
@given(text=texts, other=texts)
def test_a_text_goes_out_in_the_envelope_the_other_came_in(wrap: object, text: bytes, other: bytes) -> None:
    assert callable(wrap)
    envelope = opened(wrap(text))
    assert envelope is not None
    assert envelope.body == text
    assert envelope.sealed(text) == wrap(text)
    assert envelope.sealed(other) == wrap(other)


def test_a_wrong_length_is_told_where_one_is_told_and_a_tail_can_be_left_away() -> None:
    for wrap, told in ((http, b"content-length: 9\r\n"), (prefixed, b"\x09\x00\x00\x00")):
        envelope = opened(wrap(b"hello"))
        assert envelope is not None
        assert told in envelope.sealed(b"hello", length=4)
        assert envelope.sealed(b"hello", length=-99).endswith(b"hello")
    envelope = opened(b"hello\x00")
    assert envelope is not None
    assert envelope.sealed(b"hello", length=4) == b"hello\x00"
    assert envelope.sealed(b"hello", bare=True) == b"hello"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x00", b"HTTP/1.1 100 Continue\r\n\r\n", HEAD % 9 + b"part", HEAD % 9,
        b"HTTP/1.12000 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"\x00\x00\x04\x01\x00\x00\x00\x01\x88", b"\x00\x01\x00\x00\x00\x05\x01\x03\x02\x00\x07", b"\xff\xfe text",
    ],
)  # fmt: skip
def test_what_is_no_whole_text_is_left_alone(data: bytes) -> None:
    assert opened(data) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_opened_or_not_and_never_changed(data: bytes) -> None:
    envelope = opened(data)
    assert envelope is None or envelope.sealed(envelope.body) == data


def test_a_page_is_a_whole_reply_with_its_headers() -> None:
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "m")]))
    reader.send(h11.EndOfMessage())
    sent = page(401, "Unauthorized", [("WWW-Authenticate", b'Digest realm="x"')])
    reader.receive_data(sent)
    head = reader.next_event()
    assert isinstance(head, h11.Response)
    assert (head.status_code, dict(head.headers)[b"www-authenticate"]) == (401, b'Digest realm="x"')
    assert isinstance(reader.next_event(), h11.Data)
    assert isinstance(reader.next_event(), h11.EndOfMessage)
    envelope = opened(sent)
    assert envelope is not None
    assert (envelope.status, envelope.field("www-authenticate")) == (401, b'Digest realm="x"')
