"""The operator's interfaces on a rig: where they stand, what a controller is told, and that a run reaches them."""

from __future__ import annotations

import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from amqtt.client import MQTTClient
from amqtt.mqtt.constants import QOS_1
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from bench import inventory
from bench.case_file import load_cases
from bench.config import ConfigError, validate
from bench.facts import RunFacts
from bench.layout import Layout, lay_out
from bench.play import plan, play
from bench.record import read_run
from bench.rig import Rig
from bench.rig_file import RigFile
from emulator.clock import Clock, run
from emulator.faults import FaultPlan, read_fault
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import SECOND
from tests.bench.small import CASE, RIG, write

ALL = [
    {"kind": "rest", "account": {"username": "site", "password": "pw"}},
    {"kind": "mqtt", "base": "grid/ops"},
    {"kind": "openadr3", "operator": {"username": "iso", "password": "pw"}},
    {
        "kind": "contact",
        "id": "relays",
        "input": [{"channel": "dispatch"}, {"channel": "frequency", "below": "59.7 Hz"}],
    },
]  # fmt: skip


def layout(signals: list[dict[str, Any]], **more: Any) -> Layout:
    table = {**tomllib.loads(RIG), "signal": signals, **more}
    return lay_out(validate(table, RigFile, "rig.toml"), "rig.toml")


def wrong(signals: list[dict[str, Any]]) -> str:
    with pytest.raises(ConfigError) as caught:
        layout(signals)
    return str(caught.value)


def live(
    during: Callable[[Rig, Clock], Awaitable[Any]], *faults: dict[str, Any], signals: list[dict[str, Any]] = ALL
) -> Any:
    """Play an order for half of the site from 20 s to 40 s to a rig in virtual time."""

    async def main(clock: Clock) -> Any:
        plan_ = FaultPlan([read_fault(fault, "fault[0]") for fault in faults], Seed(1))
        rig = Rig(layout(signals), clock, Seed(1), 60.0, plan_)
        half = Signal.steps([(0, rig.nominal_w), (10 * SECOND, rig.nominal_w / 2), (30 * SECOND, rig.nominal_w)])
        dip = Signal.steps([(0, 60.0), (10 * SECOND, 59.5), (30 * SECOND, 60.0)])
        rig.play({"dispatch": half, "frequency": dip}, 10 * SECOND)
        await rig.open()
        try:
            return await during(rig, clock)
        finally:
            await rig.close()

    return run(main)


# ---- where they stand ------------------------------------------------------------------------------------------------


def test_interfaces_stand_behind_the_dispatch_block_in_the_order_of_the_file() -> None:
    told = {name: (what, address, ports) for name, what, address, ports in layout(ALL).endpoints()}
    assert told["dispatch"] == ("ramprig_dispatch", "127.88.252.1", "502")
    assert told["rest"] == ("ramprig_feed", "127.88.252.2", "8080")
    assert told["mqtt"] == ("ramprig_mqtt", "127.88.252.3", "1883")
    assert told["openadr3"] == ("openadr_3_1", "127.88.252.4", "8081")
    assert told["relays"] == ("ramprig_contacts", "127.88.252.5", "502")


