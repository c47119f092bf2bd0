from __future__ import annotations

import struct

from pymodbus.client import AsyncModbusTcpClient

from emulator.clock import run
from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import load_product
from emulator.network import Network
from emulator.timeline import Signal
from emulator.wire import MILLISECOND, SECOND


class Point:
    def power_w(self, at):
        return 1e6

    def energy_j(self, start, stop):
        return 1e6 * (stop - start) * 1e-9

    def voltage_v(self, at):
        return 240.0


def poll(seconds: int) -> list[tuple[int, float]]:
    """What an unchanged pymodbus client sees that polls the frequency at 20 Hz: (instant of the reply, Hz)."""

    async def main(clock):
        grid = Grid(60.0, 1e6)
        grid.play({"frequency": Signal([0, SECOND, SECOND], [60.0, 60.0, 59.7])}, 0)
        network = Network(clock)
        network.attach("127.1.250.1", Meter(load_product("eastron_sdm630"), Point(), grid).device())
        await network.open()
        client = AsyncModbusTcpClient("127.1.250.1", port=502)
        assert await client.connect()
        seen = []
        for number in range(seconds * 20):
            await clock.sleep_until(number * 50 * MILLISECOND)
            reply = await client.read_input_registers(0x46, count=2, device_id=1)
            seen.append((clock.now(), round(struct.unpack(">f", struct.pack(">HH", *reply.registers))[0], 2)))
        client.close()
        await network.close()
        return seen

    return run(main)


def test_an_unchanged_client_polls_the_meter_in_virtual_time():
    seen = poll(3)
    assert [at % (50 * MILLISECOND) for at, _ in seen] == [10 * MILLISECOND] * 60
    assert next(at for at, hertz in seen if hertz <= 59.85) == SECOND + 110 * MILLISECOND
    assert seen == poll(3)
