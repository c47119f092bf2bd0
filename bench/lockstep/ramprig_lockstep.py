"""Lets an asyncio program, in a process of its own, live in the virtual time of a ramprig bench.

One file that needs the standard library and nothing else: run a program with it unchanged
(`python ramprig_lockstep.py controller.py --its arguments`), or call `install()` first thing in it. Without a bench,
that is without RAMPRIG_LOCKSTEP in the environment, both do nothing.
"""

from __future__ import annotations

import asyncio
import errno
import os
import runpy
import selectors
import socket
import sys
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from heapq import heappush
from itertools import count
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from contextvars import Context

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

VARIABLE = "RAMPRIG_LOCKSTEP"
"""Holds the path of the bench's socket, and makes a program join."""
VERSION = 1
_LONGEST_MESSAGE = 4096
_HALF_A_NANOSECOND = 5e-10
_NO_DATAGRAMS = "datagrams (UDP) are not carried in virtual time; use TCP, or run in real time"

Name = tuple[Any, ...]
"""A socket's name: host and port, for IPv6 with two numbers more."""


class BenchGoneError(ConnectionError):
    """The bench has closed its end: no time will ever be granted again."""


class Link:
    """The socket to the bench: packets of words, some with a descriptor. `now_ns` is the time that was granted last."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(path)
        self._turn = 0
        self.inbox: deque[tuple[list[str], int]] = deque()
        self.say("hello", VERSION)
        words, _ = self._hear()
        if words[0] != "welcome":
            raise BenchGoneError(" ".join(words))
        self.epoch_ns, self.now_ns = int(words[2]), int(words[3])

    def say(self, *words: object) -> None:
        """Send one message."""
        self._socket.send(" ".join(map(str, words)).encode())

    def rest(self, until_ns: int | None) -> None:
        """Give way: nothing is left to do before `until_ns` (None: of itself never). Returns with the next turn."""
        self.say("idle", self._turn, "-" if until_ns is None else until_ns)
        while True:
            words, descriptor = self._hear()
            if words[0] == "go":
                self._turn, self.now_ns = int(words[1]), int(words[2])
                return
            self.inbox.append((words, descriptor))

    def _hear(self) -> tuple[list[str], int]:
        """The next message, and the descriptor that came with it or -1."""
        data, descriptors, _, _ = socket.recv_fds(self._socket, _LONGEST_MESSAGE, 1, socket.MSG_CMSG_CLOEXEC)
        if not data:
            raise BenchGoneError("the bench has gone, and virtual time with it")
        return data.decode().split(" "), descriptors[0] if descriptors else -1

    def close(self) -> None:
        """Leave; the bench notices."""
        self._socket.close()


_link: Link | None = None


# ---- time ------------------------------------------------------------------------------------------------------------

_wall = {name: getattr(time, name) for name in ("time", "monotonic", "perf_counter", "sleep")}
"""The clocks of the machine, for what runs outside virtual time: a forked process, a thread that sleeps."""


def _since_the_run_began_ns(name: str) -> int:
    return round(_wall[name]() * 1e9) if _link is None else _link.now_ns


def _date_ns() -> int:
    return round(_wall["time"]() * 1e9) if _link is None else _link.epoch_ns + _link.now_ns


def _sleep(seconds: float) -> None:
    """In the main thread, virtual time passes and the loop stands still, as it would; elsewhere a thread sleeps."""
    link = _link
    if link is None or not seconds > 0 or threading.current_thread() is not threading.main_thread():
        _wall["sleep"](seconds)
        return
    until_ns = link.now_ns + round(seconds * 1e9)
    while link.now_ns < until_ns:
        link.rest(until_ns)


_CLOCKS: dict[str, Callable[..., Any]] = {
    "time": lambda: _date_ns() / 1e9,
    "time_ns": _date_ns,
    "monotonic": lambda: _since_the_run_began_ns("monotonic") / 1e9,
    "monotonic_ns": lambda: _since_the_run_began_ns("monotonic"),
    "perf_counter": lambda: _since_the_run_began_ns("perf_counter") / 1e9,
    "perf_counter_ns": lambda: _since_the_run_began_ns("perf_counter"),
    "sleep": _sleep,
}
"""What stands in module `time` while a program is in virtual time."""


# ---- connections -----------------------------------------------------------------------------------------------------


class _Face:
    """What a carried socket pretends to be."""

    def __init__(self, own: Name, peer: Name) -> None:
        self.own, self.peer = own, peer
        self.options: dict[tuple[int, int], int | bytes] = {}
        self.was_reset = False


_faces: weakref.WeakKeyDictionary[socket.socket, _Face] = weakref.WeakKeyDictionary()


class _Carried(socket.socket):
    """One end of a local socket pair under a TCP face. What it sends lies at the peer when `send` returns.

    No slots of its own: only a class of the same layout can be given to a socket object that a caller already holds.
    """

    __slots__ = ()

    def getsockname(self) -> Name:
        return _faces[self].own

    def getpeername(self) -> Name:
        return _faces[self].peer

    def setsockopt(self, level: int, option: int, value: Any, length: int = 0) -> None:
        """Set an option; those of TCP and IP are only remembered."""
        if level == socket.SOL_SOCKET:
            super().setsockopt(level, option, value)
        else:
            _faces[self].options[level, option] = value if isinstance(value, int) else bytes(value or b"")

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        """Read an option; those of TCP and IP are 0 until they are set."""
        if level == socket.SOL_SOCKET:
            return super().getsockopt(level, option, size) if size else super().getsockopt(level, option)
        return _faces[self].options.get((level, option), 0)

    def recv(self, *args: Any) -> bytes:
        return self._or_reset(super().recv(*args))

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        return self._or_reset(super().recv_into(*args, **kwargs))

    def _or_reset(self, received: T) -> T:
        """What was received; the end of the stream is a reset where the peer has left by one."""
        if not received and _faces[self].was_reset:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return received

    def dup(self) -> Any:
        """Another descriptor of the same end."""
        copy = super().dup()
        _faces[copy] = _faces[self]
        return copy


# ---- the loop --------------------------------------------------------------------------------------------------------


class _Timer(asyncio.TimerHandle):
    """A timer at an integer instant that keeps its place among those of the same one."""

    __slots__ = ("order", "when_ns")
    when_ns: int
    order: int

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, _Timer):
            return NotImplemented
        return (self.when_ns, self.order) < (other.when_ns, other.order)


class _Selector(selectors.DefaultSelector):
    """Asks the loop what to do where another would wait."""

    def __init__(self, idle: Callable[[], list[Any]]) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = self.wait(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        return self.wait(timeout) if _link is None else self._idle()

    def wait(self, timeout: float | None) -> list[Any]:
        """As an ordinary selector."""
        return super().select(timeout)


class LockstepLoop(asyncio.SelectorEventLoop):
    """An ordinary event loop that gives way to the bench when it has nothing to do, and connects through it."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[Any]

    def __init__(self) -> None:
        self._waiter = _Selector(self._give_way)
        super().__init__(self._waiter)
        self._clock_resolution = _HALF_A_NANOSECOND
        self._order = count()
        self._calls = count(1)
        self._jobs = 0
        self._waiting: dict[str, asyncio.Future[tuple[list[str], int]]] = {}
        self._gates: dict[tuple[str, str], Callable[[_Carried, Name], object]] = {}
        self._by_id: weakref.WeakValueDictionary[str, _Face] = weakref.WeakValueDictionary()

    def time(self) -> float:
        """Virtual time in seconds since the run began."""
        return super().time() if _link is None else _link.now_ns / 1e9

    def _give_way(self) -> list[Any]:
        """Nothing is ready: let the bench go on until this loop's next timer, or until something arrives."""
        assert _link is not None  # noqa: S101 - the selector has looked
        if self._jobs:
            return self._waiter.wait(None)  # a thread works for this instant: real time passes, virtual time does not
        if not _link.inbox:
            _link.rest(self._scheduled[0].when_ns if self._scheduled else None)
        while _link.inbox:
            self._take(*_link.inbox.popleft())
        return self._waiter.wait(0)

    def _take(self, words: list[str], descriptor: int) -> None:
        """A message of the bench's about a connection."""
        kind, number = words[0], words[1]
        if kind in ("connected", "failed"):
            waiter = self._waiting.pop(number, None)
            if waiter is not None and not waiter.done():
                waiter.set_result((words, descriptor))
                return
        elif kind == "accept":
            gate = self._gates.get((words[2], words[3]))
            if gate is not None:
                own, caller = _name(words[2:4]), _name(words[4:6])
                family = socket.AF_INET6 if ":" in words[2] else socket.AF_INET
                sock = _Carried(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=descriptor)
                sock.setblocking(False)
                self._dress(sock, number, own, caller)
                gate(sock, caller)
                return
        elif kind == "reset" and number in self._by_id:
            self._by_id[number].was_reset = True
        if descriptor >= 0:
            os.close(descriptor)

    def _dress(self, sock: socket.socket, number: str, own: Name, peer: Name) -> None:
        _faces[sock] = self._by_id[number] = _Face(own, peer)

    # ---- timers ----

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's, to the nearest nanosecond; what is later by however little is later by one at least."""
        if when == inf:
            return asyncio.TimerHandle(when, callback, args, self, context)
        when_ns, now_ns = round(when * 1e9), self._now_ns()
        return self._at(now_ns + 1 if when_ns <= now_ns and when > self.time() else when_ns, callback, args, context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's, but counted in whole nanoseconds, so that periods do not drift."""
        if delay == inf:
            return self.call_at(delay, callback, *args, context=context)
        delay_ns = round(delay * 1e9) or int(delay > 0)
        return self._at(self._now_ns() + delay_ns, callback, args, context)

    def _now_ns(self) -> int:
        return round(self.time() * 1e9) if _link is None else _link.now_ns

    def _at(self, when_ns: int, callback: Callable[..., object], args: tuple[Any, ...], context: Any) -> _Timer:
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        when_ns = max(when_ns, self._now_ns())
        timer = _Timer(when_ns / 1e9, callback, args, self, context)
        timer.when_ns, timer.order = when_ns, next(self._order)
        heappush(self._scheduled, timer)
        timer._scheduled = True  # type: ignore[attr-defined]  # noqa: SLF001 - as BaseEventLoop.call_at does
        return timer

    # ---- threads ----

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As asyncio's; the job takes no virtual time."""
        future = super().run_in_executor(executor, func, *args)
        self._jobs += 1
        future.add_done_callback(self._job_done)
        return future

    def _job_done(self, _future: object) -> None:
        self._jobs -= 1

    # ---- connections ----

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect through the bench, to whoever serves `address` in its virtual time."""
        if _link is None or sock.family == socket.AF_UNIX:
            await super().sock_connect(sock, address)
            return
        if sock.type != socket.SOCK_STREAM:
            raise OSError(errno.EOPNOTSUPP, _NO_DATAGRAMS)
        resolve: Callable[..., Awaitable[Any]] = getattr(self, "_ensure_resolved")  # noqa: B009 - asyncio's own
        resolved = await resolve(address, family=sock.family, type=sock.type, proto=sock.proto, loop=self)
        words, descriptor = await self._called(resolved[0][4], sock.getsockname())
        if words[0] == "failed":
            raise OSError(int(words[2]), " ".join(words[3:]))
        os.dup2(descriptor, sock.fileno(), inheritable=False)
        os.close(descriptor)
        sock.__class__ = _Carried  # in place: the caller holds this very object
        self._dress(sock, words[1], _name(words[4:6]), _name(words[2:4]))

    async def _called(self, address: Name, bound: Name) -> tuple[list[str], int]:
        assert _link is not None  # noqa: S101 - the caller has looked
        number = f"c{next(self._calls)}"
        waiter: asyncio.Future[tuple[list[str], int]] = self.create_future()
        self._waiting[number] = waiter
        _link.say("connect", number, address[0], address[1], *(bound[:2] if bound[1] else ()))
        try:
            return await waiter
        except asyncio.CancelledError:
            if self._waiting.pop(number, None) is not None and _link is not None:
                _link.say("cancel", number)
            elif waiter.done() and not waiter.cancelled() and waiter.result()[1] >= 0:
                os.close(waiter.result()[1])
            raise

    def _start_serving(
        self, protocol_factory: Any, sock: socket.socket, sslcontext: Any = None, server: Any = None,
        backlog: int = 100, *timeouts: Any,
    ) -> None:  # fmt: skip
        if _link is None or sock.family == socket.AF_UNIX:
            start: Callable[..., None] = getattr(super(), "_start_serving")  # noqa: B009 - asyncio's own
            start(protocol_factory, sock, sslcontext, server, backlog, *timeouts)
            return
        accept: Callable[..., Any] = getattr(self, "_accept_connection2")  # noqa: B009 - asyncio's own

        def gate(conn: _Carried, caller: Name) -> object:
            return self.create_task(accept(protocol_factory, conn, {"peername": caller}, sslcontext, server, *timeouts))

        host, port = sock.getsockname()[:2]
        self._gates[host, str(port)] = gate
        _link.say("listen", host, port)

    def _stop_serving(self, sock: socket.socket) -> None:
        if _link is not None and sock.family != socket.AF_UNIX:
            host, port = sock.getsockname()[:2]
            if self._gates.pop((host, str(port)), None) is not None:
                _link.say("unlisten", host, port)
        stop: Callable[..., None] = getattr(super(), "_stop_serving")  # noqa: B009 - asyncio's own
        stop(sock)

    async def create_datagram_endpoint(self, *args: Any, **kwargs: Any) -> Any:
        """Refused but for AF_UNIX: a datagram of the kernel's could be in flight when time jumps."""
        sock = kwargs.get("sock")
        if _link is not None and (sock.family if sock is not None else kwargs.get("family")) != socket.AF_UNIX:
            raise OSError(errno.EOPNOTSUPP, _NO_DATAGRAMS)
        return await super().create_datagram_endpoint(*args, **kwargs)


def _name(words: list[str]) -> Name:
    host, port = words[0], int(words[1])
    return (host, port, 0, 0) if ":" in host else (host, port)


# ---- joining ---------------------------------------------------------------------------------------------------------


def install() -> bool:
    """Join the bench that RAMPRIG_LOCKSTEP names; False, and nothing is changed, where it names none.

    From here on module `time` tells virtual time and asyncio's loops of the main thread live in it. Call it before the
    program's own modules are imported. The variable is taken out of the environment: child processes do not join.
    Raises OSError where the bench's socket cannot be reached.
    """
    global _link
    if _link is not None:
        return True
    path = os.environ.pop(VARIABLE, "")
    if not path:
        return False
    _link = Link(path)
    for name, function in _CLOCKS.items():
        setattr(time, name, function)
    os.register_at_fork(after_in_child=_leave)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.14 means to do without policies some day

        class Policy(asyncio.DefaultEventLoopPolicy):
            """Gives the main thread loops in virtual time, other threads ordinary ones."""

            def new_event_loop(self) -> asyncio.AbstractEventLoop:
                main = threading.current_thread() is threading.main_thread()
                return LockstepLoop() if main and _link is not None else super().new_event_loop()

        asyncio.set_event_loop_policy(Policy())
    return True


def loop_factory() -> asyncio.AbstractEventLoop:
    """For `asyncio.run(main(), loop_factory=ramprig_lockstep.loop_factory)`: as install(), then a loop."""
    return LockstepLoop() if install() else asyncio.SelectorEventLoop()


def _leave() -> None:
    """A forked process is not part of the run: the link and the time are its parent's."""
    global _link
    if _link is not None:
        _link.close()
        _link = None


def main(arguments: list[str]) -> None:
    """Run a program, or with `-m` a module, as Python itself would, in virtual time where there is a bench."""
    if not arguments or arguments == ["-m"]:
        sys.exit("usage: python ramprig_lockstep.py PROGRAM.py [ARGUMENT ...], or -m MODULE [ARGUMENT ...]")
    sys.modules.setdefault("ramprig_lockstep", sys.modules[__name__])
    install()
    if arguments[0] == "-m":
        sys.argv, sys.path[0] = arguments[1:], str(Path.cwd())
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = arguments, str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
