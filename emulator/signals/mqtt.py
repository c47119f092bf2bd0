"""The operator's MQTT broker: his messages on topics, and a small broker for whatever else clients say to one another.

Owns sessions, subscriptions, retained messages and QoS 0 and 1 towards clients (QoS 2 is taken from them, and granted
as 1). Packets are `mqtt_packets.py`'s, messages `notices.py`'s. It is sans I/O: a conversation speaks unasked when it
is time, so that the same broker runs in real and in virtual time.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from emulator.faults import Dice
from emulator.faulty_replies import damaged
from emulator.signals import mqtt_packets as packets
from emulator.signals.mqtt_packets import Connect, Inflight, Message, PacketError, Reason, Stream, Wish
from emulator.signals.notices import Bulletin, Notice
from emulator.signals.rest import body_row
from emulator.signals.service import as_json
from emulator.wire import MILLISECOND, SECOND, Action, Close, Instant, Reach, Send

PORT = 1883
TURNAROUND_NS = MILLISECOND
"""From a packet to the broker's own. M: median 1.2 ms between a broker and a client on one machine"""
CONNECT_WITHIN_NS = 10 * SECOND
"""A caller who does not introduce himself is hung up on. estimate"""
PERIOD_NS = SECOND
MOST_INFLIGHT = 20
"""Messages under way to an MQTT 3.1.1 client. GK: mosquitto's max_inflight_messages"""
MOST_QUEUED = 1000
"""Messages kept for a client that is away or slow; further ones are lost. GK: mosquitto's max_queued_messages"""
_JSON: tuple[tuple[int, packets.PropertyValue], ...] = ((packets.CONTENT_TYPE, "application/json"),)


class Telemetry(Protocol):
    """What the broker publishes of the grid."""

    def frequency_hz(self, at: Instant) -> float:
        """Frequency."""
        ...

    def voltage_pu(self, at: Instant) -> float:
        """Voltage."""
        ...


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


