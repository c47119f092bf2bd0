"""The operator's broker: amqtt's client in virtual time, and packets written by hand for what no client would send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import aiomqtt
import pytest
from amqtt.client import MQTTClient
from amqtt.mqtt.constants import QOS_0, QOS_1, QOS_2
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.clock import VIRTUAL_EPOCH, Clock
from emulator.faults import FaultPlan
from emulator.signals import mqtt_packets as packets
from emulator.signals.mqtt import PORT, MqttBroker
from emulator.signals.mqtt_packets import Reason
from emulator.signals.mqtt_talk import MqttConversation
from emulator.signals.notices import Bulletin
from emulator.wire import SECOND, Close, Send
from tests.emulator.signals.world import ADDRESS, bulletin, grid, live, plan

T = TypeVar("T")
URL = f"mqtt://{ADDRESS}:{PORT}"


def broker(
    told: Bulletin, account: tuple[str, str] | None = None, *, hangs_up: bool = True
) -> Callable[[Clock], MqttBroker]:
    def make(clock: Clock) -> MqttBroker:
        made = MqttBroker(clock.wall, grid(), account=account, hangs_up=hangs_up)
        made.publish(told)
        return made

    return make


def with_client(during: Callable[[MQTTClient, Clock], Awaitable[T]], faults: FaultPlan | None = None, **more: Any) -> T:
    """Connect amqtt's client in virtual time."""

    async def body(clock: Clock) -> T:
        client = MQTTClient("site-1", config={"auto_reconnect": False, "keep_alive": 20})
        await client.connect(URL)
        try:
            return await during(client, clock)
        finally:
            await client.disconnect()

    return live(broker(bulletin(faults, "mqtt", texts=True), **more), body, faults, "mqtt")


def heard(topic: str, until_s: float, *faults: dict[str, Any]) -> list[tuple[float, Any]]:
    """(second, payload) of all that comes on a topic; a payload that is no JSON is its bytes."""

    async def during(client: MQTTClient, clock: Clock) -> list[tuple[float, Any]]:
        await client.subscribe([(topic, QOS_1)])
        found: list[tuple[float, Any]] = []
        while True:
            left = until_s - clock.now() / SECOND
            try:
                message = await client.deliver_message(timeout_duration=left)
            except TimeoutError:
                return found
            raw = bytes(message.data)
            try:
                said = json.loads(raw)
            except ValueError:
                said = raw
            found.append((round(clock.now() / SECOND, 3), said))

    return with_client(during, plan(*faults))


# ---- what the operator says ------------------------------------------------------------------------------------------


def test_an_order_comes_when_it_is_issued_and_stays_for_those_who_come_later() -> None:
    found = heard("ramprig/dispatch", 1000)
    assert [(at, said["id"], said["revision"], said["end"]) for at, said in found] == [
        (60.001, "order-0001", 1, None),
        (600.001, "order-0001", 2, "2025-01-01T00:10:00.000Z"),
        (600.001, "order-0002", 1, None),
        (900.001, "order-0002", 2, "2025-01-01T00:15:00.000Z"),
    ]

    async def late(client: MQTTClient, clock: Clock) -> Any:
        await clock.sleep_until(700 * SECOND)
        await client.subscribe([("ramprig/dispatch", QOS_1)])
        message = await client.deliver_message()
        assert message.publish_packet.retain_flag
        return json.loads(bytes(message.data))["id"]

    assert with_client(late) == "order-0002"


def test_prices_and_recalls_have_topics_of_their_own_and_wild_cards_take_all() -> None:
    assert [(at, said["lmp"]) for at, said in heard("ramprig/price", 700)] == [
        (0.002, 30.0), (300.001, 2500.0), (600.001, 2500.0),
    ]  # fmt: skip
    assert [said["count"] for _, said in heard("ramprig/recall", 1000)] == [1]
    every = heard("ramprig/#", 62)
    assert {"setpoint_kw", "lmp", "frequency_hz"} <= {key for _, said in every for key in said}


def test_frequency_is_published_every_second() -> None:
    found = heard("ramprig/grid", 63)
    assert [said["frequency_hz"] for at, said in found if at > 58] == [60.0, 60.0, 60.0, 59.7, 59.7004]
    assert len(found) == 63


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "late", "by": "20 s"}, [(80.001, "order-0001", 1)]),
        ({"kind": "stale", "start": "50 s", "stop": "99 s"}, [(99.001, "order-0001", 1)]),
        ({"kind": "duplicate", "after": "2 s"}, [(60.001, "order-0001", 1), (62.001, "order-0001", 1)]),
        ({"kind": "overlapping", "after": "5 s"}, [(60.001, "order-0001", 1), (65.001, "order-0001b", 1)]),
        ({"kind": "cancelled", "after": "5 s"}, [(60.001, "order-0001", 1), (65.001, "order-0001", 2)]),
        ({"kind": "reordered", "wait": "10 min"}, []),
    ],
)
@pytest.mark.parametrize("where", ["signal:dispatch", "mqtt"])
def test_each_variant_reaches_a_subscriber(
    where: str, fault: dict[str, Any], expected: list[tuple[float, str, int]]
) -> None:
    found = heard("ramprig/dispatch", 100, {"where": where, **fault})
    assert [(at, said["id"], said["revision"]) for at, said in found] == expected


