"""The operator's set-point as the reference controller reads it: what counts in a feed, and that it shows life."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from emulator.clock import Clock, run
from firmware_mocks.controllers.drivers import DeviceError, DispatchFeed, DispatchReading

ENTRY = {
    "url": "http://127.0.0.1:8080",
    "resources": {"dispatch": "/v1/dispatch"},
    "credentials": {"username": "site", "password": "pw"},
}


def order(name: str, revision: int, setpoint_kw: float, status: str = "active") -> dict[str, Any]:
    return {"id": name, "revision": revision, "setpoint_kw": setpoint_kw, "status": status}


def heard(*replies: httpx.Response) -> tuple[list[DispatchReading | DeviceError], list[httpx.Request]]:
    """What a feed that answers so makes of each reply, and what it was asked."""
    waiting, asked, made = iter(replies), [], []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return next(waiting)

    async def main(_clock: Clock) -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            feed = DispatchFeed(ENTRY, http, 1.0)
            for _ in replies:
                try:
                    made.append(await feed.read())
                except DeviceError as error:
                    made.append(error)

    run(main)
    return made, asked


def told(orders: Sequence[dict[str, Any]], recall: int = 0) -> httpx.Response:
    return httpx.Response(200, json={"orders": orders, "recall_count": recall})


def test_the_lowest_active_order_counts_in_its_highest_revision_whichever_came_last() -> None:
    orders = [order("a", 2, 300.0), order("a", 1, 50.0), order("b", 1, 400.0), order("c", 1, 10.0, "pending")]
    (reading,), asked = heard(told(orders, recall=3))
    assert reading == DispatchReading(300e3, recall=3, heartbeat=1)
    assert str(asked[0].url) == "http://127.0.0.1:8080/v1/dispatch"
    assert asked[0].headers["authorization"].startswith("Basic ")


def test_without_an_active_order_nothing_is_limited() -> None:
    (reading,), _ = heard(told([order("a", 1, 50.0, "cancelled")]))
    assert isinstance(reading, DispatchReading)
    assert math.isinf(reading.setpoint_w)


def test_each_reply_is_a_sign_of_life_and_an_error_is_none() -> None:
    made, _ = heard(told([]), httpx.Response(503), told([]))
    assert isinstance(made[1], DeviceError)
    assert [one.heartbeat for one in made if isinstance(one, DispatchReading)] == [1, 2]


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(200, text="no JSON"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"orders": []}),
        httpx.Response(200, json={"orders": [{"id": "a", "revision": 1, "status": "active"}], "recall_count": 0}),
        httpx.Response(401),
    ],
)
def test_what_is_no_good_answer_is_a_device_error_with_its_place(reply: httpx.Response) -> None:
    (made,), _ = heard(reply)
    assert isinstance(made, DeviceError)
    assert "/v1/dispatch" in str(made)
