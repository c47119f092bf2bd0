"""The price and dispatch feed, asked by HTTP clients that others wrote, in virtual time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

import aiohttp
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from openapi_spec_validator import validate

from emulator.clock import VIRTUAL_EPOCH, Clock
from emulator.faults import FaultPlan
from emulator.signals.notices import Bulletin, Terms
from emulator.signals.rest import PORT, RestFeed, contract
from emulator.wire import SECOND, Send
from tests.emulator.signals.world import ADDRESS, NOMINAL_W, bulletin, grid, live, plan

T = TypeVar("T")
URL = f"http://{ADDRESS}:{PORT}"


def feed(told: Bulletin, account: tuple[str, str] | None = None) -> Callable[[Clock], RestFeed]:
    def make(clock: Clock) -> RestFeed:
        made = RestFeed(clock.wall, grid(), NOMINAL_W, site="yard", account=account)
        made.publish(told)
        return made

    return make


def asked(
    during: Callable[[httpx.AsyncClient, Clock], Awaitable[T]],
    faults: FaultPlan | None = None,
    account: tuple[str, str] | None = None,
    terms: Terms | None = None,
) -> T:
    """Ask a feed something with httpx."""

    async def body(clock: Clock) -> T:
        async with httpx.AsyncClient(base_url=URL, timeout=90) as client:
            return await during(client, clock)

    return live(feed(bulletin(faults, terms=terms), account), body, faults)


async def at(clock: Clock, second: float) -> None:
    await clock.sleep_until(round(second * SECOND))


# ---- what is said ----------------------------------------------------------------------------------------------------


def test_the_order_in_force_is_told_with_its_times_and_its_status() -> None:
    async def during(client: httpx.AsyncClient, clock: Clock) -> None:
        assert (await client.get("/v1/dispatch")).json()["order"] is None
        await at(clock, 61)
        said = (await client.get("/v1/dispatch")).json()
        assert (said["site"], said["nominal_kw"], said["recall_count"]) == ("yard", 1000.0, 0)
        assert said["order"] == {
            "id": "order-0001", "revision": 1,
            "issued": "2025-01-01T00:01:00.000Z", "start": "2025-01-01T00:01:00.000Z", "end": None,
            "setpoint_kw": 400.0, "ramp_s": 0.0, "cancelled": False, "status": "active",
        }  # fmt: skip
        await at(clock, 950)
        said = (await client.get("/v1/dispatch")).json()
        assert (said["order"], said["recall_count"]) == (None, 1)
        assert [(o["id"], o["status"]) for o in said["orders"]] == [
            ("order-0001", "completed"), ("order-0002", "completed"),
        ]  # fmt: skip
        one = await client.get("/v1/dispatch/order-0002")
        assert one.json()["end"] == "2025-01-01T00:15:00.000Z"
        assert (await client.get("/v1/dispatch/order-0099")).status_code == 404

    asked(during)


def test_prices_are_told_by_interval_as_json_and_as_csv() -> None:
    async def during(client: httpx.AsyncClient, clock: Clock) -> None:
        await at(clock, 601)
        said = (await client.get("/v1/price")).json()
        assert (said["market"], said["unit"], said["interval"]) == ("RT", "USD/MWh", "PT300S")
        assert [row["lmp"] for row in said["prices"]] == [30.0, 2500.0, 2500.0]
        late = await client.get("/v1/price", params={"start": "2025-01-01T00:05:00Z", "end": "2025-01-01T00:10:00Z"})
        assert [row["interval_start"] for row in late.json()["prices"]] == ["2025-01-01T00:05:00.000Z"]
        assert [row["lmp"] for row in (await client.get("/v1/price?limit=1")).json()["prices"]] == [2500.0]
        for reply in (
            await client.get("/v1/price.csv"), await client.get("/v1/price", headers={"Accept": "text/csv"}),
        ):  # fmt: skip
            rows = list(csv.DictReader(io.StringIO(reply.text)))
            assert reply.headers["content-type"] == "text/csv"
            assert [float(row["lmp_usd_per_mwh"]) for row in rows] == [30.0, 2500.0, 2500.0]
            assert rows[0]["location"] == "yard"
        ahead = (await client.get("/v1/price?market=DA")).json()
        assert len(ahead["prices"]) == 24
        assert {row["lmp"] for row in ahead["prices"]} == {30.0}

    asked(during)


def test_frequency_and_voltage_are_renewed_every_second() -> None:
    async def during(client: httpx.AsyncClient, clock: Clock) -> None:
        await at(clock, 61.5)
        said = (await client.get("/v1/grid")).json()
        assert said == {
            "site": "yard", "updated": "2025-01-01T00:01:01.000Z", "frequency_hz": 59.7, "voltage_pu": 1.0,
        }  # fmt: skip

    asked(during)


def test_every_reply_keeps_the_contract_that_is_served() -> None:
    validate(dict(contract()))
    config = Config(extra_media_type_deserializers={"application/problem+json": json.loads})
    spec = OpenAPI.from_dict(dict(contract()), config)

    async def during(client: httpx.AsyncClient, clock: Clock) -> None:
        assert (await client.get("/openapi.json")).json() == contract()
        assert "openapi.json" in (await client.get("/docs")).text
        for second in (1, 61, 950):
            await at(clock, second)
            for path in (
                "/v1/dispatch", "/v1/price", "/v1/price?market=DA", "/v1/messages", "/v1/grid", "/v1/price?start=x",
                "/v1/dispatch/order-0001",
            ):  # fmt: skip
                reply = await client.get(path)
                target = httpx.URL(f"{URL}{path}")
                request = MockRequest(URL, "get", target.path, args=dict(target.params))
                response = MockResponse(reply.content, reply.status_code, content_type=reply.headers["content-type"])
                spec.validate_response(request, response)

    asked(during)


# ---- how it is asked -------------------------------------------------------------------------------------------------


def test_a_caller_who_knows_the_state_is_told_that_nothing_has_changed() -> None:
    async def during(client: httpx.AsyncClient, clock: Clock) -> None:
        first = await client.get("/v1/dispatch")
        assert first.headers["last-modified"] == "Wed, 01 Jan 2025 00:00:00 GMT"
        known = {"If-None-Match": first.headers["etag"]}
        assert (await client.get("/v1/dispatch", headers=known)).status_code == 304
        await at(clock, 61)
        again = await client.get("/v1/dispatch", headers=known)
        assert again.status_code == 200
        assert again.headers["last-modified"] == "Wed, 01 Jan 2025 00:01:00 GMT"

    asked(during)


def test_a_caller_who_waits_gets_the_order_when_it_comes() -> None:
    async def during(client: httpx.AsyncClient, clock: Clock) -> None:
        known = {"If-None-Match": (await client.get("/v1/dispatch")).headers["etag"]}
        await at(clock, 10)
        waited = await client.get("/v1/dispatch", headers={**known, "Prefer": "wait=30"})
        assert (waited.status_code, clock.now() / SECOND) == (304, 40.02)
        waited = await client.get("/v1/dispatch", headers={**known, "Prefer": "wait=60"})
        assert (waited.json()["order"]["id"], clock.now() / SECOND) == ("order-0001", 60.02)

    asked(during)


def test_a_caller_who_waits_is_told_when_an_order_that_he_knows_begins() -> None:
    async def during(client: httpx.AsyncClient, clock: Clock) -> None:
        await at(clock, 40)
        pending = await client.get("/v1/dispatch")
        assert [o["status"] for o in pending.json()["orders"]] == ["pending"]
        headers = {"If-None-Match": pending.headers["etag"], "Prefer": "wait=60"}
        begun = await client.get("/v1/dispatch", headers=headers)
        assert (begun.json()["order"]["status"], clock.now() / SECOND) == ("active", 60.02)

    asked(during, terms=Terms(ahead_ns=30 * SECOND))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/price", 404), ("POST", "/v1/price", 405), ("GET", "/v1/price?market=XX", 400),
        ("GET", "/v1/price?start=yesterday", 400), ("GET", "/v1/price?start=2025-01-01T00:00:00", 400),
        ("GET", "/v1/price?limit=-1", 400), ("GET", "/v1/messages?after=x", 400), ("HEAD", "/v1/price", 200),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_problem(method: str, path: str, status: int) -> None:
    async def during(client: httpx.AsyncClient, _clock: Clock) -> None:
        reply = await client.request(method, path)
        assert reply.status_code == status
        if status >= 400:
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.json()["status"] == status

    asked(during)


def test_an_account_is_asked_for_where_there_is_one() -> None:
    async def during(client: httpx.AsyncClient, _clock: Clock) -> None:
        assert (await client.get("/openapi.json")).status_code == 200
        refused = await client.get("/v1/price")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="ramprig"')
        assert (await client.get("/v1/price", auth=("site", "wrong"))).status_code == 401
        assert (await client.get("/v1/price", auth=("site", "secret"))).status_code == 200

    asked(during, account=("site", "secret"))


def test_aiohttp_reads_the_feed_over_one_connection() -> None:
    async def during(clock: Clock) -> list[str | None]:
        found = []
        async with aiohttp.ClientSession(URL) as session:
            for second in range(0, 120, 10):
                await at(clock, second)
                async with session.get("/v1/dispatch") as reply:
                    order = (await reply.json())["order"]
                    found.append(order and order["id"])
        return found

    assert live(feed(bulletin()), during) == [None] * 6 + ["order-0001"] * 6


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer_or_none_and_never_an_error(data: bytes) -> None:
    served = RestFeed(lambda _: VIRTUAL_EPOCH, grid(), NOMINAL_W)
    for action in served.converse(PORT, "", 0).received(b"GET /v1/dispatch?" + data + b" HTTP/1.1\r\n\r\n", 0):
        assert not isinstance(action, Send) or action.data


# ---- what goes wrong -------------------------------------------------------------------------------------------------


def messages(*faults: dict[str, Any], second: float = 950) -> list[tuple[str, int]]:
    """(id, revision) of the orders as they came."""

    async def during(client: httpx.AsyncClient, clock: Clock) -> list[tuple[str, int]]:
        await at(clock, second)
        said = (await client.get("/v1/messages")).json()["messages"]
        return [(m["body"]["id"], m["body"]["revision"]) for m in said if m["channel"] == "dispatch"]

    return asked(during, plan(*faults))


def test_duplicates_and_reordered_messages_show_in_the_row_of_messages() -> None:
    twice = messages({"where": "signal:dispatch", "kind": "duplicate", "stop": "100 s"})
    assert twice[:3] == [("order-0001", 1), ("order-0001", 1), ("order-0001", 2)]
    turned = messages({"where": "feed", "kind": "reordered", "wait": "10 min", "stop": "61 s"})
    assert turned[:3] == [("order-0001", 2), ("order-0002", 1), ("order-0001", 1)]


@pytest.mark.parametrize(
    ("fault", "second", "order"),
    [
        ({"kind": "late", "by": "20 s"}, 70, None),
        ({"kind": "late", "by": "20 s"}, 81, ("order-0001", 400.0, "00:01:00")),
        ({"kind": "stale", "start": "50 s"}, 120, None),
        ({"kind": "overlapping", "after": "30 s"}, 100, ("order-0001b", 200.0, "00:01:30")),
        ({"kind": "cancelled", "after": "30 s"}, 100, None),
        ({"kind": "reordered", "wait": "10 min", "stop": "61 s"}, 650, ("order-0001", 400.0, "00:01:00")),
    ],
)
def test_each_variant_of_an_order_is_seen_by_whoever_asks(
    fault: dict[str, Any], second: float, order: tuple[str, float, str] | None
) -> None:
    async def during(client: httpx.AsyncClient, clock: Clock) -> Any:
        await at(clock, second)
        return (await client.get("/v1/dispatch")).json()

    said = asked(during, plan({"where": "signal:dispatch", **fault}))
    if order is None:
        assert said["order"] is None
    else:
        shown = said["order"]
        start = datetime.fromisoformat(shown["start"]).strftime("%H:%M:%S")
        assert (shown["id"], shown["setpoint_kw"], start) == order


@pytest.mark.parametrize("where", ["feed", "signal:dispatch"])
def test_a_malformed_order_cannot_be_read_until_the_next_comes(where: str) -> None:
    async def during(client: httpx.AsyncClient, clock: Clock) -> None:
        await at(clock, 61)
        reply = await client.get("/v1/dispatch")
        assert int(reply.headers["content-length"]) == len(reply.content)
        with pytest.raises(json.JSONDecodeError):
            reply.json()
        await at(clock, 650)
        assert (await client.get("/v1/dispatch")).json()["order"]["id"] == "order-0002"

    asked(during, plan({"where": where, "kind": "malformed", "how": "cut", "start": "50 s", "stop": "100 s"}))


def test_a_status_of_the_link_takes_the_place_of_the_feed() -> None:
    async def during(client: httpx.AsyncClient, clock: Clock) -> None:
        assert (await client.get("/v1/price")).status_code == 503
        await at(clock, 11)
        assert (await client.get("/v1/price")).status_code == 200

    asked(during, plan({"where": "feed", "kind": "http_status", "status": 503, "stop": "10 s"}))
