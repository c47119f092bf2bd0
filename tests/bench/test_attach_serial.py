"""A controller on a serial line, in virtual time: ready, silent, restarted; and what its rig must have."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from bench.attach import Context, build
from bench.attach_serial import SerialAdapter
from bench.case_file import load_cases
from bench.config import ConfigError, validate
from bench.facts import LINE_LOST
from bench.layout import lay_out
from bench.play import plan
from bench.rig import Rig
from bench.rig_file import load_rig
from bench.serial_tables import SerialSut
from emulator.clock import Clock, run
from emulator.faults import FaultPlan, read_fault
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import MILLISECOND, SECOND
from tests.bench.small import CASE, PROFILE, ramprig, write

RIG = """
schema = 1
name = "wired"
commitment = "10 kW"
network.subnet = "127.87.0.0/16"
meter = { line = "rs485", unit = 1 }
dispatch = { line = "rs485", unit = 10 }

[[line]]
id = "rs485"
baud = 115200

[[line]]
id = "plc"
baud = 19200

[[feeder]]
id = "f"
meter = { product = "eastron_sdm120" }
pdu = { product = "waveshare_relay_8", count = 1, line = "rs485", unit = 20 }

[[feeder.miners]]
model = "S21"
firmware = "mute"
phases = "luxos"
count = 4
"""
"""Eight outlets and four miners: outlets 1, 3, 5 and 7 are free."""
MASTER = {"role": "master", "line": "rs485"}
SLAVE: dict[str, Any] = {
    "role": "slave",
    "line": "plc",
    "unit": 3,
    "write": [
        {"signal": "frequency", "address": 0, "type": "u16", "scale": 100.0},
        {"signal": "dispatch", "address": 10, "scale": 0.001},
    ],
    "read": [{"address": 0, "outlets": ["pdu-01.2", "pdu-01.4"], "inverted": True}],
}
POWER = "pdu-01.1"


@dataclass
class Bench:
    """A rig and a controller attached to it, with what was taken down."""

    rig: Rig
    clock: Clock
    adapter: SerialAdapter
    folder: Path
    told: list[tuple[int, str, str]] = field(default_factory=list)

    def kinds(self) -> list[str]:
        return [kind for _, kind, _ in self.told]


During = Callable[[Bench], Awaitable[Any]]


def attached(
    tmp_path: Path, keys: dict[str, Any], during: During, faults: FaultPlan | None = None
) -> tuple[Bench, Any]:
    """Bring the rig up, attach, do `during`, stop."""
    (tmp_path / "rig.toml").write_text(RIG)
    file, _ = load_rig(str(tmp_path / "rig.toml"))
    table = validate({"kind": "serial", **keys}, SerialSut, "case.toml")

    async def main(clock: Clock) -> tuple[Bench, Any]:
        mastered = table.line if table.role == "slave" else ""
        rig = Rig(lay_out(file, "rig.toml"), clock, Seed(1), 60.0, faults, mastered)
        bench = Bench(rig, clock, SerialAdapter(table), tmp_path)
        step = Signal.steps([(0, rig.nominal_w), (30 * SECOND, 8_000.0)])
        rig.play({"dispatch": step}, 0)
        await rig.open()
        try:
            await bench.adapter.start(
                Context(
                    clock,
                    rig.inventory(),
                    tmp_path / "site.json",
                    tmp_path,
                    asyncio.Event().wait,
                    rig=rig,
                    tell=lambda what, why: bench.told.append((clock.now(), what, why)),
                )
            )
            seen = await during(bench)
            await bench.adapter.stop()
            await bench.adapter.stop()
        finally:
            await rig.close()
        return bench, seen

    return run(main)


class Plc:
    """Another library's slave on the line: 16 coils, and 32 registers that are 0 whenever it starts."""

    def __init__(self, bench: Bench, unit: int = 3) -> None:
        bits = SimData(0, values=False, datatype=DataType.BITS)
        words = SimData(0, count=32, values=0, datatype=DataType.REGISTERS)
        self._device = SimDevice(unit, simdata=([bits], [bits], [words], [words]))
        self._path, self._unit = bench.rig.wiring.paths["plc"], unit
        self._server: ModbusSerialServer

    async def __aenter__(self) -> Plc:
        self._server = ModbusSerialServer(self._device, framer=FramerType.RTU, port=self._path, baudrate=19200)
        await self._server.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.shutdown()  # type: ignore[no-untyped-call]

    async def read(self, address: int, count: int = 1) -> list[int]:
        return [int(value) for value in await self._server.async_getValues(self._unit, 3, address, count)]

    async def shed(self, outlet: int, shed: bool) -> None:
        await self._server.async_setValues(self._unit, 5, outlet, [shed])


