"""The operator's set-point as the reference controller reads it: what counts in a feed, and that it shows life."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from typing import Any

import pytest

from emulator.clock import Clock, run
from firmware_mocks.controllers.drivers import DeviceError, DispatchFeed, DispatchReading, http_client

Reply = tuple[int, bytes]


def order(name: str, revision: int, setpoint_kw: float, status: str = "active") -> dict[str, Any]:
    return {"id": name, "revision": revision, "setpoint_kw": setpoint_kw, "status": status}


def heard(*replies: Reply) -> tuple[list[DispatchReading | DeviceError], list[bytes]]:
    """What a feed that answers so makes of each reply, and what it was asked."""
    waiting, asked = iter(replies), []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        status, body = next(waiting)
        writer.write(b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        writer.close()

    async def main(_clock: Clock) -> list[DispatchReading | DeviceError]:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, http_client(1.0, 1.0) as http:
            entry = {
                "url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
                "resources": {"dispatch": "/v1/dispatch"},
                "credentials": {"username": "site", "password": "pw"},
            }
            feed = DispatchFeed(entry, http, 1.0)
            return [await _read(feed) for _ in replies]

    return run(main), asked


async def _read(feed: DispatchFeed) -> DispatchReading | DeviceError:
    try:
        return await feed.read()
    except DeviceError as error:
        return error


def told(orders: Sequence[dict[str, Any]], recall: int = 0) -> Reply:
    return 200, json.dumps({"orders": orders, "recall_count": recall}).encode()


def test_the_lowest_active_order_counts_in_its_highest_revision_whichever_came_last() -> None:
    orders = [order("a", 2, 300.0), order("a", 1, 50.0), order("b", 1, 400.0), order("c", 1, 10.0, "pending")]
    (reading,), asked = heard(told(orders, recall=3))
    assert reading == DispatchReading(300e3, recall=3, heartbeat=1)
    assert asked[0].startswith(b"GET /v1/dispatch HTTP/1.1")
    assert b"Authorization: Basic c2l0ZTpwdw==" in asked[0]


def test_without_an_active_order_nothing_is_limited() -> None:
    (reading,), _ = heard(told([order("a", 1, 50.0, "cancelled")]))
    assert isinstance(reading, DispatchReading)
    assert math.isinf(reading.setpoint_w)


def test_each_reply_is_a_sign_of_life_and_an_error_is_none() -> None:
    made, _ = heard(told([]), (503, b""), told([]))
    assert isinstance(made[1], DeviceError)
    assert [one.heartbeat for one in made if isinstance(one, DispatchReading)] == [1, 2]


@pytest.mark.parametrize(
    "reply",
    [
        (200, b"no JSON"),
        (200, b"[]"),
        (200, b'{"orders": []}'),
        (200, b'{"orders": [{"id": "a", "revision": 1, "status": "active"}], "recall_count": 0}'),
        (401, b""),
    ],
)
def test_what_is_no_good_answer_is_a_device_error_with_its_place(reply: Reply) -> None:
    (made,), _ = heard(reply)
    assert isinstance(made, DeviceError)
    assert "/v1/dispatch" in str(made)
