"""One client of the operator's MQTT broker: its session, and the conversation that its packets make.

Owns what a client may say when, what is under way to it, and its last will; who hears what is the broker's, `mqtt.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emulator.signals import mqtt_packets as packets
from emulator.signals.mqtt_packets import Connect, Inflight, Message, PacketError, Reason, Stream, Wish
from emulator.wire import MILLISECOND, SECOND, Action, Close, Instant, Send

if TYPE_CHECKING:
    from emulator.signals.mqtt import MqttBroker

TURNAROUND_NS = MILLISECOND
"""From a packet to the broker's own. M: median 1.2 ms between a broker and a client on one machine"""
CONNECT_WITHIN_NS = 10 * SECOND
"""A caller who does not introduce himself is hung up on. estimate"""
MOST_INFLIGHT = 20
"""Messages under way to an MQTT 3.1.1 client. GK: mosquitto's max_inflight_messages"""


@dataclass(slots=True)
class Session:
    """What the broker knows of a client, connected or not."""

    client_id: str
    level: int
    subscriptions: dict[str, Wish] = field(default_factory=dict)
    queue: deque[tuple[Message, int, bool, tuple[int, ...]]] = field(default_factory=deque)
    """(message, QoS, retain flag, subscription identifiers) still to be sent."""
    inflight: Inflight = field(default_factory=Inflight)
    received: set[int] = field(default_factory=set)
    """Identifiers of QoS 2 messages that have been taken and not been released."""
    expiry_s: int = 0
    left_ns: Instant | None = None
    """When the client went; None while it is there."""
    line: MqttConversation | None = None


