"""A Modbus product on a serial line: whole frames in, whole frames out, in the line's framing.

Owns what a slave does with a frame of its own and with a broadcast; the wire is `emulator/modbus/serial_bus.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TypeAlias

from emulator.modbus import ascii as ascii_framing
from emulator.modbus import rtu
from emulator.modbus.frames import Framing
from emulator.modbus.link import Link
from emulator.modbus.pdu import DataModel, Responder
from emulator.modbus.serial_bus import BROADCAST, Decode, Receiver
from emulator.modbus.serial_format import SerialFormat
from emulator.wire import Action, Conversation, Instant, Reach, Send

LINE_PORT = 0
"""Stands for the port of a device that has none."""

Encode: TypeAlias = Callable[[int, bytes], bytes]
"""How a frame is made of unit and PDU."""


class SerialKind(Enum):
    """The two framings of a serial line."""

    RTU = "rtu"
    ASCII = "ascii"

    @property
    def codec(self) -> tuple[Encode, Decode]:
        """How frames are made and read."""
        return (rtu.encode, rtu.decode) if self is SerialKind.RTU else (ascii_framing.encode, ascii_framing.decode)

    def receiver(self, form: SerialFormat, slack_ns: int = 0) -> Receiver:
        """What cuts the characters of a line into frames; `slack_ns` is what the machine blurs of its silences."""
        return rtu.RtuReceiver(form, slack_ns) if self is SerialKind.RTU else ascii_framing.AsciiReceiver(form)


class ModbusSerialDevice:
    """One slave as a device, so that what wraps devices of a network (faults, taps) wraps this one too.

    It answers its own unit id, acts on a broadcast without a word unless its product ignores them, and hears nothing of
    other units. `silence_ns` is what has passed since the last character when a frame reaches it: the silence that
    ended the frame is part of the product's turnaround.
    """

    def __init__(
        self,
        unit: int,
        model: DataModel,
        link: Link | None = None,
        kind: SerialKind = SerialKind.RTU,
        silence_ns: int = 0,
    ) -> None:
        self.ports: tuple[int, ...] = (LINE_PORT,)
        self.unit = unit
        self.link = link if link is not None else Link()
        self.delay_ns = max(0, self.link.turnaround_ns - silence_ns)
        self._responder = Responder(model)
        self.framing = Framing(kind.value)
        self._encode, self._decode = kind.codec

    def reach(self, port: int, now: Instant) -> Reach:
        """Always there: the devices of this module have a supply of their own."""
        return Reach.ANSWERS if port == LINE_PORT else Reach.REFUSES

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        """Begin to listen; there is one conversation for as long as the line is up."""
        return _Listening(self)

    def heard(self, frame: bytes, now: Instant) -> bytes | None:
        """The reply frame to a request frame; None where there is none."""
        found = self._decode(frame)
        if found is None:
            return None
        unit, pdu = found
        if unit == BROADCAST:
            if self.link.broadcast:
                self._responder.answer(pdu, now)
            return None
        return self._encode(unit, self._responder.answer(pdu, now)) if unit == self.unit else None


class _Listening:
    __slots__ = ("_device", "idle_timeout_ns")

    def __init__(self, device: ModbusSerialDevice) -> None:
        self._device = device
        self.idle_timeout_ns: int | None = None

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        reply = self._device.heard(data, now)
        return () if reply is None else (Send(reply, self._device.delay_ns),)

    def ended(self, now: Instant) -> Sequence[Action]:
        return ()
