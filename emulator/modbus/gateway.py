"""A Modbus gateway: several slaves on a serial line of its own behind one TCP address, one request at a time.

Owns the queue that all its clients share, the time the line behind it takes, and what happens to ids that nobody has.
The line itself is not played character by character; only its times are (`emulator/modbus/serial_format.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from emulator.modbus import rtu
from emulator.modbus.link import UnitPolicy
from emulator.modbus.mbap import PORT, MbapSplitter, encode
from emulator.modbus.pdu import ExceptionCode, exception_reply
from emulator.modbus.serial_bus import BROADCAST, Slave
from emulator.modbus.serial_format import SerialFormat
from emulator.wire import MILLISECOND, SECOND, Action, Close, Conversation, Instant, Reach, Send

RESPONSE_TIMEOUT_NS = SECOND
"""How long a gateway waits for a slave. [V] Moxa MGate MB3000, factory setting; 10 ms to 120 s."""
QUEUE_REQUESTS = 32
"""Requests a client may have waiting; further ones get exception 06. [V] Moxa MGate MB3000."""
BROADCAST_TURNAROUND_NS = 100 * MILLISECOND
"""The pause after a broadcast. Serial line guide V1.02, section 2.4.1: typically 100 to 200 ms."""
_RTU_EXTRA_BYTES = 3
"""Unit and checksum, which a PDU on the line has besides."""


@dataclass(slots=True)
class _Job:
    """One request, and what has become of it; without a reply nobody answers."""

    caller: _Call
    transaction: int
    unit: int
    pdu: bytes
    done_ns: Instant = 0
    reply: bytes | None = None


@dataclass(slots=True)
class _Turn:
    """What the line is busy with: the slave has heard at `heard_ns`, the reply is there at `over_ns`."""

    job: _Job
    heard_ns: Instant
    over_ns: Instant | None = None


class ModbusGateway:
    """`slaves` are what hangs on its line, as on a `SerialBus`: they hear and say RTU frames.

    A request for an id that is not among them is answered with exception 0A at once (`UNMAPPED`), with 0B after the
    response time-out (`UNREACHABLE`), or not at all after as long (`SILENT`). Unit 0 goes to all and is answered by
    none. The line is shared by all clients: a request waits for those before it, whoever sent them.
    """

    def __init__(
        self,
        slaves: Sequence[Slave],
        form: SerialFormat | None = None,
        missing: UnitPolicy = UnitPolicy.UNREACHABLE,
        timeout_ns: int = RESPONSE_TIMEOUT_NS,
        port: int = PORT,
    ) -> None:
        if missing is UnitPolicy.IGNORE:
            raise ValueError("a gateway cannot ignore unit ids: they say which slave is meant")
        self.ports: tuple[int, ...] = (port,)
        self.slaves = {slave.unit: slave for slave in slaves}
        self.form = form if form is not None else SerialFormat()
        self.missing = missing
        self.timeout_ns = timeout_ns
        self._queue: deque[_Job] = deque()
        self._turn: _Turn | None = None

    def reach(self, port: int, now: Instant) -> Reach:
        """Always there."""
        return Reach.ANSWERS if port in self.ports else Reach.REFUSES

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        """Begin a connection."""
        return _Call(self)

    @property
    def next_ns(self) -> Instant | None:
        """When something happens on the line next."""
        turn = self._turn
        if turn is None:
            return None
        return turn.heard_ns if turn.over_ns is None else turn.over_ns

    def take(self, job: _Job, now: Instant) -> None:
        """Put a request in the queue."""
        self._queue.append(job)
        if self._turn is None:
            self._begin(now)

    def advance(self, now: Instant) -> None:
        """Let happen on the line what is due."""
        while (turn := self._turn) is not None:
            if turn.over_ns is None:
                if turn.heard_ns > now:
                    return
                self._heard(turn, now)
                continue
            if turn.over_ns > now:
                return
            turn.job.done_ns = turn.over_ns
            turn.job.caller.done(turn.job)
            self._turn = None
            self._begin(turn.over_ns)

    def _begin(self, at: Instant) -> None:
        if self._queue:
            job = self._queue.popleft()
            span_ns = self.form.span_ns(len(job.pdu) + _RTU_EXTRA_BYTES)
            self._turn = _Turn(job, at + span_ns + self.form.t35_ns)

    def _heard(self, turn: _Turn, now: Instant) -> None:
        """The request has reached the slaves; from what they say it follows when the line is free again."""
        job, heard_ns = turn.job, turn.heard_ns
        if job.unit == BROADCAST:
            for slave in self.slaves.values():
                slave.hear(rtu.encode(BROADCAST, job.pdu), now)
            turn.over_ns = heard_ns + BROADCAST_TURNAROUND_NS
            return
        called = self.slaves.get(job.unit)
        if called is None:
            turn.over_ns = heard_ns + self.timeout_ns
            job.reply = None if self.missing is UnitPolicy.SILENT else _failed(job.pdu)
            return
        said = called.hear(rtu.encode(job.unit, job.pdu), now)
        began_ns = heard_ns + sum(part.delay_ns for part in said)
        frame = b"".join(part.data for part in said)
        over_ns = began_ns + self.form.span_ns(len(frame)) + self.form.t35_ns
        found = rtu.decode(frame)
        if not frame or began_ns - heard_ns > self.timeout_ns:
            turn.over_ns, job.reply = heard_ns + self.timeout_ns, _failed(job.pdu)
        else:
            good = found is not None and found[0] == job.unit
            turn.over_ns, job.reply = over_ns, found[1] if good and found is not None else _failed(job.pdu)


def _failed(pdu: bytes) -> bytes:
    return exception_reply(pdu[0], ExceptionCode.GATEWAY_TARGET_FAILED)


class _Call:
    """One connection. Replies leave in the order in which the line gave them, exceptions of the gateway at once."""

    __slots__ = ("_closed", "_done", "_gateway", "_pending", "_splitter", "idle_timeout_ns")

    def __init__(self, gateway: ModbusGateway) -> None:
        self.idle_timeout_ns: int | None = None
        self._gateway = gateway
        self._splitter = MbapSplitter()
        self._pending = 0
        self._closed = False
        self._done: deque[_Job] = deque()

    @property
    def wake_ns(self) -> Instant | None:
        """When the line may have something for this caller."""
        if self._done:
            return self._done[0].done_ns
        return self._gateway.next_ns if self._pending else None

    def done(self, job: _Job) -> None:
        """The line is through with a request."""
        self._pending -= 1
        if job.reply is not None:
            self._done.append(job)

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        gateway = self._gateway
        actions = self.woken(now)
        for transaction, unit, pdu in self._splitter.requests(data):
            code: ExceptionCode | None = None
            if unit not in (BROADCAST, *gateway.slaves) and gateway.missing is UnitPolicy.UNMAPPED:
                code = ExceptionCode.GATEWAY_PATH_UNAVAILABLE
            elif self._pending >= QUEUE_REQUESTS:
                code = ExceptionCode.SERVER_DEVICE_BUSY
            if code is not None:
                actions.append(Send(encode(transaction, unit, exception_reply(pdu[0], code))))
                continue
            self._pending += 1
            gateway.take(_Job(self, transaction, unit, pdu), now)
        if self._splitter.lost and not self._closed:
            self._closed = True
            actions.append(Close())
        return actions

    def woken(self, now: Instant) -> list[Action]:
        self._gateway.advance(now)
        actions: list[Action] = []
        while self._done and self._done[0].done_ns <= now:
            job = self._done.popleft()
            actions.append(Send(encode(job.transaction, job.unit, job.reply or b"")))
        return actions

    def ended(self, now: Instant) -> Sequence[Action]:
        """The peer is done sending. What he has asked for is still played on the line, when the line is next looked at;
        nobody waits for the reply."""
        self._splitter.forget()
        self._closed = True
        return [*self.woken(now), Close()]
