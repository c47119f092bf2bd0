"""Serial lines on ports of the machine: a pseudo-terminal, a real port through pyserial, or an end inside the process.

Owns descriptors and what of real ports cannot be had in virtual time; the line is `emulator/modbus/serial_bus.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.clock import VirtualLoop
from emulator.modbus.serial_format import Parity, SerialFormat
from emulator.network import NetworkError
from emulator.wire import MILLISECOND, Action, Instant, Send, Speaker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from emulator.clock import Clock

    class Wire(Speaker, Protocol):
        """A line: bytes in, bytes out, and an instant at which it speaks unasked."""

        def received(self, data: bytes, now: Instant) -> Sequence[Action]:
            """Take bytes."""
            ...


PTY = "pty"
"""Stands for a pseudo-terminal that is made for the line."""
REAL_SLACK_NS = 20 * MILLISECOND
"""What a real port blurs of the silences on its line: adapters on USB deliver in lumps of 1 to 16 ms. estimate"""
_SCHEME = "ramprig://"
_CHUNK_BYTES = 4096
_logger = logging.getLogger("ramprig.serial")


class SerialPortError(NetworkError):
    """A port that cannot be had; the message names it and the remedy."""


class Port(ABC):
    """An open port. `path` is what a program opens to get at the line.

    `instant`: bytes pass without taking time, so that the line must add it; `slack_ns`: by how much silences come out
    wrong.
    """

    instant = True
    slack_ns = 0
    path: str
    gone = ""
    """Why it is no longer there; empty while it is."""

    @abstractmethod
    def begin(self, heard: Callable[[bytes], object]) -> None:
        """Read from now on; `heard` is given what comes."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send at once; what nobody takes is lost, as on a wire."""

    @abstractmethod
    def close(self) -> None:
        """Give the port back."""


def open_port(clock: Clock, name: str, port: str, form: SerialFormat) -> Port:
    """The port for the line `name`: `pty`, or the path of a real one, which pyserial opens with the line's settings.

    In virtual time `pty` is an end inside the process, `ramprig://NAME` to pyserial. Raises SerialPortError.
    """
    if isinstance(clock.loop, VirtualLoop):
        if port != PTY:
            raise SerialPortError(f'{port}: a real port lives in real time; take port = "{PTY}", or --time real')
        return _InProcess(clock.loop, name)
    return _Pty(clock.loop) if port == PTY else _Real(clock.loop, port, form)


class SerialLine:
    """A line that is up: a port, and what is wired to it. `heard` is told of bytes that come in."""

    def __init__(self, clock: Clock, port: Port, wire: Wire, heard: Callable[[Instant], object] | None = None) -> None:
        self.port = port
        self.wire = wire
        self._clock = clock
        self._heard = heard
        self._timer: asyncio.TimerHandle | None = None

    @property
    def path(self) -> str:
        """What a program opens."""
        return self.port.path

    def open(self) -> None:
        """Begin to listen."""
        self.port.begin(self._received)

    def close(self) -> None:
        """End it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.port.close()

    def _received(self, data: bytes) -> None:
        now = self._clock.now()
        if self._heard is not None:
            self._heard(now)
        self._say(self.wire.received(data, now))

    def _woken(self) -> None:
        self._timer = None
        self._say(self.wire.woken(self._clock.now()))

    def _say(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self.port.write(action.data)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.wire.wake_ns is not None:
            self._timer = self._clock.call_at(self.wire.wake_ns, self._woken)


class _Descriptor(Port):
    """A port behind a descriptor that the loop can watch."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._fd = -1
        self._heard: Callable[[bytes], object] | None = None

    def begin(self, heard: Callable[[bytes], object]) -> None:
        self._heard = heard
        self._watch()

    def _watch(self) -> None:
        if self._fd >= 0 and self._heard is not None:
            self._loop.add_reader(self._fd, self._readable)

    def _unwatch(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._gone(str(error))
            return
        if not data:
            self._gone("it has hung up")
        elif self._heard is not None:
            self._heard(data)

    def _gone(self, why: str) -> None:
        self.gone = f"{self.path} is gone ({why}); is the adapter plugged in?"
        _logger.warning("%s", self.gone)
        self._unwatch()

    def write(self, data: bytes) -> None:
        if self._fd < 0:
            return
        with contextlib.suppress(OSError):
            os.write(self._fd, data)


class _Pty(_Descriptor):
    """A pseudo-terminal. The program's side is kept open here too, so that programs may come and go."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        import tty

        super().__init__(loop)
        self._fd, self._kept = os.openpty()
        tty.setraw(self._kept)
        os.set_blocking(self._fd, False)
        self.path = os.ttyname(self._kept)

    def close(self) -> None:
        self._unwatch()
        if self._fd >= 0:
            os.close(self._fd)
            os.close(self._kept)
            self._fd = -1


class _Real(_Descriptor):
    """A port of the machine. Characters have taken their time when they come, and it knows only roughly when."""

    instant = False
    slack_ns = REAL_SLACK_NS

    def __init__(self, loop: asyncio.AbstractEventLoop, path: str, form: SerialFormat) -> None:
        import serial

        super().__init__(loop)
        self.path = path
        try:
            if not stat.S_ISCHR(Path(path).stat().st_mode):
                raise SerialPortError(f"{path}: is no serial port; ports are called /dev/ttyUSB0, /dev/ttyS0 or so")
            self._serial: Any = serial.Serial(
                path,
                form.baud,
                bytesize=form.data_bits,
                parity={Parity.NONE: "N", Parity.EVEN: "E", Parity.ODD: "O"}[form.parity],
                stopbits=form.stop_bits,
                timeout=0,
                write_timeout=0,
                exclusive=True,
            )
        except FileNotFoundError:
            raise SerialPortError(f"{path}: there is no such port; plug it in, or name another one") from None
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise SerialPortError(
                f"{path}: cannot be opened as {form.text}: {error}; is another program on it, is the user in its group?"
            ) from None
        self._fd = self._serial.fileno()

    def close(self) -> None:
        self._unwatch()
        self._fd = -1
        self._serial.close()


class _InProcess(_Descriptor):
    """An end inside the process: a socket pair, on which a sent byte is a delivered byte. One program at a time."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        import serial

        super().__init__(loop)
        package = "emulator.serial_urls"
        if package not in serial.protocol_handler_packages:
            serial.protocol_handler_packages.append(package)
        if name in loop.serial_ports:
            raise SerialPortError(f"{_SCHEME}{name}: there is a line of this name already; choose another one")
        self.path = _SCHEME + name
        self._name, self._ports = name, loop.serial_ports
        self._end: socket.socket | None = None
        self._ports[name] = self._plug

    def _plug(self) -> socket.socket:
        if self._end is not None:
            if not self._unplugged(self._end):
                raise OSError(errno.EBUSY, f"{self.path}: somebody else is on the line; close that port first")
            self._let_go()
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        self._end, self._fd = far, far.fileno()
        self._watch()
        return near

    @staticmethod
    def _unplugged(end: socket.socket) -> bool:
        try:
            return end.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False

    def _gone(self, why: str) -> None:
        self._let_go()  # a program that closes its end is none that is missed

    def _let_go(self) -> None:
        self._unwatch()
        if self._end is not None:
            self._end.close()
        self._end, self._fd = None, -1

    def close(self) -> None:
        self._let_go()
        self._ports.pop(self._name, None)
