"""A rig with a feeder relay: what its file may say, and that it opens the feeder by itself."""

from __future__ import annotations

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient

from bench import inventory
from bench.config import ConfigError, validate
from bench.layout import Layout, lay_out
from bench.rig import Rig
from bench.rig_file import RigFile
from emulator.clock import Clock, run
from emulator.faults import FaultPlan, read_fault
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import MILLISECOND, SECOND
from tests.bench.small import CASE, PROFILE, RIG, ramprig, write

RELAY = {"pickup": "59.5 Hz", "delay": "0.2 s"}
DIP = {"frequency": Signal.steps([(0, 60.0), (10 * SECOND, 59.0), (30 * SECOND, 60.0)])}
PICKED_UP = 10 * SECOND + 25 * MILLISECOND + 1
PARTS = PICKED_UP + 200 * MILLISECOND + 50 * MILLISECOND


def layout(feeder: dict[str, Any], **more: Any) -> Layout:
    table = tomllib.loads(RIG)
    table["feeder"][0].update(feeder)
    return lay_out(validate({**table, **more}, RigFile, "rig.toml"), "rig.toml")


def problems(feeder: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        layout(feeder)
    return list(caught.value.problems)


def test_the_inventory_lists_the_relay_and_the_feeder_it_protects() -> None:
    table = layout({"relay": RELAY}).inventory(1e6, 60.0)
    assert table["relays"] == [
        {"id": "relay-feeder-1", "product": "sel_751a", "address": "127.88.252.101", "port": 502, "unit": 1,
         "protects": "feeder-1"}
    ]  # fmt: skip
    assert inventory.parse(table).relays[0].protects == "feeder-1"
    assert layout({}).inventory(1e6, 60.0)["relays"] == []
    assert ("relay-feeder-1", "sel_751a", "127.88.252.101", "502") in list(layout({"relay": RELAY}).endpoints())


def test_what_the_relay_cannot_be_set_to_is_named_with_what_it_takes() -> None:
    told = problems(
        {"relay": {"pickup": "19 Hz", "delay": "250 ms", "further": [{"pickup": "59.123 Hz", "delay": "300 s"}]}}
    )
    assert [line.partition(";")[0] for line in told] == [
        "rig.toml: feeder[0].relay.pickup: 751A cannot be set to 19 Hz",
        "rig.toml: feeder[0].relay.delay: 751A cannot be set to 0.25 s",
        "rig.toml: feeder[0].relay.further[0].pickup: 751A cannot be set to 59.123 Hz",
        "rig.toml: feeder[0].relay.further[0].delay: 751A cannot be set to 300 s",
    ]
    assert told[1].endswith("it takes 0 to 240 s in steps of 0.1 s")
    element = {"pickup": "59 Hz", "delay": "1 s"}
    (many,) = problems({"relay": {**RELAY, "further": [element] * 4}})
    assert "751A has 4 elements, not 5; remove some" in many
    assert problems({"relay": {**RELAY, "product": "sel_751b"}}) == [
        "rig.toml: feeder[0].relay.product: unknown relay 'sel_751b'; did you mean 'sel_751a'?"
    ]


def test_a_fault_can_be_aimed_at_the_link_of_a_relay() -> None:
    built = layout({"relay": RELAY})
    fault = read_fault({"where": "relay-feeder-1", "kind": "silent"}, "fault[0]")
    built.check_faults(FaultPlan([fault], Seed(1)), "case.toml")


@pytest.mark.parametrize("small_system", [False, True])
def test_it_opens_the_feeder_by_itself_and_a_client_recloses_it(small_system: bool) -> None:
    more = {"system": {"kinetic_energy": "2 GWs", "damping": "100 MW/Hz"}} if small_system else {}

    async def main(clock: Clock) -> tuple[Rig, list[bool]]:
        rig = Rig(layout({"relay": RELAY, "breaker": {"close": "100 ms"}}, **more), clock, Seed(1), 60.0)
        rig.play(DIP, 0)
        await rig.open()
        client = AsyncModbusTcpClient("127.88.252.101", port=502)
        assert await client.connect()
        seen = []
        for second, command in ((9, 0), (11, 1), (20, 0), (40, 1), (41, 0)):
            await clock.sleep_until(second * SECOND)
            if command:
                await client.write_register(0x2000, command, device_id=1)
            seen.append((await client.read_discrete_inputs(8, count=1, device_id=1)).bits[0])
        client.close()
        await rig.close()
        rig.fleet.advance(clock.now())
        return rig, seen

    rig, seen = run(main)
    assert seen == [True, False, False, False, True]
    (trip,) = rig.relays["relay-feeder-1"].trips
    assert trip.cause == "81D1"
    if not small_system:
        assert (trip.at_ns, trip.parts_ns) == (PICKED_UP + 200 * MILLISECOND, PARTS)
    assert [(at, script, len(rows)) for at, script, rows in rig.commands[:1]] == [(trip.parts_ns, "mains_off", 8)]
    assert rig.commands[1][1] == "mains_on"
    assert rig.site.feeders["feeder-1"].power_w(30 * SECOND) == 0.0
    assert rig.traffic.requests["relay"] == 7


def test_the_same_seed_gives_the_same_trips_and_a_relay_that_does_not_trip_changes_nothing() -> None:
    def played(feeder: dict[str, Any]) -> Rig:
        async def main(clock: Clock) -> Rig:
            rig = Rig(layout(feeder), clock, Seed(1), 60.0)
            rig.play(DIP, 0)
            await clock.sleep_until(60 * SECOND)
            rig.fleet.advance(60 * SECOND)
            return rig

        return run(main)

    one, two = played({"relay": RELAY}), played({"relay": RELAY})
    assert one.relays["relay-feeder-1"].trips == two.relays["relay-feeder-1"].trips
    assert one.commands == two.commands
    idle, none = played({"relay": {**RELAY, "delay": "60 s"}}), played({})
    assert idle.relays["relay-feeder-1"].trips == []
    assert idle.site.poi.energy_j(0, 60 * SECOND) == none.site.poi.energy_j(0, 60 * SECOND)


def test_connections_of_miners_die_with_their_feeder() -> None:
    async def main(clock: Clock) -> int:
        rig = Rig(layout({"relay": RELAY}), clock, Seed(1), 60.0)
        rig.play(DIP, 0)
        await rig.open()
        await clock.sleep_until(PARTS - SECOND)
        _, writer = await asyncio.open_connection("127.88.1.1", 80)
        await clock.sleep_until(PARTS - 1)
        before = rig.network.live("127.88.1.1")
        await clock.sleep_until(PARTS + SECOND)
        after = rig.network.live("127.88.1.1")
        writer.close()
        await rig.close()
        return 10 * before + after

    assert run(main) == 10


def test_a_trip_stands_in_the_record_of_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    relay = 'relay = { pickup = "59.8 Hz", delay = "0.5 s" }\npdu ='
    case = write(tmp_path, rig=RIG.replace("pdu =", relay), profile=PROFILE, case=CASE)
    ramprig(capsys, "run", case, "--out", tmp_path / "runs")
    (documents,) = (tmp_path / "runs").rglob("documents.jsonl")
    events = [json.loads(line) for line in documents.read_text().splitlines()]
    (trip,) = [event for event in events if event.get("kind") == "relay_trip"]
    armed = next(event for event in events if event["document"] == "descriptor")["armed_ns"]
    assert (trip["relay"], trip["feeder"], trip["cause"]) == ("relay-feeder-1", "feeder-1", "81D1")
    assert 5.5 * SECOND < trip["t_ns"] - armed < 5.56 * SECOND
    assert trip["open_ns"] == trip["t_ns"] + 50 * MILLISECOND
    assert trip["picked_up_ns"] == trip["t_ns"] - 500 * MILLISECOND


def test_moxa_inputs_sense_the_contactors_of_a_rig_and_staggered_outlets_return_in_turn() -> None:
    pdu = {"product": "moxa_iologik_e1214", "count": 1, "return_delay": "1 s", "return_step": "2 s"}

    async def main(clock: Clock) -> tuple[Rig, list[bool]]:
        rig = Rig(layout({"pdu": pdu}), clock, Seed(1), 60.0)
        breaker = rig.site.feeders["feeder-1"].breaker
        breaker.trip(SECOND)
        breaker.close(10 * SECOND)
        await clock.sleep_until(14 * SECOND)
        await rig.open()
        client = AsyncModbusTcpClient("127.88.251.1", port=502)
        assert await client.connect()
        bits = (await client.read_discrete_inputs(0, count=6, device_id=1)).bits[:6]
        client.close()
        await rig.close()
        return rig, bits

    rig, bits = run(main)
    assert bits == [True, True, False, False, False, False]
    assert [outlet.closed(14 * SECOND) for outlet in rig.site.outlets.values()] == bits
