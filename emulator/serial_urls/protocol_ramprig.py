"""`ramprig://LINE`: a serial port of pyserial that ends in a line of the same process, in virtual time.

Owns the program's end of such a line; the line is `emulator/serial_port.py`'s.
"""

from __future__ import annotations

import asyncio
import select
import socket
from typing import Any

import serial

from emulator.virtual_loop import VirtualLoop

SCHEME = "ramprig://"


class Serial(serial.SerialBase):
    """A port for programs that wait in the event loop, such as pymodbus' asynchronous client.

    A program that waits in a blocking read would wait for ever: time moves only while nobody runs. Such a read returns
    at once with what is there. Settings of the port are taken and mean nothing: the line has its own.
    """

    def open(self) -> None:
        """Plug in. Raises SerialException where there is no such line, or somebody is plugged in already."""
        name = (self.portstr or "").removeprefix(SCHEME)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise serial.SerialException(
                f"{self.portstr}: opened outside an event loop; only asynchronous programs share virtual time"
            ) from None
        plugs = loop.serial_ports if isinstance(loop, VirtualLoop) else {}
        if name not in plugs:
            known = ", ".join(SCHEME + other for other in sorted(plugs)) or "none"
            raise serial.SerialException(
                f"{self.portstr}: there is no such line in this virtual time; there are: {known}"
            )
        self._sock: socket.socket | None = plugs[name]()
        self.is_open = True

    def close(self) -> None:
        """Unplug."""
        if self.is_open and self._sock is not None:
            self._sock.close()
            self._sock = None
        self.is_open = False

    def from_url(self, url: str) -> str:
        """The name is the whole URL."""
        return url

    def fileno(self) -> int:
        """For the selector of the loop."""
        return self._socket().fileno()

    @property
    def in_waiting(self) -> int:
        """Bytes that can be read, as far as they are looked at."""
        try:
            return len(self._socket().recv(4096, socket.MSG_PEEK))
        except BlockingIOError:
            return 0

    def read(self, size: int = 1) -> bytes:
        """What is there, `size` bytes at most."""
        try:
            data = self._socket().recv(size)
        except BlockingIOError:
            return b""
        if not data:
            raise serial.SerialException(f"{self.portstr}: the line is gone")
        return data

    def write(self, b: Any, /) -> int:
        """Send; a line that is gone is a SerialException."""
        try:
            return self._socket().send(b)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise serial.SerialException(f"{self.portstr}: the line is gone: {error}") from error

    def flush(self) -> None:
        """Written bytes are there at once."""

    def reset_input_buffer(self) -> None:
        """Forget what has come."""
        while select.select([self._socket()], [], [], 0)[0] and self._socket().recv(4096):
            pass

    def reset_output_buffer(self) -> None:
        """Nothing waits here."""

    def _reconfigure_port(self, *_args: object, **_settings: object) -> None:
        """The line keeps its own settings."""

    def _socket(self) -> socket.socket:
        if self._sock is None:
            raise serial.PortNotOpenError
        return self._sock


def serial_class_for_url(url: str) -> tuple[str, type[Serial]]:
    """What pyserial asks a scheme for."""
    return url, Serial
