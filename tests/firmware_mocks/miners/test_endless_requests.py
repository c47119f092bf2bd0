"""A request without end, on every port of every firmware: an end comes, or what is kept of it stays small."""

from __future__ import annotations

import tracemalloc

import pytest

from emulator.wire import Close, speaker_of
from tests.fuzz.targets import START, faces

CHUNK, CHUNKS = 65536, 64
KEPT_BYTES = 512 * 1024
"""What a connection may cost, whatever was said on it: an eighth of what is said here. estimate"""
BEGINNINGS = {
    "nothing": b"", "json": b'{"command":"', "text": b"summary|", "head": b"GET / HTTP/1.1\r\nX-Endless: ",
    "line": b"GET /", "body": b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 99999999999\r\n\r\n",
    "chunked": b"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
    "length": b"\xff\xff\xff\x7f",
}  # fmt: skip
DOORS = [(index, port) for index, face in enumerate(faces()) for port in face.ports]


@pytest.mark.parametrize("begins", BEGINNINGS)
def test_a_request_without_end_is_not_kept(begins: str) -> None:
    for index, port in DOORS:
        face = faces()[index]
        talk = face.converse(port, "127.0.0.1", START)
        assert speaker_of(talk) is None or hasattr(talk, "wake_ns")
        actions = list(talk.received(BEGINNINGS[begins], START))
        chunk = b"a" * CHUNK
        tracemalloc.start()
        try:
            for _ in range(CHUNKS):
                if any(isinstance(action, Close) for action in actions):
                    break
                actions = list(talk.received(chunk, START))
            kept, _peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < KEPT_BYTES, f"{type(face).__name__} port {port}: {kept} bytes"
