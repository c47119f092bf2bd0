"""The load: one request a connection, as fleet managers make them, from one process with an epoll loop of its own.

It is written on bare sockets so that it is not what is measured. Owns pacing and the taking of times; it does not look
at replies beyond their length.
"""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass
from itertools import cycle, islice

REQUEST = b'{"command":"summary"}'
GIVES_UP_S = 10.0


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a stretch of load. Times are from the call of connect to the end of the reply."""

    done: int
    rate: float
    p50_s: float
    p99_s: float
    failed: int
    bytes_a_reply: float


@dataclass(slots=True)
class _Call:
    sock: socket.socket
    since_s: float
    asked: bool = False


def load(
    addresses: list[tuple[str, int]],
    *,
    seconds: float,
    at_once: int,
    rate: float = 0.0,
    most: int = 0,
    request: bytes = REQUEST,
) -> Load:
    """Ask each address in turn for `seconds`, at most `at_once` at a time.

    With `rate`, no faster than that; with `most`, no more than so many in all.
    """
    poll, open_calls = select.epoll(), dict[int, _Call]()
    took: list[float] = []
    failed = received = 0
    began = time.perf_counter()
    ends, due = began + seconds, began
    targets = cycle(addresses)
    left = most or -1
    while True:
        now = time.perf_counter()
        while left and now < ends and len(open_calls) < at_once and (not rate or due <= now):
            left -= 1
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(next(targets))
            open_calls[sock.fileno()] = _Call(sock, due if rate else now)
            poll.register(sock, select.EPOLLOUT)
            due += 1.0 / rate if rate else 0.0
        if not open_calls and (now >= ends or not left):
            break
        wait_s = max(0.0, due - now) if rate and now < ends and len(open_calls) < at_once else 1.0
        for number, _ in poll.poll(wait_s):
            call = open_calls[number]
            sock = call.sock
            try:
                if not call.asked:
                    sock.send(request)
                    call.asked = True
                    poll.modify(number, select.EPOLLIN)
                    continue
                data = sock.recv(65_536)
            except OSError:
                failed += 1
                data = b""
            else:
                received += len(data)
                if data:
                    continue
                took.append(time.perf_counter() - call.since_s)
            poll.unregister(number)
            sock.close()
            del open_calls[number]
        late = [number for number, call in islice(open_calls.items(), 1) if now - call.since_s > GIVES_UP_S]
        for number in late:
            failed += 1
            poll.unregister(number)
            open_calls.pop(number).sock.close()
    span = time.perf_counter() - began
    took.sort()
    done = max(1, len(took))
    return Load(
        done=len(took),
        rate=len(took) / span,
        p50_s=took[len(took) // 2] if took else float("inf"),
        p99_s=took[len(took) * 99 // 100] if took else float("inf"),
        failed=failed,
        bytes_a_reply=received / done,
    )
