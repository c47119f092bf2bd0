"""The address plan of a site: which device answers on which address and port, in real and in virtual time alike.

Owns listeners, what may be bound, and what a caller meets; the connection itself is `emulator/line.py`'s, and what the
words on it mean is the device's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import ipaddress
import logging
import os
import resource
import select
import socket
from collections.abc import Iterable
from typing import cast

from emulator.clock import Clock, RealLoop, VirtualLoop
from emulator.connection import Connection
from emulator.line import Contact, Line, Silence, reset_on_close
from emulator.loopback import CarriedSocket, Name, Take, refused
from emulator.wire import SECOND, Device, Instant, Reach
from fastpath.exchange import take_call

BACKLOG = 4096
"""Calls the kernel holds until they are taken: a fleet's worth at once. estimate"""
RESERVE = 128
"""Descriptors that connections leave to everything else: the files of a run, its listeners. estimate"""
_CALLS_A_ROUND = 16
"""A millisecond or two of them: a call costs up to 0.1 ms, and timers wait meanwhile (M)."""
_REST_NS = SECOND
"""How long a listener rests that has run out of descriptors or memory, as asyncio's do. S"""
SYN_RETRIES_S = (1, 3, 7, 15, 31, 63)
"""When Linux repeats an unanswered SYN: after 1 s, then twice as long each time, six times (tcp(7)). GK"""
SYN_GIVES_UP_S = 127
"""When Linux then gives the connection attempt up, with ETIMEDOUT (tcp(7)). GK"""

_ANYWHERE = "0.0.0.0"
_LO = "127."
_logger = logging.getLogger("ramprig.network")


class NetworkError(RuntimeError):
    """An address plan that cannot be put on the network; the message names address or port, and the remedy."""


class PortInUseError(NetworkError):
    """Somebody else listens on a port of the plan."""


class PortPermissionError(NetworkError):
    """A port of the plan is kept for privileged programs."""


