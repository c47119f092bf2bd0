"""WebSocket frames: the examples of RFC 6455, and any bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_mocks.miners.websocket import MOST_PAYLOAD, TEXT, FrameError, accept_key, frame, take


def masked(opcode: int, payload: bytes, mask: bytes = b"\x37\xfa\x21\x3d") -> bytes:
    """A frame as a client sends it."""
    whole = frame(opcode, payload)
    start = len(whole) - len(payload)
    head = bytes([whole[0], whole[1] | 0x80]) + whole[2:start]
    return head + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))


def test_the_examples_of_the_standard() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert frame(TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert masked(TEXT, b"Hello") == bytes.fromhex("818537fa213d7f9f4d5158")
    found, rest = take(bytes.fromhex("818537fa213d7f9f4d5158") + b"more")
    assert found is not None
    assert (found.opcode, found.payload, rest) == (TEXT, b"Hello", b"more")


@given(st.binary(max_size=70_000) | st.integers(0, MOST_PAYLOAD).map(bytes), st.integers(0, 15))
def test_what_is_written_is_read_again_however_long(payload: bytes, opcode: int) -> None:
    data = masked(opcode, payload)
    if len(payload) > MOST_PAYLOAD:
        with pytest.raises(FrameError, match="at most"):
            take(data)
        return
    found, rest = take(data)
    assert found is not None
    assert (found.opcode, found.payload, rest) == (opcode, payload, b"")
    assert take(data[:-1])[0] is None or not data[:-1]


@given(st.binary(max_size=40))
def test_any_bytes_are_a_frame_a_beginning_or_an_error(data: bytes) -> None:
    try:
        found, rest = take(data)
    except FrameError:
        return
    assert rest == data if found is None else data.endswith(rest)


def test_an_unmasked_frame_and_an_extension_are_errors() -> None:
    for data in (frame(TEXT, b"Hello"), b"\xc1\x80aaaa"):
        with pytest.raises(FrameError, match="masked"):
            take(data)
