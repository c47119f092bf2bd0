"""A serial line with its slaves, sans I/O: characters of the master in, characters of the slaves out, at line speed.

Owns who hears a frame, half duplex, the pace of replies and what collides; frames are cut by `emulator/modbus/rtu.py`
and `emulator/modbus/ascii.py`, what a slave answers is its conversation's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from emulator.modbus.collision import Character, Transmission, received
from emulator.modbus.rtu import Heard
from emulator.modbus.serial_format import SerialFormat
from emulator.wire import MILLISECOND, Action, Conversation, Device, Instant, Send, speaker_of

Decode: TypeAlias = Callable[[bytes], tuple[int, bytes] | None]
"""How a frame is read: unit and PDU, or None."""

BROADCAST = 0
LUMP_NS = MILLISECOND
"""Replies leave in lumps this far apart at the least, each when its last character is over. estimate: no receiver of a
computer hears characters one by one."""
BACKLOG_BYTES = 4096
"""Characters that may wait to be sent by the master; more are lost. GK: the buffer of a Linux tty."""
_MOST_SENDING = 64


class Receiver(Protocol):
    """What cuts characters into frames: `RtuReceiver` or `AsciiReceiver`."""

    @property
    def due_ns(self) -> Instant | None:
        """When what has come so far is over; None where nothing has."""
        ...

    @property
    def began_ns(self) -> Instant | None:
        """When what has come so far began; None where nothing has."""
        ...

    @property
    def silence_ns(self) -> int:
        """How long after its last character a frame is known to be over, at the least."""
        ...

    def hear(self, data: bytes, start_ns: Instant) -> Iterator[Heard]:
        """Take characters that follow one right after the other from `start_ns`; yields the frames known thereby."""
        ...

    def over(self, now: Instant) -> Heard | None:
        """The good frame that is over at `now`."""
        ...


class Slave:
    """One device on the line: it hears whole frames for `unit`, and broadcasts.

    `busy_ns` is how long it does not listen after a broadcast (the master's turnaround delay must be longer). There is
    no connection on a line; a device that ends its conversation, as some faults have it do, begins another one with the
    next frame.
    """

    __slots__ = ("_conversation", "busy_ns", "busy_until_ns", "device", "unit")

    def __init__(self, unit: int, device: Device, busy_ns: int = 0) -> None:
        self.unit = unit
        self.device = device
        self.busy_ns = busy_ns
        self.busy_until_ns: Instant = 0
        self._conversation: Conversation | None = None

    @property
    def wake_ns(self) -> Instant | None:
        """When it has something to say that nobody asked for at this instant, such as a reply that is late."""
        speaker = None if self._conversation is None else speaker_of(self._conversation)
        return None if speaker is None else speaker.wake_ns

    def hear(self, frame: bytes, now: Instant) -> Sequence[Send]:
        """What it says to a frame."""
        if self._conversation is None:
            self._conversation = self.device.converse(self.device.ports[0], "line", now)
        return self._said(self._conversation.received(frame, now))

    def woken(self, now: Instant) -> Sequence[Send]:
        """What it says when `wake_ns` has come."""
        speaker = None if self._conversation is None else speaker_of(self._conversation)
        return () if speaker is None else self._said(speaker.woken(now))

    def _said(self, actions: Sequence[Action]) -> Sequence[Send]:
        said: list[Send] = []
        for action in actions:
            if not isinstance(action, Send):
                self._conversation = None
                break
            said.append(action)
        return said


@dataclass(slots=True)
class Hearing:
    """What has come from the master so far: characters, and the sound frames among them by whom they were for."""

    characters: int = 0
    requests: int = 0
    """Frames for a slave of the line, or for all of them."""
    strangers: dict[int, int] = field(default_factory=dict)
    """Unit ids that nobody on the line has -> frames for them."""
    last_ns: Instant | None = None
    """When the last request was delivered."""


class SerialBus:
    """One line. `received`, `wake_ns` and `woken` are those of a conversation that speaks unasked.

    With `instant` the port delivers characters without taking time, as a pseudo-terminal does: they are taken to begin
    when they come and to last as long as the line says. Otherwise they are taken to have ended when they come.

    A slave that thinks or speaks hears nothing; nobody listens for a carrier. While the master sends, it hears nothing
    of a reply, and its own characters are lost to every slave. Replies of several slaves at once arrive mixed.
    """

    idle_timeout_ns: int | None = None

    def __init__(
        self, slaves: Sequence[Slave], receiver: Receiver, decode: Decode, form: SerialFormat, *, instant: bool
    ) -> None:
        self.slaves = tuple(slaves)
        self.form = form
        self.hearing = Hearing()
        self.on_request: Callable[[Instant], object] | None = None
        """Hears of each request, before it is answered."""
        self._receiver = receiver
        self._decode = decode
        self._instant = instant
        self._silence_ns = receiver.silence_ns
        self._heard: deque[Heard] = deque()
        self._master_until_ns: Instant = 0
        self._master: deque[tuple[Instant, Instant]] = deque(maxlen=_MOST_SENDING)
        self._sending: list[Transmission] = []
        self._waiting: list[Character] = []
        self._next: tuple[int, Instant] = (0, 0)
        """How many characters go out next, and when."""
        self._told_ns: Instant = 0
        """Characters that ended by then are out."""

    @property
    def wake_ns(self) -> Instant | None:
        """When something happens next: a frame is over, characters go out, a slave speaks unasked."""
        instants = [slave.wake_ns for slave in self.slaves]
        instants.append(self._receiver.due_ns)
        if self._heard:
            instants.append(self._heard[0].end_ns + self._silence_ns)
        if self._waiting:
            instants.append(self._next[1])
        return min((instant for instant in instants if instant is not None), default=None)

    def received(self, data: bytes, now: Instant) -> Sequence[Send]:
        """Take what came from the master."""
        out = self.woken(now)
        self.hearing.characters += len(data)
        if self._instant:
            data = data[: max(0, BACKLOG_BYTES - (self._master_until_ns - now) // self.form.character_ns)]
        span_ns = self.form.span_ns(len(data))
        start_ns = max(self._master_until_ns, now if self._instant else now - span_ns)
        self._master_until_ns = start_ns + span_ns
        if self._master and self._master[-1][1] == start_ns:
            self._master[-1] = (self._master[-1][0], self._master_until_ns)
        else:
            self._master.append((start_ns, self._master_until_ns))
        self._heard.extend(self._receiver.hear(data, start_ns))
        if self._waiting:
            self._mix()
        return out

    def ended(self, now: Instant) -> Sequence[Send]:
        """The port is closed; the line goes on."""
        return ()

    def woken(self, now: Instant) -> Sequence[Send]:
        """What has become due: frames are answered, characters go out."""
        over = self._receiver.over(now)
        if over is not None:
            self._heard.append(over)
        while self._heard and self._heard[0].end_ns + self._silence_ns <= now:
            self._deliver(self._heard.popleft(), now)
        for slave in self.slaves:
            if slave.wake_ns is not None and slave.wake_ns <= now:
                self._say(slave, slave.woken(now), now)
        return self._emit(now)

    # --- frames -----------------------------------------------------------------------------------------------------

    def _deliver(self, heard: Heard, now: Instant) -> None:
        if any(sent.start_ns < heard.end_ns and heard.start_ns < sent.end_ns(self.form) for sent in self._sending):
            return
        found = self._decode(heard.frame)
        if found is None:
            return
        unit = found[0]
        self._note(unit, now)
        for slave in self.slaves:
            if unit not in (slave.unit, BROADCAST) or heard.start_ns < slave.busy_until_ns:
                continue
            said = slave.hear(heard.frame, now)
            slave.busy_until_ns = heard.end_ns + (slave.busy_ns if unit == BROADCAST else 0)
            if unit != BROADCAST:
                self._say(slave, said, now)

    def _note(self, unit: int, now: Instant) -> None:
        if unit != BROADCAST and all(slave.unit != unit for slave in self.slaves):
            self.hearing.strangers[unit] = self.hearing.strangers.get(unit, 0) + 1
            return
        self.hearing.requests += 1
        self.hearing.last_ns = now
        if self.on_request is not None:
            self.on_request(now)

    def _say(self, slave: Slave, said: Sequence[Send], now: Instant) -> None:
        """Put what a slave says on the wire."""
        at = now
        for action in said:
            at += action.delay_ns
            if action.data and len(self._sending) < _MOST_SENDING:
                sent = Transmission(at, action.data)
                self._sending.append(sent)
                slave.busy_until_ns = max(slave.busy_until_ns, sent.end_ns(self.form))
        if said:
            self._mix()

    # --- characters -------------------------------------------------------------------------------------------------

    def _mix(self) -> None:
        """Make the characters that are still to come, those that the master cannot hear left out."""
        told_ns, master = self._told_ns, self._master
        self._waiting = [
            character
            for character in received(self._sending, self.form)
            if character.end_ns > told_ns
            and not any(start < character.end_ns and character.start_ns < end for start, end in master)
        ]
        self._plan()

    def _plan(self) -> None:
        """The next lump: up to the first character a whole lump after the last one, or before a gap."""
        waiting = self._waiting
        if not waiting:
            return
        enough_ns = max(self._told_ns, waiting[0].start_ns) + LUMP_NS
        count = 1
        while count < len(waiting) and waiting[count - 1].end_ns < enough_ns:
            if waiting[count].start_ns > waiting[count - 1].end_ns + 1:
                break
            count += 1
        self._next = (count, waiting[count - 1].end_ns)

    def _emit(self, now: Instant) -> Sequence[Send]:
        out = bytearray()
        while self._waiting and self._next[1] <= now:
            count, at = self._next
            out += bytes(character.byte for character in self._waiting[:count])
            del self._waiting[:count]
            self._told_ns = at
            self._plan()
        if self._sending and not self._waiting:
            self._prune(now)
        return (Send(bytes(out)),) if out else ()

    def _prune(self, now: Instant) -> None:
        """Forget what is over and can collide with nothing that is still being heard."""
        began_ns = self._receiver.began_ns
        since_ns = min([now, *([] if began_ns is None else [began_ns]), *(heard.start_ns for heard in self._heard)])
        self._sending = [sent for sent in self._sending if sent.end_ns(self.form) > since_ns]
