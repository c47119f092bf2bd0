"""The operator's interfaces over real sockets, with clients that others wrote: aiomqtt, paho, openadr3, openleadr."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiomqtt
import paho.mqtt.client as paho
import pytest
from openadr3.api import create_ven_client

from emulator.clock import Clock, run
from emulator.faults import FaultPlan, read_fault
from emulator.faulty_link import with_faults
from emulator.faulty_notices import delivered
from emulator.grid import Grid
from emulator.network import Network
from emulator.seed import Seed
from emulator.signals.mqtt import MqttBroker
from emulator.signals.notices import Bulletin, Terms, notices
from emulator.signals.openadr2 import PATH, Vtn2
from emulator.signals.openadr3 import BASE, Vtn
from emulator.signals.openadr3_store import VEN_SCOPES
from emulator.timeline import Signal
from emulator.wire import SECOND, Device

T = TypeVar("T")
ADDRESS = "127.6.252.2"
NOMINAL_W = 1e6
pytestmark = pytest.mark.system


def told(clock: Clock, *faults: dict[str, Any], start_s: float = 1.5, terms: Terms | None = None) -> Bulletin:
    """An order for 400 kW a second and a half from the start, for two seconds."""
    dispatch = Signal.steps(
        [(0, NOMINAL_W), (round(start_s * SECOND), 4e5), (round((start_s + 2) * SECOND), NOMINAL_W)]
    )
    still = {"dispatch": dispatch, "price": Signal.constant(30.0), "recall": Signal.constant(0.0)}
    sent = notices(still, NOMINAL_W, terms or Terms(), 10 * SECOND, clock.wall(0))
    plan = FaultPlan([read_fault(fault, "fault") for fault in faults], Seed(1))
    return Bulletin(delivered(plan, "vtn", sent))


def live(make: Callable[[Clock], Device], during: Callable[[Clock], Awaitable[T]]) -> T:
    async def main(clock: Clock) -> T:
        network = Network(clock)
        network.attach(ADDRESS, with_faults(FaultPlan((), Seed(1)), "x", "signal", make(clock)))
        await network.open()
        try:
            return await during(clock)
        finally:
            await network.close()
            assert network.defects == 0

    return run(main, mode="real")


# ---- MQTT ------------------------------------------------------------------------------------------------------------


def broker(clock: Clock) -> MqttBroker:
    made = MqttBroker(clock.wall, Grid(60.0, NOMINAL_W), 21883, account=("site", "secret"))
    made.publish(told(clock))
    return made


@pytest.mark.parametrize("version", [aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5])
def test_aiomqtt_hears_the_order_when_it_is_issued(version: aiomqtt.ProtocolVersion) -> None:
    async def during(clock: Clock) -> tuple[float, Any]:
        async with aiomqtt.Client(
            ADDRESS, 21883, username="site", password="secret", protocol=version, identifier="site"
        ) as client:
            await client.subscribe("ramprig/dispatch", qos=1)
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                assert message.qos == 1
                return clock.now() / SECOND, json.loads(message.payload)
        raise AssertionError("the messages ended")

    at, order = live(broker, during)
    assert (order["id"], order["setpoint_kw"]) == ("order-0001", 400.0)
    assert 1.5 <= at < 2.5


def test_aiomqtt_clients_talk_to_one_another_with_wills_and_kept_messages() -> None:
    async def during(_clock: Clock) -> list[tuple[str, Any]]:
        login = {"hostname": ADDRESS, "port": 21883, "username": "site", "password": "secret"}
        heard: list[tuple[str, Any]] = []
        async with aiomqtt.Client(**login, identifier="a") as first:
            await first.subscribe("site/#", qos=2)
            async with aiomqtt.Client(**login, identifier="b") as second:
                await second.publish("site/power", b"412", qos=2, retain=True)
            async with aiomqtt.Client(**login, identifier="c") as third:
                await third.subscribe("site/power")
                async for message in third.messages:
                    heard.append(("kept" if message.retain else "live", message.payload))
                    break
            async for message in first.messages:
                heard.append(("live", message.payload))
                break
        return heard

    assert live(broker, during) == [("kept", b"412"), ("live", b"412")]


def test_a_wrong_password_is_refused_as_aiomqtt_and_paho_understand_it() -> None:
    async def during(_clock: Clock) -> tuple[str, int]:
        with pytest.raises(aiomqtt.MqttError) as refused:
            async with aiomqtt.Client(ADDRESS, 21883, username="site", password="wrong"):
                pass
        answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.username_pw_set("site", "wrong")

        def connected(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            loop.call_soon_threadsafe(lambda: answered.done() or answered.set_result(reason.value))

        client.on_connect = connected
        client.connect_async(ADDRESS, 21883)
        client.loop_start()
        code = await asyncio.wait_for(answered, 5)
        await asyncio.to_thread(client.loop_stop)
        return str(refused.value), code

    words, code = live(broker, during)
    assert "Bad user name or password" in words
    assert code == 134


# ---- OpenADR 3.1 -----------------------------------------------------------------------------------------------------


def test_the_openadr3_client_logs_in_reads_events_and_sends_a_report() -> None:
    def vtn(clock: Clock) -> Vtn:
        made = Vtn(clock.wall, Seed(1), 28081, clients={"site": ("secret", VEN_SCOPES)})
        made.publish(told(clock, start_s=0.0, terms=Terms(tells_end=True)))
        return made

    def talk() -> tuple[str, list[Any], str, str]:
        with create_ven_client(f"http://{ADDRESS}:28081{BASE}", "none yet") as client:
            before = client._http
            client.fetch_token("site", "secret")
            before.close()  # it takes a new one and forgets this
            program = client.program("program-dispatch")
            events = client.events(programID=program.id)
            made = client.create_ven({"objectType": "VEN_VEN_REQUEST", "venName": "yard"}).json()
            report = {
                "eventID": events[0].id, "clientName": "yard",
                "resources": [{"resourceName": "yard", "intervals": [
                    {"id": 0, "payloads": [{"type": "DEMAND", "values": [412.5]}]}]}],
            }  # fmt: skip
            client.create_report(report).raise_for_status()
            return program.program_name, events, client.ven(made["id"]).ven_name, client.reports()[0].client_name

    async def during(_clock: Clock) -> tuple[str, list[Any], str, str]:
        return await asyncio.to_thread(talk)

    name, events, ven_name, reporter = live(vtn, during)
    assert (name, ven_name, reporter) == ("dispatch", "yard", "yard")
    assert [event.event_name for event in events] == ["order-0001"]
    assert events[0].intervals[0].payloads[0].values == [400.0]


# ---- OpenADR 2.0b ----------------------------------------------------------------------------------------------------


Heard = tuple[list[tuple[str, int, str]], dict[str, str]]


def heard_by_openleadr(*faults: dict[str, Any], seconds: float = 5.0, terms: Terms | None = None) -> Heard:
    """(event, modification, status) as openleadr's VEN gets them, and what the VTN heard back."""
    from openleadr import OpenADRClient

    made: list[Vtn2] = []
    events: list[tuple[str, int, str]] = []

    def vtn(clock: Clock) -> Device:
        made.append(Vtn2(clock, ADDRESS, 28080, poll_s=1, channels=("dispatch",)))
        made[0].publish(told(clock, *faults, terms=terms))
        return made[0].device

    async def during(_clock: Clock) -> None:
        await made[0].start()
        client = OpenADRClient(ven_name="site", vtn_url=f"http://{ADDRESS}:28080{PATH}")

        async def on_event(event: dict[str, Any]) -> str:
            said = event["event_descriptor"]
            assert event["event_signals"][0]["intervals"][0]["signal_payload"] == pytest.approx(400.0)
            events.append((said["event_id"], said["modification_number"], said["event_status"]))
            return "optIn"

        client.add_handler("on_event", on_event)
        client.add_handler("on_update_event", on_event)
        try:
            await client.run()
            await asyncio.sleep(seconds)
        finally:
            await client.stop()
            await made[0].close()

    live(vtn, during)
    return events, made[0].opts


def test_openleadrs_ven_gets_the_order_and_its_answer_comes_back() -> None:
    events, opts = heard_by_openleadr()
    assert events[0] == ("event-order-0001", 0, "active")
    assert opts == {"event-order-0001": "optIn"}
    assert events[-1] == ("event-order-0001", 1, "cancelled")


def test_openleadrs_ven_is_told_the_end_beforehand_where_the_operator_knows_it() -> None:
    events, _ = heard_by_openleadr(terms=Terms(tells_end=True), seconds=3.0)
    assert events == [("event-order-0001", 0, "active")]


def test_openleadrs_ven_is_told_that_an_order_is_withdrawn() -> None:
    events, _ = heard_by_openleadr({"where": "signal:dispatch", "kind": "cancelled", "after": "1 s"})
    assert events[-1] == ("event-order-0001", 1, "cancelled")