def test_a_controller_is_told_how_to_reach_each() -> None:
    told = layout(ALL).inventory(50_000.0, 60.0)
    checked = inventory.as_table(inventory.parse(told))
    assert checked == told
    by_id = {entry["id"]: entry for entry in told["signals"]}
    assert by_id["rest"]["credentials"] == {"username": "site", "password": "pw"}
    assert by_id["rest"]["resources"]["price"] == "/v1/price"
    assert by_id["mqtt"]["url"] == "mqtt://127.88.252.3:1883"
    assert by_id["mqtt"]["resources"] == {
        "dispatch": "grid/ops/dispatch", "price": "grid/ops/price", "recall": "grid/ops/recall",
        "frequency": "grid/ops/grid", "voltage": "grid/ops/grid",
    }  # fmt: skip
    assert by_id["openadr3"]["url"] == "http://127.88.252.4:8081/openadr3/3.1.1"
    assert by_id["openadr3"]["credentials"] == {"username": "site", "password": "site-secret"}
    assert by_id["relays"]["inputs"] == [
        {"index": 0, "channel": "dispatch", "below": None, "above": None},
        {"index": 1, "channel": "frequency", "below": 59.7, "above": None},
    ]


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        ([{"kind": "rest"}, {"kind": "rest"}], "the signal id 'rest' is used twice"),
        ([{"kind": "reste"}], 'signal[0]: unknown kind "reste"; did you mean "rest"?'),
        ([{}], "signal[0]: the key kind is missing"),
        ([{"kind": "mqtt", "bas": "x"}], 'signal[0].bas: unknown key; did you mean "base"?'),
        ([{"kind": "rest", "address": "10.0.0.1"}], "signal[0].address: '10.0.0.1' is not on the loopback"),
        ([{"kind": "contact", "input": [{"channel": "frequency"}]}], "an input on frequency needs a threshold"),
        ([{"kind": "contact", "input": [{"channel": "frequency", "below": "59 V"}]}], "signal[0].input[0]: '59 V'"),
        ([{"kind": "rest", "id": "dispatch"}], "is the dispatch block and a signal; give the signal another id"),
        ([{"kind": "rest", "address": "127.88.250.1"}], "are both on 127.88.250.1"),
        ([{"kind": "openadr3", "operator": {"username": "site", "password": "x"}}], "client and operator are both"),
        ([{"kind": "openadr3", "channels": ["frequency"]}], 'unknown value "frequency"'),
    ],
)
def test_a_mistake_in_the_file_names_key_value_and_remedy(signals: list[dict[str, Any]], said: str) -> None:
    assert said in wrong(signals)


@pytest.mark.parametrize(
    ("where", "kind", "said"),
    [
        ("relays", "malformed", "'relays' cannot have 'malformed'"),
        ("dispatch", "duplicate", "'dispatch' cannot have 'duplicate'"),
        ("mqt", "late", "did you mean 'mqtt'?"),
    ],
)
def test_a_fault_that_an_interface_cannot_have_is_refused(where: str, kind: str, said: str) -> None:
    faults = FaultPlan([read_fault({"where": where, "kind": kind}, "fault[0]")], Seed(1))
    with pytest.raises(ConfigError) as caught:
        layout(ALL).check_faults(faults, "case.toml")
    assert said in str(caught.value)
    assert str(caught.value).startswith("case.toml: fault[0]")


def test_an_interface_may_stand_in_a_network_that_the_rig_allows() -> None:
    signals = [{"kind": "rest", "address": "10.77.0.9"}]
    (place,) = layout(signals, network={"interface": "eth1", "allow": ["10.77.0.0/16"]}).interfaces
    assert place.url == "http://10.77.0.9:8080"


def test_a_rig_whose_interface_cannot_begin_gives_its_addresses_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails() -> None:
        raise OSError("no port")

    async def main(clock: Clock) -> None:
        rig = Rig(layout(ALL), clock, Seed(1), 60.0)
        monkeypatch.setattr(rig.interfaces, "open", fails)
        with pytest.raises(OSError, match="no port"):
            await rig.open()
        monkeypatch.undo()
        again = Rig(layout(ALL), clock, Seed(1), 60.0)
        await again.open()
        await again.close()

    run(main)


def test_openadr_2_is_for_real_time_only() -> None:
    async def main(clock: Clock) -> None:
        Rig(layout([{"kind": "openadr2"}]), clock, Seed(1), 60.0)

    with pytest.raises(ConfigError, match=r"signal\[0\]\.kind: openadr2 reads the clock on the wall; set time"):
        run(main)


# ---- a run reaches them ----------------------------------------------------------------------------------------------


