"""Who stands where on a rig, what a controller is told of it, and what is wrong with a rig file that cannot stand."""

from __future__ import annotations

import asyncio
import copy
import ipaddress
import struct
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from bench import inventory, library
from bench.config import ConfigError, validate
from bench.layout import Layout, lay_out
from bench.rig import Rig
from bench.rig_file import RigFile, load_rig
from emulator.clock import Clock, run
from emulator.faults import FaultPlan, read_fault
from emulator.seed import Seed
from emulator.wire import MILLISECOND, SECOND
from tests.bench.small import RIG

SMALL: dict[str, Any] = tomllib.loads(RIG)
MUTE = {"model": "S21", "firmware": "mute", "phases": "luxos"}


def feeder(*miners: dict[str, Any], name: str = "feeder-1", pdus: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": name, "pdu": {"product": "netio_powerpdu_4ps", "count": pdus}, "miners": list(miners), **more}


def rig(*feeders: dict[str, Any], **more: Any) -> RigFile:
    return validate({"schema": 1, "name": "r", "commitment": "1 kW", "feeder": feeders, **more}, RigFile, "rig.toml")


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The small rig with a change."""
    table = copy.deepcopy(SMALL)
    change(table)
    return table


def problems(table: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        lay_out(validate(table, RigFile, "rig.toml"), "rig.toml")
    return caught.value.problems


def live(file: RigFile, during: Callable[[Rig, Clock], Any], faults: FaultPlan | None = None) -> Any:
    """Bring a rig to life in virtual time and do something with it."""

    async def main(clock: Clock) -> Any:
        built = Rig(lay_out(file, "rig.toml"), clock, Seed(1), 60.0, faults)
        await built.open()
        try:
            return await during(built, clock)
        finally:
            await built.close()

    return run(main)


# ---- small and large miners ------------------------------------------------------------------------------------------


def test_a_site_may_be_of_watts_and_of_miners_with_one_port_each() -> None:
    axes = {"model": "Gamma", "firmware": "bitaxe", "count": 4}
    avalon = {"model": "A1566", "firmware": "avalon", "count": 1}

    async def during(built: Rig, clock: Clock) -> None:
        told = built.inventory()["miners"]
        assert [told[n]["ports"] for n in (0, 4)] == [{"web": 80}, {"api": 4028}]
        small_w = built.fleet.power_w(clock.now())[:4]
        assert ((small_w > 15) & (small_w < 23)).all()
        assert built.nominal_w == pytest.approx(4 * 19 + 3420, rel=0.05)
        address = built.layout.miners[4].address
        _, silent = await asyncio.open_connection(address, 4028)
        reader, writer = await asyncio.open_connection(address, 4028)
        writer.write(b"version")
        asked = asyncio.create_task(reader.read())
        await clock.sleep(SECOND)
        assert not asked.done(), "who counts his callers still does behind the tap"
        silent.close()
        assert b"AvalonMiner" in await asked
        writer.close()

    live(rig(feeder(axes, avalon, pdus=2)), during)


# ---- the address plan ------------------------------------------------------------------------------------------------


def test_devices_stand_where_the_reference_says() -> None:
    layout = lay_out(validate(SMALL, RigFile, "rig.toml"), "rig.toml")
    told = {name: (address, ports) for name, _, address, ports in layout.endpoints()}
    assert told["miner-0001"] == ("127.88.1.1", "4028, 80")
    assert told["miner-0008"] == ("127.88.1.8", "4028, 80")
    assert told["meter-poi"] == ("127.88.250.1", "502")
    assert told["meter-feeder-1"] == ("127.88.250.2", "502")
    assert told["pdu-02"] == ("127.88.251.2", "502")
    assert told["dispatch"] == ("127.88.252.1", "502")


def test_miners_fill_blocks_of_254_and_then_the_next_sixteen_bits() -> None:
    in_a_16 = 249 * 254
    layout = lay_out(rig(feeder({**MUTE, "count": in_a_16 + 1}), network={"subnet": "127.16.0.0/15"}), "rig.toml")
    at = [layout.miners[row].address for row in (0, 253, 254, in_a_16 - 1, in_a_16)]
    assert at == ["127.16.1.1", "127.16.1.254", "127.16.2.1", "127.16.249.254", "127.17.1.1"]
    assert layout.miners[-1].id == f"miner-{in_a_16 + 1}"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 5)), min_size=1, max_size=4))
def test_whatever_the_rig_every_device_has_its_own_address_and_every_miner_one_outlet(
    sizes: list[tuple[int, int]],
) -> None:
    feeders = [feeder({**MUTE, "count": n}, name=f"f{i}", pdus=pdus) for i, (n, pdus) in enumerate(sizes)]
    layout = lay_out(rig(*feeders), "rig.toml")
    places = [*layout.miners, *layout.meters, *layout.pdus]
    addresses = [ipaddress.IPv4Address(place.address) for place in places]
    assert len(set(addresses)) == len(places) == sum(n + pdus for n, pdus in sizes) + len(sizes) + 1
    assert all(address in ipaddress.IPv4Network("127.20.0.0/16") for address in addresses)
    fed = [(row, pdu.id, outlet.id) for pdu in layout.pdus for outlet in pdu.outlets for row in outlet.rows]
    assert [row for row, _, _ in fed] == list(range(len(layout.miners)))
    assert [(place.pdu, place.outlet) for place in layout.miners] == [(pdu, outlet) for _, pdu, outlet in fed]
    loads = [len(outlet.rows) for pdu in layout.pdus if pdu.table is layout.file.feeder[0] for outlet in pdu.outlets]
    assert max(loads) - min(loads) <= 1


def test_an_address_that_is_given_is_taken_and_counted_up_from() -> None:
    miners = {**MUTE, "count": 3, "address": "127.30.0.254"}
    pdu = {"product": "netio_powerpdu_4ps", "count": 2, "address": "127.30.9.1"}
    table = {"id": "f", "pdu": pdu, "miners": [miners], "meter": {"address": "127.30.8.1"}}
    layout = lay_out(rig(table), "rig.toml")
    assert [place.address for place in layout.miners] == ["127.30.0.254", "127.30.0.255", "127.30.1.0"]
    assert [place.address for place in layout.pdus] == ["127.30.9.1", "127.30.9.2"]
    assert [place.address for place in layout.meters] == ["127.20.250.1", "127.30.8.1"]


# ---- what a controller is told ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", library.names("rig"))
def test_the_inventory_of_every_shipped_rig_is_what_its_schema_promises(name: str) -> None:
    file, path = load_rig(f"rig:{name}")

    async def told(built: Rig, clock: Clock) -> dict[str, Any]:
        return built.inventory()

    table = live(file, told)
    parsed = inventory.parse(table, str(path))
    assert inventory.as_table(parsed) == table
    assert parsed.site.nominal_w > parsed.site.commitment_w
    assert len(parsed.miners) == sum(group.count for f in file.feeder for group in f.miners)


def test_a_mute_miner_is_in_the_inventory_but_answers_nowhere() -> None:
    file = rig(feeder({**MUTE, "count": 2}), dispatch=False)

    async def told(built: Rig, clock: Clock) -> tuple[dict[str, Any], list[str], list[str]]:
        return built.inventory(), [name for name, *_ in built.endpoints()], sorted(built.devices)

    table, shown, devices = live(file, told)
    assert inventory.parse(table).miners[0].ports == {}
    assert table["signals"] == []
    assert sorted(shown) == devices == ["meter-feeder-1", "meter-poi", "pdu-01"]


# ---- what cannot stand -----------------------------------------------------------------------------------------------


def group(**change: Any) -> Callable[[dict[str, Any]], object]:
    return lambda table: table["feeder"][0]["miners"][1].update(change)


def top(**change: Any) -> Callable[[dict[str, Any]], object]:
    return lambda table: table.update(change)


def first(**change: Any) -> Callable[[dict[str, Any]], object]:
    return lambda table: table["feeder"][0].update(change)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (group(model="S19 Prp"), "rig.toml: feeder[0].miners[1].model: unknown model 'S19 Prp'; did you mean"),
        (group(firmware="luxoss"), 'miners[1].firmware: unknown firmware "luxoss"; did you mean "luxos"?'),
        (group(firmware="mtue"), 'unknown firmware "mtue"; did you mean "mute"?'),
        (group(model="M50S"), "miners[1].firmware: luxos does not run on WhatsMiner M50S; it runs on "),
        (group(firmware="mute"), "miners[1].phases: is missing; a mute miner needs its timing, one of "),
        (group(firmware="mute", phases="luxs"), "miners[1].phases: unknown phase family 'luxs'; did you mean"),
        (group(phases="luxos"), 'miners[1].phases: only a "mute" miner needs it; luxos has its own timing, remove it'),
        (group(count=0), "rig.toml: feeder[0].miners[1].count: 0 is too small; 1 or more is expected"),
        (group(count="4"), "miners[1].count: '4' is not a whole number; write a whole number without quotes"),
        (group(modell="S21"), 'miners[1].modell: unknown key; did you mean "model"?'),
        (group(address="127.88.1.1"), "miner-0005 and miner-0001 are both on 127.88.1.1; give one of them another"),
        (group(address="10.0.0.1"), "miners[1].address: '10.0.0.1' is not on the loopback interface"),
        (group(address="127.0.0.999"), "miners[1].address: '127.0.0.999' is no IPv4 address; write for example"),
        (group(address="127.255.255.253"), "127.255.255.253 and 2 more leave 127.0.0.0/8; begin lower"),
        (first(meter={"product": "eastron"}), "feeder[0].meter.product: unknown "),
        (first(meter={"address": "127.88.250.1"}), "meter-feeder-1 and meter-poi are both on 127.88.250.1"),
        (first(pdu={"product": "netio"}), "feeder[0].pdu.count: is missing; add this key"),
        (first(pdu={"product": "netio", "count": 1}), "feeder[0].pdu.product: unknown "),
        (first(pdu={"product": "netio_powerpdu_4ps", "count": 255}), "127.88.0.0/16 holds 63246 miners and 254"),
        (first(miners=[]), "rig.toml: feeder[0].miners: is empty; give at least one"),
        (first(id="pdu-02"), "the id 'pdu-02' is a feeder and a PDU; give the feeder another id"),
        (first(id="poi"), "the id \"poi\" is taken by the point of interconnection; choose another"),
        (first(id="a b"), "feeder[0].id: 'a b' is no name here; it must match"),
        (first(loss="120 %"), "feeder[0].loss: 1.2 is out of range; write a share from 0 % to less than 100 %"),
        (top(feeder=[]), "rig.toml: feeder: is empty; give at least one"),
        (lambda table: table.pop("feeder"), "rig.toml: feeder: is missing; add this key"),
        (top(commitment="26 kWh"), "rig.toml: commitment: '26 kWh': unknown unit 'kWh'; did you mean 'kW'?"),
        (top(commitment="0 W"), "rig.toml: commitment: must be more than zero"),
        (top(commitment="nan kW"), "rig.toml: commitment: 'nan kW' is not a quantity"),
        (top(network={"subnet": "10.0.0.0/8"}), "subnet '10.0.0.0/8' is not on the loopback interface; take"),
        (top(network={"subnet": "127.1.0.0/24"}), "subnet '127.1.0.0/24' is too small; the address plan needs a /16"),
        (top(network={"subnet": "127.1.2.3/16"}), "subnet '127.1.2.3/16': 127.1.2.3/16 has host bits set"),
        (top(network={"allow": ["10.77.0.0/16"]}), "interface and allow go together"),
        (top(network={"interface": "eth1"}), "interface and allow go together"),
        (top(network={"interface": "eth1", "allow": ["10.0.0.0/7"]}), "allow: '10.0.0.0/7' is too wide; name the"),
        (top(network={"interface": "eth1", "allow": ["10.0.0.1/8"]}), "'10.0.0.1/8': 10.0.0.1/8 has host bits set"),
        (
            top(network={"interface": "eth1", "allow": ["10.77.0.0/16"], "subnet": "10.78.0.0/16"}),
            "subnet '10.78.0.0/16' lies outside the loopback and outside 10.77.0.0/16; add its network",
        ),
        (top(analyser={"rate": "0 Hz"}), "rig.toml: analyser.rate: must be more than zero"),
        (top(analyser={"window": "-1 ms"}), "analyser.window: '-1 ms': a duration cannot be negative"),
        (top(site={"idle": "-1 W"}), "site.idle: cannot be negative"),
        (top(load=[{"id": "x", "kind": "house", "power": "1 kW", "at": "feeder-9"}]), "at = 'feeder-9' is neither"),
        (top(load=[{"id": "feeder-1", "kind": "house", "power": "1 kW"}]), "the id 'feeder-1' is used twice"),
        (
            top(load=[{"id": "x", "kind": "ai_training", "power": "1 kW", "iteration": "0.1 s"}]),
            "load[0]: iteration of 0.1 s is too short; write 0.5 s or more",
        ),
    ],
)  # fmt: skip
def test_a_rig_that_cannot_stand_is_named_with_file_key_and_remedy(
    change: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    found = problems(changed(change))
    assert any(sentence in problem for problem in found), found
    assert all(problem.startswith("rig.toml: ") for problem in found)


def test_a_subnet_without_room_for_its_miners_is_one_sentence() -> None:
    (problem,) = problems(changed(lambda table: table["feeder"][0]["miners"][1].update(MUTE, count=249 * 254)))
    assert problem == (
        "rig.toml: network.subnet: 127.88.0.0/16 holds 63246 miners and 254 "
        "devices of each other sort; write a larger one, for example 127.16.0.0/12"
    )


def test_all_mistakes_of_a_rig_are_named_at_once() -> None:
    def change(table: dict[str, Any]) -> None:
        table["feeder"][0]["miners"][0]["model"] = "S18"
        table["feeder"][0]["miners"][1]["firmware"] = "lux"
        table["feeder"][0]["pdu"]["product"] = "netio"
        table["meter"] = {"product": "sdm"}

    assert len(problems(changed(change))) == 4


def test_a_plant_that_feeds_in_more_than_the_site_takes_cannot_be_started_with() -> None:
    file = rig(feeder({**MUTE, "count": 1}), load=[{"id": "wind", "kind": "wind", "power": "1 MW"}])
    with pytest.raises(ConfigError, match=r"rig\.toml: load: the site feeds in .* at its start; lower its plants"):
        live(file, lambda built, clock: None)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"where": "miner-0009", "kind": "refuse"}, "fault[0].where: 'miner-0009' matches nothing; "),
        ({"where": "feeder-1", "kind": "refuse"}, "fault[0].where: 'feeder-1' matches 'feeder-1', a feeder; "),
    ],
)  # fmt: skip
def test_a_fault_that_hits_nothing_is_named(fault: dict[str, str], sentence: str) -> None:
    layout = lay_out(validate(SMALL, RigFile, "rig.toml"), "rig.toml")
    with pytest.raises(ConfigError) as caught:
        layout.check_faults(FaultPlan([read_fault(fault, "fault[0]")], Seed(1)), "case.toml")
    assert str(caught.value).startswith(f"case.toml: {sentence}")


def test_a_fault_can_be_aimed_at_the_dispatch_block_and_at_its_signal() -> None:
    layout: Layout = lay_out(validate(SMALL, RigFile, "rig.toml"), "rig.toml")
    sorts = layout.sorts()
    assert sorts["dispatch"] == sorts["signal:dispatch"] == "signal"
    assert {sorts[name] for name in ("miner-0001", "meter-poi", "pdu-01", "pdu-01.4", "feeder-1")} == {
        "miner", "meter", "pdu", "outlet", "feeder",
    }  # fmt: skip


# ---- alive -----------------------------------------------------------------------------------------------------------


def test_a_miner_that_loses_its_mains_drops_its_connections() -> None:
    async def during(built: Rig, clock: Clock) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.88.1.1", 4028)
        writer.write(b'{"command":"version"}')
        answer = await reader.read(10)
        _, idle = await asyncio.open_connection("127.88.1.1", 80)
        other, still = await asyncio.open_connection("127.88.1.2", 80)
        built.site.outlets["pdu-01.1"].switch(False, clock.now())
        await clock.sleep(SECOND)
        assert built.network.live("127.88.1.1") == 0
        assert built.network.live("127.88.1.2") == 1
        for stream in (writer, idle, still):
            stream.close()
        return answer, b"" if other.at_eof() else b"open"

    answer, second = live(validate(SMALL, RigFile, "rig.toml"), during)
    assert answer
    assert second == b"open"


def test_requests_are_counted_by_the_sort_of_device_the_run_folder_names() -> None:
    async def during(built: Rig, clock: Clock) -> dict[str, int]:
        for address in ("127.88.250.1", "127.88.251.1", "127.88.252.1"):
            reader, writer = await asyncio.open_connection(address, 502)
            writer.write(bytes.fromhex("000100000006010400000002"))
            await reader.read(20)
            writer.close()
        return dict(built.traffic.requests)

    assert live(validate(SMALL, RigFile, "rig.toml"), during) == {"meter": 1, "pdu": 1, "signal": 1}


def test_registers_relays_and_gateways_fail_at_the_devices_that_the_faults_name() -> None:
    struck: list[tuple[str, str]] = []
    faults = [
        {"where": "meter-poi", "kind": "word_order", "quantities": ["frequency_hz"]},
        {"where": "meter-poi", "kind": "averaging_lag", "window": "10 s", "registers": 52},
        {"where": "meter-poi", "kind": "slow_gateway", "delay": "200 ms"},
        {"where": "pdu-01", "kind": "ignore_writes"},
        {"where": "pdu-01", "kind": "no_value", "reads": "ones", "quantities": ["power_w"]},
    ]

    async def during(built: Rig, clock: Clock) -> tuple[bytes, int, bool, bytes]:
        built.on_fault = lambda at, fault, target: struck.append((fault.kind, target))
        meter, pdu = AsyncModbusTcpClient("127.88.250.1"), AsyncModbusTcpClient("127.88.251.1")
        assert await meter.connect()
        assert await pdu.connect()
        began = clock.now()
        read = await meter.read_input_registers(0x46, count=2)
        took = clock.now() - began
        written = await pdu.write_coil(101, False)
        await clock.sleep(SECOND)
        watts = await pdu.read_input_registers(200, count=1)
        meter.close()
        pdu.close()
        closed = built.site.outlets["pdu-01.1"].closed(clock.now())
        assert not written.isError()
        return struct.pack(">2H", *read.registers), took, closed, struct.pack(">H", *watts.registers)

    plan = FaultPlan([read_fault(fault, "") for fault in faults], Seed(1))
    turned, took, closed, watts = live(validate(SMALL, RigFile, "rig.toml"), during, plan)
    assert struct.unpack(">f", turned[2:] + turned[:2])[0] == pytest.approx(60.0, abs=0.1)
    assert took >= 200 * MILLISECOND
    assert closed
    assert watts == b"\xff\xff"
    assert {("word_order", "meter-poi"), ("slow_gateway", "meter-poi"), ("ignore_writes", "pdu-01")} <= set(struck)


def test_a_rig_file_that_is_no_rig_says_where_shipped_ones_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"yrd: no such rig ships with ramprig; did you mean \"yard\"\?"):
        load_rig("rig:yrd")
    with pytest.raises(ConfigError, match=r"no such file; the shipped rig is called rig:yard"):
        load_rig("yard", tmp_path)


def test_a_rig_may_stand_on_a_network_that_it_names_with_an_interface() -> None:
    network = {"interface": "eth1", "allow": ["10.77.0.0/16", "192.168.5.0/24"], "subnet": "10.77.0.0/16"}
    meter = {"address": "192.168.5.9"}
    layout = lay_out(rig({**feeder({**MUTE, "count": 2}), "meter": meter}, network=network), "rig.toml")
    assert [place.address for place in layout.miners] == ["10.77.1.1", "10.77.1.2"]
    assert [place.address for place in layout.meters] == ["10.77.250.1", "192.168.5.9"]
    last = {**MUTE, "count": 2, "address": "192.168.5.254"}
    with pytest.raises(ConfigError, match=r"192.168.5.254 and 1 more leave 192.168.5.0/24; begin lower"):
        lay_out(rig(feeder(last), network=network), "rig.toml")
