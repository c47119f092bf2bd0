"""A request whose answer stands already, answered before anybody thinks: the twin without a compiler.

Owns what `_exchange.pyx` owns, and its documentation.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Any, Protocol

_NUMBER_BYTES = 2
_READ_BYTES = 16_384


class Model(Protocol):
    """Whose answers they are."""

    @property
    def changes(self) -> int:
        """A number that is another one after anything that may have changed an answer."""
        ...


class Connection(Protocol):
    """To whom everything goes that has no standing answer."""

    def ready(self, events: int) -> None:
        """The socket has other events than just input."""
        ...

    def take(self, data: bytes) -> None:
        """Input; empty at the peer's end."""
        ...

    def write(self, data: bytes) -> None:
        """Output that the kernel did not take."""
        ...

    def failed(self, error: OSError) -> None:
        """The socket has failed."""
        ...


class Answer:
    """`said` is the answer to `asked` from `since_ns` until `until_ns`, as long as `model.changes` is what it was.

    Both are without their first two bytes: a request's come back in front of its answer.
    """

    __slots__ = ("asked", "changes", "model", "said", "since_ns", "until_ns")

    def __init__(self, asked: bytes, said: bytes, model: Model, since_ns: int, until_ns: int) -> None:
        self.asked = asked
        self.said = said
        self.model = model
        self.since_ns = since_ns
        self.until_ns = until_ns
        self.changes = model.changes

    def holds(self, now: int) -> bool:
        """Whether it is still the answer."""
        return self.since_ns <= now < self.until_ns and self.model.changes == self.changes


class Journal:
    """What was answered by answers that stand: the first `limit` exchanges, and in `count` how many there were."""

    __slots__ = ("_entries", "count", "first", "limit")

    def __init__(self, limit: int) -> None:
        self._entries: list[tuple[int, object, Answer, bytes]] = []
        self.count = 0
        self.limit = limit
        self.first: Callable[[int], object] | None = None
        """Called once, with the instant of the next exchange."""

    def take_down(self, now: int, label: object, answer: Answer, number: bytes) -> None:
        """Count an exchange, and keep it if there is room."""
        self.count += 1
        if len(self._entries) < self.limit:
            self._entries.append((now, label, answer, number))
        if self.first is not None:
            first, self.first = self.first, None
            first(now)

    def exchanges(self) -> list[tuple[int, Any, bytes, bytes]]:
        """(instant, label, request, answer) of each that is kept."""
        return [(now, label, number + of.asked, number + of.said) for now, label, of, number in self._entries]


class Standing:
    """The answers of one connection that stand, and who takes an interest in them.

    `answers` are by the request without its first two bytes; None: none stands now. Every exchange is taken down in
    `journal` under `label`, where there is one, `told(now)` is called of it, and `last_ns` is when the last one was.
    """

    __slots__ = ("answers", "journal", "label", "last_ns", "told")

    def __init__(self) -> None:
        self.answers: dict[bytes, Answer] | None = None
        self.journal: Journal | None = None
        self.label: object = None
        self.told: Callable[[int], object] | None = None
        self.last_ns = 0


def take_call(listener: socket.socket) -> tuple[socket.socket, str, str, int] | None:
    """Take a call that waits at a listener that does not block; None where none does.

    Returns the socket, the caller's address, and address and port that were called. Raises OSError where the kernel has
    no descriptor or no memory left.
    """
    while True:
        try:
            sock, peer = listener.accept()
        except (BlockingIOError, InterruptedError):
            return None
        except ConnectionAbortedError:
            continue
        called = sock.getsockname()
        return sock, peer[0], called[0], called[1]


class Exchange:
    """The reader of one connected socket; `hear` is to be called with its epoll events.

    What has a standing answer is answered, at the instant `monotonic_ns() - origin_ns`; everything else goes to
    `connection`.
    """

    __slots__ = ("_connection", "_monotonic_ns", "_origin_ns", "_recv", "_send", "_standing")

    def __init__(
        self,
        sock: socket.socket,
        standing: Standing | None,
        connection: Connection,
        monotonic_ns: Callable[[], int],
        origin_ns: int,
    ) -> None:
        self._recv, self._send = sock.recv, sock.send
        self._standing, self._connection = standing, connection
        self._monotonic_ns, self._origin_ns = monotonic_ns, origin_ns

    def hear(self, events: int) -> None:
        """Read once, and answer or pass on what came."""
        if events != select.EPOLLIN:
            self._connection.ready(events)
            return
        try:
            asked = self._recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._connection.failed(error)
            return
        answer = self._answer(asked) if len(asked) > _NUMBER_BYTES else None
        if answer is None:
            self._connection.take(asked)
        else:
            self._connection.write(asked[:_NUMBER_BYTES] + answer.said)

    def say_last(self, data: bytes) -> int:
        """Send `data`, after which the socket is closed; return how many of its bytes the kernel took.

        They go out with the end, in one segment. Not so where input waits unread: closing resets then, and what has not
        gone out is lost. Raises OSError where the connection has failed.
        """
        flags = socket.MSG_DONTWAIT | socket.MSG_MORE
        try:
            if self._recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                flags = socket.MSG_DONTWAIT
        except (BlockingIOError, InterruptedError):
            pass
        try:
            return self._send(data, flags)
        except (BlockingIOError, InterruptedError):
            return 0

    def _answer(self, asked: bytes) -> Answer | None:
        """What stands for this request, after everybody has been told of it; None where nothing does."""
        standing = self._standing
        if standing is None or standing.answers is None:
            return None
        answer = standing.answers.get(asked[_NUMBER_BYTES:])
        now = self._monotonic_ns() - self._origin_ns
        if answer is None or not answer.holds(now):
            return None
        standing.last_ns = now
        if standing.told is not None:
            standing.told(now)
        if standing.journal is not None:
            standing.journal.take_down(now, standing.label, answer, asked[:_NUMBER_BYTES])
        return answer