# ---- a slave ---------------------------------------------------------------------------------------------------------


def test_a_slave_is_told_the_grid_and_its_coils_move_outlets(tmp_path: Path) -> None:
    async def during(bench: Bench) -> tuple[Any, ...]:
        rig, clock = bench.rig, bench.clock
        async with Plc(bench) as plc:
            ready = await bench.adapter.ready(10 * SECOND)
            words = await plc.read(0), await plc.read(10, 2)
            await plc.shed(0, True)
            await clock.sleep(SECOND)
            open_only = [rig.site.outlets[name].closed(clock.now()) for name in ("pdu-01.2", "pdu-01.4")]
            await clock.sleep_until(30 * SECOND + 150 * MILLISECOND)
            later = await plc.read(10, 2)
            await plc.shed(0, False)
            await clock.sleep(SECOND)
            return ready, words, open_only, later, rig.site.outlets["pdu-01.2"].closed(clock.now())

    bench, (ready, (hz, dispatch), open_only, later, back) = attached(tmp_path, SLAVE, during)
    convert, f32 = AsyncModbusSerialClient.convert_from_registers, AsyncModbusSerialClient.DATATYPE.FLOAT32
    assert (ready.ok, ready.reason) == (True, "answer to a whole poll")
    assert hz == [6000]
    assert convert(dispatch, f32) == pytest.approx(bench.rig.nominal_w / 1e3)
    assert convert(later, f32) == pytest.approx(8.0)
    assert open_only == [False, True]
    assert back
    moves = [why for _, kind, why in bench.told if kind == "sut_outlet"]
    assert moves == ["opens pdu-01.2", "closes pdu-01.2"]
    assert bench.adapter.exit == ""
    assert bench.adapter.contacts["answers"] > 300 * 2
    assert bench.adapter.evidence()["polls_failed"] == 0
    frames = [frame for frame in bench.rig.traffic.frames if frame[1] == "controller"]
    assert {direction for *_, direction, _ in frames} == {"in", "out"}
    assert bench.rig.busiest() == {}
    assert bench.rig.traffic.requests == {}
    json.dumps(bench.adapter.evidence())


def test_a_slave_that_never_answers_is_named_with_its_line_and_format(tmp_path: Path) -> None:
    async def during(bench: Bench) -> Any:
        return await bench.adapter.ready(5 * SECOND)

    bench, ready = attached(tmp_path, SLAVE, during)
    assert not ready.ok
    assert ready.reason.startswith("controller was not ready after 5 s: no answer to a whole poll: unit 3 on line plc ")
    assert "(ramprig://plc, rtu 19200 8N1) gave no good answer" in ready.reason
    assert ready.reason.endswith("; last, writing frequency to register 0: no answer within 500 ms")
    assert bench.adapter.exit == ""
    assert bench.adapter.contacts == {}


def test_a_slave_whose_registers_are_elsewhere_is_not_ready_and_tells_the_exception(tmp_path: Path) -> None:
    async def during(bench: Bench) -> Any:
        async with Plc(bench):
            return await bench.adapter.ready(5 * SECOND)

    keys = {**SLAVE, "write": [{"signal": "price", "address": 400, "type": "i16"}]}
    _, ready = attached(tmp_path, keys, during)
    assert not ready.ok
    assert "writing price to register 400: " in ready.reason
    assert "exception code 2" in ready.reason


