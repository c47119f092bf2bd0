"""Devices that answer datagrams on addresses of the site, in real and in virtual time alike.

Owns the UDP sockets, one a port for the whole loopback, and which device a datagram is for; what a datagram says is the
device's, delays and order of replies are `emulator/line.py`'s.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from emulator.clock import VirtualLoop
from emulator.datagrams import Address
from emulator.line import Line, Silence
from emulator.network import Network, NetworkError, explained
from emulator.wire import Device, Instant, Reach

PEERS = 256
"""Peers a device remembers; the one who was silent longest is forgotten first. estimate"""
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
"""ip(7); the socket module of Python 3.11 does not name it."""
_PKTINFO = struct.Struct("=I4s4s")
_ROOM = socket.CMSG_SPACE(_PKTINFO.size)
_MOST_BYTES = 65_535
_ROUND = 64
"""Datagrams taken from a socket before others have their turn. estimate"""
_logger = logging.getLogger("ramprig.network")


class DatagramNetwork:
    """The datagram side of `network`, whose rules on addresses it keeps."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.clock = network.clock
        self._devices: dict[tuple[str, int], Device] = {}
        self._peers: dict[tuple[str, int], OrderedDict[Address, _Peer]] = {}
        self._sockets: list[socket.socket] = []
        self._gates: set[int] = set()

    def attach(self, address: str, device: Device) -> None:
        """Put `device` on `address`, before open(). Raises NetworkError where the two are taken or may not be bound."""
        address = self.network.bindable(address)
        for port in device.ports:
            if (address, port) in self._devices:
                raise NetworkError(f"{address} port {port} is taken: two devices cannot share it; give one another")
            self._devices[address, port] = device
            self._peers[address, port] = OrderedDict()

    def open(self) -> None:
        """Take datagrams. Raises PortInUseError or PortPermissionError; then nothing is left open."""
        try:
            for port in sorted({port for _, port in self._devices}):
                self._open_port(port)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take none any more, and send none."""
        loop = self.clock.loop
        for sock in self._sockets:
            loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()
        if isinstance(loop, VirtualLoop):
            for port in self._gates:
                loop.datagrams.close_port(port)
        self._gates.clear()
        for peers in self._peers.values():
            for peer in list(peers.values()):
                peer.line.reset()
            peers.clear()

    def _open_port(self, port: int) -> None:
        loop = self.clock.loop
        try:
            if isinstance(loop, VirtualLoop):
                loop.datagrams.open_port(port, self._virtual)
                self._gates.add(port)
                return
        except OSError as error:
            raise explained(error, "virtual", port) from error
        addresses = [address for address, its_port in self._devices if its_port == port]
        try:
            self._listen("0.0.0.0", port)
        except OSError as error:
            _logger.info("no single UDP socket for port %d (%s); one for each address instead", port, error)
            for address in addresses:
                try:
                    self._listen(address, port)
                except OSError as its_error:
                    raise explained(its_error, address, port) from its_error

    def _listen(self, address: str, port: int) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            if address == "0.0.0.0":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
            sock.bind((address, port))
        except OSError:
            sock.close()
            raise
        self._sockets.append(sock)
        self.clock.loop.add_reader(sock, self._readable, sock, port)

    # --- datagrams --------------------------------------------------------------------------------------------------

    def _readable(self, sock: socket.socket, port: int) -> None:
        for _ in range(_ROUND):
            try:
                data, extra, _flags, peer = sock.recvmsg(_MOST_BYTES, _ROOM)
            except OSError:  # nothing more, or an ICMP error that belongs to an earlier reply
                return
            for level, kind, content in extra:
                if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(content) >= _PKTINFO.size:
                    called = _PKTINFO.unpack_from(content)[2]
                    self._take(
                        socket.inet_ntoa(called), port, peer, data, functools.partial(_reply, sock, called, peer)
                    )

    def _virtual(self, called: Address, caller: Address, data: bytes) -> bool:
        host, port = str(called[0]), int(called[1])
        datagrams = self.clock.loop.datagrams if isinstance(self.clock.loop, VirtualLoop) else None
        if datagrams is None:
            return False
        return self._take(host, port, caller, data, lambda reply: datagrams.send(caller, called, reply))

    def _take(self, address: str, port: int, peer: Address, data: bytes, send: Callable[[bytes], object]) -> bool:
        """Give a datagram to whom it is for; False where nobody is there."""
        device = self._devices.get((address, port))
        if device is None:
            return False
        now, caller = self.clock.now(), str(peer[0])
        network = self.network
        if network.on_connect is not None:
            network.on_connect(address, port, caller, now)
        try:
            reach = device.reach(port, now)
            if reach is not Reach.ANSWERS:
                return reach is Reach.SILENT
            self._peer(device, address, port, peer, send).line.data_received(data)
        except Exception:
            _logger.exception("%s port %d: the device failed; the datagram is lost", address, port)
            network.defects += 1
        return True

    def _peer(self, device: Device, address: str, port: int, peer: Address, send: Callable[[bytes], object]) -> _Peer:
        peers = self._peers[address, port]
        known = peers.get(peer)
        if known is None:
            if len(peers) >= PEERS:
                peers.popitem(last=False)[1].line.reset()
            caller, now = str(peer[0]), self.clock.now()
            known = _Peer(self.network, functools.partial(peers.pop, peer, None), send)
            conversation = device.converse(port, caller, now)
            known.line = Line(self.clock, conversation, now, known, (address, port), caller, self._heard)
            peers[peer] = known
            known.line.connection_made(known)
        peers.move_to_end(peer)
        return known

    def _heard(self, address: str, port: int, caller: str, now: Instant) -> None:
        if self.network.on_request is not None:
            self.network.on_request(address, port, caller, now)


def _reply(sock: socket.socket, own: bytes, peer: Address, data: bytes) -> None:
    info = _PKTINFO.pack(0, own, bytes(4))
    try:
        sock.sendmsg([data], [(socket.IPPROTO_IP, _IP_PKTINFO, info)], 0, peer)
    except OSError as error:  # a full buffer or a vanished peer: datagrams get lost
        _logger.info("a datagram to %s is lost: %s", peer, error)


class _Peer(asyncio.Transport):
    """What a `Line` writes to, and its owner: each write is a datagram, and its end is for `forget`."""

    line: Line

    def __init__(self, network: Network, forget: Callable[[], object], send: Callable[[bytes], object]) -> None:
        super().__init__()
        self._network = network
        self._forget = forget
        self._send = send
        self._closing = False

    def write(self, data: Any) -> None:
        if not self._closing:
            self._send(bytes(data))

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.line.connection_lost(None)

    def abort(self) -> None:
        self.close()

    def failed(self) -> None:
        self._network.failed()

    def over(self, line: Line | Silence) -> None:
        self._forget()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is kept."""

    def pause_reading(self) -> None:
        """Datagrams come as they come."""

    def resume_reading(self) -> None:
        """Datagrams come as they come."""
