"""The bench's end of lockstep: one child process that lives in the time of a virtual loop.

Owns the socket the child joins by, the turns it is given and the connections it is handed; the child's end is
`ramprig_lockstep.py`, the protocol on one page is decision 14. Starting and ending the process is the adapter's.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import itertools
import select
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bench.lockstep.ramprig_lockstep import VARIABLE, VERSION
from emulator.wire import SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from emulator.clock import Clock, VirtualLoop
    from emulator.loopback import CarriedSocket, Name, Take

CHILD = Path(__file__).with_name("ramprig_lockstep.py")
"""The file that a program is run with."""
_LONGEST_MESSAGE = 4096
_LONGEST_TEXT = 1000


class Lockstep:
    """A peer of a virtual loop. `descriptors` tells what else is served while it is waited for: output, its end.

    `failed` hears, once for each process, in words why a process that is still there has to be ended.
    """

    def __init__(
        self, clock: Clock, patience_ns: Instant, descriptors: Callable[[], Iterable[int]],
        failed: Callable[[str], object],
    ) -> None:  # fmt: skip
        self.wake_ns: Instant | None = None
        self._clock = clock
        self._loop = cast("VirtualLoop", clock.loop)
        self._patience_s = patience_ns / SECOND
        self._extra, self._failed = descriptors, failed
        self._folder = Path(tempfile.mkdtemp(prefix="ramprig-"))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.setblocking(False)
        self._listener.bind(str(self._folder / "time"))
        self._listener.listen(8)
        self._loop.add_reader(self._listener, self._called_up)
        self._loop.peers.append(self)
        self._conn: socket.socket | None = None
        self._alive = self._awaited = self._ending = self._joined = False
        self._turn = 0
        self._seen = (-1, -1)
        """Instant and work of the loop that the child knew of when it came to rest."""
        self._instant, self._spent_s = -1, 0.0
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._gates: set[tuple[str, int]] = set()
        self._numbers = itertools.count(1)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to know to join."""
        return {VARIABLE: str(self._folder / "time")}

    def begin(self) -> None:
        """A process is started: time stands still until it has joined and come to rest."""
        self._alive, self._awaited, self._ending, self._joined = True, True, False, False
        self._turn, self._instant, self.wake_ns = 0, -1, None

    def ending(self) -> None:
        """The process has been killed: time stands still until it is gone."""
        self._ending = self._awaited = True
        self._spent_s = 0.0

    def gone(self) -> None:
        """The process has ended."""
        self._alive = self._awaited = False
        self.wake_ns = None
        self._hang_up()

    def close(self) -> None:
        """Leave nothing behind. May be called twice."""
        if self in self._loop.peers:
            self.gone()
            self._loop.peers.remove(self)
            self._loop.remove_reader(self._listener)
            self._listener.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    # ---- turns -----------------------------------------------------------------------------------------------------

    def turn(self, now_ns: Instant) -> bool:
        """See `emulator.peers.Peer`. Real time passes here while the child works; the bench does nothing meanwhile."""
        if not self._alive:
            return False
        if not self._awaited:
            due = self.wake_ns is not None and self.wake_ns <= now_ns
            if not due and self._seen == (now_ns, self._loop.work):
                return False
            self._turn += 1
            self._awaited = True
            self._say("go", self._turn, now_ns)
        if now_ns != self._instant:
            self._instant, self._spent_s = now_ns, 0.0
        left_s = self._patience_s - self._spent_s
        self._spent_s += self._loop.hold(self._descriptors, lambda: not self._awaited, left_s)
        if self._awaited and self._spent_s >= self._patience_s:
            self._lose_patience()
        self._seen = (now_ns, self._loop.work)
        return True

    def _descriptors(self) -> list[int]:
        own = [self._listener.fileno()]
        if self._conn is not None:
            own.insert(0, self._conn.fileno())
        return [*own, *self._extra()]

    def _lose_patience(self) -> None:
        if self._ending:
            self._alive = self._awaited = False  # not even SIGKILL has ended it; whoever stops it says so
        elif self._conn is not None:
            self._end(f"held up the bench for {self._patience_s:g} s of real time without giving way")
        elif self._joined:
            self._end(f"left virtual time and had not ended {self._patience_s:g} s later")
        else:
            self._end(
                f"did not join virtual time within {self._patience_s:g} s; run it with {{lockstep}}, or in real time"
            )

    def _end(self, reason: str) -> None:
        self.ending()
        self._failed(reason)

    # ---- words -----------------------------------------------------------------------------------------------------

    def _called_up(self) -> None:
        """A process joins; a second one of the same program has no place in this time."""
        try:
            conn, _ = self._listener.accept()
        except OSError:
            return
        if self._joined or not self._alive:
            conn.close()
            return
        conn.setblocking(False)
        self._conn, self._joined = conn, True
        self._loop.add_reader(conn, self._heard)

    def _heard(self) -> None:
        while (conn := self._conn) is not None:
            try:
                data = conn.recv(_LONGEST_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._hang_up()
                self._awaited = self._alive  # its end is not far; nothing moves before
                return
            try:
                self._obey(data.decode().split(" "))
            except ValueError:
                self._hang_up()
                self._end(f"broke the protocol of virtual time with {data[:80]!r}")

    def _obey(self, words: list[str]) -> None:
        """Do what a message says. Raises ValueError for one that says nothing known."""
        match words:
            case ["idle", turn, until]:
                wake_ns = None if until == "-" else int(until)
                if int(turn) == self._turn and not self._ending:
                    self.wake_ns, self._awaited = wake_ns, False
            case ["connect", number, host, port, *bound] if len(bound) in (0, 2):
                own = _name(bound[0], bound[1]) if bound else None
                call = self._connect(number, _name(host, port), own)
                self._calls[number] = self._loop.create_task(call, name=f"call {number} of the controller")
            case ["cancel", number]:
                if number in self._calls:
                    self._calls[number].cancel()
            case ["listen", host, port]:
                self._listen(host, _name(host, port))
            case ["unlisten", host, port]:
                self._unlisten(_name(host, port))
            case ["hello", version]:
                if int(version) != VERSION:
                    raise ValueError(version)
                epoch = self._clock.epoch
                epoch_ns = int(epoch.timestamp()) * SECOND + epoch.microsecond * 1000
                self._say("welcome", VERSION, epoch_ns, self._loop.now_ns)
            case _:
                raise ValueError(words[0])

    def _say(self, *words: object, descriptor: int | None = None) -> None:
        """Send one message; a child that does not listen has left."""
        conn = self._conn
        if conn is None:
            return
        message = " ".join(map(str, words)).encode()
        descriptors = [] if descriptor is None else [descriptor]
        try:
            try:
                socket.send_fds(conn, [message], descriptors)
            except BlockingIOError:
                # It reads while it rests; a burst may be faster than it.
                select.select([], [conn], [], self._patience_s)
                socket.send_fds(conn, [message], descriptors)
        except OSError:
            self._hang_up()
            self._awaited = self._alive

    def _hang_up(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            self._loop.remove_reader(conn)
            conn.close()
        for call in self._calls.values():
            call.cancel()
        for gate in tuple(self._gates):
            self._unlisten(gate)

    # ---- connections -----------------------------------------------------------------------------------------------

    async def _connect(self, number: str, address: Name, bound: Name | None) -> None:
        """Call for the child, and hand it its end of the connection."""
        loopback = self._loop.loopback
        try:
            called, caller, take = await loopback.call(address, bound)
            near, server = loopback.pair(called, caller, lambda: self._say("reset", number))
        except OSError as error:
            text = " ".join((error.strerror or str(error)).split())[:_LONGEST_TEXT]
            self._say("failed", number, error.errno or errno.ECONNREFUSED, text)
            return
        finally:
            self._calls.pop(number, None)
        with near:
            self._say("connected", number, *called[:2], *caller[:2], descriptor=near.fileno())
        take(server)

    def _listen(self, host: str, name: Name) -> None:
        async def gate(_called: Name, caller: Name) -> Take:
            def take(conn: CarriedSocket) -> None:
                number = f"b{next(self._numbers)}"
                self._say("accept", number, host, name[1], *caller[:2], descriptor=conn.fileno())
                conn.close()

            return take

        self._gates.add((name[0], name[1]))
        self._loop.loopback.listen(name, gate)

    def _unlisten(self, name: Name) -> None:
        if (name[0], name[1]) in self._gates:
            self._gates.remove((name[0], name[1]))
            self._loop.loopback.unlisten(name)


def _name(host: str, port: str) -> Name:
    """A socket's name. Raises ValueError where it is none."""
    ip, number = ipaddress.ip_address(host), int(port)
    if not 0 <= number <= 65535:
        raise ValueError(port)
    return (host, number) if ip.version == 4 else (host, number, 0, 0)