def test_a_slave_that_falls_silent_is_an_outcome_and_a_short_silence_is_none(tmp_path: Path) -> None:
    async def during(bench: Bench) -> tuple[str, str]:
        async with Plc(bench):
            assert (await bench.adapter.ready(10 * SECOND)).ok
        await bench.clock.sleep(1500 * MILLISECOND)
        async with Plc(bench):
            await bench.clock.sleep(2 * SECOND)
            short = bench.adapter.exit
        await bench.clock.sleep(5 * SECOND)
        return short, bench.adapter.exit

    bench, (short, exit_) = attached(tmp_path, SLAVE, during)
    assert short == ""
    assert bench.kinds() == ["sut_silent", "sut_back", "sut_silent"]
    assert exit_.startswith("controller stopped answering as unit 3 on line plc (ramprig://plc, rtu 19200 8N1): ")
    assert bench.adapter.exited_ns is not None
    assert bench.adapter.exited_ns < bench.clock.now() - 3 * SECOND


def test_a_port_that_the_bench_loses_is_no_silence_of_the_controller(tmp_path: Path) -> None:
    async def during(bench: Bench) -> None:
        async with Plc(bench):
            assert (await bench.adapter.ready(10 * SECOND)).ok
            assert bench.rig.wiring.null_modem is not None
            bench.rig.wiring.null_modem.close()
            await bench.clock.sleep(10 * SECOND)

    bench, _ = attached(tmp_path, SLAVE, during)
    (reason,) = [why for _, kind, why in bench.told if kind == LINE_LOST]
    assert reason.startswith("unit 3 on line plc (ramprig://plc, rtu 19200 8N1): ramprig://plc.bench cannot be opened")
    assert bench.adapter.exit == ""


def test_a_value_that_no_register_holds_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    async def during(bench: Bench) -> None:
        raise AssertionError("it was started")

    keys = {**SLAVE, "write": [{"signal": "dispatch", "address": 0, "type": "i16", "scale": 10.0}]}
    with pytest.raises(ConfigError, match=r"sut.write\[0\]: dispatch of 8000 in this run does not fit a i16 with"):
        attached(tmp_path, keys, during)


# ---- a master --------------------------------------------------------------------------------------------------------


async def asks(bench: Bench, unit: int, address: int = 0x46) -> list[int]:
    client = AsyncModbusSerialClient(bench.rig.wiring.paths["rs485"], baudrate=115200, timeout=0.2, retries=0)
    await client.connect()
    try:
        reply = await client.read_input_registers(address, count=2, device_id=unit)
        return list(reply.registers)
    finally:
        client.close()


def test_a_master_is_ready_with_its_first_request_to_a_device_of_the_line(tmp_path: Path) -> None:
    async def during(bench: Bench) -> Any:
        task = asyncio.create_task(bench.adapter.ready(10 * SECOND))
        await bench.clock.sleep(SECOND)
        assert not task.done()
        setpoint = await asks(bench, 10, 2)
        return setpoint, await task, bench.clock.now()

    bench, (setpoint, ready, _) = attached(tmp_path, MASTER, during)
    convert, f32 = AsyncModbusSerialClient.convert_from_registers, AsyncModbusSerialClient.DATATYPE.FLOAT32
    assert convert(setpoint, f32) == pytest.approx(bench.rig.nominal_w / 1e3)
    assert (ready.ok, ready.reason) == (True, "request on line rs485")
    assert bench.rig.traffic.requests == {"signal": 1}
    evidence = bench.adapter.evidence()
    assert (evidence["requests"], evidence["characters"]) == (1, 8)
    told = json.loads((tmp_path / "line.json").read_text())
    assert told == {
        "line": "rs485", "path": "ramprig://rs485", "kind": "rtu", "baud": 115200, "parity": "none", "data_bits": 8,
        "stop_bits": 1, "role": "master", "unit": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (None, "nothing was heard on line rs485 (ramprig://rs485, rtu 115200 8N1); check its supply"),
        (b"\x01\x02\x03\x04\x05\x06", "6 characters came on line rs485 (ramprig://rs485, rtu 115200 8N1) and no sound"),
        (5, "on line rs485 (ramprig://rs485, rtu 115200 8N1) it asked for unit 5 (1); the line has 1, 10, 20"),
    ],
)
def test_a_master_that_never_asks_is_told_apart_by_what_was_heard(tmp_path: Path, said: Any, reason: str) -> None:
    async def during(bench: Bench) -> Any:
        if isinstance(said, int):
            with pytest.raises(Exception, match="No response"):
                await asks(bench, said)
        elif said is not None:
            import serial

            with serial.serial_for_url(bench.rig.wiring.paths["rs485"]) as port:
                port.write(said)
                await bench.clock.sleep(SECOND)
        return await bench.adapter.ready(2 * SECOND)

    _, ready = attached(tmp_path, MASTER, during)
    assert not ready.ok
    assert ready.reason.startswith("controller was not ready after 2 s: no request on line rs485: ")
    assert reason in ready.reason


