"""The OpenADR 3.1 VTN, asked by httpx in virtual time and read by the field's own models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

import httpx
import openadr3
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from openadr3.entities.raw import RawEvent
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from openapi_spec_validator import validate

from emulator.clock import VIRTUAL_EPOCH, Clock
from emulator.faults import FaultPlan
from emulator.seed import Seed
from emulator.signals import schema
from emulator.signals.notices import Bulletin, Terms
from emulator.signals.openadr3 import BASE, PORT, Vtn, contract
from emulator.signals.openadr3_store import BL_SCOPES, BY_PATH, VEN_SCOPES, ends_ns, length_ns
from emulator.signals.webhooks import Courier, allows
from emulator.wire import SECOND, Device
from tests.emulator.signals.world import ADDRESS, bulletin, live, plan

T = TypeVar("T")
URL = f"http://{ADDRESS}:{PORT}{BASE}"
CLIENTS = {"site": ("s3cret", VEN_SCOPES), "other": ("0ther", VEN_SCOPES), "operator": ("0perator", BL_SCOPES)}


class Api:
    """A client with a token."""

    def __init__(self, http: httpx.AsyncClient, clock: Clock) -> None:
        self.http, self.clock = http, clock

    async def login(self, name: str = "site", **more: str) -> Api:
        form = {"grant_type": "client_credentials", "client_id": name, "client_secret": CLIENTS[name][0], **more}
        info = (await self.http.get(f"{URL}/auth/server")).json()
        token = (await self.http.post(info["tokenURL"], data=form)).json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"
        return self

    async def __call__(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        reply = await self.http.request(method, f"{URL}{path}", json=body)
        assert reply.status_code == status, reply.text
        return reply.json()

    async def at(self, second: float) -> None:
        await self.clock.sleep_until(round(second * SECOND))


def served(
    during: Callable[[Callable[..., Awaitable[Api]], Clock], Awaitable[T]],
    faults: FaultPlan | None = None,
    terms: Terms | None = None,
    told: Bulletin | None = None,
) -> T:
    """Serve a VTN with its webhooks; `during` gets a way to log in."""
    made: list[Courier] = []

    def make(clock: Clock) -> Device:
        vtn = Vtn(clock.wall, Seed(1), clients=CLIENTS, is_allowed=allows)
        vtn.publish(bulletin(faults, "vtn", terms) if told is None else told)
        made.append(Courier(vtn, clock))
        return vtn

    async def body(clock: Clock) -> T:
        made[0].start()
        clients: list[httpx.AsyncClient] = []

        async def login(name: str = "site", **more: str) -> Api:
            clients.append(httpx.AsyncClient(timeout=30))
            return await Api(clients[-1], clock).login(name, **more)

        try:
            return await during(login, clock)
        finally:
            for client in clients:
                await client.aclose()
            await made[0].close()

    return live(make, body, faults, "vtn")


def ven(during: Callable[[Api], Awaitable[T]], *faults: dict[str, Any], terms: Terms | None = None) -> T:
    """Do something as the site's VEN."""

    async def body(login: Callable[..., Awaitable[Api]], _clock: Clock) -> T:
        return await during(await login())

    return served(body, plan(*faults), terms)


# ---- what the operator says ------------------------------------------------------------------------------------------


def test_an_order_is_an_event_that_gets_its_end_when_it_ends() -> None:
    async def during(api: Api) -> None:
        assert await api("GET", "/events?programID=program-dispatch") == []
        await api.at(61)
        (event,) = await api("GET", "/events?programID=program-dispatch")
        assert event["intervalPeriod"] == {
            "start": "2025-01-01T00:01:00.000Z", "duration": "P9999Y", "randomizeStart": "PT0S",
        }  # fmt: skip
        assert event["intervals"] == [{"id": 0, "payloads": [{"type": "DISPATCH_SETPOINT", "values": [400.0]}]}]
        assert event["createdDateTime"] == event["modificationDateTime"] == "2025-01-01T00:01:00.000Z"
        await api.at(601)
        first, second = await api("GET", "/events?programID=program-dispatch")
        assert first["intervalPeriod"]["duration"] == "PT540S"
        assert (first["createdDateTime"], first["modificationDateTime"]) == (
            "2025-01-01T00:01:00.000Z", "2025-01-01T00:10:00.000Z",
        )  # fmt: skip
        assert second["intervals"][0]["payloads"][0]["values"] == [700.0]
        assert await api("GET", "/events?programID=program-dispatch&active=true") == [second]
        assert await api("GET", f"/events/{second['id']}") == second

    ven(during)


