"""The bench's end of a serial line on which somebody else answers: a null modem between two pseudo-terminals.

Owns the pair and the bytes between its ends; a real port needs no pair, for its cable is the pair. What is said over it
is the business of whoever opens `near` and `far`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.serial_port import PTY, open_port

if TYPE_CHECKING:
    from emulator.clock import Clock
    from emulator.modbus.serial_format import SerialFormat
    from emulator.serial_port import Port

_NEAR = "bench"


class NullModem:
    """The line `name` with a master of the bench at `near` and a device at `far`, both paths that a program opens.

    With `port` a pseudo-terminal the two are ends of a pair, over which bytes pass as they come; a real port is the
    same path for both: it is opened here once, so that one that cannot be had is known, and given back for the master.
    Raises SerialPortError.
    """

    def __init__(self, clock: Clock, name: str, port: str, form: SerialFormat) -> None:
        self._ends: tuple[Port, ...] = ()
        if port != PTY:
            open_port(clock, name, port, form).close()
            self.near = self.far = port
            return
        near = open_port(clock, f"{name}.{_NEAR}", PTY, form)
        try:
            far = open_port(clock, name, PTY, form)
        except BaseException:
            near.close()
            raise
        self._ends = (near, far)
        self.near, self.far = near.path, far.path

    def open(self) -> None:
        """Begin to carry bytes."""
        if self._ends:
            near, far = self._ends
            near.begin(far.write)
            far.begin(near.write)

    def close(self) -> None:
        """Give the ends back. May be called at any time, also twice."""
        for end in self._ends:
            end.close()
