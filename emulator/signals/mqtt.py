"""The operator's MQTT broker: his messages on topics, and a small broker for whatever else clients say to one another.

Owns who has subscribed to what, retained messages and the operator's topics, with QoS 0 and 1 towards clients (QoS 2 is
taken from them, and granted as 1). A client is `mqtt_talk.py`'s, packets are `mqtt_packets.py`'s, messages
`notices.py`'s. It is sans I/O: a conversation speaks unasked when it is time, in real and in virtual time alike.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from emulator.faults import Dice
from emulator.faulty_replies import damaged
from emulator.signals import mqtt_packets as packets
from emulator.signals.mqtt_packets import Connect, Message, Reason, Wish
from emulator.signals.mqtt_talk import MqttConversation, Session
from emulator.signals.notices import Bulletin, Notice
from emulator.signals.rest import body_row
from emulator.signals.service import as_json
from emulator.wire import SECOND, Instant, Reach

PORT = 1883
PERIOD_NS = SECOND
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
