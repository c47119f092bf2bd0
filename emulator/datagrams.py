"""Datagrams between ends of one process, handed over by the loop itself, so that none is in flight when time jumps.

Owns who has which name on the virtual loop, and endpoints that look like asyncio's; it knows nothing of devices, which
`emulator/datagram_network.py` puts behind ports.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import itertools
import os
from collections.abc import Callable
from typing import Any, TypeAlias

Address: TypeAlias = tuple[Any, ...]
"""A name as the socket module gives it: host, port, and for IPv6 two numbers more."""
Deliver: TypeAlias = Callable[[Address, Address, bytes], bool]
"""Called with (called name, caller's name, bytes); False where nobody is there."""

MOST_BYTES = 65_507
"""The longest payload of UDP on IPv4 (udp(7)). GK"""
_FIRST_PORT, _LAST_PORT = 32_768, 60_999


class Datagrams:
    """The datagram names of one virtual loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ends: dict[tuple[str, int], _End] = {}
        self._gates: dict[int, Deliver] = {}
        self._ports = itertools.cycle(range(_FIRST_PORT, _LAST_PORT + 1))

    def open_port(self, port: int, deliver: Deliver) -> None:
        """Serve `port` on every address at once. Raises OSError (EADDRINUSE) when the port has a gate already."""
        if port in self._gates:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._gates[port] = deliver

    def close_port(self, port: int) -> None:
        """Stop serving a port."""
        self._gates.pop(port, None)

    def endpoint(
        self, protocol: asyncio.DatagramProtocol, local: Address | None, remote: Address | None
    ) -> asyncio.DatagramTransport:
        """An endpoint of a program. Raises OSError where its name is taken, or `remote` lies beyond the loopback."""
        if remote is not None and not ipaddress.ip_address(remote[0]).is_loopback:
            raise OSError(
                errno.ENETUNREACH,
                f"{remote[0]} is outside this process; virtual time reaches only its own loopback, use real time",
            )
        host = local[0] if local is not None else ("::1" if remote is not None and ":" in remote[0] else "127.0.0.1")
        port = local[1] if local is not None and local[1] else next(self._ports)
        if (host, port) in self._ends:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        end = _End(self, self._loop, protocol, (host, port), remote)
        self._ends[host, port] = end
        self._loop.call_soon(protocol.connection_made, end)
        return end

    def forget(self, name: Address) -> None:
        """An endpoint is closed."""
        self._ends.pop((name[0], name[1]), None)

    def send(self, called: Address, caller: Address, data: bytes) -> bool:
        """Hand a datagram over at once; False where nobody has the name."""
        host, port = called[0], called[1]
        anywhere = "::" if ":" in host else "0.0.0.0"
        end = self._ends.get((host, port)) or self._ends.get((anywhere, port))
        if end is not None:
            end.take(data, caller)
            return True
        gate = self._gates.get(port)
        return gate is not None and gate(called, caller, data)


class _End(asyncio.DatagramTransport):
    """One endpoint. A datagram to nobody comes back as ECONNREFUSED to an endpoint with a fixed peer, as in Linux."""

    def __init__(
        self,
        datagrams: Datagrams,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.DatagramProtocol,
        own: Address,
        remote: Address | None,
    ) -> None:
        super().__init__({"sockname": own, "peername": remote})
        self._datagrams, self._loop, self._protocol = datagrams, loop, protocol
        self._own, self._remote = own, remote
        self._closing = False

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send; raises ValueError where an endpoint with a fixed peer is given another one, or no peer is known."""
        if self._remote is not None and addr not in (None, self._remote):
            raise ValueError(f"Invalid address: must be None or {self._remote}")
        called = addr if addr is not None else self._remote
        if called is None:
            raise ValueError("this endpoint has no peer of its own; name one with each datagram")
        if len(data) > MOST_BYTES:
            self._loop.call_soon(self._protocol.error_received, OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE)))
        elif not self._closing:
            self._loop.call_soon(self._hand_over, called, bytes(data))

    def take(self, data: bytes, caller: Address) -> None:
        """A datagram for this endpoint."""
        if not self._closing and (self._remote is None or self._remote[:2] == caller[:2]):
            self._loop.call_soon(self._protocol.datagram_received, data, caller)

    def _hand_over(self, called: Address, data: bytes) -> None:
        if not self._datagrams.send(called, self._own, data) and self._remote is not None and not self._closing:
            error = ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            self._protocol.error_received(error)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._datagrams.forget(self._own)
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()
