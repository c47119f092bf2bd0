"""`ramprig up rig:mixed` as a process: two fleet tools scan the subnet and find exactly what the inventory lists."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Iterator

import pyasic.settings
import pytest

from bench import inventory
from emulator import catalogue
from tests.clients.client import Scanner
from tests.clients.every import PYASIC, PYASIC_RS, faces
from tests.system.test_cli_real import may_be_bound, started, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyasic asks all addresses at once and gives up after 3 s, which a busy machine may need for its own work."""
    monkeypatch.setattr(pyasic.settings._settings, "network_scan_semaphore", 16)
    monkeypatch.setattr(pyasic.settings._settings, "factory_get_timeout", 30)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[inventory.Inventory]:
    """The inventory of the mixed rig, which is up."""
    folder = tmp_path_factory.mktemp("mixed")
    end_s = time.monotonic() + 30
    while not all(may_be_bound(port) for port in (80, 502, 4028)):
        if time.monotonic() > end_s:
            pytest.skip("the vendors' ports cannot be bound: in use, or kept for privileged programs")
        time.sleep(0.2)
    with started(folder, "up", "rig:mixed", "--inventory", "site.json") as process:
        until(lambda: process.poll() is not None or (folder / "site.json").exists())
        assert process.poll() is None, (folder / "err.txt").read_text()
        yield inventory.read(folder / "site.json")
        process.terminate()
        assert process.wait(20) == 0
    assert (folder / "err.txt").read_text() == "ramprig: the site is down\n"


def test_the_inventory_tells_address_model_firmware_and_credentials_of_every_miner(site: inventory.Inventory) -> None:
    assert {miner.firmware for miner in site.miners} == set(faces())
    for miner in site.miners:
        assert ipaddress.ip_address(miner.address).is_loopback
        assert catalogue.model(f"{miner.make} {miner.model}").nominal_w == miner.nominal_w
        assert miner.ports
    assert site.meters
    assert site.pdus


@pytest.mark.parametrize("client", [PYASIC, PYASIC_RS], ids=lambda client: client.name)
def test_a_scan_of_the_subnet_finds_what_the_inventory_lists(site: inventory.Inventory, client: Scanner) -> None:
    block = ipaddress.ip_network(f"{site.miners[0].address}/32")
    while not all(ipaddress.ip_address(miner.address) in block for miner in site.miners):
        block = block.supernet()
    expected = {}
    for miner in site.miners:
        model = catalogue.model(f"{miner.make} {miner.model}").id
        expected[miner.address] = faces()[miner.firmware].identity(client, model)
    assert asyncio.run(client.scan(str(block.supernet()))) == expected
