"""TCP between two ends of one process, carried over kernel socket pairs, so that a sent byte is a delivered byte.

Owns who listens where, and sockets that look like TCP while they are not; it knows nothing of time or of devices.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import itertools
import os
import socket
import struct
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeAlias, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Name: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
"""A socket's name as the socket module gives it, IPv4 or IPv6."""
Take: TypeAlias = Callable[["CarriedSocket"], object]
"""What is done with the far end of a new connection."""
Gate: TypeAlias = Callable[[Name, Name], Awaitable[Take]]
"""Called with (called name, caller's name); returns who takes the connection, or raises what the caller shall see."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_BUFFER_BYTES = 106_496
"""Send buffer of each end as asked for; the kernel doubles it to its usual default, 208 KiB (unix(7), socket(7)). GK"""
_FIRST_PORT, _LAST_PORT = 32_768, 60_999
"""Source ports, Linux' default ip_local_port_range (ip(7)). GK"""


@dataclass(slots=True)
class _End:
    """What a carried socket pretends: its names, the options that mean nothing to a socket pair, and its other end."""

    own: Name
    peer: Name
    other: weakref.ref[CarriedSocket] | None = None
    options: dict[tuple[int, int], int | bytes] = field(default_factory=dict)
    resets: bool = False
    tell_reset: Callable[[], object] | None = None
    """Tells another process, which holds the other end, that it is about to be reset."""


_ends: weakref.WeakKeyDictionary[socket.socket, _End] = weakref.WeakKeyDictionary()


class CarriedSocket(socket.socket):
    """One end of a socket pair under a TCP face: names, TCP options, and the reset of SO_LINGER 0.

    No slots of its own: only a class of the same layout can be given to a socket object that a caller already holds.
    """

    __slots__ = ()

    def getsockname(self) -> Name:
        return _ends[self].own

    def getpeername(self) -> Name:
        return _ends[self].peer

    def setsockopt(self, level: int, option: int, value: int | ReadableBuffer | None, length: int = 0) -> None:
        """Set an option; those of TCP and IP are only remembered."""
        end = _ends[self]
        if level == socket.SOL_SOCKET:
            if option == socket.SO_LINGER and not isinstance(value, int) and value is not None:
                end.resets = bytes(value) == _RESET_ON_CLOSE
            super().setsockopt(level, option, value)  # type: ignore[arg-type]
        else:
            end.options[level, option] = value if isinstance(value, int) else bytes(value or b"")

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:  # type: ignore[override]
        """Read an option; those of TCP and IP are 0 until they are set."""
        if level == socket.SOL_SOCKET:
            return super().getsockopt(level, option, size) if size else super().getsockopt(level, option)
        return _ends[self].options.get((level, option), 0)

    def dup(self) -> Self:
        """Another descriptor of the same end."""
        copy = super().dup()
        _ends[copy] = _ends[self]
        return copy

    def close(self) -> None:
        """Close; after SO_LINGER 0 the peer reads what was sent before and then a reset, as with TCP."""
        end = _ends.get(self)
        if end is not None and end.resets and self.fileno() >= 0:
            if end.tell_reset is not None:
                end.tell_reset()
            other = None if end.other is None else end.other()
            if other is not None and other.fileno() >= 0:
                # The kernel resets the peer of a stream that is closed with unread bytes (af_unix.c, unix_release_sock;
                # T), so the peer is made to have written one. It cannot when it filled its side, and then the bytes
                # are there already, or when it shut it down, and then an ordinary end is all there is.
                with contextlib.suppress(OSError):
                    other.send(b"\0")
        super().close()


