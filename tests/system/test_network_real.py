"""The network in real time: one listener for a subnet, and what a caller meets at each address of it."""

import asyncio
import errno
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from emulator.clock import Clock, Lateness, run
from emulator.network import Network, PortInUseError, PortPermissionError
from emulator.wire import MILLISECOND, Action, Close, Conversation, Instant, Reach, Send

pytestmark = pytest.mark.system


@dataclass
class Box:
    """A device and its own conversation: it names itself 20 ms after any request and hangs up."""

    name: bytes
    port: int
    state: Reach = Reach.ANSWERS
    idle_timeout_ns: int | None = None
    leaves_by_reset: bool = False

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port,)

    def reach(self, port: int, now: Instant) -> Reach:
        return self.state

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        return self

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        return [Send(self.name, 20 * MILLISECOND), Close(reset=self.leaves_by_reset)]

    def ended(self, now: Instant) -> Sequence[Action]:
        return []


async def ask(address: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(b"?")
        return await reader.read()
    finally:
        writer.close()


async def gets_nothing(address: str, port: int) -> bool:
    """Refused, reset or hung up on at once: which of them, only the kernel decides."""
    try:
        return await ask(address, port) == b""
    except ConnectionError:
        return True


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture(params=["one listener", "one listener for each address"])
def port(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A free port, with and without the kernel's leave to listen on the loopback device as a whole."""
    if request.param != "one listener":

        def refuse(self: socket.socket, level: int, option: int, value: object) -> None:
            if option == socket.SO_BINDTODEVICE:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
            setsockopt(self, level, option, value)  # type: ignore[arg-type]

        setsockopt = socket.socket.setsockopt
        monkeypatch.setattr(socket.socket, "setsockopt", refuse)
    return free_port()


def test_every_address_of_a_subnet_is_answered_refused_reset_or_left_waiting_as_its_device_says(port: int) -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        calls: list[str] = []
        network.on_connect = lambda address, *_: calls.append(address)
        for k in range(1, 101):
            network.attach(f"127.77.1.{k}", Box(b"%d" % k, port))
        network.attach("127.77.2.1", Box(b"", port, Reach.REFUSES))
        network.attach("127.77.2.2", silent := Box(b"awake", port, Reach.SILENT))
        network.attach("127.77.2.3", Box(b"bye", port, leaves_by_reset=True))
        network.attach("127.77.2.4", Box(b"", port + 1 if port < 65535 else port - 1))
        await network.open()
        try:
            began = clock.now()
            replies = await asyncio.gather(*(ask(f"127.77.1.{k}", port) for k in range(1, 101)))
            assert replies == [b"%d" % k for k in range(1, 101)]
            assert clock.now() - began >= 20 * MILLISECOND
            assert sorted(calls) == sorted(f"127.77.1.{k}" for k in range(1, 101))
            for address in ("127.77.2.1", "127.77.2.4", "127.77.2.5"):
                assert await gets_nothing(address, port), address
            with pytest.raises(ConnectionResetError):
                await ask("127.77.2.3", port)
            waiting = asyncio.create_task(ask("127.77.2.2", port))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(waiting), 0.1)
            silent.state = Reach.ANSWERS
            with pytest.raises(ConnectionResetError):
                await waiting
            assert await ask("127.77.2.2", port) == b"awake"
            assert (network.defects, network.live("127.77.2.2")) == (0, 0)
        finally:
            await network.close()

    run(main, mode="real")


def test_a_dropped_address_resets_the_connections_it_has(port: int) -> None:
    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach("127.77.1.1", Box(b"", port))
        await network.open()
        try:
            reader, writer = await asyncio.open_connection("127.77.1.1", port)
            await clock.settle()
            network.drop("127.77.1.1")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
        finally:
            await network.close()

    run(main, mode="real")


def test_a_device_attached_while_the_network_is_open_answers(port: int) -> None:
    async def main(clock: Clock) -> bytes:
        network = Network(clock)
        await network.open()
        network.attach("127.77.1.9", Box(b"late", port))
        try:
            return await ask("127.77.1.9", port)
        finally:
            await network.close()

    assert run(main, mode="real") == b"late"


def test_a_port_that_somebody_has_is_named_with_the_remedy() -> None:
    async def main(clock: Clock, port: int) -> None:
        network = Network(clock)
        network.attach("127.77.1.1", Box(b"", port))
        with pytest.raises(PortInUseError, match=rf"port {port} .*--time virtual"):
            await network.open()

    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        run(lambda clock: main(clock, taken.getsockname()[1]), mode="real")


def test_a_port_of_the_plan_stays_usable_when_somebody_has_it_on_another_address() -> None:
    async def main(clock: Clock, port: int) -> bytes:
        network = Network(clock)
        network.attach("127.77.1.1", Box(b"mine", port))
        await network.open()
        try:
            return await ask("127.77.1.1", port)
        finally:
            await network.close()

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert run(lambda clock: main(clock, other.getsockname()[1]), mode="real") == b"mine"


def test_a_port_below_the_privileged_limit_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: tuple[str, int]) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach("127.77.1.1", Box(b"", 80))
        with pytest.raises(PortPermissionError, match="ip_unprivileged_port_start=80"):
            await network.open()

    monkeypatch.setattr(socket.socket, "bind", refuse)  # a test may run as root, who is refused nothing
    run(main, mode="real")


def test_timers_of_the_real_loop_are_never_early_and_their_lateness_is_measured() -> None:
    async def main(clock: Clock) -> Lateness:
        for k in range(1, 101):
            await clock.sleep_until(k * 3_300_000)
            assert clock.now() >= k * 3_300_000
        return clock.lateness

    began = time.monotonic()
    late = run(main, mode="real")
    assert time.monotonic() - began >= 0.33
    assert 1 <= late.count <= 100  # on a busy machine an instant may have passed before it is waited for
    assert 0 <= late.p50_ns <= late.p99_ns <= late.max_ns
    assert late.max_ns > 0
