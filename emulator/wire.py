"""The border between a device and the transport that carries its bytes.

Owns the vocabulary (`Send`, `Close`, `Reach`) and the two shapes every emulated device has: a `Device` that can be
called on a port, and a `Conversation` for each connection. It knows nothing of sockets; `emulator/network.py` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

Instant: TypeAlias = int
"""Integer nanoseconds since the start of the run."""

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes for the peer, `delay_ns` after the previous action of the connection has been carried out."""

    data: bytes
    delay_ns: int = 0


@dataclass(frozen=True, slots=True)
class Close:
    """End of the connection, `delay_ns` after the previous action; `reset` sends an RST instead of a FIN."""

    delay_ns: int = 0
    reset: bool = False


Action: TypeAlias = Send | Close


class Reach(Enum):
    """What a caller meets at a device's port at one instant."""

    ANSWERS = "answers"
    """Somebody is there: the connection is accepted."""
    REFUSES = "refuses"
    """The host is up, nobody listens on the port: connection refused or reset."""
    SILENT = "silent"
    """The host has no power: nothing comes back, the caller runs into its own time-out."""


class Conversation(Protocol):
    """One connection to one device, sans I/O: bytes in, actions out. Never raises, whatever the bytes are."""

    idle_timeout_ns: int | None
    """The device closes the connection after this long without a byte from the peer; None means never."""

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Take `data` as it came off the wire (any fragmentation) and return what the device does."""
        ...

    def ended(self, now: Instant) -> Sequence[Action]:
        """The peer closed its side; what is still to be sent."""
        ...


class Speaker(Protocol):
    """What a conversation also offers when it speaks unasked, as a pool does with a new job."""

    @property
    def wake_ns(self) -> Instant | None:
        """When it next has something to say; None when it has not."""
        ...

    def woken(self, now: Instant) -> Sequence[Action]:
        """`wake_ns` has come: what it says."""
        ...


def speaker_of(conversation: Conversation) -> Speaker | None:
    """`conversation` as one that speaks unasked; None where it does not. (isinstance of a protocol takes 10 µs.)"""
    return cast("Speaker", conversation) if hasattr(conversation, "woken") else None


class Device(Protocol):
    """Something with an address and ports."""

    ports: tuple[int, ...]

    def reach(self, port: int, now: Instant) -> Reach:
        """Whether the device answers on `port` at `now`."""
        ...

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        """Begin a conversation with the caller at address `peer`."""
        ...