def test_ready_within_shortens_the_wait(tmp_path: Path) -> None:
    async def during(bench: Bench) -> int:
        assert not (await bench.adapter.ready(20 * SECOND)).ok
        return bench.clock.now()

    assert attached(tmp_path, {**MASTER, "ready_within": "3 s"}, during)[1] == 3 * SECOND


# ---- the power switch ------------------------------------------------------------------------------------------------


async def lives(bench: Bench, boot_ns: int) -> None:
    """A board behind the outlet: some time after its supply has come it answers, and without it it does not."""
    outlet = bench.rig.site.outlets[POWER]
    while True:
        while not outlet.closed(bench.clock.now()):
            await bench.clock.sleep(10 * MILLISECOND)
        await bench.clock.sleep(boot_ns)
        async with Plc(bench):
            while outlet.closed(bench.clock.now()):
                await bench.clock.sleep(10 * MILLISECOND)


def test_a_restart_is_off_a_declared_time_and_on_and_no_exit(tmp_path: Path) -> None:
    async def during(bench: Bench) -> bool:
        board = asyncio.create_task(lives(bench, 400 * MILLISECOND))
        assert (await bench.adapter.ready(10 * SECOND)).ok
        await bench.clock.sleep_until(20 * SECOND)
        await bench.adapter.stop()
        await bench.clock.sleep(SECOND)
        board.cancel()
        return bench.rig.site.outlets[POWER].closed(bench.clock.now())

    keys = {**SLAVE, "power": POWER, "cold": "2 s", "restart": [{"at": "10 s", "down": "1500 ms"}]}
    bench, fed = attached(tmp_path, keys, during)
    assert not fed
    told = [(round(at / SECOND, 1), kind, why) for at, kind, why in bench.told]
    assert told[:2] == [(0.0, "sut_power", f"{POWER} is switched off"), (2.0, "sut_power", f"{POWER} is switched on")]
    assert told[2:5] == [
        (10.0, "sut_restart", "planned: supply off for 1.5 s at t = 10.0 s"),
        (10.0, "sut_power", f"{POWER} is switched off"),
        (11.5, "sut_power", f"{POWER} is switched on"),
    ]
    at, kind, why = told[5]
    assert kind == "sut_ready_again"
    assert 11.9 <= at <= 12.6
    assert why.startswith("answer to a whole poll, 0.")
    assert told[6:] == [(20.0, "sut_power", f"{POWER} is switched off")]
    assert (bench.adapter.exit, bench.adapter.stubborn) == ("", "")
    assert bench.adapter.evidence()["restarts"] == 1


def test_a_board_that_does_not_come_back_in_its_time_is_an_outcome(tmp_path: Path) -> None:
    async def during(bench: Bench) -> str:
        async with Plc(bench):
            assert (await bench.adapter.ready(10 * SECOND)).ok
            await bench.clock.sleep_until(9 * SECOND)
        await bench.clock.sleep_until(20 * SECOND)
        return bench.adapter.exit

    keys = {**SLAVE, "power": POWER, "ready_within": "4 s", "lost_after": "30 s", "restart": [{"at": "10 s"}]}
    bench, exit_ = attached(tmp_path, keys, during)
    assert exit_.startswith("controller did not come back after its supply had: unit 3 on line plc ")
    assert bench.adapter.exited_ns == 11 * SECOND


def test_a_fault_of_the_outlet_takes_the_controllers_supply(tmp_path: Path) -> None:
    fault = read_fault({"kind": "outlet_opens", "where": POWER, "start": "5 s"}, "fault[0]")

    async def during(bench: Bench) -> str:
        board = asyncio.create_task(lives(bench, 100 * MILLISECOND))
        assert (await bench.adapter.ready(4 * SECOND)).ok
        await bench.clock.sleep_until(12 * SECOND)
        board.cancel()
        return bench.adapter.exit

    _, exit_ = attached(tmp_path, {**SLAVE, "power": POWER}, during, FaultPlan((fault,), Seed(1)))
    assert "stopped answering" in exit_
    assert re.search(r"last good answer came at t = (4\.9|5\.0) s$", exit_)


