"""Serial frames of Modbus inside a TCP stream, as transparent serial servers carry them: RTU and ASCII over TCP.

Owns the finding of frames in a stream that has no silences; the frames are `emulator/modbus/rtu.py`'s and
`emulator/modbus/ascii.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from emulator.modbus import ascii as ascii_framing
from emulator.modbus import rtu
from emulator.modbus.frames import Framing
from emulator.modbus.serial_device import SerialKind
from emulator.modbus.tcp import ModbusTcpDevice
from emulator.wire import Action, Close, Conversation, Instant, Send


class RtuSplitter:
    """Cuts a stream into RTU frames. Holds less than one frame (256 bytes).

    A frame ends where its function says, or, for a function unknown here, where the checksum first comes out right.
    Where no frame begins that is complete and sound, bytes are passed over one by one until one does: so the next good
    request after any junk is found.
    """

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def frames(self, data: bytes) -> Iterator[bytes]:
        """Every frame that `data` completes. Must be read to its end."""
        data = self._rest + data
        while (found := self._first(data)) is not None:
            start, stop = found
            yield data[start:stop]
            data = data[stop:]
        self._rest = data[-(rtu.MAX_FRAME_BYTES - 1) :]

    @staticmethod
    def _first(data: bytes) -> tuple[int, int] | None:
        """Where the first sound frame begins and ends."""
        last = len(data) - rtu.MIN_FRAME_BYTES
        if last >= 0 and not rtu.known(data[1]):
            stop = rtu.sound_bytes(data[: rtu.MAX_FRAME_BYTES])
            if stop is not None:
                return 0, stop
        for start in range(last + 1):
            if not rtu.known(data[start + 1]):  # most of what is junk, and cheap to tell: junk must not stall others
                continue
            head = data[start : start + rtu.MAX_FRAME_BYTES]
            size = rtu.request_bytes(head)
            if size is not None and size <= len(head) and not rtu.crc16(head[:size]):
                return start, start + size
        return None


class AsciiStreamSplitter:
    """Cuts a stream into ASCII frames; silence does not count here."""

    __slots__ = ("_splitter",)

    def __init__(self) -> None:
        self._splitter = ascii_framing.AsciiSplitter()

    def frames(self, data: bytes) -> Iterator[bytes]:
        """Every good frame that `data` completes."""
        for character in data:
            frame = self._splitter.take(character)
            if frame is not None:
                yield frame


class SerialOverTcpDevice(ModbusTcpDevice):
    """The units of a device behind a transparent serial server: a foreign id is met with silence, unit 0 is for all."""

    def __init__(self, device: ModbusTcpDevice, port: int, kind: SerialKind = SerialKind.RTU) -> None:
        super().__init__(device.units, device.link, port)
        self.kind = kind
        self.framing = Framing(kind.value)

    def splitting(self) -> Callable[[bytes], Iterator[bytes]]:
        """What cuts the bytes of a new connection into frames; junk between them is nobody's."""
        return RtuSplitter().frames if self.kind is SerialKind.RTU else AsciiStreamSplitter().frames

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        """Begin a connection; `peer` makes no difference."""
        return _Stream(self)


class _Stream:
    __slots__ = ("_decode", "_device", "_encode", "_splitter", "idle_timeout_ns")

    def __init__(self, device: SerialOverTcpDevice) -> None:
        self.idle_timeout_ns: int | None = device.link.idle_timeout_ns
        self._device = device
        self._encode, self._decode = device.kind.codec
        self._splitter = RtuSplitter() if device.kind is SerialKind.RTU else AsciiStreamSplitter()

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        actions: list[Action] = []
        for frame in self._splitter.frames(data):
            found = self._decode(frame)
            if found is None:
                continue
            unit, pdu = found
            reply = self._device.answer_as_slaves(unit, pdu, now)
            if reply is not None:
                actions.append(Send(self._encode(unit, reply), self._device.link.turnaround_ns))
        return actions

    def ended(self, now: Instant) -> Sequence[Action]:
        return (Close(),)