def test_reordered_orders_come_newest_first() -> None:
    found = heard("ramprig/dispatch", 700, {"where": "mqtt", "kind": "reordered", "wait": "10 min", "stop": "61 s"})
    assert [(said["id"], said["revision"]) for _, said in found] == [
        ("order-0001", 2), ("order-0002", 1), ("order-0001", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("where", ["signal:dispatch", "mqtt"])
def test_a_malformed_payload_comes_in_a_whole_packet(where: str) -> None:
    found = heard("ramprig/dispatch", 700, {"where": where, "kind": "malformed", "how": "cut", "stop": "100 s"})
    assert [type(said) for _, said in found] == [bytes, dict, dict]


@pytest.mark.parametrize("version", [aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5])
def test_aiomqtt_lives_in_virtual_time(version: aiomqtt.ProtocolVersion) -> None:
    async def during(clock: Clock) -> list[tuple[float, str]]:
        found: list[tuple[float, str]] = []
        async with aiomqtt.Client(ADDRESS, PORT, identifier="site", protocol=version, keepalive=20) as client:
            await client.subscribe("ramprig/dispatch", qos=1)
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                found.append((round(clock.now() / SECOND, 3), json.loads(message.payload)["id"]))
                if len(found) == 4:
                    break
        return found

    # paho counts its keep-alive on the wall's clock, which hardly moves meanwhile
    assert live(broker(bulletin(), hangs_up=False), during) == [
        (60.001, "order-0001"), (600.001, "order-0001"), (600.001, "order-0002"), (900.001, "order-0002"),
    ]  # fmt: skip


# ---- what clients say to one another ---------------------------------------------------------------------------------


def test_clients_hear_one_another_at_once_in_every_quality() -> None:
    async def during(client: MQTTClient, clock: Clock) -> list[tuple[str, bytes]]:
        other = MQTTClient("site-2", config={"auto_reconnect": False})
        await other.connect(URL)
        await client.subscribe([("site/+", QOS_2)])
        for place, qos in enumerate((QOS_0, QOS_1, QOS_2)):
            await other.publish(f"site/{place}", b"hello", qos=qos)
        found = [await client.deliver_message(timeout_duration=1) for _ in range(3)]
        await other.disconnect()
        assert clock.now() < SECOND
        return [(message.topic, bytes(message.data)) for message in found]

    assert with_client(during) == [("site/0", b"hello"), ("site/1", b"hello"), ("site/2", b"hello")]


def test_only_the_operator_publishes_on_his_topics() -> None:
    async def during(client: MQTTClient, clock: Clock) -> None:
        await client.subscribe([("ramprig/dispatch", QOS_1)])
        await client.publish("ramprig/dispatch", b"{}", qos=QOS_1)
        with pytest.raises(TimeoutError):
            await client.deliver_message(timeout_duration=5)

    with_client(during)


def test_a_client_that_falls_silent_is_hung_up_on_after_one_and_a_half_times_its_keep_alive() -> None:
    async def during(clock: Clock) -> float:
        reader, writer = await asyncio.open_connection(ADDRESS, PORT)
        writer.write(connect(keep_alive_s=10))
        assert await reader.read() == packets.connack(packets.V311, Reason.SUCCESS, False)
        writer.close()
        return clock.now() / SECOND

    assert live(broker(Bulletin()), during) == pytest.approx(15.0, abs=0.1)


def test_an_account_is_asked_for_where_there_is_one() -> None:
    async def during(_clock: Clock) -> None:
        client = MQTTClient("site-1", config={"auto_reconnect": False})
        await client.connect(f"mqtt://site:secret@{ADDRESS}:{PORT}")
        await client.disconnect()

    live(broker(Bulletin(), account=("site", "secret")), during)
    for account, code in (("", b"\x05"), ("nobody", b"\x04")):
        _, actions = talk(broker_with_account(), connect(account=account))
        assert said(actions) == b"\x20\x02\x00" + code
        assert isinstance(actions[-1], Close)


# ---- packets by hand -------------------------------------------------------------------------------------------------


def connect(
    client_id: str = "hand", *, level: int = packets.V311, clean: bool = True, keep_alive_s: int = 0, will: str = "",
    expiry_s: int = 0, account: str = "",
) -> bytes:  # fmt: skip
    flags = (2 if clean else 0) | (0x0C if will else 0) | (0xC0 if account else 0)
    body = packets.text("MQTT") + bytes([level, flags]) + keep_alive_s.to_bytes(2)
    if level == packets.V5:
        body += packets.properties([(packets.SESSION_EXPIRY, expiry_s)])
    body += packets.text(client_id)
    if will:
        body += (packets.properties([]) if level == packets.V5 else b"") + packets.text(will) + packets.text("gone")
    if account:
        body += packets.text(account) + packets.text("secret")
    return packets.packet(packets.CONNECT, body)


def subscribe(topic: str, qos: int = 1, level: int = packets.V311, number: int = 1, identifier: int = 0) -> bytes:
    extra = packets.properties([(packets.SUBSCRIPTION_ID, identifier)] if identifier else [])
    body = number.to_bytes(2) + (extra if level == packets.V5 else b"") + packets.text(topic) + bytes([qos])
    return packets.packet(packets.SUBSCRIBE, body, 2)


def said(actions: Sequence[object]) -> bytes:
    return b"".join(action.data for action in actions if isinstance(action, Send))


def talk(to: MqttBroker, *data: bytes, now: int = 0) -> tuple[MqttConversation, list[object]]:
    line = to.converse(PORT, "", now)
    return line, [action for piece in data for action in line.received(piece, now)]


def broker_with_account() -> MqttBroker:
    return MqttBroker(lambda _: VIRTUAL_EPOCH, grid(), account=("site", "secret"))


def plain() -> MqttBroker:
    return MqttBroker(lambda _: VIRTUAL_EPOCH, grid(), telemetry=False)


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (packets.packet(packets.PINGREQ, b""), b""),
        (packets.packet(packets.CONNECT, packets.text("MQIsdp") + b"\x03\x02\x00\x00" + packets.text("a")),
         b"\x20\x02\x00\x01"),
        (packets.packet(packets.CONNECT, packets.text("MQTT") + b"\x04\x03\x00\x00" + packets.text("a")), b""),
        (connect("", clean=False), b"\x20\x02\x00\x02"),
        (b"\x10\xff\xff\xff\xff\x01", b""),
    ],
)  # fmt: skip
def test_a_bad_beginning_ends_the_connection(data: bytes, answer: bytes) -> None:
    _, actions = talk(plain(), data)
    assert said(actions) == answer
    assert [type(action) for action in actions][-1] is Close