def test_an_operator_who_speaks_ahead_announces_the_whole_event() -> None:
    async def during(api: Api) -> Any:
        await api.at(11)
        return (await api("GET", "/events?programID=program-dispatch"))[0]["intervalPeriod"]

    period = ven(during, terms=Terms(ahead_ns=50 * SECOND, tells_end=True))
    assert period == {"start": "2025-01-01T00:01:00.000Z", "duration": "PT540S", "randomizeStart": "PT0S"}


def test_the_fields_own_models_read_programs_and_events() -> None:
    async def during(api: Api) -> None:
        await api.at(601)
        programs = [openadr3.coerce(one) for one in await api("GET", "/programs")]
        assert [program.program_name for program in programs] == ["dispatch", "price"]
        events = [openadr3.coerce(one) for one in await api("GET", "/events")]
        assert [event.event_name for event in events] == [
            "price-0001", "order-0001", "price-0002", "order-0002", "price-0003",
        ]  # fmt: skip
        price = events[2]
        assert price.intervals[0].payloads[0].values == [Decimal("2.5")]
        assert price.payload_descriptors[0].currency == "USD"

    ven(during, terms=Terms(tells_end=True))  # its calendar ends in the year 9999: it cannot add P9999Y to a date


def test_every_reply_keeps_the_contract_that_is_served() -> None:
    validate(dict(contract()))
    assert schema.unknown_keywords(contract()) == set()
    config = Config(extra_media_type_deserializers={"application/problem+json": json.loads})
    spec = OpenAPI.from_dict(dict(contract()), config)
    paths = [f"/{name}" for name in BY_PATH]
    paths += ["/programs/none", "/events?limit=99", "/notifiers", "/auth/server", "/events/event-order-0001"]

    async def during(login: Callable[..., Awaitable[Api]], clock: Clock) -> None:
        api, business = await login(), await login("operator")
        assert (await api.http.get(f"{URL}/openapi.json")).json() == contract()
        assert "OpenADR" in (await api.http.get(f"{URL}/docs")).text
        await fill(api)
        await api.at(650)
        base = f"http://{ADDRESS}:{PORT}"
        for who in (api, business):
            for path in paths:
                reply = await who.http.get(f"{URL}{path}")
                target = httpx.URL(f"{URL}{path}")
                request = MockRequest(base, "get", target.path, args=dict(target.params))
                kind = reply.headers["content-type"]
                spec.validate_response(request, MockResponse(reply.content, reply.status_code, content_type=kind))

    served(during)


# ---- what a client may do --------------------------------------------------------------------------------------------


