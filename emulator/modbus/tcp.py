"""Modbus on TCP, sans I/O: a stream of bytes in any fragmentation becomes replies in the order of the requests.

Owns the MBAP header (Modbus messaging on TCP/IP implementation guide V1.0b, section 3.1.3), unit ids and the time a
device takes to answer; what it answers comes from a data model per unit id.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from emulator.modbus.link import Link, UnitPolicy
from emulator.modbus.pdu import MAX_PDU_BYTES, DataModel, Responder, exception_reply
from emulator.wire import Action, Close, Conversation, Instant, Reach, Send
from fastpath.exchange import Answer, Standing

PORT = 502

_MBAP = struct.Struct(">HHHB")
_TWO_WORDS = struct.Struct(">HH")
_MIN_LENGTH = 2
_MAX_LENGTH = MAX_PDU_BYTES + 1
_READ_BYTES = 12
_READ_HEAD = b"\0\0\0\6"
"""Protocol and length of a request for registers."""
_MAX_HELD = 256
_CLOSED: tuple[Action, ...] = (Close(),)
_NOTHING: tuple[Action, ...] = ()


class ModbusTcpDevice:
    """A Modbus server that can be called: one data model for each unit id behind one address.

    `units` maps unit ids to models; a device of its own has one, a gateway several. Requests for other ids are treated
    as `link.unit_policy` says; `IGNORE` gives them to the first model.
    """

    __slots__ = ("_fallback", "_refusal", "_responders", "held", "link", "ports")

    def __init__(self, units: Mapping[int, DataModel], link: Link | None = None, port: int = PORT) -> None:
        if not units:
            raise ValueError("a Modbus device needs at least one unit")
        self.ports: tuple[int, ...] = (port,)
        self.link = link if link is not None else Link()
        self._responders = {unit: Responder(model) for unit, model in units.items()}
        first = next(iter(self._responders.values()))
        self._fallback = first if self.link.unit_policy is UnitPolicy.IGNORE else None
        self._refusal = self.link.unit_policy.exception
        self.held: dict[bytes, Answer] = {}
        """Answers that hold for a while, by the request without its transaction number."""

    def reach(self, port: int, now: Instant) -> Reach:
        """Always there: the devices of this module have a supply of their own."""
        return Reach.ANSWERS if port in self.ports else Reach.REFUSES

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        """Begin a connection; `peer` makes no difference."""
        return ModbusTcpConversation(self) if self.link.turnaround_ns else PromptConversation(self)

    def answer(self, unit: int, pdu: bytes, now: Instant) -> bytes | None:
        """The reply PDU of `unit` to one request PDU; None when nobody answers."""
        responder = self._responders.get(unit, self._fallback)
        if responder is not None:
            return responder.answer(pdu, now)
        if self._refusal is None:
            return None
        return exception_reply(pdu[0], self._refusal)

    def hold(self, request: bytes, reply: bytes, now: Instant) -> None:
        """Keep what a whole frame that reads registers has just been answered with, if it holds for a while."""
        if len(request) != _READ_BYTES or request[2:6] != _READ_HEAD:
            return
        responder = self._responders.get(request[6], self._fallback)
        model = None if responder is None else responder.counted
        if model is None or reply[7] != request[7]:
            return
        address, count = _TWO_WORDS.unpack_from(request, 8)
        until_ns = model.lasts_until(request[7], address, count, now)
        if until_ns > now:
            if len(self.held) >= _MAX_HELD:
                self.held.clear()
            self.held[request[2:]] = Answer(request[2:], reply[2:], model, now, until_ns)


class ModbusTcpConversation:
    """One connection. Holds at most one unfinished frame (under 260 bytes).

    A frame with another protocol identifier than 0 is discarded whole, as the implementation guide asks. A length that
    no Modbus frame can have means that the stream has lost its frame boundary; the connection is closed. Values are
    those at the arrival of the request, also when the reply waits for earlier ones.
    """

    __slots__ = ("_answer", "_closed", "_rest", "_turnaround_ns", "idle_timeout_ns")

    def __init__(self, device: ModbusTcpDevice) -> None:
        self.idle_timeout_ns: int | None = device.link.idle_timeout_ns
        self._answer = device.answer
        self._turnaround_ns = device.link.turnaround_ns
        self._rest = b""
        self._closed = False

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Replies to every request completed by `data`, in order, each `turnaround_ns` after the one before."""
        if self._closed:
            return _NOTHING
        if self._rest:
            data = self._rest + data
        size = len(data)
        actions: list[Action] = []
        at = 0
        while size - at >= 6:
            protocol, length = _TWO_WORDS.unpack_from(data, at + 2)
            if not _MIN_LENGTH <= length <= _MAX_LENGTH:
                self._closed = True
                self._rest = b""
                actions += _CLOSED
                return actions
            end = at + 6 + length
            if end > size:
                break
            if protocol == 0:
                unit = data[at + 6]
                reply = self._answer(unit, data[at + 7 : end], now)
                if reply is not None:
                    head = _MBAP.pack(data[at] << 8 | data[at + 1], 0, len(reply) + 1, unit)
                    actions.append(Send(head + reply, self._turnaround_ns))
            at = end
        self._rest = data[at:]
        return actions

    def ended(self, now: Instant) -> Sequence[Action]:
        """The peer is done sending: whatever is under way goes out, then the device closes too."""
        self._rest = b""
        self._closed = True
        return _CLOSED


class PromptConversation(ModbusTcpConversation):
    """A connection to a device that takes no time to answer: between two changes of its values the answers stand."""

    __slots__ = ("_device", "standing")

    def __init__(self, device: ModbusTcpDevice) -> None:
        super().__init__(device)
        self._device = device
        self.standing = Standing()
        self.standing.answers = device.held

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """As any; a reply to a single request is kept for as long as it holds."""
        is_whole = not self._rest
        actions = super().received(data, now)
        is_between = not self._rest and not self._closed
        if is_whole and is_between and len(actions) == 1 and isinstance(actions[0], Send):
            self._device.hold(data, actions[0].data, now)
        self.standing.answers = self._device.held if is_between else None
        return actions

    def ended(self, now: Instant) -> Sequence[Action]:
        """As any."""
        self.standing.answers = None
        return super().ended(now)