@pytest.mark.parametrize(
    "data",
    [
        packets.packet(packets.PUBLISH, packets.text("a/#") + b"x"),
        packets.packet(packets.PUBLISH, packets.text("a") + b"x", 6),
        packets.packet(packets.SUBSCRIBE, b"\x00\x01" + packets.text("a") + b"\x03", 2),
        packets.packet(packets.SUBSCRIBE, b"\x00\x01", 2),
        packets.packet(packets.SUBSCRIBE, b"\x00\x01" + packets.text("a") + b"\x01", 0),
        connect(),
        packets.packet(packets.PUBLISH, b"\x00\x02\xff\xfe"),
    ],
)
def test_a_packet_that_may_not_be_ends_the_connection(data: bytes) -> None:
    _, actions = talk(plain(), connect(), data)
    assert [type(action) for action in actions] == [Send, Close]
    _, actions = talk(plain(), connect(level=packets.V5), data)
    assert said(actions[1:])[:1] == b"\xe0"


def test_a_filter_that_is_none_is_refused_and_the_others_are_granted() -> None:
    broker_ = plain()
    body = b"\x00\x07" + b"".join(packets.text(t) + b"\x02" for t in ("a/#", "a#", "$share/g/a", "+/b"))
    _, actions = talk(broker_, connect(), packets.packet(packets.SUBSCRIBE, body, 2))
    assert said(actions[1:]) == packets.packet(packets.SUBACK, b"\x00\x07\x01\x80\x80\x01")


def test_a_will_is_published_when_the_connection_breaks_and_not_after_a_goodbye() -> None:
    broker_ = plain()
    hearer, _ = talk(broker_, connect("hearer"), subscribe("wills", 0))
    broken, _ = talk(broker_, connect("broken", will="wills"))
    polite, _ = talk(broker_, connect("polite", will="wills"), packets.packet(packets.DISCONNECT, b""))
    polite.lost(1)
    assert said(hearer.woken(1)) == b""
    broken.lost(2)
    assert hearer.wake_ns is not None
    assert said(hearer.woken(2)).endswith(b"gone")