async def fill(api: Api) -> tuple[Any, Any, Any]:
    """A VEN, a resource and a subscription."""
    made = await api("POST", "/vens", {"objectType": "VEN_VEN_REQUEST", "venName": f"ven-{id(api)}"}, 201)
    wish = {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": "yard", "venID": made["id"]}
    resource = await api("POST", "/resources", wish, 201)
    return made, resource, await api("POST", "/subscriptions", subscription("http://127.0.0.1:1/x"), 201)


def subscription(url: str, kind: str = "EVENT") -> dict[str, Any]:
    operation = {"objects": [kind], "operations": ["CREATE"], "callbackUrl": url}
    return {"clientName": "site", "objectOperations": [operation]}


def report(event: str) -> dict[str, Any]:
    interval = {"id": 0, "payloads": [{"type": "DEMAND", "values": [412.5]}]}
    return {
        "eventID": event, "clientName": "site", "reportName": "power", "resources": [
            {"resourceName": "yard", "intervalPeriod": {"start": "2025-01-01T00:01:00Z", "duration": "PT60S"},
             "intervals": [interval]}],
        "payloadDescriptors": [
            {"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": "DEMAND", "readingType": "DIRECT_READ",
             "units": "KW"}],
    }  # fmt: skip


def test_a_ven_registers_reports_and_takes_itself_away() -> None:
    async def during(login: Callable[..., Awaitable[Api]], clock: Clock) -> None:
        api, other, business = await login(), await login("other"), await login("operator")
        made, resource, subscription = await fill(api)
        assert (made["objectType"], made["clientID"], made["targets"]) == ("VEN", "site", None)
        assert openadr3.coerce(resource).ven_id == made["id"]
        await api.at(61)
        sent = await api("POST", "/reports", report("event-order-0001"), 201)
        assert openadr3.coerce(sent).client_id == "site"
        for path, found in (
            ("vens", made),
            ("resources", resource),
            ("reports", sent),
            ("subscriptions", subscription),
        ):
            assert await api("GET", f"/{path}") == [found]
            assert await other("GET", f"/{path}") == []
            assert await business("GET", f"/{path}") == [found]
            await other("GET", f"/{path}/{found['id']}", status=404)
        assert await api("GET", "/reports?programID=program-dispatch&clientName=site&eventID=event-order-0001") == [
            sent
        ]
        assert await api("GET", "/reports?programID=program-price") == []
        assert await api("GET", "/subscriptions?objects=REPORT") == []
        changed = await api("PUT", f"/reports/{sent['id']}", {**report("event-order-0001"), "reportName": "again"})
        assert (changed["reportName"], changed["createdDateTime"]) == ("again", sent["createdDateTime"])
        assert await api("DELETE", f"/vens/{made['id']}") == made
        assert await api("GET", "/resources") == []

    served(during)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/programs", {"programName": "mine"}, 403, "lacks the scope write_programs"),
        ("POST", "/vens", {"objectType": "VEN_VEN_REQUEST"}, 400, "venName is missing"),
        ("POST", "/vens", {"venName": "x"}, 400, "objectType = None is not VEN_VEN_REQUEST or BL_VEN_REQUEST"),
        ("POST", "/reports", report("event-none"), 404, "there is no event 'event-none'"),
        ("POST", "/reports", {**report("x"), "resources": [{"resourceName": "y"}]}, 400, "resources[0].intervals is"),
        ("POST", "/reports", {**report("x y")}, 400, "eventID = 'x y' does not have the form"),
        (
            "POST",
            "/subscriptions",
            {
                "clientName": "c",
                "objectOperations": [
                    {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": "http://192.0.2.1/x"}
                ],
            },
            400,
            "networks of",
        ),
        (
            "POST",
            "/subscriptions",
            {
                "clientName": "c",
                "objectOperations": [
                    {"objects": ["EVENTS"], "operations": ["CREATE"], "callbackUrl": "http://127.0.0.1/x"}
                ],
            },
            400,
            "none of",
        ),
        ("GET", "/events?skip=-1", None, 400, "skip = '-1'"),
        ("GET", "/events?limit=51", None, 400, "limit = 51 is more than 50"),
        ("GET", "/nothing", None, 404, "/nothing is nothing of this VTN"),
        ("PATCH", "/events", None, 405, "PATCH is not done here"),
    ],
)
def test_what_cannot_be_is_refused_with_a_problem(method: str, path: str, body: Any, status: int, said: str) -> None:
    async def during(api: Api) -> None:
        found = await api(method, path, body, status)
        assert found["status"] == status
        assert said in found["detail"]

    ven(during)


def test_problems_come_as_the_client_likes_them() -> None:
    async def during(api: Api) -> None:
        for accept, kind in (("*/*", "application/json"), ("application/problem+json", "application/problem+json")):
            reply = await api.http.get(f"{URL}/events/x", headers={"Accept": accept})
            assert (reply.status_code, reply.headers["content-type"]) == (404, kind)

    ven(during)


def test_business_logic_makes_events_of_its_own_and_gives_names_once() -> None:
    async def during(login: Callable[..., Awaitable[Api]], clock: Clock) -> None:
        business, api = await login("operator"), await login()
        program = await business("POST", "/programs", {"programName": "emergency"}, 201)
        await business("POST", "/programs", {"programName": "emergency"}, 409)
        event = await business("POST", "/events", {"programID": program["id"], "eventName": "now"}, 201)
        assert await api("GET", f"/events?programID={program['id']}") == [event]
        assert await api("GET", "/events?active=true&programID=" + program["id"]) == [event]
        await business("PUT", f"/programs/{program['id']}", {"programName": "dispatch"}, 409)
        await business("PUT", f"/programs/{program['id']}", {"programName": "emergency", "id": "mine"})
        assert (await api("GET", f"/programs/{program['id']}"))["id"] == program["id"]
        await business("DELETE", f"/events/{event['id']}")
        await api("GET", f"/events/{event['id']}", status=404)

    served(during)