async def seen(rig: Rig, clock: Clock, second: float) -> dict[str, Any]:
    """What each interface says of the order at a time."""
    await clock.sleep_until(round(second * SECOND))
    by_id = {entry["id"]: entry for entry in rig.inventory()["signals"]}
    found: dict[str, Any] = {}
    async with httpx.AsyncClient() as client:
        rest = by_id["rest"]
        account = (rest["credentials"]["username"], rest["credentials"]["password"])
        order = (await client.get(rest["url"] + rest["resources"]["dispatch"], auth=account)).json()["order"]
        found["rest"] = order and order["setpoint_kw"]
        vtn = by_id["openadr3"]
        form = {"grant_type": "client_credentials", "client_id": vtn["credentials"]["username"],
                "client_secret": vtn["credentials"]["password"]}  # fmt: skip
        token = (await client.post(f"{vtn['url']}/auth/token", data=form)).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        events = await client.get(f"{vtn['url']}/events?programID=program-dispatch&active=true", headers=headers)
        found["openadr3"] = [one["intervals"][0]["payloads"][0]["values"][0] for one in events.json()]
    master = AsyncModbusTcpClient(by_id["relays"]["address"], port=by_id["relays"]["port"])
    await master.connect()
    found["relays"] = (await master.read_discrete_inputs(0, count=2, device_id=1)).bits[:2]
    master.close()
    block = AsyncModbusTcpClient(by_id["dispatch"]["address"], port=502)
    await block.connect()
    words = (await block.read_input_registers(2, count=2, device_id=1)).registers
    found["dispatch"] = block.convert_from_registers(words, block.DATATYPE.FLOAT32)
    block.close()
    mqtt = MQTTClient("t", config={"auto_reconnect": False})
    await mqtt.connect(by_id["mqtt"]["url"])
    await mqtt.subscribe([(by_id["mqtt"]["resources"]["dispatch"], QOS_1)])
    try:
        message = await mqtt.deliver_message(timeout_duration=0.5)
        found["mqtt"] = message.data
    except TimeoutError:
        found["mqtt"] = None
    await mqtt.disconnect()
    return found


def test_every_interface_says_the_same_of_an_order() -> None:
    async def during(rig: Rig, clock: Clock) -> None:
        half = round(rig.nominal_w / 2e3, 3)
        before = await seen(rig, clock, 15)
        assert (before["rest"], before["openadr3"], before["relays"], before["mqtt"]) == (
            None,
            [],
            [False, False],
            None,
        )
        after = await seen(rig, clock, 21)
        assert (after["rest"], after["openadr3"], after["relays"]) == (half, [half], [True, True])
        assert after["dispatch"] == pytest.approx(half, abs=1e-3)
        assert f'"setpoint_kw":{half}'.encode() in bytes(after["mqtt"])
        over = await seen(rig, clock, 41)
        assert (over["rest"], over["openadr3"], over["relays"]) == (None, [], [False, False])
        assert rig.traffic.requests["signal"] > 20

    live(during)


def test_a_fault_of_a_channel_is_alike_everywhere_and_one_of_an_interface_is_its_own() -> None:
    async def during(rig: Rig, clock: Clock) -> dict[str, Any]:
        return await seen(rig, clock, 25)

    others_half = live(during)["rest"]
    everywhere = live(during, {"where": "signal:dispatch", "kind": "late", "by": "8 s"})
    assert (everywhere["rest"], everywhere["openadr3"], everywhere["relays"]) == (None, [], [False, True])
    assert everywhere["dispatch"] == pytest.approx(2 * others_half, abs=1e-3)
    for name, quiet in (("rest", None), ("openadr3", []), ("mqtt", None), ("relays", [False, False])):
        one = live(during, {"where": name, "kind": "stale", "start": "5 s"})
        assert one[name] == quiet, name
        others = {key: one[key] for key in one if key != name}
        assert all(others[key] for key in others), name
    block = live(during, {"where": "dispatch", "kind": "cancelled", "after": "1 s"})
    assert block["dispatch"] == pytest.approx(everywhere["dispatch"], rel=1e-6)
    assert block["rest"] is not None