class MqttBroker:
    """A broker on one port.

    The operator's topics are `BASE/dispatch`, `BASE/price`, `BASE/recall` (JSON, QoS 1, retained) and `BASE/grid`
    (frequency and voltage every `period_ns`, QoS 0, retained); only he publishes below `BASE/`. `account` is a user
    name and a password that clients must show, or None. `hangs_up` says whether a client that is silent for one and a
    half times its keep-alive loses its connection: one that counts its keep-alive on the wall's clock, as paho does,
    would in virtual time.
    """

    def __init__(
        self,
        wall: Callable[[Instant], datetime],
        grid: Telemetry,
        port: int = PORT,
        *,
        base: str = "ramprig",
        account: tuple[str, str] | None = None,
        telemetry: bool = True,
        period_ns: int = PERIOD_NS,
        hangs_up: bool = True,
    ) -> None:
        self.ports: tuple[int, ...] = (port,)
        self.base = base
        self.hangs_up = hangs_up
        self._wall = wall
        self._grid = grid
        self._account = account
        self._telemetry = telemetry
        self._period_ns = period_ns
        self._bulletin = Bulletin()
        self._told = 0
        """How many of the bulletin's messages have been published."""
        self._ticked_ns: Instant = -1
        self._retained: dict[str, Message] = {}
        self._sessions: dict[str, Session] = {}
        self._assigned = 0

    @staticmethod
    def topics(base: str, channels: Sequence[str]) -> dict[str, str]:
        """Where each channel is found."""
        place = {"frequency": "grid", "voltage": "grid"}
        return {channel: f"{base}/{place.get(channel, channel)}" for channel in channels}

    def publish(self, bulletin: Bulletin) -> None:
        """Take the messages of a run."""
        self._bulletin, self._told = bulletin, 0

    def reach(self, port: int, now: Instant) -> Reach:
        """Always there."""
        return Reach.ANSWERS if port in self.ports else Reach.REFUSES

    def converse(self, port: int, peer: str, now: Instant) -> MqttConversation:
        """Begin a connection."""
        return MqttConversation(self)

    # ---- publishing ------------------------------------------------------------------------------------------------

    def advance(self, now: Instant) -> None:
        """Publish what the operator has said by `now`."""
        due = self._bulletin.all[self._told : self._bulletin.count(now)]
        self._told += len(due)
        for notice in due:
            self.route(self._message(notice), now)
        tick = now - now % self._period_ns
        if self._telemetry and tick > self._ticked_ns:
            self._ticked_ns = tick
            self.route(self._measured(tick), now)

    def next_ns(self, wishes: Mapping[str, Wish], now: Instant) -> Instant | None:
        """When the operator next says something that one of the filters takes."""
        at: list[Instant] = []
        message = self._bulletin.next_ns(now)
        if message is not None and wishes:
            at.append(message)
        if self._telemetry and any(packets.matches(one, f"{self.base}/grid") for one in wishes):
            at.append(now - now % self._period_ns + self._period_ns)
        return min(at, default=None)

    def route(self, message: Message, now: Instant, sender: Session | None = None) -> bool:
        """Give a message to whoever has subscribed, and keep it where it is to be kept; whether anybody had."""
        if message.retain:
            if message.payload:
                self._retained[message.topic] = message
            else:
                self._retained.pop(message.topic, None)
        taken = False
        for session in list(self._sessions.values()):
            if self._is_over(session, now):
                del self._sessions[session.client_id]
                continue
            wishes = [w for w in session.subscriptions.values() if packets.matches(w.filter, message.topic)]
            wishes = [w for w in wishes if not (w.no_local and session is sender)]
            if wishes:
                taken = True
                qos = min(message.qos, max(w.qos for w in wishes), 1)
                kept = message.retain and any(w.retain_as_published for w in wishes)
                self.give(session, message, qos, kept, tuple(w.number for w in wishes if w.number))
        return taken

    def give(self, session: Session, message: Message, qos: int, retain: bool, numbers: tuple[int, ...]) -> None:
        """Put a message into a client's queue; one that is away gets QoS 1 only."""
        if (session.line is None and qos == 0) or len(session.queue) >= MOST_QUEUED:
            return
        session.queue.append((message, qos, retain, numbers))
        if session.line is not None:
            session.line.ring()

    def retained(self, wish: Wish) -> list[Message]:
        """What is kept on the topics that a filter takes."""
        return [message for topic, message in self._retained.items() if packets.matches(wish.filter, topic)]

    def is_operators(self, topic: str) -> bool:
        """Whether only the operator publishes there."""
        return topic == self.base or topic.startswith(f"{self.base}/")

    def _message(self, notice: Notice) -> Message:
        said = {**body_row(notice, self._date), "published": self._date(notice.at_ns)}
        payload = as_json(said)
        if notice.damage is not None:
            payload = damaged(payload, notice.damage.how, Dice(notice.damage.seed))
        return Message(f"{self.base}/{notice.channel}", payload, 1, True, _JSON)

    def _measured(self, tick: Instant) -> Message:
        said = {
            "frequency_hz": round(self._grid.frequency_hz(tick), 4),
            "voltage_pu": round(self._grid.voltage_pu(tick), 5),
            "published": self._date(tick),
        }
        return Message(f"{self.base}/grid", as_json(said), 0, True, _JSON)

    def _date(self, at: Instant) -> str:
        return self._wall(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    # ---- sessions --------------------------------------------------------------------------------------------------

    def admits(self, asked: Connect) -> Reason:
        """Whether a client may connect."""
        if self._account is not None:
            if asked.username is None:
                return Reason.NOT_AUTHORIZED
            shown = asked.username.encode() + b"\x00" + (asked.password or b"")
            if not hmac.compare_digest(shown, "\x00".join(self._account).encode()):
                return Reason.BAD_USER_NAME_OR_PASSWORD
        if not asked.client_id and not asked.clean and asked.level == packets.V311:
            return Reason.CLIENT_IDENTIFIER_NOT_VALID
        return Reason.SUCCESS

    def enter(self, asked: Connect, line: MqttConversation, now: Instant) -> tuple[Session, bool, str]:
        """(session, whether it was there before, the name that it was given); an older connection of the name ends."""
        assigned = ""
        client_id = asked.client_id
        if not client_id:
            self._assigned += 1
            client_id = assigned = f"auto-{self._assigned:04d}"
        session = self._sessions.get(client_id)
        if session is not None and session.line is not None:
            session.line.take_over(now)
        if session is not None and self._is_over(session, now):
            session = None
        present = session is not None and not asked.clean
        if session is None or asked.clean:
            session = Session(client_id, asked.level)
        session.level, session.expiry_s, session.left_ns, session.line = asked.level, asked.session_expiry_s, None, line
        self._sessions[client_id] = session
        return session, present, assigned

    def leave(self, session: Session, now: Instant) -> None:
        """A connection is gone."""
        session.line, session.left_ns = None, now
        if session.expiry_s == 0:
            self._sessions.pop(session.client_id, None)

    @staticmethod
    def _is_over(session: Session, now: Instant) -> bool:
        if session.left_ns is None or session.expiry_s == 0xFFFFFFFF:
            return False
        return now >= session.left_ns + session.expiry_s * SECOND


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
