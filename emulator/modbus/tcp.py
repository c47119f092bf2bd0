"""Modbus on TCP, sans I/O: a stream of bytes in any fragmentation becomes replies in the order of the requests.

Owns unit ids behind one address and the time a device takes to answer; the header is `emulator/modbus/mbap.py`'s, what
is answered comes from a data model per unit id.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from emulator.modbus.frames import Framing, MbapCutter
from emulator.modbus.link import Link, UnitPolicy
from emulator.modbus.mbap import PORT, MbapSplitter, encode
from emulator.modbus.pdu import DataModel, Responder, exception_reply
from emulator.standing import Answer as Held
from emulator.standing import Standing
from emulator.wire import Action, Close, Conversation, Instant, Reach, Send

__all__ = ["PORT", "Answer", "ModbusTcpConversation", "ModbusTcpDevice"]

Answer: TypeAlias = Callable[[int, bytes, Instant], bytes | None]
"""(unit, request PDU, now) -> the reply PDU, None where nobody answers."""

_READ_BYTES = 12
_READ_HEAD = b"\0\0\0\6"
"""Protocol and length of a request for registers."""
_SPAN = struct.Struct(">HH")
_MAX_HELD = 256
_LAST_NS = 2**63 - 1
"""What holds for ever holds as long as an instant has 64 bits."""
_CLOSED: tuple[Action, ...] = (Close(),)


class ModbusTcpDevice:
    """A Modbus server that can be called: one data model for each unit id behind one address.

    `units` maps unit ids to models; a device of its own has one, a gateway several. Requests for other ids are treated
    as `link.unit_policy` says; `IGNORE` gives them to the first model. What carries the same units differently
    (`rtu_tcp`, `udp`, `secure`) is made of a device of this class.
    """

    framing = Framing.MBAP
    """How its requests and replies are framed."""

    def __init__(self, units: Mapping[int, DataModel], link: Link | None = None, port: int = PORT) -> None:
        if not units:
            raise ValueError("a Modbus device needs at least one unit")
        self.units = dict(units)
        self.ports: tuple[int, ...] = (port,)
        self.link = link if link is not None else Link()
        self._responders = {unit: Responder(model) for unit, model in units.items()}
        self._fallback: Responder | None = None
        if self.link.unit_policy is UnitPolicy.IGNORE:
            self._fallback = next(iter(self._responders.values()))
        self._refusal = self.link.unit_policy.exception
        self.held: dict[bytes, Held] = {}
        """Answers that hold for a while, by the request without its transaction number."""

    def splitting(self) -> Callable[[bytes], Iterator[bytes]]:
        """What cuts the bytes of a new conversation into pieces of one request each, as frames stand there."""
        return MbapCutter().pieces

    def over(self, change: Callable[[DataModel], DataModel]) -> ModbusTcpDevice:
        """A device like this one with each unit's model changed."""
        return ModbusTcpDevice({unit: change(model) for unit, model in self.units.items()}, self.link, self.ports[0])

    def reach(self, port: int, now: Instant) -> Reach:
        """Always there: the devices of this module have a supply of their own."""
        return Reach.ANSWERS if port in self.ports else Reach.REFUSES

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        """Begin a connection; `peer` makes no difference."""
        if self.link.turnaround_ns:
            return ModbusTcpConversation(self.answer, self.link)
        return PromptConversation(self)

    def answer(self, unit: int, pdu: bytes, now: Instant) -> bytes | None:
        """The reply PDU of `unit` to one request PDU; None when nobody answers."""
        responder = self._responders.get(unit, self._fallback)
        if responder is not None:
            return responder.answer(pdu, now)
        if self._refusal is None:
            return None
        return exception_reply(pdu[0], self._refusal)

    def answer_as_slaves(self, unit: int, pdu: bytes, now: Instant) -> bytes | None:
        """The same as on a serial line: unit 0 is for all and answered by none, a foreign id is met with silence."""
        if unit == 0:
            if self.link.broadcast:
                for each in self._responders.values():
                    each.answer(pdu, now)
            return None
        responder = self._responders.get(unit)
        return None if responder is None else responder.answer(pdu, now)

    def hold(self, request: bytes, reply: bytes, now: Instant) -> None:
        """Keep what a whole frame that reads registers has just been answered with, if it holds for a while."""
        if len(request) != _READ_BYTES or request[2:6] != _READ_HEAD:
            return
        responder = self._responders.get(request[6], self._fallback)
        model = None if responder is None else responder.counted
        if model is None or reply[7] != request[7]:
            return
        address, count = _SPAN.unpack_from(request, 8)
        until_ns = min(model.lasts_until(request[7], address, count, now), _LAST_NS)
        if until_ns > now:
            if len(self.held) >= _MAX_HELD:
                self.held.clear()
            self.held[request[2:]] = Held(request[2:], reply[2:], model, now, until_ns)


class ModbusTcpConversation:
    """One connection. Values are those at the arrival of the request, also when the reply waits for earlier ones.

    A stream that has lost its frame boundary is closed.
    """

    __slots__ = ("_answer", "_closed", "_splitter", "_turnaround_ns", "idle_timeout_ns")

    def __init__(self, answer: Answer, link: Link) -> None:
        self.idle_timeout_ns: int | None = link.idle_timeout_ns
        self._answer = answer
        self._turnaround_ns = link.turnaround_ns
        self._splitter = MbapSplitter()
        self._closed = False

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Replies to every request completed by `data`, in order, each `turnaround_ns` after the one before."""
        splitter, answer = self._splitter, self._answer
        actions: list[Action] = []
        for transaction, unit, pdu in splitter.requests(data):
            reply = answer(unit, pdu, now)
            if reply is not None:
                actions.append(Send(encode(transaction, unit, reply), self._turnaround_ns))
        if splitter.lost and not self._closed:
            self._closed = True
            actions += _CLOSED
        return actions

    def ended(self, now: Instant) -> Sequence[Action]:
        """The peer is done sending: whatever is under way goes out, then the device closes too."""
        self._splitter.forget()
        self._closed = True
        return _CLOSED


class PromptConversation(ModbusTcpConversation):
    """A connection to a device that takes no time to answer: between two changes of its values the answers stand."""

    __slots__ = ("_device", "standing")

    def __init__(self, device: ModbusTcpDevice) -> None:
        super().__init__(device.answer, device.link)
        self._device = device
        self.standing = Standing()
        self.standing.answers = device.held

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """As any; a reply to a single request is kept for as long as it holds."""
        is_whole = self._splitter.between
        actions = super().received(data, now)
        is_between = self._splitter.between
        if is_whole and is_between and len(actions) == 1 and isinstance(actions[0], Send):
            self._device.hold(data, actions[0].data, now)
        self.standing.answers = self._device.held if is_between else None
        return actions

    def ended(self, now: Instant) -> Sequence[Action]:
        """As any."""
        self.standing.answers = None
        return super().ended(now)