def test_targets_keep_events_from_those_who_have_not_been_given_them() -> None:
    async def during(login: Callable[..., Awaitable[Api]], clock: Clock) -> None:
        business, api, other = await login("operator"), await login(), await login("other")
        grant = {"objectType": "BL_VEN_REQUEST", "clientID": "site", "venName": "yard", "targets": ["north", "big"]}
        await business("POST", "/vens", grant, 201)
        wish = {"programID": "program-dispatch", "targets": ["north", "secret"]}
        event = await business("POST", "/events", wish, 201)
        assert await api("GET", "/events?programID=program-dispatch") == []
        (seen,) = await api("GET", "/events?programID=program-dispatch&targets=north&targets=secret")
        assert (seen["id"], seen["targets"]) == (event["id"], ["north"])
        assert await api("GET", "/events?targets=big&programID=program-dispatch") == []
        assert await other("GET", "/events?targets=north&programID=program-dispatch") == []
        await api("GET", f"/events/{event['id']}", status=404)
        assert (await api("GET", f"/events/{event['id']}?targets=north"))["targets"] == ["north"]
        own = await api("GET", "/vens")
        mine = {"objectType": "VEN_VEN_REQUEST", "venName": "yard", "targets": ["secret"]}
        assert (await api("PUT", f"/vens/{own[0]['id']}", mine))["targets"] == ["north", "big"]

    served(during)


def test_long_lists_come_in_pages() -> None:
    async def during(login: Callable[..., Awaitable[Api]], clock: Clock) -> None:
        business = await login("operator")
        for number in range(60):
            await business("POST", "/programs", {"programName": f"p{number}"}, 201)
        assert len(await business("GET", "/programs")) == 50
        names = [one["programName"] for one in await business("GET", "/programs?skip=50&limit=20")]
        assert names == [f"p{number}" for number in range(48, 60)]
        assert await business("GET", "/programs?limit=0") == []

    served(during)


# ---- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_is_needed_and_lasts_an_hour() -> None:
    async def during(login: Callable[..., Awaitable[Api]], clock: Clock) -> None:
        api = await login()
        await api("GET", "/programs")
        await api.at(3601)
        assert "expired" in (await api("GET", "/programs", status=401))["detail"]
        api.http.headers["Authorization"] = "Bearer nonsense"
        await api("GET", "/programs", status=401)

    served(during)


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "client_credentials", "client_id": "site", "client_secret": "no"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": "no", "client_secret": ""}, 401, "invalid_client"),
        ({"grant_type": "password", "client_id": "site", "client_secret": "s3cret"}, 400, "unsupported_grant_type"),
        ({"client_id": "site", "client_secret": "s3cret"}, 400, "invalid_request"),
        ({"grant_type": "client_credentials", "client_id": "site", "client_secret": "s3cret", "scope": "read_all"}, 400,
         "invalid_scope"),
    ],
)  # fmt: skip
def test_a_token_is_refused_as_oauth_says(form: dict[str, str], status: int, error: str) -> None:
    async def during(api: Api) -> None:
        reply = await api.http.post(f"{URL}/auth/token", data=form)
        assert (reply.status_code, reply.json()["error"]) == (status, error)

    ven(during)


def test_credentials_may_stand_in_the_header_and_a_scope_may_be_narrower() -> None:
    async def during(api: Api) -> None:
        form = {"grant_type": "client_credentials", "scope": "read_targets"}
        reply = await api.http.post(f"{URL}/auth/token", data=form, auth=("site", "s3cret"))
        said = reply.json()
        assert (said["token_type"], said["expires_in"], said["scope"]) == ("Bearer", 3600, "read_targets")
        api.http.headers["Authorization"] = f"Bearer {said['access_token']}"
        await api("GET", "/events")
        await api("GET", "/reports", status=403)

    ven(during)