class MqttConversation:
    """One client. It speaks unasked (`emulator.wire.Attended`): what is published, when it is."""

    __slots__ = (
        "_asked", "_broker", "_closes", "_is_over", "_now_ns", "_out", "_rouse", "_session", "_stream", "_will",
        "idle_timeout_ns",
    )  # fmt: skip

    def __init__(self, broker: MqttBroker) -> None:
        self.idle_timeout_ns: int | None = CONNECT_WITHIN_NS
        self._broker = broker
        self._stream = Stream()
        self._session: Session | None = None
        self._asked: Connect | None = None
        self._will: Message | None = None
        self._out: list[bytes] = []
        self._rouse: Callable[[], None] | None = None
        self._now_ns: Instant = 0
        self._is_over = False
        self._closes = False
        """Whether the end has been said."""

    # ---- what the line asks ----------------------------------------------------------------------------------------

    @property
    def wake_ns(self) -> Instant | None:
        """Now where something waits that may go, else when the operator next speaks."""
        session = self._session
        if self._is_over:
            return None if self._closes else self._now_ns
        if session is None:
            return None
        if self._out or self._may_send(session):
            return self._now_ns
        return self._broker.next_ns(session.subscriptions, self._now_ns)

    def attend(self, rouse: Callable[[], None]) -> None:
        """The connection stands."""
        self._rouse = rouse

    def lost(self, now: Instant) -> None:
        """The connection is gone: a client that has not said good-bye leaves its will."""
        self._is_over = self._closes = True
        session, self._session, will, self._will = self._session, None, self._will, None
        if session is not None and session.line is self:
            self._broker.leave(session, now)
        if will is not None:
            self._broker.route(will, now)

    def woken(self, now: Instant) -> Sequence[Action]:
        """The operator, or another client, has said something."""
        self._now_ns = now
        self._broker.advance(now)
        return self._said()

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Take bytes; answer every packet that is whole."""
        self._now_ns = now
        if self._is_over:
            return ()
        self._broker.advance(now)
        self._stream.feed(data)
        try:
            while not self._is_over and (found := self._stream.next()) is not None:
                self._take(*found, now)
        except PacketError as error:
            self._refuse(error.reason)
        return self._said()

    def ended(self, now: Instant) -> Sequence[Action]:
        """The client closed its side."""
        return [Close()]

    # ---- what the broker does --------------------------------------------------------------------------------------

    def ring(self) -> None:
        """Something is in the queue."""
        if self._rouse is not None:
            self._rouse()

    def take_over(self, now: Instant) -> None:
        """The same client has connected anew."""
        session, self._session, self._is_over = self._session, None, True
        if session is not None:
            if session.level == packets.V5:
                self._out.append(packets.disconnect(Reason.SESSION_TAKEN_OVER))
            session.line = None
            self._broker.leave(session, now)
        if self._will is not None:
            will, self._will = self._will, None
            self._broker.route(will, now)
        self._now_ns = now
        self.ring()

    def _said(self) -> list[Action]:
        """What waits and may go now, and the end where it has come."""
        session = None if self._is_over else self._session
        while session is not None and self._may_send(session):
            message, qos, retain, numbers = session.queue.popleft()
            number = session.inflight.number() if qos else 0
            self._out.append(packets.publish(message, qos, number, session.level, retain=retain, subscriptions=numbers))
            if qos:
                again = packets.publish(message, qos, number, session.level, dup=True, retain=retain,
                                        subscriptions=numbers)  # fmt: skip
                session.inflight.sent[number] = again
        out, self._out = self._out, []
        said: list[Action] = [Send(one, TURNAROUND_NS if place == 0 else 0) for place, one in enumerate(out)]
        if self._is_over and not self._closes:
            self._closes = True
            said.append(Close())
        return said

    def _may_send(self, session: Session) -> bool:
        most = MOST_INFLIGHT if self._asked is None or self._asked.level != packets.V5 else self._asked.receive_maximum
        return bool(session.queue) and (session.queue[0][1] == 0 or len(session.inflight.sent) < most)

    def _refuse(self, reason: Reason) -> None:
        self._is_over = True
        if self._asked is not None and self._asked.level == packets.V5:
            self._out.append(packets.disconnect(reason))
        elif self._asked is None and reason is Reason.UNSUPPORTED_PROTOCOL_VERSION:
            self._out.append(packets.connack(packets.V311, reason, False))

    # ---- packets ---------------------------------------------------------------------------------------------------

    def _take(self, kind: int, flags: int, body: bytes, now: Instant) -> None:
        session = self._session
        if session is None:
            if kind != packets.CONNECT:
                raise PacketError(Reason.PROTOCOL_ERROR, "the first packet is no CONNECT")
            self._connect(Connect.read(body), now)
            return
        if kind == packets.PUBLISH:
            self._published(session, flags, body, now)
        elif kind in (packets.PUBACK, packets.PUBCOMP):
            session.inflight.sent.pop(packets.Reader(body).two(), None)
        elif kind == packets.PUBREL:
            number = packets.Reader(body).two()
            session.received.discard(number)
            self._out.append(packets.acknowledge(packets.PUBCOMP, number, session.level))
        elif kind == packets.SUBSCRIBE:
            self._subscribe(session, body)
        elif kind == packets.UNSUBSCRIBE:
            number, names = packets.read_unsubscribe(body, session.level)
            gone = [session.subscriptions.pop(name, None) for name in names]
            codes = [Reason.NO_SUBSCRIPTION_EXISTED if one is None else Reason.SUCCESS for one in gone]
            self._out.append(packets.suback(packets.UNSUBACK, number, [int(code) for code in codes], session.level))
        elif kind == packets.PINGREQ:
            self._out.append(packets.packet(packets.PINGRESP, b""))
        elif kind == packets.DISCONNECT:
            self._goodbye(session, body)
        else:
            raise PacketError(Reason.PROTOCOL_ERROR, f"a packet of type {kind}")

    def _connect(self, asked: Connect, now: Instant) -> None:
        self._asked = asked
        reason = self._broker.admits(asked)
        if reason is not Reason.SUCCESS:
            self._out.append(packets.connack(asked.level, reason, False))
            self._is_over = True
            return
        session, present, assigned = self._broker.enter(asked, self, now)
        self._session, self._will = session, asked.will
        self.idle_timeout_ns = (asked.keep_alive_s * SECOND * 3 // 2 or None) if self._broker.hangs_up else None
        self._out.append(packets.connack(asked.level, reason, present, assigned))
        self._out += session.inflight.sent.values()

    def _goodbye(self, session: Session, body: bytes) -> None:
        if session.level == packets.V5 and body:
            reader = packets.Reader(body)
            keeps_will = reader.byte() == 0x04
            found = dict(reader.properties()) if reader.left else {}
            expiry = found.get(packets.SESSION_EXPIRY, session.expiry_s)
            session.expiry_s = expiry if isinstance(expiry, int) else session.expiry_s
            if keeps_will:
                self._is_over = True
                return
        self._will, self._is_over = None, True

    def _published(self, session: Session, flags: int, body: bytes, now: Instant) -> None:
        message, number = packets.read_publish(flags, body, session.level)
        reason = Reason.SUCCESS
        if self._broker.is_operators(message.topic) or message.topic.startswith("$"):
            reason = Reason.NOT_AUTHORIZED
        elif number not in session.received and not self._broker.route(message, now, session):
            reason = Reason.NO_MATCHING_SUBSCRIBERS
        if message.qos == 1:
            self._out.append(packets.acknowledge(packets.PUBACK, number, session.level, reason))
        elif message.qos == 2:
            if reason is not Reason.NOT_AUTHORIZED:
                session.received.add(number)
            self._out.append(packets.acknowledge(packets.PUBREC, number, session.level, reason))

    def _subscribe(self, session: Session, body: bytes) -> None:
        number, wishes = packets.read_subscribe(body, session.level)
        codes: list[int] = []
        kept: list[tuple[Message, Wish]] = []
        for wish in wishes:
            if not packets.is_filter(wish.filter):
                codes.append(Reason.TOPIC_FILTER_INVALID)
            elif wish.filter.startswith("$share/"):
                codes.append(Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED)
            else:
                is_new = wish.filter not in session.subscriptions
                session.subscriptions[wish.filter] = wish
                codes.append(min(wish.qos, 1))
                if wish.retain_handling == 0 or (wish.retain_handling == 1 and is_new):
                    kept += [(message, wish) for message in self._broker.retained(wish)]
        self._out.append(packets.suback(packets.SUBACK, number, codes, session.level))
        for message, wish in kept:
            numbers = (wish.number,) if wish.number else ()
            self._broker.give(session, message, min(message.qos, wish.qos, 1), True, numbers)
