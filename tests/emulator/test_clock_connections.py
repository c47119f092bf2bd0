"""Unchanged clients and servers run in virtual time, over connections in which no byte is ever in flight."""

import asyncio
import datetime as dt
import hashlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from emulator.clock import Clock, run
from emulator.wire import MILLISECOND, SECOND

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve(handler: Handler, host: str = "127.0.0.1", **options: object) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(handler, host, 0, **options)  # type: ignore[arg-type]
    return server, server.sockets[0].getsockname()[1]


def test_300_aiohttp_requests_of_50_ms_take_exactly_50_ms_each_and_315_s_in_all() -> None:
    web = pytest.importorskip("aiohttp.web")
    client = pytest.importorskip("aiohttp")

    async def main(clock: Clock) -> tuple[set[int], int]:
        async def answer(_: object) -> object:
            await asyncio.sleep(0.05)
            return web.Response(text="ok")

        app = web.Application()
        app.router.add_get("/", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        took: set[int] = set()
        async with client.ClientSession() as session:
            for _ in range(300):
                asked = clock.now()
                async with session.get(f"http://127.0.0.1:{port}/") as reply:
                    assert await reply.text() == "ok"
                took.add(clock.now() - asked)
                await asyncio.sleep(1)
        ended = clock.now()
        await runner.cleanup()
        return took, ended

    assert run(main) == ({50 * MILLISECOND}, 315 * SECOND)


def test_pymodbus_client_and_server_poll_twenty_times_a_second() -> None:
    async def main(clock: Clock) -> int:
        device = SimDevice(1, simdata=[SimData(0, values=[230, 231, 232, 5000], datatype=DataType.REGISTERS)])
        server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        port = server.transport.sockets[0].getsockname()[1]
        async with AsyncModbusTcpClient("127.0.0.1", port=port) as client:
            for k in range(1, 201):
                reply = await client.read_holding_registers(0, count=4, device_id=1)
                assert reply.registers == [230, 231, 232, 5000]
                await clock.sleep_until(k * 50 * MILLISECOND)
        at = clock.now()
        await server.shutdown()
        return at

    assert run(main) == 10 * SECOND


def test_httpx_reaches_a_server_by_name_and_by_address() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(0.2)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            writer.close()
            return

    async def main(clock: Clock) -> int:
        server, port = await serve(answer)
        async with server, httpx.AsyncClient(trust_env=False) as client:
            for host in ("localhost", "127.0.0.1"):
                reply = await client.get(f"http://{host}:{port}/status")
                assert (reply.status_code, reply.text) == (200, "ok")
            with pytest.raises(httpx.ReadTimeout):
                await client.get(f"http://127.0.0.1:{port}/", timeout=0.1)
            took_ns = clock.now()
            await clock.sleep(SECOND)  # the server notices that its caller has gone
        return took_ns

    assert run(main) == 500 * MILLISECOND


def test_a_name_is_resolved_in_no_time() -> None:
    async def main(clock: Clock) -> int:
        server, port = await serve(echo)
        async with server:
            reader, writer = await asyncio.open_connection("localhost", port)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.close()
            await writer.wait_closed()
        return clock.now()

    assert run(main) == 0


def test_both_ends_know_their_names_and_source_ports_count_up() -> None:
    async def main(clock: Clock) -> list[object]:
        seen: list[object] = []

        async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append((writer.get_extra_info("sockname"), writer.get_extra_info("peername")))
            sock = writer.get_extra_info("socket")
            assert (sock.getsockname(), sock.getpeername()) == seen[-1]
            writer.close()

        server, port = await serve(note, "0.0.0.0")
        async with server:
            for address, local in (("127.0.0.1", None), ("127.3.4.5", None), ("127.3.4.5", ("127.9.9.9", 0))):
                reader, writer = await asyncio.open_connection(address, port, local_addr=local)
                sock = writer.get_extra_info("socket")
                assert sock.family == socket.AF_INET
                assert (sock.getsockname(), sock.getpeername()) == (
                    writer.get_extra_info("sockname"),
                    writer.get_extra_info("peername"),
                )
                await reader.read()
                assert seen[-1] == (sock.getpeername(), sock.getsockname())
                assert sock.getpeername() == (address, port)
                writer.close()
                await writer.wait_closed()
        return [peer for _, peer in seen]  # type: ignore[misc]

    first, second, bound = run(main)
    assert (first, second) == (("127.0.0.1", 32768), ("127.0.0.1", 32769))
    assert bound[0] == "127.9.9.9"  # type: ignore[index]


def test_ipv6_is_carried_under_its_own_names() -> None:
    async def main(clock: Clock) -> tuple[object, object]:
        server, port = await serve(echo, "::1")
        async with server:
            _, writer = await asyncio.open_connection("0:0:0:0:0:0:0:1", port)
            names = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
            writer.close()
            await writer.wait_closed()
        assert names[1][1] == port
        return names

    own, peer = run(main)
    assert own == ("::1", 32768, 0, 0)
    assert peer[0] == "::1"  # type: ignore[index]


def test_options_of_tcp_are_taken_and_remembered_and_a_copy_of_the_socket_keeps_its_face() -> None:
    async def main(clock: Clock) -> None:
        server, port = await serve(echo)
        async with server:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 0
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            with sock.dup() as copy:
                assert copy.getpeername() == ("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()

    run(main)


def test_raw_sockets_of_the_loop_are_carried_too() -> None:
    async def main(clock: Clock) -> int:
        server, port = await serve(echo)
        async with server:
            with socket.socket() as sock:
                sock.setblocking(False)
                await clock.loop.sock_connect(sock, ("127.0.0.1", port))
                assert sock.getpeername() == ("127.0.0.1", port)
                await clock.loop.sock_sendall(sock, b"raw")
                assert await clock.loop.sock_recv(sock, 10) == b"raw"
        return clock.now()

    assert run(main) == 0


def test_a_call_to_nobody_is_refused_and_says_why() -> None:
    async def main(clock: Clock) -> None:
        with pytest.raises(ConnectionRefusedError, match=r"served by nobody in this process.*real time"):
            await asyncio.open_connection("127.0.0.1", 9)
        with pytest.raises(OSError, match="only its own loopback"):
            await asyncio.open_connection("192.0.2.7", 80)
        server, port = await serve(echo)
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    run(main)


def test_a_socket_of_a_class_of_its_own_is_refused_in_plain_words() -> None:
    class Special(socket.socket):
        pass

    async def main(clock: Clock) -> None:
        server, port = await serve(echo)
        async with server:
            with Special() as sock:
                sock.setblocking(False)
                with pytest.raises(TypeError, match=r"plain socket\.socket"):
                    await clock.loop.sock_connect(sock, ("127.0.0.1", port))

    run(main)


def test_a_port_in_use_is_really_in_use_and_a_caller_from_outside_is_turned_away() -> None:
    async def main(clock: Clock) -> None:
        server, port = await serve(echo)
        async with server:
            with pytest.raises(OSError, match="address already in use"):
                await asyncio.start_server(echo, "127.0.0.1", port)
            with socket.create_connection(("127.0.0.1", port)) as stranger:
                await clock.sleep(1)
                assert stranger.recv(1) == b""

    run(main)


def test_closing_resetting_and_half_closing_reach_the_peer_as_with_tcp() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order = await reader.read(100)
        writer.write(b"reply to " + order)
        if order == b"reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        elif order == b"half":
            assert await reader.read() == b""
            writer.write(b", and more after your end")
        writer.close()

    async def main(clock: Clock) -> None:
        server, port = await serve(answer)
        async with server:

            async def ask(order: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(order)
                return reader, writer

            reader, writer = await ask(b"close")
            assert await reader.read() == b"reply to close"
            writer.close()

            reader, writer = await ask(b"reset")
            assert await reader.readexactly(14) == b"reply to reset"
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()

            reader, writer = await ask(b"half")
            writer.write_eof()
            assert await reader.read() == b"reply to half, and more after your end"
            writer.close()

    run(main)


def test_tls_is_spoken_over_a_carried_connection(tmp_path: Path) -> None:
    server_side, client_side = tls_contexts(tmp_path)

    async def main(clock: Clock) -> tuple[bytes, int]:
        server, port = await serve(echo, ssl=server_side)
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_side)
            assert writer.get_extra_info("peername") == ("127.0.0.1", port)
            writer.write(b"secret" * 10_000)
            reply = await reader.readexactly(60_000)
            writer.close()
            await writer.wait_closed()
            async with httpx.AsyncClient(verify=client_side, trust_env=False) as client:
                with pytest.raises(httpx.RemoteProtocolError):  # an echo is no HTTP, but TLS carried it there and back
                    await client.get(f"https://127.0.0.1:{port}/")
        return reply, clock.now()

    assert run(main) == (b"secret" * 10_000, 0)


def tls_contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server and a client that trust one self-signed certificate of 127.0.0.1."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(__import__("ipaddress").ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(chain, secret)
    return server_side, ssl.create_default_context(cafile=str(chain))


def test_ten_megabytes_to_a_slow_reader_arrive_whole_and_in_the_same_order_of_events_every_time() -> None:
    size = 10_000_000
    block = bytes(range(256)) * 16

    async def main(clock: Clock) -> tuple[str, str]:
        events = hashlib.sha256()

        def note(*what: object) -> None:
            events.update(repr((clock.now(), *what)).encode())

        async def tick() -> None:
            for k in range(20_000):
                await clock.sleep(MILLISECOND + k % 7)
                note("tick", k)

        async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sent = 0
            while sent < size:
                piece = block[: size - sent]
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
                note("sent", sent)
            writer.close()

        server, port = await serve(send)
        async with server:
            ticking = asyncio.create_task(tick())
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            content = hashlib.sha256()
            received = 0
            while data := await reader.read(30_000):
                content.update(data)
                received += len(data)
                note("received", len(data))
                await asyncio.sleep(0.002)
            ticking.cancel()
            writer.close()
            await writer.wait_closed()
        assert received == size
        return content.hexdigest(), events.hexdigest()

    first = run(main)
    assert first[0] == hashlib.sha256((block * (size // len(block) + 1))[:size]).hexdigest()
    assert run(main) == first
