"""Answers that stand are given exactly while they hold, in C as in Python, and everything else is passed on."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import _pure_exchange

try:
    from fastpath import _exchange

    TWINS: list[Any] = [_exchange, _pure_exchange]
except ImportError:
    TWINS = [_pure_exchange]


@dataclass
class Model:
    changes: int = 0


@dataclass
class Connection:
    """Notes what it is given, as any connection would get it."""

    sock: socket.socket
    taken: list[bytes] = field(default_factory=list)
    others: list[int] = field(default_factory=list)
    errors: list[OSError] = field(default_factory=list)

    def ready(self, events: int) -> None:
        self.others.append(events)

    def take(self, data: bytes) -> None:
        self.taken.append(data)

    def write(self, data: bytes) -> None:
        self.sock.sendall(data)

    def failed(self, error: OSError) -> None:
        self.errors.append(error)


class Bench:
    """One end of a pair of sockets with an exchange on it, a clock that is set by hand, and the other end."""

    def __init__(self, twin: ModuleType, near: socket.socket, far: socket.socket) -> None:
        self.twin, self.near, self.far = twin, near, far
        self.now = 0
        self.connection = Connection(near)
        self.standing = twin.Standing()
        self.exchange = twin.Exchange(near, self.standing, self.connection, lambda: 1000 + self.now, 1000)

    def ask(self, data: bytes) -> bytes:
        """What comes back at once."""
        self.far.sendall(data)
        self.exchange.hear(select.EPOLLIN)
        try:
            return self.far.recv(65_536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""


@contextmanager
def bench(twin: ModuleType) -> Iterator[Bench]:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        yield Bench(twin, near, far)


each_twin = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.__name__)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.binary(min_size=1, max_size=2), st.sampled_from([b"", b"a", b"ab", b"b"])),
        st.tuples(st.just("pass"), st.integers(0, 4), st.none()),
        st.tuples(st.just("write"), st.none(), st.none()),
        st.tuples(st.just("hide"), st.booleans(), st.none()),
    ),
    max_size=30,
)


@each_twin
@given(steps=steps)
def test_a_request_is_answered_while_its_answer_holds_and_passed_on_otherwise(
    twin: ModuleType, steps: list[Any]
) -> None:
    model = Model()
    answers = {
        asked: twin.Answer(asked, asked * 3, model, since, since + 5) for since, asked in ((2, b"a"), (4, b"ab"))
    }
    passed: list[bytes] = []
    with bench(twin) as at:
        at.standing.answers = answers
        at.standing.journal = twin.Journal(1000)
        told: list[tuple[int, object, bytes, bytes]] = []
        for what, first, second in steps:
            if what == "pass":
                at.now += first
            elif what == "write":
                model.changes += 1
            elif what == "hide":
                at.standing.answers = None if first else answers
            else:
                request = first + second
                found = answers.get(request[2:]) if at.standing.answers and len(request) > 2 else None
                holds = found is not None and found.since_ns <= at.now < found.until_ns and not model.changes
                expected = request[:2] + request[2:] * 3 if holds else b""
                assert at.ask(request) == expected
                if holds:
                    told.append((at.now, None, request, expected))
                    assert at.standing.last_ns == at.now
                else:
                    passed.append(request)
        assert at.connection.taken == passed
        assert at.standing.journal.exchanges() == told
        assert at.standing.journal.count == len(told)


@each_twin
def test_the_end_other_events_and_errors_go_to_the_connection(twin: ModuleType) -> None:
    with bench(twin) as at:
        at.exchange.hear(select.EPOLLIN)  # nothing is there: it was for nothing
        at.exchange.hear(select.EPOLLOUT)
        at.far.close()
        at.exchange.hear(select.EPOLLIN)
        assert (at.connection.others, at.connection.taken, at.connection.errors) == ([select.EPOLLOUT], [b""], [])
    listener = socket.socket()
    with listener:
        connection = Connection(listener)
        twin.Exchange(listener, None, connection, lambda: 0, 0).hear(select.EPOLLIN)
        (error,) = connection.errors
        assert isinstance(error, OSError)
        assert error.errno


@each_twin
def test_whoever_listens_in_hears_of_each_exchange_and_a_full_journal_only_counts(twin: ModuleType) -> None:
    heard: list[object] = []
    with bench(twin) as at:
        at.standing.answers = {b"a": twin.Answer(b"a", b"A", Model(), 0, 10)}
        at.standing.told = heard.append
        at.standing.journal, at.standing.label = twin.Journal(2), ("meter", 502)
        at.standing.journal.first = lambda now: heard.append(("first", now))
        for at.now in (1, 2, 3):
            assert at.ask(b"12a") == b"12A"
        assert heard == [1, ("first", 1), 2, 3]
        assert (at.standing.journal.count, at.standing.journal.limit) == (3, 2)
        assert at.standing.journal.exchanges() == [(now, ("meter", 502), b"12a", b"12A") for now in (1, 2)]


@each_twin
def test_an_answer_the_kernel_does_not_take_is_left_to_the_connection(twin: ModuleType) -> None:
    with bench(twin) as at:
        at.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        long = bytes(range(256)) * 40
        at.standing.answers = {b"a": twin.Answer(b"a", long, Model(), 0, 10)}
        left: list[bytes] = []
        at.connection.write = left.append  # type: ignore[method-assign]
        got = b""
        for _ in range(30):
            at.far.send(b"12a")
            at.exchange.hear(select.EPOLLIN)
        while True:
            try:
                got += at.far.recv(1 << 20, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
        assert len(got) + sum(map(len, left)) == 30 * (2 + len(long))
        assert left


@contextmanager
def over_tcp(twin: ModuleType, family: int = socket.AF_INET, host: str = "127.0.0.1") -> Iterator[Bench]:
    """As `bench`, with a connection that a caller has made."""
    with socket.socket(family) as listener, socket.socket(family) as far:
        listener.setblocking(False)
        listener.bind((host, 0))
        listener.listen()
        assert twin.take_call(listener) is None
        far.connect(listener.getsockname()[:2])
        near, peer, called, port = twin.take_call(listener)
        with near:
            assert (peer, called, port) == (host, host, listener.getsockname()[1])
            assert near.getpeername() == far.getsockname()
            assert not near.get_inheritable()
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert twin.take_call(listener) is None
            yield Bench(twin, near, far)


@each_twin
def test_a_call_is_taken_with_both_its_addresses_in_either_family(twin: ModuleType) -> None:
    with over_tcp(twin) as at:
        assert at.ask(b"12a") == b""
        assert at.connection.taken == [b"12a"]
    if socket.has_ipv6:
        try:
            with over_tcp(twin, socket.AF_INET6, "::1") as at:
                at.far.sendall(b"still TCP")
                assert at.near.recv(100) == b"still TCP"
        except OSError as error:
            pytest.skip(f"no IPv6 on the loopback here ({error})")


@each_twin
def test_what_takes_no_calls_says_so(twin: ModuleType) -> None:
    with socket.socket() as sock, pytest.raises(OSError, match=r".") as caught:
        twin.take_call(sock)
    assert caught.value.errno


@each_twin
def test_the_last_words_wait_for_the_end_and_go_out_with_it(twin: ModuleType) -> None:
    with over_tcp(twin) as at:
        assert at.exchange.say_last(b"reply") == 5
        with pytest.raises(BlockingIOError):
            at.far.recv(100, socket.MSG_DONTWAIT)
        at.near.close()
        assert (at.far.recv(100), at.far.recv(100)) == (b"reply", b"")


@each_twin
def test_the_last_words_do_not_wait_where_the_end_would_be_a_reset_that_takes_them_along(twin: ModuleType) -> None:
    with over_tcp(twin) as at:
        at.far.sendall(b"unread")
        assert at.near.recv(1, socket.MSG_PEEK)
        assert at.exchange.say_last(b"reply") == 5
        assert at.far.recv(100) == b"reply"
        at.near.close()
        with pytest.raises(ConnectionResetError):
            at.far.recv(100)


@each_twin
def test_last_words_that_the_kernel_does_not_take_are_counted_and_a_broken_line_is_an_error(twin: ModuleType) -> None:
    with bench(twin) as at:
        at.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        large = bytes(1 << 20)
        taken = [at.exchange.say_last(large) for _ in range(3)]
        assert 0 <= taken[0] < len(large)
        assert taken[-1] == 0
        at.far.close()
        with pytest.raises(ConnectionError):
            at.exchange.say_last(b"too late")
