"""An unchanged asynchronous pymodbus client reacts to every fault as the reference page says, in virtual time."""

from __future__ import annotations

import re

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from emulator.catalogue import GRADES
from emulator.clock import Clock, run
from emulator.faults import KINDS
from emulator.misframe import misframings
from emulator.network import Network
from emulator.wire import MILLISECOND, SECOND
from tests.emulator.modbus.reactions import HIT, HOWS, PAGE, SPARED, as_float, faults, faulty, outcome, table

TIMEOUT_NS = 500 * MILLISECOND


def observed() -> dict[str, str]:
    async def read(clock: Clock, client: AsyncModbusTcpClient, address: int) -> str:
        began = clock.now()
        value = None
        try:
            if client.connected or await client.connect():
                reply = await client.read_input_registers(address, count=2, device_id=1)
                if reply.isError():
                    return f"exception {reply.exception_code}"
                value = as_float(reply.registers)
        except ModbusException:
            pass
        return outcome(address, value, (clock.now() - began) / TIMEOUT_NS)

    async def main(clock: Clock) -> dict[str, str]:
        network, found = Network(clock), {}
        rows = faults(TIMEOUT_NS, "mbap")
        for number, (kind, given) in enumerate(rows.values()):
            network.attach(f"127.9.3.{number + 1}", faulty(kind, given))
        await network.open()
        for number, name in enumerate(rows):
            client = AsyncModbusTcpClient(
                f"127.9.3.{number + 1}", port=502, timeout=TIMEOUT_NS / SECOND, retries=0, reconnect_delay=0
            )
            cells = [await read(clock, client, address) for address in (HIT, SPARED)]
            client.close()
            found[name] = ", ".join(cells)
        await network.close()
        return found

    return run(main)


def test_pymodbus_reacts_to_every_fault_as_the_page_says() -> None:
    seen = observed()
    assert seen == {name: cells["pymodbus"] for name, cells in table("mbap").items()}
    assert seen == observed(), "the same again"


def test_the_fields_list_names_faults_that_there_are_and_every_one_of_modbus() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## The field's list")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")][1:]
    named: set[str] = set()
    for problem, fault, grade in rows:
        words = set(re.findall(r"`([a-z_]+)`", fault))
        named |= words
        assert words & set(KINDS) or "no fault" in fault or "rig file" in fault, problem
        assert grade in GRADES
    modbus = {kind.name for kind in KINDS.values() if "meter" in kind.targets and "miner" not in kind.targets}
    assert modbus <= named


def test_every_wrong_frame_that_is_not_drawn_is_on_the_page() -> None:
    for framing, hows in HOWS.items():
        there = {how for how, row in misframings().items() if framing in row["framings"]}
        assert set(hows) <= there
        assert framing != "mbap" or there - set(hows) == {"bit"}
        assert list(table(framing)) == list(faults(TIMEOUT_NS, framing))
