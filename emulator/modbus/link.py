"""How a product behaves as a partner on the wire, whatever it has to say: whose requests it takes, how long it thinks.

Owns the facts that transports need of a product; the framing is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from emulator.modbus.pdu import ExceptionCode


class UnitPolicy(Enum):
    """What a device on TCP does with a request for a unit id that is not its own."""

    IGNORE = "ignore"
    """The unit id is not looked at: every request is answered."""
    SILENT = "silent"
    """As on a serial line: nobody answers, the client runs into its time-out."""
    UNMAPPED = "unmapped"
    """As a gateway whose table lacks the id: exception 0A."""
    UNREACHABLE = "unreachable"
    """As a gateway whose slave does not answer: exception 0B."""

    @property
    def exception(self) -> int | None:
        """The exception code a foreign unit id is answered with, None where there is no such answer."""
        return _EXCEPTIONS.get(self)


_EXCEPTIONS = {
    UnitPolicy.UNMAPPED: int(ExceptionCode.GATEWAY_PATH_UNAVAILABLE),
    UnitPolicy.UNREACHABLE: int(ExceptionCode.GATEWAY_TARGET_FAILED),
}


@dataclass(frozen=True, slots=True)
class Link:
    """A product's manners; `turnaround_ns` runs from the last byte of a request to the first byte of the reply."""

    unit_policy: UnitPolicy = UnitPolicy.IGNORE
    turnaround_ns: int = 0
    idle_timeout_ns: int | None = None
    """The device closes a TCP connection after this long without a byte; None: never."""
    broadcast: bool = True
    """On a serial line the device acts on requests to unit 0 (it never answers them)."""
