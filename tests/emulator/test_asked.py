"""The names of requests: what a fault can be aimed at, told from bytes alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.asked import MOST_BYTES, names_of, page_of


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b'{"command":"stats"}', {"stats"}),
        (b'{ "command": "curtail",\n "parameter": "Ab12,sleep" }', {"curtail", "curtail|Ab12,sleep"}),
        (b'{"command":"summary+devs"}', {"summary+devs", "summary", "devs"}),
        (b'{"cmd":"get.device.info"}', {"get.device.info"}),
        (b'\x1e\x00\x00\x00{"cmd":"set.miner.service","x":1}', {"set.miner.service"}),
        (b'{"enc": 1, "data": "aGFsbG8="}', {"enc"}),
        (b'{"id":4,"method":"mining.submit","params":[]}\n', {"mining.submit"}),
        (b"version\n", {"version"}),
        (b"ascset|0,softoff,1:17000 0\x00", {"ascset", "ascset|0,softoff,1:17000_0"}),
        (b"GET /cgi-bin/stats.cgi?x=1 HTTP/1.1\r\nHost: m\r\n\r\n", {"/cgi-bin/stats.cgi", "GET/cgi-bin/stats.cgi"}),
        (
            b'POST /mode HTTP/1.1\r\nContent-Length: 20\r\n\r\n{"command": "sleep"}',
            {"/mode", "POST/mode", "sleep"},
        ),
        (
            b"GET /x HTTP/1.1\r\nAuthorization: Digest y\r\n\r\n",
            {"/x", "GET/x", "signed:GET/x"},
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {"*", "PRI*"}),
        (b"\x00\x01\x00\x00\x00\x06\x01\x03\x00\x00\x00\x02", set()),
    ],
)
def test_requests_have_the_names_that_people_know_them_by(data: bytes, names: set[str]) -> None:
    assert set(names_of(data)) == names


def test_a_page_is_the_path() -> None:
    assert page_of(names_of(b"GET /a/b HTTP/1.1\r\n\r\n")) == "/a/b"
    assert page_of(names_of(b'{"command":"stats"}')) == ""


@given(st.binary(max_size=300) | st.text().map(lambda text: json.dumps({"command": text}).encode()))
def test_any_bytes_have_names_without_blanks(data: bytes) -> None:
    assert all(name and not any(char.isspace() for char in name) for name in names_of(data))
    assert names_of(data * (1 + MOST_BYTES)) == names_of((data * MOST_BYTES)[:MOST_BYTES])