# ---- what a case may say ---------------------------------------------------------------------------------------------

SERIAL_CASE = CASE.partition("[sut]")[0].replace('lead_in = "10 s"', 'lead_in = "10 s"\ntime = "real"')


def case(tmp_path: Path, sut: str, time: str = "real") -> Path:
    text = SERIAL_CASE.replace('time = "real"', f'time = "{time}"') + f'\n[sut]\nkind = "serial"\n{sut}\n'
    return write(tmp_path, rig=RIG, profile=PROFILE, case=text)


MAP = 'write = [{ signal = "frequency", address = 0 }]'


@pytest.mark.parametrize(
    ("sut", "sentence"),
    [
        ('role = "master"\nline = "rs48"', "sut.line: the rig 'wired' has no line 'rs48'; did you mean \"rs485\"?"),
        ('role = "master"\nline = "plc"', "sut.line: nothing hangs on the line 'plc', so a master would hear nobody"),
        (
            f'role = "slave"\nline = "rs485"\n{MAP}',
            "sut.line: meter-poi, pdu-01, dispatch of the rig answer on the line 'rs485', and a line has one master",
        ),
        ('role = "slave"\nline = "plc"', 'sut: role = "slave" needs a map of its registers'),
        (
            'role = "master"\nline = "rs485"\npower = "pdu-01.9"',
            "sut.power: there is no outlet 'pdu-01.9'; did you mean",
        ),
        (
            'role = "master"\nline = "rs485"\npower = "pdu-01.2"',
            "sut.power: miner-0001 hangs on the outlet 'pdu-01.2' and would lose its mains too; name a free one",
        ),
        (
            'role = "slave"\nline = "plc"\nread = [{ address = 0, outlets = ["pdu-1.1"] }]',
            "sut.read[0].outlets: there is no outlet 'pdu-1.1'; did you mean \"pdu-01.1\"",
        ),
        (
            f'role = "slave"\nline = "plc"\npoll = "5 ms"\n{MAP}',
            "sut.poll: 5 ms is too short: what is written and read takes 15 ms at 19200 8N1",
        ),
        (
            'role = "master"\nline = "rs485"\npower = "pdu-01.1"\nrestart = [{ at = "50 s" }]',
            "sut.restart[0].at: 50 s comes after the profile's end at 40 s",
        ),
    ],
)
def test_check_names_what_the_rig_has_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sut: str, sentence: str
) -> None:
    ended = ramprig(capsys, "check", case(tmp_path, sut))
    assert ended.code == 2
    assert sentence in ended.out + ended.err


def test_check_refuses_virtual_time_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = ramprig(capsys, "check", case(tmp_path, 'role = "master"\nline = "rs485"', time="virtual"))
    assert ended.code == 2
    assert 'sut.kind: a controller on a serial line lives in real time; write time = "real", or attach' in (
        ended.out + ended.err
    )


def test_a_good_case_is_planned_and_the_command_line_has_a_short_form(tmp_path: Path) -> None:
    path = case(tmp_path, f'role = "slave"\nline = "plc"\npower = "pdu-01.1"\n{MAP}')
    (one,) = load_cases(str(path))[1]
    assert isinstance(build(plan(one).case.table.sut, tmp_path, "real"), SerialAdapter)
    (short,) = load_cases(str(path), {"sut": "serial:rs485"})[1]
    plan(short)
    assert short.table.sut == SerialSut(kind="serial", role="master", line="rs485")


def test_polling_is_an_uncertainty_of_what_a_slave_does_and_none_of_a_master(tmp_path: Path) -> None:
    def of(keys: dict[str, Any]) -> int:
        return SerialAdapter(validate({"kind": "serial", **keys}, SerialSut, "case.toml")).switching_ns

    assert of(MASTER) == 0
    assert of({**SLAVE, "read": []}) == 100 * MILLISECOND
    assert of(SLAVE) == round(2**0.5 * 100 * MILLISECOND)
