"""Datagrams in virtual time: between programs of the process, and to devices on addresses of the site."""

from __future__ import annotations

import asyncio

import pytest
from pymodbus.client import AsyncModbusUdpClient

from emulator.clock import Clock, run
from emulator.datagram_network import PEERS, DatagramNetwork
from emulator.modbus.link import Link
from emulator.modbus.tcp import ModbusTcpDevice
from emulator.modbus.udp import ModbusUdpDevice
from emulator.network import Network, NetworkError, PortInUseError
from emulator.wire import Reach
from tests.emulator.modbus.store import Store

MS = 1_000_000


class Heard(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.data: list[tuple[bytes, object]] = []
        self.errors: list[Exception] = []
        self.lost = False

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.data.append((data, addr))

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


def test_programs_of_one_process_exchange_datagrams_at_one_instant():
    async def main(clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        server, first = await loop.create_datagram_endpoint(Heard, local_addr=("127.0.0.1", 9000))
        client, second = await loop.create_datagram_endpoint(Heard, remote_addr=("127.0.0.1", 9000))
        client.sendto(b"one")
        client.sendto(b"two")
        await clock.settle()
        name = client.get_extra_info("sockname")
        assert first.data == [(b"one", name), (b"two", name)]
        server.sendto(b"back", name)
        await clock.settle()
        assert second.data == [(b"back", ("127.0.0.1", 9000))]
        assert clock.now() == 0
        client.close()
        server.sendto(b"lost", name)
        await clock.settle()
        assert second.lost
        assert (first.errors, len(second.data)) == ([], 1)

    run(main)


def test_a_datagram_to_nobody_comes_back_to_who_has_one_peer():
    async def main(clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        fixed, heard = await loop.create_datagram_endpoint(Heard, remote_addr=("127.0.0.1", 9000))
        free, other = await loop.create_datagram_endpoint(Heard, local_addr=("127.0.0.1", 0))
        fixed.sendto(b"x")
        free.sendto(b"x", ("127.0.0.1", 9000))
        fixed.sendto(bytes(70_000))
        await clock.settle()
        assert [type(error) for error in heard.errors] == [ConnectionRefusedError, OSError]
        assert other.errors == []
        with pytest.raises(ValueError, match="must be None or"):
            fixed.sendto(b"x", ("127.0.0.1", 1))
        with pytest.raises(ValueError, match="no peer"):
            free.sendto(b"x")

    run(main)


def test_names_are_taken_once_and_end_at_the_loopback():
    async def main(clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(Heard, local_addr=("127.0.0.1", 9000))
        with pytest.raises(OSError, match="in use"):
            await loop.create_datagram_endpoint(Heard, local_addr=("127.0.0.1", 9000))
        with pytest.raises(OSError, match="use real time"):
            await loop.create_datagram_endpoint(Heard, remote_addr=("10.0.0.1", 9000))

    run(main)


def network(clock: Clock, *addresses: str, turnaround_ns: int = 5 * MS) -> DatagramNetwork:
    built = DatagramNetwork(Network(clock))
    for address in addresses:
        built.attach(address, ModbusUdpDevice(ModbusTcpDevice({1: Store()}, Link(turnaround_ns=turnaround_ns)), 502))
    return built


def test_pymodbus_reads_devices_behind_datagrams_in_virtual_time():
    async def main(clock: Clock) -> int:
        served = network(clock, "127.9.0.1", "127.9.0.2")
        served.open()
        for host in ("127.9.0.1", "127.9.0.2"):
            client = AsyncModbusUdpClient(host, port=502, timeout=1, retries=0)
            assert await client.connect()
            reply = await client.read_holding_registers(0, count=2, device_id=1)
            assert reply.registers == [1, 0x0102]
            client.close()
        served.close()
        return clock.now()

    assert run(main) == 10 * MS


def test_junk_from_one_peer_does_not_touch_another():
    async def main(clock: Clock) -> None:
        served = network(clock, "127.9.0.1")
        served.open()
        loop = asyncio.get_running_loop()
        rude, heard = await loop.create_datagram_endpoint(Heard, remote_addr=("127.9.0.1", 502))
        for junk in (b"\x00\x01\x02", b"", bytes(300), bytes.fromhex("0001 0001 0006 01 03 0000 0001")):
            rude.sendto(junk)
        client = AsyncModbusUdpClient("127.9.0.1", port=502, timeout=1, retries=0)
        assert await client.connect()
        assert (await client.read_holding_registers(0, count=1, device_id=1)).registers == [1]
        assert heard.data == []
        assert served.network.defects == 0
        client.close()
        served.close()

    run(main)


def test_a_device_remembers_so_many_peers_and_no_more():
    async def main(clock: Clock) -> None:
        served = network(clock, "127.9.0.1", turnaround_ns=0)
        served.open()
        loop = asyncio.get_running_loop()
        for _ in range(PEERS + 20):
            end, heard = await loop.create_datagram_endpoint(Heard, remote_addr=("127.9.0.1", 502))
            end.sendto(bytes.fromhex("0001 0000 0006 01 03 0000 0001"))
            await clock.settle()
            assert len(heard.data) == 1
            end.close()
        assert len(served._peers["127.9.0.1", 502]) == PEERS
        served.close()
        assert served._peers["127.9.0.1", 502] == {}

    run(main)


class Broken(ModbusUdpDevice):
    def converse(self, port, peer, now):
        raise RuntimeError("broken")


class Dark(ModbusUdpDevice):
    def reach(self, port, now):
        return Reach.SILENT


def test_a_device_that_fails_costs_its_datagram_and_a_dark_one_keeps_silent(caplog):
    async def main(clock: Clock) -> None:
        served = DatagramNetwork(Network(clock))
        for address, kind in (("127.9.0.1", Broken), ("127.9.0.2", Dark)):
            served.attach(address, kind(ModbusTcpDevice({1: Store()}), 502))
        served.open()
        loop = asyncio.get_running_loop()
        for address in ("127.9.0.1", "127.9.0.2"):
            end, heard = await loop.create_datagram_endpoint(Heard, remote_addr=(address, 502))
            end.sendto(bytes.fromhex("0001 0000 0006 01 03 0000 0001"))
            await clock.settle()
            assert (heard.data, heard.errors) == ([], [])
        assert served.network.defects == 1
        served.close()

    run(main)
    assert "the datagram is lost" in caplog.text


def test_an_address_and_port_is_taken_once_and_may_have_to_be_allowed():
    async def main(clock: Clock) -> None:
        served = network(clock, "127.9.0.1")
        with pytest.raises(NetworkError, match="taken"):
            served.attach("127.9.0.1", ModbusUdpDevice(ModbusTcpDevice({1: Store()}), 502))
        with pytest.raises(NetworkError, match="may not be bound"):
            served.attach("10.0.0.1", ModbusUdpDevice(ModbusTcpDevice({1: Store()}), 502))
        served.open()
        with pytest.raises(PortInUseError):
            network(clock, "127.9.0.2").open()
        served.close()
        network(clock, "127.9.0.2").open()

    run(main)
