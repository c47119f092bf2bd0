"""Firmwares are found by name, whoever ships them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from emulator.catalogue import family_ids, model, model_ids
from emulator.seed import Seed
from emulator.wire import Conversation, Reach, Send
from firmware_mocks import miners
from firmware_mocks.miners.base import API, BOOT_ORDER_NS, MinerDevice
from firmware_mocks.miners.cgminer import ApiConversation, Command, Dialect, Reply


@dataclass(frozen=True)
class ToyKnobs:
    greeting: str = "moin"


class ToyDevice(MinerDevice):
    """The whole of a firmware that knows one command."""

    def __init__(self, unit: miners.MinerUnit, host: miners.HostInfo, seed: Seed, knobs: ToyKnobs) -> None:
        super().__init__(unit, host, seed, ports=(4028,))
        self.knobs = knobs

    def _open(self, port: int, peer: str, now: int) -> Conversation:
        return ApiConversation(self, TOY_DIALECT)


TOY_DIALECT: Dialect[ToyDevice] = Dialect(
    "toyminer 1", {"hello": Command(lambda device, _request, _now: Reply("S", 1, device.knobs.greeting))}, service_ns=0
)
TOY = miners.Firmware(
    name="toy",
    title="Toy",
    make="Antminer",
    models=frozenset({"s21"}),
    phases="luxos",
    ports={API: 4028},
    credentials=miners.Credentials(),
    start=ToyDevice,
    knobs=ToyKnobs(),
)


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(miners, "_registered", {})
    miners._installed.cache_clear()
    yield
    miners._installed.cache_clear()


@pytest.mark.parametrize("name", miners.SHIPPED)
def test_every_shipped_firmware_fits_the_catalogue(name: str) -> None:
    firmware = miners.load(name)
    assert firmware.phases in family_ids()
    assert firmware.models <= set(model_ids())
    assert all(firmware.runs_on(model(model_id)) for model_id in firmware.models)


def test_an_unknown_name_is_answered_with_the_near_one() -> None:
    with pytest.raises(miners.FirmwareError, match="did you mean 'luxos'"):
        miners.load("luxo")


def test_a_firmware_refuses_a_model_it_is_not_made_for(bench: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"antminer-stock.*does not run on 'm50s'; it runs on s19_xp"):
        bench("antminer-stock", "m50s")


def test_an_unknown_knob_is_an_error() -> None:
    with pytest.raises(TypeError, match="set_conf_replies"):
        miners.load("antminer-stock").tuned(set_conf_replies=1)


@pytest.mark.usefixtures("clean")
def test_a_firmware_registered_in_the_process_answers_like_a_shipped_one(bench: Callable[..., Any]) -> None:
    miners.register(TOY)
    assert "toy" in miners.names()
    reply = bench("toy", "s21", greeting="servus").ask("hello")
    assert reply["STATUS"][0]["Msg"] == "servus"


@pytest.mark.usefixtures("clean")
def test_a_firmware_of_another_distribution_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("toy", "toy_package:FIRMWARE", miners.ENTRY_POINTS)
    monkeypatch.setattr(EntryPoint, "load", lambda self: TOY)
    monkeypatch.setattr(miners, "entry_points", lambda group: [point])
    assert miners.names() == tuple(sorted([*miners.SHIPPED, "toy"]))
    assert miners.load("toy") is TOY


@pytest.mark.usefixtures("clean")
def test_a_shipped_name_cannot_be_taken() -> None:
    with pytest.raises(miners.FirmwareError, match="exists already"):
        miners.register(miners.load("luxos"))


@pytest.mark.parametrize("name", miners.SHIPPED)
def test_a_face_follows_the_power_of_its_miner(bench: Callable[..., Any], name: str) -> None:
    made = bench(name)
    device, unit = made.device, made.unit
    first, last = min(device.ports), max(device.ports)
    assert device.reach(last, 10) is Reach.ANSWERS
    assert device.reach(4029, 10) is Reach.REFUSES
    unit.api = 20
    assert device.reach(first, 10) is Reach.REFUSES
    assert device.reach(first, 20) is Reach.ANSWERS
    unit.powered = unit.api = None
    assert device.reach(first, 30) is Reach.SILENT


@pytest.mark.parametrize("name", miners.SHIPPED)
def test_a_connection_does_not_outlive_the_host_it_was_made_to(bench: Callable[..., Any], name: str) -> None:
    made = bench(name)
    device, unit = made.device, made.unit
    for port, said in (
        (4028, json.dumps({"command": "version"}).encode() + b"\n"),
        (80, b"GET / HTTP/1.1\r\nHost: m\r\n\r\n"),
    ):
        unit.powered = unit.api = 0
        if port not in device.ports:
            continue
        before = device.converse(port, "127.0.0.1", 10)
        unit.powered = unit.api = None
        assert device.converse(port, "127.0.0.1", 20).received(b"x", 20)[0].reset
        assert list(before.received(said, 20)) == []
        unit.boots(30)
        assert before.received(said, 40)[0].reset
        later = 50 + BOOT_ORDER_NS
        assert isinstance(device.converse(port, "127.0.0.1", later).received(said, later)[0], Send)
