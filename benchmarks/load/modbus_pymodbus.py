"""`python -m benchmarks.load.modbus_pymodbus ADDRESS PORT REGISTERS`: the peer, pymodbus's server and simulator.

It serves the same number of holding and input registers under one unit id, without any action behind them.
"""

from __future__ import annotations

import asyncio
import sys

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


async def _serve(address: str, port: int, registers: int) -> None:
    block = SimData(0, values=[257] * registers, datatype=DataType.REGISTERS)
    server = ModbusTcpServer(SimDevice(1, simdata=[block]), address=(address, port))
    await server.serve_forever(background=True)
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