# ---- webhooks --------------------------------------------------------------------------------------------------------


def notified(
    until_s: float, *faults: dict[str, Any], fails: int = 0, terms: Terms | None = None, **wish: Any
) -> list[tuple[float, str, str, Any]]:
    """(second, operation, event name, body) of what a webhook of aiohttp gets; it fails so many times first."""

    async def during(login: Callable[..., Awaitable[Api]], clock: Clock) -> list[tuple[float, str, str, Any]]:
        found: list[tuple[float, str, str, Any]] = []
        left = [fails]

        async def hook(request: web.Request) -> web.Response:
            if left[0]:
                left[0] -= 1
                return web.Response(status=503)
            assert request.headers["Authorization"] == "Bearer let-me-in"
            raw = await request.read()
            try:
                body = json.loads(raw)
                RawEvent.model_validate(body["object"])
                found.append((clock.now() / SECOND, body["operation"], body["object"].get("eventName", ""), body))
            except json.JSONDecodeError:
                found.append((clock.now() / SECOND, "?", "", raw))
            return web.Response()

        app = web.Application()
        app.router.add_post("/hook", hook)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _, port = runner.addresses[0]
        try:
            api = await login()
            operation = {"objects": ["EVENT"], "operations": ["CREATE", "UPDATE", "DELETE"],
                         "callbackUrl": f"http://127.0.0.1:{port}/hook", "bearerToken": "let-me-in"}  # fmt: skip
            body = {"clientName": "site", "programID": "program-dispatch", "objectOperations": [operation], **wish}
            await api("POST", "/subscriptions", body, 201)
            await api.at(until_s)
        finally:
            await runner.cleanup()
        return found

    return served(during, plan(*faults), terms)


def test_a_subscriber_is_called_when_something_happens() -> None:
    assert [(at, operation, name) for at, operation, name, _ in notified(1000)] == [
        (60.0, "CREATE", "order-0001"), (600.0, "UPDATE", "order-0001"), (600.0, "CREATE", "order-0002"),
        (900.0, "UPDATE", "order-0002"),
    ]  # fmt: skip


def test_a_webhook_that_fails_is_called_again_and_the_others_wait_in_order() -> None:
    calls = notified(700, fails=2)
    assert [(at, name) for at, _, name, _ in calls][:1] == [(63.0, "order-0001")]
    assert notified(70, fails=9) == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "late", "by": "20 s"}, [(80.0, "CREATE", "order-0001")]),
        ({"kind": "stale", "start": "50 s"}, []),
        ({"kind": "duplicate", "after": "2 s"}, [(60.0, "CREATE", "order-0001"), (62.0, "CREATE", "order-0001")]),
        ({"kind": "overlapping", "after": "5 s"}, [(60.0, "CREATE", "order-0001"), (65.0, "CREATE", "order-0001b")]),
        ({"kind": "cancelled", "after": "5 s"}, [(60.0, "CREATE", "order-0001"), (65.0, "DELETE", "order-0001")]),
        ({"kind": "malformed", "how": "cut"}, [(60.0, "?", "")]),
    ],
)
def test_each_variant_reaches_a_subscriber(fault: dict[str, Any], expected: list[tuple[float, str, str]]) -> None:
    assert [call[:3] for call in notified(100, {"where": "signal:dispatch", **fault})] == expected


def test_reordered_messages_come_newest_first_and_the_older_one_then_stands() -> None:
    fault = {"where": "vtn", "kind": "reordered", "wait": "10 min", "stop": "61 s"}
    calls = notified(700, fault)
    assert [(operation, name, body["object"]["intervalPeriod"]["duration"]) for _, operation, name, body in calls] == [
        ("CREATE", "order-0001", "PT540S"), ("CREATE", "order-0002", "P9999Y"), ("UPDATE", "order-0001", "P9999Y"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "second", "expected"),
    [
        ({"kind": "late", "by": "20 s"}, 70, []),
        ({"kind": "late", "by": "20 s"}, 81, ["order-0001"]),
        ({"kind": "stale", "start": "50 s", "stop": "99 s"}, 98, []),
        ({"kind": "stale", "start": "50 s", "stop": "99 s"}, 100, ["order-0001"]),
        ({"kind": "duplicate"}, 70, ["order-0001", "order-0001"]),
        ({"kind": "overlapping", "after": "5 s"}, 70, ["order-0001", "order-0001b"]),
        ({"kind": "cancelled", "after": "5 s"}, 70, []),
        ({"kind": "reordered", "wait": "10 min"}, 70, []),
    ],
)
@pytest.mark.parametrize("where", ["signal:dispatch", "vtn"])
def test_each_variant_is_seen_by_whoever_asks(
    where: str, fault: dict[str, Any], second: float, expected: list[str]
) -> None:
    async def during(api: Api) -> list[str]:
        await api.at(second)
        return [one["eventName"] for one in await api("GET", "/events?programID=program-dispatch")]

    assert ven(during, {"where": where, **fault}) == expected