class Loopback:
    """The listeners of one process and the way to them."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, int], Gate] = {}
        self._gates: dict[int, Gate] = {}
        self._ports = itertools.cycle(range(_FIRST_PORT, _LAST_PORT + 1))

    def listen(self, name: Name, gate: Gate) -> None:
        """Serve one address ("0.0.0.0" and "::" stand for all of their family)."""
        self._listeners[name[0], name[1]] = gate

    def unlisten(self, name: Name) -> None:
        """Stop serving an address."""
        self._listeners.pop((name[0], name[1]), None)

    def open_port(self, port: int, gate: Gate) -> None:
        """Serve `port` on every address at once; the gate refuses the addresses it does not know.

        Raises OSError (EADDRINUSE) when the port has a gate already.
        """
        if port in self._gates:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._gates[port] = gate

    def close_port(self, port: int) -> None:
        """Stop serving a port."""
        self._gates.pop(port, None)

    def serves(self, address: Name) -> bool:
        """Whether somebody of this process serves an IP address and a port; False for a host's name."""
        try:
            host, port = _canonical(address)[:2]
        except ValueError:
            return False
        anywhere = "::" if ":" in host else "0.0.0.0"
        return port in self._gates or (host, port) in self._listeners or (anywhere, port) in self._listeners

    async def connect(self, sock: socket.socket, address: Name) -> None:
        """Connect `sock`, a stream socket of IPv4 or IPv6, to whoever serves `address`; `sock` becomes a CarriedSocket.

        Raises ConnectionRefusedError when nobody does, OSError (ENETUNREACH) beyond the loopback, TypeError when
        `sock` is no plain socket, and whatever the one who serves the address has the caller see.
        """
        if type(sock) is not socket.socket:
            raise TypeError(f"virtual time can only carry a plain socket.socket, not {type(sock).__qualname__}")
        called, caller, take = await self.call(address, sock.getsockname())
        near, server = self.pair(called, caller)
        os.dup2(near.fileno(), sock.fileno(), inheritable=False)
        near.close()
        sock.__class__ = CarriedSocket  # in place: the caller holds this very object
        _ends[sock] = _End(caller, called, weakref.ref(server))
        _ends[server].other = weakref.ref(cast(CarriedSocket, sock))
        take(server)

    async def call(self, address: Name, bound: Name | None) -> tuple[Name, Name, Take]:
        """Ask whoever serves `address` to take a call: the name called, the caller's name, and who takes it.

        `bound` is what the caller's socket is bound to. Raises as `connect` does.
        """
        called = _canonical(address)
        gate = self._find(called)
        caller = self._source(bound, called)
        return called, caller, await gate(called, caller)

    def pair(
        self, called: Name, caller: Name, tell_reset: Callable[[], object] | None = None
    ) -> tuple[socket.socket, CarriedSocket]:
        """Both ends of a new connection: the caller's as a bare socket, the other under its TCP face.

        With `tell_reset` the bare end is for another process, which is told so that it sees a reset as one.
        """
        near, far = socket.socketpair()
        for end in (near, far):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        family = socket.AF_INET6 if ":" in called[0] else socket.AF_INET
        server = CarriedSocket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=far.detach())
        server.setblocking(False)
        _ends[server] = _End(called, caller, tell_reset=tell_reset)
        return near, server

    def _find(self, called: Name) -> Gate:
        host, port = called[0], called[1]
        anywhere = "::" if ":" in host else "0.0.0.0"
        gate = self._listeners.get((host, port)) or self._gates.get(port) or self._listeners.get((anywhere, port))
        if gate is not None:
            return gate
        if ipaddress.ip_address(host).is_loopback:
            raise refused(called)
        raise OSError(
            errno.ENETUNREACH,
            f"{host} port {port} is outside this process; virtual time reaches only its own loopback, use real time",
        )

    def _source(self, bound: Name | None, called: Name) -> Name:
        """The name the caller goes by: what its socket is bound to, else the loopback address and the next port."""
        if bound is not None and bound[1]:
            return bound
        port = next(self._ports)
        return ("::1", port, 0, 0) if ":" in called[0] else ("127.0.0.1", port)


def refused(called: Name) -> ConnectionRefusedError:
    """The error of a call that nobody in this process takes."""
    return ConnectionRefusedError(
        errno.ECONNREFUSED,
        f"{called[0]} port {called[1]} is served by nobody in this process; "
        "another process cannot share virtual time, use real time for it",
    )


def _canonical(address: Name) -> Name:
    """One spelling for each address; the unspecified address means this host, as it does to the kernel."""
    host = address[0]
    if ":" not in host:
        return ("127.0.0.1" if host == "0.0.0.0" else host, address[1])
    ip = ipaddress.IPv6Address(host.partition("%")[0])
    return ("::1" if ip.is_unspecified else ip.compressed, address[1], 0, 0)
