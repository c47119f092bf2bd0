"""An asyncio loop whose time jumps to the next timer as soon as nothing can run.

Owns virtual time, the order of events at one instant, and the proof that nothing is in flight when time moves; what a
run does with the time is `emulator/clock.py`'s.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, TypeVarTuple, cast

from emulator.blocking import Carrier
from emulator.datagrams import Datagrams
from emulator.jobs import Jobs
from emulator.loopback import CarriedSocket, Loopback, Name, Take
from emulator.ordered_loop import OrderedLoop, whole
from emulator.peers import Peer, hold
from emulator.sleepers import sleepers

if TYPE_CHECKING:
    from concurrent.futures import Executor

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Plug: TypeAlias = Callable[[], socket.socket]
_logger = logging.getLogger("ramprig.clock")

_FIRST_SLICE_S = 0.001
_LONGEST_SLICE_S = 0.05
_POLL_ROUNDS = 8
"""Rounds of ready callbacks after which sockets are polled even though more callbacks are ready. estimate"""
_PATIENT_ROUNDS = 10_000
"""Rounds without a quiet moment after which results from other threads are delivered all the same. estimate"""
_NO_DATAGRAMS = (
    "a bare datagram socket (UDP) is not carried in virtual time; use loop.create_datagram_endpoint, "
    "or run in real time"
)


class VirtualTimeError(RuntimeError):
    """Something that cannot be done, or can never end, in virtual time."""


class DeadlockError(VirtualTimeError):
    """Nothing can ever happen again: no timer is set, no socket is ready, nothing runs beside the loop."""


class ClockStalledError(VirtualTimeError):
    """Virtual time cannot move, because a thread or a task does not let it."""


class VirtualLoop(OrderedLoop):
    """A selector event loop in virtual time. `now_ns` is the time: integer nanoseconds since the loop was made.

    Time moves only when no callback is ready, no descriptor is ready, no executor job and no thread runs; then it
    jumps to the next timer exactly. TCP connections and datagrams of the process stay inside it, see
    `emulator/loopback.py` and `emulator/datagrams.py`.
    """

    stall_limit_s: float = 30.0
    """Real time that time may stand still because of a thread before ClockStalledError. estimate"""
    round_limit: int = 10_000_000
    """Rounds at one instant before ClockStalledError: about half a minute of a task that spins. estimate"""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.loopback = Loopback()
        self.datagrams = Datagrams(self)
        self.serial_ports: dict[str, Plug] = {}
        """Name of an in-process serial line -> what opens a program's end of it (`emulator/serial_port.py`)."""
        self.peers: list[Peer] = []
        """Other processes in step with this time; it moves when none of them has anything to do either."""
        self._jobs = Jobs(self._write_to_self)
        self._carrier = Carrier(self, self._jobs)
        self._foreign: deque[asyncio.Handle] = deque()
        self._rounds = 0
        self._at_rest: list[asyncio.Future[None]] = []
        self._resting_since_s: float | None = None
        self._suspects: tuple[frozenset[object], float] | None = None

    def time(self) -> float:
        """`now_ns` in seconds, for asyncio; differences of it carry float rounding, `now_ns` does not."""
        return self.now_ns / 1e9

    def real_s(self) -> float:
        """Seconds on the wall's monotonic clock: only to notice that virtual time does not move."""
        return super().time()

    def hold(self, descriptors: Callable[[], Iterable[int]], until: Callable[[], bool], limit_s: float) -> float:
        """Let real time pass and virtual time stand still; see `emulator.peers.hold`."""
        return hold(self, self._selector, self._ssock.fileno(), descriptors, until, limit_s)

    def ignore_thread(self, thread: threading.Thread) -> None:
        """Declare a background thread harmless: time moves although it lives, and it must not touch the run."""
        self._jobs.ignore(thread)

    async def at_rest(self) -> None:
        """Return when no callback and no socket is ready, just before time would jump; threads are not waited for."""
        waiter = self.create_future()
        self._at_rest.append(waiter)
        await waiter

    def run_forever(self) -> None:
        """Run until stop(); thread pools and threads are counted meanwhile."""
        self._jobs.begin()
        self._carrier.begin()
        try:
            super().run_forever()
        finally:
            self._carrier.end()
            self._jobs.end()

    # --- timers -----------------------------------------------------------------------------------------------------

    def call_at_ns(
        self, when_ns: int, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call `callback(*args)` at `when_ns`; an instant that has passed means now. Equal instants keep call order.

        Raises TypeError when `when_ns` is no integer.
        """
        self._check_closed()
        when_ns, now_ns = whole(when_ns), self.now_ns
        return self._set_timer(when_ns if when_ns > now_ns else now_ns, callback, args, context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's, to the nearest nanosecond. A timer at infinity never fires and keeps nothing alive.

        What is later than `time()` by however little is later by a nanosecond at least: many a library sets its timer
        again when it finds itself called a rounding error before its deadline, and would never see time move.
        """
        if when == math.inf:
            self._check_closed()
            return asyncio.TimerHandle(when, callback, args, self, context)
        when_ns = round(when * 1e9)
        if when_ns <= self.now_ns and when > self.time():
            when_ns = self.now_ns + 1
        return self.call_at_ns(when_ns, callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's, but counted from the integer `now_ns`, so that periods do not drift."""
        if delay == math.inf:
            return self.call_at(delay, callback, *args, context=context)
        delay_ns = round(delay * 1e9) or int(delay > 0)
        return self.call_at_ns(self.now_ns + delay_ns, callback, *args, context=context)

    # --- one round --------------------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        """One round, in place of asyncio's, which keeps time as float and sorts equal instants at random."""
        self._forget_cancelled()
        timers = self._scheduled
        if self._ready or self._stopping or (timers and timers[0][0] <= self.now_ns):
            self._rounds += 1
            if not self._rounds % _POLL_ROUNDS:
                self._poll(0)
                if not self._rounds % _PATIENT_ROUNDS:
                    self._be_patient_no_more()
        else:
            self._settle()
        self._run_due(self.now_ns)

    def _poll(self, timeout_s: float) -> bool:
        events = self._selector.select(timeout_s)
        if events:
            self._process_events(events)
        return bool(events)

    def _settle(self) -> None:
        """Called when no callback is ready: make one ready, or move time to the next timer.

        The order of the questions is the proof. What runs is asked for first: if nothing ran before the poll and the
        poll finds nothing, nobody was left who could have made a descriptor ready or posted a callback since.
        """
        slice_s = _FIRST_SLICE_S
        while True:
            busy = self._jobs.busy()
            if self._poll(0):
                return
            if self._foreign:
                # One at a time: what a thread posts in a row must not mix differently from run to run.
                self._ready.append(self._foreign.popleft())
                return
            if self._at_rest:
                for waiter in self._at_rest:
                    if not waiter.done():
                        waiter.set_result(None)
                self._at_rest.clear()
                return
            if not busy:
                if not self._peers_moved():
                    break
                if self._ready:
                    return
                continue
            real_s = super().time()
            if self._resting_since_s is None:
                self._resting_since_s = real_s
            if self._jobs.deliver(real_s - self._resting_since_s):
                self._resting_since_s = None
                return
            self._check_stalled(real_s)
            if self._poll(slice_s):
                return
            slice_s = min(2 * slice_s, _LONGEST_SLICE_S)
        wakes = [peer.wake_ns for peer in self.peers if peer.wake_ns is not None]
        if self._scheduled:
            wakes.append(self._scheduled[0][0])
        if not wakes:
            raise DeadlockError(
                f"nothing can ever happen after {self.time():.9f} s: no timer is set and no socket is ready; "
                f"waiting: {sleepers(self)}"
            )
        self.now_ns = max(self.now_ns, min(wakes))
        self._rounds = 0
        self._resting_since_s = self._suspects = None

    def _peers_moved(self) -> bool:
        """Whether any other process did something at this instant, so that everything has to be asked again."""
        return any(peer.turn(self.now_ns) for peer in self.peers)

    def _check_stalled(self, real_s: float) -> None:
        """Raise when one and the same piece of work has kept time from moving for too long."""
        if self._suspects is None:
            self._suspects = self._jobs.running(), real_s
        suspects, since_s = self._suspects
        if real_s - since_s < self.stall_limit_s:
            return
        if suspects & self._jobs.running():
            raise ClockStalledError(
                f"time has stood still at {self.time():.9f} s for {real_s - since_s:.1f} s of real time, because this "
                f"still runs: {self._jobs.names()}; loop.ignore_thread(thread) declares a thread harmless"
            )
        self._suspects = None

    def _be_patient_no_more(self) -> None:
        """Somebody spins without ever letting the loop come to rest; results of threads must reach him even so."""
        self._ready.extend(self._foreign)
        self._foreign.clear()
        self._jobs.deliver(math.inf)
        if self._rounds >= self.round_limit:
            raise ClockStalledError(
                f"time has stood still at {self.time():.9f} s for {self._rounds} rounds of the loop: a task spins "
                f"without waiting for time; tasks: {sleepers(self)}"
            )

    # --- other threads ----------------------------------------------------------------------------------------------

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's; from another thread the callback waits until the loop is at rest, so that order is kept."""
        if self._thread_id in (None, threading.get_ident()):
            return super().call_soon_threadsafe(callback, *args, context=context)
        self._check_closed()
        handle = asyncio.Handle(callback, args, self, context)
        self._foreign.append(handle)
        self._write_to_self()
        return handle

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As asyncio's; the job takes no virtual time, and results arrive in the order of submission."""
        self._check_closed()
        if executor is None:
            self._check_default_executor()
            if self._default_executor is None:
                from concurrent.futures import ThreadPoolExecutor

                self._default_executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
            executor = self._default_executor
        return self._jobs.add(executor.submit(func, *args), self.create_future())

    # --- connections ------------------------------------------------------------------------------------------------

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect; TCP goes to a listener of this loop or nowhere. See `Loopback.connect` for what it raises."""
        if sock.family == socket.AF_UNIX:
            await super().sock_connect(sock, address)
            return
        if sock.type != socket.SOCK_STREAM:
            raise VirtualTimeError(_NO_DATAGRAMS)
        resolved = await self._ensure_resolved(address, family=sock.family, type=sock.type, proto=sock.proto, loop=self)
        await self.loopback.connect(sock, resolved[0][4])

    def adopt(self, sock: CarriedSocket, protocol: asyncio.Protocol) -> None:
        """Give the far end of a connection to `protocol`."""
        self._make_socket_transport(sock, protocol)

    def _start_serving(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        sock: socket.socket,
        sslcontext: Any = None,
        server: Any = None,
        backlog: int = 100,
        *timeouts: Any,
    ) -> None:
        if sock.family == socket.AF_UNIX:
            super()._start_serving(protocol_factory, sock, sslcontext, server, backlog, *timeouts)
            return

        async def gate(_called: Name, caller: Name) -> Take:
            def take(conn: CarriedSocket) -> asyncio.Task[None]:
                return self.create_task(
                    self._accept_connection2(
                        protocol_factory, conn, {"peername": caller}, sslcontext, server, *timeouts
                    )
                )

            return take

        self._add_reader(sock.fileno(), _turn_away, sock)
        self.loopback.listen(sock.getsockname(), gate)

    def _stop_serving(self, sock: socket.socket) -> None:
        if sock.family != socket.AF_UNIX:
            self.loopback.unlisten(sock.getsockname())
        super()._stop_serving(sock)

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        local_addr: Any = None,
        remote_addr: Any = None,
        **kwargs: Any,
    ) -> Any:
        """As asyncio's; datagrams of IP stay inside the process, see `emulator/datagrams.py`.

        Raises VirtualTimeError for a socket the caller brings: the kernel's datagrams could be in flight at a jump.
        """
        sock = kwargs.get("sock")
        if (sock.family if sock is not None else kwargs.get("family")) == socket.AF_UNIX:
            return await super().create_datagram_endpoint(protocol_factory, local_addr, remote_addr, **kwargs)
        if sock is not None:
            raise VirtualTimeError(_NO_DATAGRAMS)
        names = []
        for address in (local_addr, remote_addr):
            if address is not None:
                found = await self._ensure_resolved(address, family=0, type=socket.SOCK_DGRAM, proto=0, loop=self)
                address = found[0][4]
            names.append(address)
        protocol = protocol_factory()
        transport = self.datagrams.endpoint(cast(asyncio.DatagramProtocol, protocol), *names)
        await asyncio.sleep(0)  # connection_made
        return transport, protocol

    async def _make_subprocess_transport(self, *args: Any, **kwargs: Any) -> Any:
        raise VirtualTimeError("a child process lives in real time; start it from a run in real time")


def _turn_away(sock: socket.socket) -> None:
    """Somebody outside the loop, another process or a blocking socket, called a port that is bound for real."""
    try:
        conn, caller = sock.accept()
    except OSError:
        return
    conn.close()
    _logger.warning(
        "connection from %s to %s closed: it comes from outside this virtual time", caller, sock.getsockname()
    )