@pytest.mark.parametrize("where", ["signal:dispatch", "vtn"])
def test_a_malformed_event_spoils_the_text_that_holds_it(where: str) -> None:
    async def during(api: Api) -> None:
        await api.at(61)
        reply = await api.http.get(f"{URL}/events")
        with pytest.raises(json.JSONDecodeError):
            reply.json()
        await api.at(601)
        assert len(await api("GET", "/events")) == 5

    ven(during, {"where": where, "kind": "malformed", "how": "cut", "start": "50 s", "stop": "100 s"})


@pytest.mark.parametrize(
    ("url", "networks", "allowed"),
    [
        ("http://127.0.0.1:9/x", [], True), ("http://localhost/x", [], True), ("http://[::1]:80/", [], True),
        ("https://127.0.0.1/x", [], False), ("http://example.org/", [], False), ("http://10.1.2.3/", [], False),
        ("http://10.1.2.3/", ["10.1.0.0/16"], True), ("http://a@127.0.0.1/", [], False), ("ftp://127.0.0.1", [], False),
        ("http://127.0.0.1:99999/", [], False), ("http://127.0.0.1/\n", [], False), ("", [], False),
    ],
)  # fmt: skip
def test_only_the_loopback_and_the_rigs_networks_are_called(url: str, networks: list[str], allowed: bool) -> None:
    assert allows(url, networks) is allowed


# ---- forms -----------------------------------------------------------------------------------------------------------


def test_lengths_of_time_are_read_as_iso_8601_has_them() -> None:
    lengths = {"PT1H": 3600, "PT540S": 540, "P1DT2H3M4.5S": 93784.5, "P2W": 1209600, "PT0S": 0}
    assert {text: length_ns(text) for text in lengths} == {t: round(s * 1e9) for t, s in lengths.items()}
    assert length_ns("P9999Y") is None


def test_an_event_is_over_after_its_last_interval() -> None:
    vtn = Vtn(lambda _: VIRTUAL_EPOCH, Seed(1))
    period = {"start": "2025-01-01T00:01:00Z", "duration": "PT60S"}
    event = {"intervalPeriod": period, "intervals": [{"id": 0}, {"id": 1}]}
    assert ends_ns(event, vtn.instant) == 180 * SECOND
    assert ends_ns({**event, "duration": "PT90S"}, vtn.instant) == 150 * SECOND
    assert ends_ns({"intervalPeriod": {**period, "duration": "P9999Y"}, "intervals": [{"id": 0}]}, vtn.instant) is None
    own = {"id": 1, "intervalPeriod": {"start": "2025-01-01T01:00:00Z", "duration": "PT1S"}}
    assert ends_ns({**event, "intervals": [{"id": 0}, own]}, vtn.instant) == 3601 * SECOND


_KEYS = st.sampled_from(["programID", "intervals", "id", "payloads", "values", "type"])
_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60)
@given(_TREES)
def test_the_checks_agree_with_the_fields_validator(value: Any) -> None:
    from jsonschema import Draft202012Validator

    page = contract()
    whole = {**page["components"]["schemas"]["eventRequest"], "components": page["components"]}
    assert (not list(schema.problems(value, whole, page))) == Draft202012Validator(whole).is_valid(value)


def test_webhooks_end_with_their_courier() -> None:
    async def during(login: Callable[..., Awaitable[Api]], clock: Clock) -> None:
        api = await login()
        await fill(api)  # calls a port where nobody answers
        await api.at(62)
        assert len(asyncio.all_tasks()) > 2

    served(during)