def test_links_to_interfaces_break_like_others() -> None:
    async def during(rig: Rig, clock: Clock) -> None:
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("http://127.88.252.2:8080/v1/price")
        master = AsyncModbusTcpClient("127.88.252.5", port=502, timeout=1, retries=0)
        await master.connect()
        with pytest.raises(ModbusIOException):
            await master.read_discrete_inputs(0, count=1, device_id=1)
        master.close()

    live(during, {"where": "rest", "kind": "refuse"}, {"where": "relays", "kind": "drop"})


def test_the_same_seed_gives_the_same_words() -> None:
    async def during(rig: Rig, clock: Clock) -> list[Any]:
        await seen(rig, clock, 25)
        return list(rig.traffic.frames)

    fault = {"where": "*", "kind": "duplicate", "probability": "50 %"}
    assert live(during, fault) == live(during, fault)


ORDER = """
schema = 1
title = "Half of the site for half a minute"
source = { text = "written for a test", grade = "estimate" }
nominal_frequency = "60 Hz"
duration = "45 s"

[channel.dispatch]
points = [["0 s", "100 %"], ["10 s", "100 %"], ["10 s", "50 %"], ["40 s", "50 %"], ["40 s", "100 %"]]

[[event]]
id = "order"
kind = "dispatch"
start = "10 s"
stop = "40 s"
"""


@pytest.mark.parametrize(
    ("fault", "by_19_s", "by_38_s"),
    [
        ("", "shed", "shed"),
        ('kind = "late"\nby = "12 s"', "whole", "shed"),
        ('kind = "reordered"\nwait = "1 min"', "whole", "whole"),
        ('kind = "overlapping"\nafter = "10 s"\nfactor = 0.2\nlasts = "1 min"', "shed", "deeper"),
        ('kind = "malformed"\nhow = "cut"', "whole", "whole"),
    ],
)  # fmt: skip
def test_the_reference_controller_follows_orders_over_http(
    tmp_path: Path, fault: str, by_19_s: str, by_38_s: str
) -> None:
    facts = played_over_http(tmp_path, fault)
    for second, state in ((19, by_19_s), (38, by_38_s)):
        place = int((facts.power.t_ns <= facts.armed_ns + second * SECOND).sum()) - 1
        share = facts.power.value[place] / facts.nominal_w
        low, high = {"shed": (0.2, 0.51), "deeper": (0.0, 0.12), "whole": (0.95, 1.05)}[state]
        assert low <= share <= high, f"{second} s: {share:.2f} of nominal, expected {state}"


def test_the_reference_controller_wakes_its_miners_when_an_order_is_withdrawn(tmp_path: Path) -> None:
    facts = played_over_http(tmp_path, 'kind = "cancelled"\nafter = "12 s"')
    commands = [o for o in facts.occurrences if o.kind == "miners"]
    woken_s = [(o.t_ns - facts.armed_ns) / SECOND for o in commands if o.data["script"] == "wake"]
    assert woken_s
    assert 22 < min(woken_s) < 30


def played_over_http(tmp_path: Path, fault: str) -> RunFacts:
    """Play the order to the reference controller, which listens over HTTP only."""
    sut = """
[sut]
kind = "python"
factory = "firmware_mocks.controllers.reference:controller"
config = { frequency = { follow = false }, dispatch = { source = "rest" }, return = { stage_share = 0.2 } }
"""
    struck = f'\n[[fault]]\nwhere = "signal:dispatch"\n{fault}\n' if fault else ""
    text = CASE.partition("[sut]")[0] + sut + struck
    more = '\n[[signal]]\nkind = "rest"\n\n[analyser]\nrate = "20 Hz"\nwindow = "50 ms"\n'
    case = write(tmp_path, rig=RIG + more, profile=ORDER, case=text)
    _, (found,) = load_cases(str(case))
    (tmp_path / "run").mkdir()
    play(plan(found), tmp_path / "run")
    facts = read_run(tmp_path / "run")
    assert facts.sut_ready
    assert not facts.sut_exit
    return facts