def test_a_session_that_is_kept_gets_what_it_has_missed_and_what_it_has_not_acknowledged() -> None:
    broker_ = plain()
    away, _ = talk(broker_, connect("away", clean=False), subscribe("news"))
    post = packets.packet(packets.PUBLISH, packets.text("news") + b"\x00\x05one", 2)
    talk(broker_, connect("sender"), post)
    assert said(away.woken(1)) == packets.packet(packets.PUBLISH, packets.text("news") + b"\x00\x01one", 2)
    away.lost(2)
    talk(broker_, connect("sender"), post.replace(b"one", b"two"))
    back, actions = talk(broker_, connect("away", clean=False), now=3)
    assert said(actions) == (
        packets.connack(packets.V311, Reason.SUCCESS, True)
        + packets.packet(packets.PUBLISH, packets.text("news") + b"\x00\x01one", 0b1010)
        + packets.packet(packets.PUBLISH, packets.text("news") + b"\x00\x02two", 2)
    )
    back.received(packets.packet(packets.PUBACK, b"\x00\x01") + packets.packet(packets.PUBACK, b"\x00\x02"), 4)
    back.lost(5)
    _, actions = talk(broker_, connect("away", clean=False), now=6)
    assert said(actions) == packets.connack(packets.V311, Reason.SUCCESS, True)


def test_a_session_of_mqtt_5_ends_when_it_has_expired() -> None:
    broker_ = plain()
    for back_s, present in ((9, True), (30, False)):
        line, _ = talk(broker_, connect("five", level=packets.V5, clean=False, expiry_s=10))
        line.lost(0)
        _, actions = talk(broker_, connect("five", level=packets.V5, clean=False, expiry_s=10), now=back_s * SECOND)
        assert said(actions)[2] == present


def test_the_second_client_of_a_name_takes_over() -> None:
    broker_ = plain()
    old, _ = talk(broker_, connect("twin", level=packets.V5))
    talk(broker_, connect("twin", level=packets.V5))
    assert old.wake_ns == 0
    (goodbye, closes) = old.woken(0)
    assert isinstance(goodbye, Send)
    assert goodbye.data == packets.disconnect(Reason.SESSION_TAKEN_OVER)
    assert isinstance(closes, Close)
    old.lost(1)
    third, _ = talk(broker_, connect("other"), packets.packet(packets.PUBLISH, packets.text("x") + b"y"))
    assert third.wake_ns is None


def test_mqtt_5_carries_properties_and_subscription_identifiers() -> None:
    broker_ = plain()
    hearer, _ = talk(
        broker_, connect("h", level=packets.V5),
        subscribe("a/b", 0, packets.V5, 1, 7), subscribe("a/+", 0, packets.V5, 2, 9),
    )  # fmt: skip
    extra = packets.properties([(packets.USER_PROPERTY, ("k", "v")), (0x08, "reply/here")])
    talk(broker_, connect("s", level=packets.V5), packets.packet(packets.PUBLISH, packets.text("a/b") + extra + b"!"))
    numbers = [(packets.SUBSCRIPTION_ID, 7), (packets.SUBSCRIPTION_ID, 9)]
    sent = packets.properties([(packets.USER_PROPERTY, ("k", "v")), (0x08, "reply/here"), *numbers])
    assert said(hearer.woken(1)) == packets.packet(packets.PUBLISH, packets.text("a/b") + sent + b"!")


def test_a_slow_client_has_no_more_under_way_than_it_can_take() -> None:
    broker_ = plain()
    hearer, _ = talk(broker_, connect("h"), subscribe("n"))
    for number in range(1, 26):
        talk(broker_, connect("s"),
             packets.packet(packets.PUBLISH, packets.text("n") + number.to_bytes(2) + b"x", 2))  # fmt: skip
    assert len(hearer.woken(1)) == 20
    assert hearer.wake_ns is None
    (sent,) = hearer.received(packets.packet(packets.PUBACK, b"\x00\x03"), 2)
    assert isinstance(sent, Send)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300), st.booleans(), st.integers(1, 40))
def test_any_bytes_in_any_pieces_get_the_same_answer_and_never_an_error(data: bytes, greeted: bool, size: int) -> None:
    whole = (connect(level=packets.V5) + subscribe("a/#", level=packets.V5) if greeted else b"") + data
    pieces = [whole[place : place + size] for place in range(0, len(whole), size)]
    _, at_once = talk(plain(), whole)
    _, sliced = talk(plain(), *pieces)
    assert said(at_once) == said(sliced)


@given(st.text("ab+#/", min_size=1, max_size=8), st.text("ab/", min_size=1, max_size=8))
def test_filters_take_what_amqtt_says_they_take(pattern: str, topic: str) -> None:
    from amqtt.broker import Broker

    if packets.is_filter(pattern):
        matches = Broker._matches(None, topic, pattern)  # type: ignore[arg-type]
        assert packets.matches(pattern, topic) == matches


@pytest.mark.parametrize("number", [0, 127, 128, 16383, 16384, 2097151, 2097152, 268435455])
def test_lengths_read_back(number: int) -> None:
    assert packets.Reader(packets.varint(number)).varint() == number