class Network:
    """Devices on addresses.

    `allowed` names networks besides the loopback that may be bound, and `interface` the network device whose callers
    alone are answered there (None: any device's). `connections` is how many calls one device takes at a time; a further
    one is refused and counted in `refused`, and so is one for which the process would be short of descriptors.
    `on_connect` hears of every attempt to reach a port of a device, whatever it meets there, and `on_request` of bytes
    that arrive from a caller. `defects` counts errors raised by devices and conversations: each is logged and costs its
    own connection, no other.
    """

    def __init__(
        self, clock: Clock, *, allowed: Iterable[str] = (), interface: str | None = None, connections: int = 256
    ) -> None:
        self.clock = clock
        self.connections = connections
        self.interface = interface
        self.defects = 0
        self.refused = 0
        self.on_connect: Contact | None = None
        self._on_request: Contact | None = None
        self._allowed = [ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1/128", *allowed)]
        self._devices: dict[str, Device] = {}
        self._lines: dict[str, dict[Line | Silence, None]] = {}
        self._is_open = False
        self._live, self._most = 0, 0
        """Connections to all devices: how many there are, and may be."""
        self._gates: set[int] = set()
        self._listeners: dict[tuple[str, int, str | None], socket.socket] = {}
        """By address, port and the network device that is listened on."""

    @property
    def on_request(self) -> Contact | None:
        """Who hears of requests."""
        return self._on_request

    @on_request.setter
    def on_request(self, hook: Contact | None) -> None:
        self._on_request = hook
        for lines in self._lines.values():
            for line in lines:
                if isinstance(line, Line):
                    line.listen_in(hook)

    def attach(self, address: str, device: Device) -> None:
        """Put `device` on `address`, before or after open().

        Raises NetworkError when the address is none, is taken, or lies outside the networks that may be bound; after
        open() also what open() raises.
        """
        address = self.bindable(address)
        if address in self._devices:
            raise NetworkError(f"{address} is taken: two devices cannot share an address; give one of them another")
        self._devices[address] = device
        self._lines[address] = {}
        if self._is_open:
            for port in device.ports:
                self._listen(port, [address])

    def bindable(self, address: str) -> str:
        """`address` in its usual spelling. Raises NetworkError where it is none, or may not be bound."""
        try:
            usual = socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, address))
            if usual.startswith(_LO):  # a fleet's worth of these: the parser of ipaddress takes 20 µs for each
                return usual
        except OSError:
            pass
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            raise NetworkError(f"{address!r} is no IP address; give one like 127.1.1.17") from None
        if not any(ip in network for network in self._allowed):
            names = ", ".join(str(network) for network in self._allowed)
            raise NetworkError(f"{address} may not be bound, only {names}; the rig must name its network to allow it")
        return str(ip)

    async def open(self) -> None:
        """Listen on every port of every device: one listener a port, not one a device.

        Raises PortInUseError or PortPermissionError; then nothing is left open.
        """
        plan: dict[int, list[str]] = {}
        for address, device in self._devices.items():
            for port in device.ports:
                plan.setdefault(port, []).append(address)
        self._is_open = True
        each = 2 if isinstance(self.clock.loop, VirtualLoop) else 1  # there, both ends are in this process
        self._most = max(1, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVE) // each)
        try:
            for port, addresses in plan.items():
                self._listen(port, addresses)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop listening and reset every connection."""
        self._is_open = False
        for port in self._gates:
            cast(VirtualLoop, self.clock.loop).loopback.close_port(port)
        self._gates.clear()
        for listener in self._listeners.values():
            self._unwatch(listener)
            listener.close()
        self._listeners.clear()
        for address in self._lines:
            self.drop(address)
        await asyncio.sleep(0)  # lets the transports close their sockets

    def drop(self, address: str) -> None:
        """Reset all connections of `address`: what becomes of them when the device loses its power."""
        for line in list(self._lines[address]):
            line.reset()

    def live(self, address: str) -> int:
        """How many connections `address` has."""
        return len(self._lines[address])

    # --- listening --------------------------------------------------------------------------------------------------

    def _listen(self, port: int, addresses: list[str]) -> None:
        if isinstance(self.clock.loop, VirtualLoop):
            if port not in self._gates:
                try:
                    self.clock.loop.loopback.open_port(port, self._gate)
                except OSError as error:
                    raise explained(error, "virtual", port) from error
                self._gates.add(port)
            return
        on_lo = [address for address in addresses if address.startswith(_LO)]
        outside = [address for address in addresses if not address.startswith(_LO)]
        self._listen_on("lo", None, on_lo, port)
        if self.interface is None:
            self._serve_each(outside, port, None)
        else:
            if outside:
                _look_at(self.interface, outside[0])
            self._listen_on(self.interface, self.interface, outside, port)

    def _listen_on(self, device: str, each_on: str | None, addresses: list[str], port: int) -> None:
        """One listener on a whole network device, else one for each address, on the device `each_on`."""
        if not addresses or (_ANYWHERE, port, device) in self._listeners:
            return
        try:
            self._serve(_ANYWHERE, port, device)
        except OSError as error:
            # Not allowed here, or somebody has one address of the port: then one listener for each of ours.
            _logger.info("no single listener for port %d (%s); one for each address instead", port, error)
            self._serve_each(addresses, port, each_on)

    def _serve_each(self, addresses: list[str], port: int, device: str | None) -> None:
        for address in addresses:
            try:
                self._serve(address, port, device)
            except OSError as error:
                raise explained(error, address, port) from error

    def _serve(self, address: str, port: int, device: str | None) -> None:
        """Bind and listen at once, so that the error comes at once; accepting begins with the loop's next round."""
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is accepted inherits it
            if device is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
            sock.bind((address, port))
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
        self._listeners[address, port, device] = sock
        self._watch(sock)

    def _watch(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            accept = functools.partial(self._accept, listener)
            cast(RealLoop, self.clock.loop).watch(listener.fileno(), select.EPOLLIN, accept)

    def _unwatch(self, listener: socket.socket) -> None:
        with contextlib.suppress(KeyError):  # it rests after an error
            cast(RealLoop, self.clock.loop).unwatch(listener.fileno())

    # --- answering --------------------------------------------------------------------------------------------------

    async def _gate(self, called: Name, caller: Name) -> Take:
        """Virtual time: what a connection attempt meets, with the patience of the caller's kernel."""
        address, port, peer = called[0], called[1], caller[0]
        if not self._has(address, port):
            raise refused(called)
        if self.on_connect is not None:
            self.on_connect(address, port, peer, self.clock.now())
        began = self.clock.now()
        for retry_s in (*SYN_RETRIES_S, SYN_GIVES_UP_S):
            now = self.clock.now()
            reach = self._reach(address, port, now)
            line = self._converse(address, port, peer, now) if reach is Reach.ANSWERS else None
            if line is not None:
                return functools.partial(self._take, address, line)
            if reach is not Reach.SILENT:
                raise ConnectionRefusedError(errno.ECONNREFUSED, f"{address} port {port} refused the connection")
            await self.clock.sleep_until(began + retry_s * SECOND)
        raise TimeoutError(errno.ETIMEDOUT, f"{address} port {port} did not answer for {SYN_GIVES_UP_S} s")

    def _take(self, address: str, line: Line, conn: CarriedSocket) -> None:
        self._lines[address][line] = None
        self._live += 1
        cast(VirtualLoop, self.clock.loop).adopt(conn, line)

    def _accept(self, listener: socket.socket, _events: int) -> None:
        """Real time: take the calls that wait, no more of them in one round than leave others their turn."""
        for _ in range(_CALLS_A_ROUND):
            try:
                call = take_call(listener)
            except OSError as error:
                _logger.warning("no call can be taken for %g s: %s", _REST_NS / SECOND, error)
                self._unwatch(listener)
                self.clock.call_at(self.clock.now() + self.clock.of_wall(_REST_NS), self._watch, listener)
                return
            if call is None:
                return
            self._admit(*call)

    def _admit(self, sock: socket.socket, peer: str, address: str, port: int) -> None:
        """Real time: what becomes of a connection that the kernel has taken already."""
        if not self._has(address, port):
            sock.close()
            return
        now = self.clock.now()
        if self.on_connect is not None:
            self.on_connect(address, port, peer, now)
        reach = self._reach(address, port, now)
        protocol: Line | Silence | None = None
        if reach is Reach.ANSWERS:
            protocol = self._converse(address, port, peer, now)
        elif reach is Reach.SILENT:
            look = functools.partial(self._reach, address, port)
            protocol = Silence(self.clock, self, (address, port), reach=look)
        if protocol is None:
            reset_on_close(sock)
            sock.close()
            return
        self._lines[address][protocol] = None
        self._live += 1
        standing = protocol.standing if isinstance(protocol, Line) else None
        Connection(cast(RealLoop, self.clock.loop), sock, protocol, standing).begin()

    def _has(self, address: str, port: int) -> bool:
        device = self._devices.get(address)
        return device is not None and port in device.ports

    def _reach(self, address: str, port: int, now: Instant) -> Reach:
        try:
            reach = self._devices[address].reach(port, now)
        except Exception:
            _logger.exception("%s port %d: the device failed; the caller is refused", address, port)
            self.failed()
            return Reach.REFUSES
        crowded = len(self._lines[address]) >= self.connections or self._live >= self._most
        if reach is Reach.ANSWERS and crowded:
            self.refused += 1
            return Reach.REFUSES
        return reach

    def _converse(self, address: str, port: int, peer: str, now: Instant) -> Line | None:
        try:
            conversation = self._devices[address].converse(port, peer, now)
        except Exception:
            _logger.exception("%s port %d: the device failed; the caller is refused", address, port)
            self.failed()
            return None
        return Line(self.clock, conversation, now, self, (address, port), peer, self._on_request)

    def failed(self) -> None:
        """Count a defect."""
        self.defects += 1

    def over(self, line: Line | Silence) -> None:
        """A connection has ended."""
        lines = self._lines[line.called[0]]
        if line in lines:
            del lines[line]
            self._live -= 1


def _look_at(interface: str, address: str) -> None:
    """Raises NetworkError where there is no such network device, or the kernel does not take the address for its own:
    a listener on all addresses would come up all the same, and nobody would ever reach it."""
    try:
        socket.if_nametoindex(interface)
    except OSError:
        names = ", ".join(name for _, name in socket.if_nameindex())
        raise NetworkError(
            f"no network device {interface!r} is here, only {names}; correct network.interface"
        ) from None
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise explained(error, address, 0) from error
        net = ipaddress.ip_network(f"{address}/{16 if '.' in address else 64}", strict=False)
        raise NetworkError(
            f"{address} is no address of this machine: make the rig's network local "
            f"(ip route add local {net} dev lo), or add its addresses to {interface}"
        ) from None


def explained(error: OSError, address: str, port: int) -> NetworkError:
    """What a failed bind means for the user."""
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(
            f"port {port} ({address}) is in use: stop what listens there (ss -ltnp 'sport = :{port}' names it; another "
            "rig that is served takes its ports for every address), or run with --time virtual, which binds no port"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return PortPermissionError(
            f"port {port} ({address}) is kept for privileged programs: allow it "
            f"(sysctl net.ipv4.ip_unprivileged_port_start={port}), run with CAP_NET_BIND_SERVICE, "
            "or run with --time virtual, which needs neither"
        )
    return NetworkError(f"cannot listen on {address} port {port}: {os.strerror(error.errno or 0)}")
