"""Every driver of the reference controller against the face of its firmware, on the fleet's physics, in no time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.register_message import ReadInputRegistersResponse

from emulator.catalogue import Phase
from emulator.clock import Clock, run
from firmware_mocks import miners
from firmware_mocks.controllers import drivers
from firmware_mocks.controllers.drivers import DeviceError
from firmware_mocks.controllers.drivers.modbus import ModbusUnit
from firmware_mocks.controllers.drivers.whatsminer_v2 import md5crypt
from firmware_mocks.controllers.modbus_link import Links
from tests.clients.site import Site, units_of

NOWHERE = "127.9.250.1"
ASLEEP_SHARE = 0.2
WAYS: list[tuple[str, dict[str, object]]] = [(name, {}) for name in sorted(drivers.MINERS)] + [
    ("avalon", {"softoff_reply": "info", "softon_reply": "ok"}),
    ("vnish", {"empty_mining_body": True}),
    ("antminer-stock", {"write_key": "miner-mode"}),
]
"""Each firmware as it comes, and the other ways of answering that are known of some."""


def entry(firmware: str, address: str) -> dict[str, object]:
    face = miners.load(firmware)
    login = {"username": face.credentials.username, "password": face.credentials.password}
    return {"firmware": firmware, "address": address, "ports": dict(face.ports), "credentials": login}


def models(firmware: str) -> list[str]:
    return [model for _, model in units_of(firmware)]


def on_site(firmware: str, what: Callable[[Site], Awaitable[None]], **knobs: object) -> None:
    """Do `what` on a site with one miner of each model that the firmware runs on."""
    Site.run(units_of(firmware), what, {firmware: knobs})


def test_every_firmware_that_ships_has_a_driver() -> None:
    assert set(drivers.MINERS) == set(miners.names())


@pytest.mark.parametrize(("firmware", "knobs"), WAYS)
def test_a_driver_puts_every_model_to_sleep_and_wakes_it_again(firmware: str, knobs: dict[str, object]) -> None:
    async def curtail(site: Site) -> None:
        http = drivers.http_client(30.0, 5.0)
        for model in models(firmware):
            driver = drivers.miner(entry(firmware, site.address(model)), http, 5.0)
            assert driver is not None
            nominal_w = site.true_w(model)
            await driver.set_mode("sleep")
            await driver.set_mode("sleep")
            await site.wait_s(60)
            assert site.unit(model).phase(site.now) is Phase.SLEEP
            await site.wait_s(300)
            assert site.true_w(model) < ASLEEP_SHARE * nominal_w
            await driver.set_mode("mine")
            await driver.set_mode("mine")
            await site.wait_s(600)
            assert site.unit(model).phase(site.now) is Phase.HASHING
            assert site.true_w(model) == pytest.approx(nominal_w, rel=0.06)
        await http.close()

    on_site(firmware, curtail, **knobs)


@pytest.mark.parametrize("firmware", ["whatsminer", "whatsminer-v3"])
def test_a_whatsminer_is_back_at_full_power_in_a_minute_because_fast_boot_was_set(firmware: str) -> None:
    async def curtail(site: Site) -> None:
        http = drivers.http_client(30.0, 5.0)
        driver = drivers.miner(entry(firmware, site.address(models(firmware)[0])), http, 5.0)
        assert driver is not None
        nominal_w = site.true_w(models(firmware)[0])
        await driver.set_mode("sleep")
        await site.wait_s(60)
        await driver.set_mode("mine")
        await site.wait_s(75)
        assert site.true_w(models(firmware)[0]) > 0.95 * nominal_w
        await http.close()

    on_site(firmware, curtail)


@pytest.mark.parametrize("firmware", sorted(set(drivers.MINERS) - {"avalon", "bitaxe", "luxos"}))
def test_a_wrong_password_is_a_device_error_and_moves_nothing(firmware: str) -> None:
    async def curtail(site: Site) -> None:
        http = drivers.http_client(30.0, 5.0)
        wrong = {
            **entry(firmware, site.address(models(firmware)[0])),
            "credentials": {"username": "x", "password": "wrong"},
        }
        driver = drivers.miner(wrong, http, 5.0)
        assert driver is not None
        with pytest.raises(DeviceError):
            await driver.set_mode("sleep")
        await site.wait_s(60)
        assert site.unit(models(firmware)[0]).phase(site.now) is Phase.HASHING
        await http.close()

    on_site(firmware, curtail)


def test_a_bitaxe_of_an_older_build_cannot_be_paused_and_says_so() -> None:
    async def curtail(site: Site) -> None:
        http = drivers.http_client(30.0, 5.0)
        driver = drivers.miner(entry("bitaxe", site.address(models("bitaxe")[0])), http, 5.0)
        assert driver is not None
        with pytest.raises(drivers.HttpStatusError) as caught:
            await driver.set_mode("sleep")
        assert caught.value.status == 404
        await http.close()

    on_site("bitaxe", curtail, build="2.12.2")


def test_a_device_that_is_not_there_is_a_device_error_for_every_driver() -> None:
    async def curtail(site: Site) -> None:
        http = drivers.http_client(3.0, 1.0)
        for firmware in drivers.MINERS:
            driver = drivers.miner(entry(firmware, NOWHERE), http, 1.0)
            assert driver is not None
            with pytest.raises(DeviceError):
                await driver.set_mode("sleep")
        await http.close()

    on_site("luxos", curtail)


def test_md5crypt_gives_the_published_digest() -> None:
    # openssl passwd -1 -salt 01234567 password
    assert md5crypt("password", "01234567") == "b5lh2mHyD2PdJjFfALlEz1"


def test_who_is_told_to_end_at_the_instant_of_a_reply_ends() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main(clock: Clock) -> bool:
        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            unit = ModbusUnit(Links(3.0).to({"address": "127.0.0.1", "port": port}), 1)
            reply: asyncio.Future[ModbusPDU] = asyncio.get_running_loop().create_future()
            asking = asyncio.create_task(unit.ask(lambda _client, _unit: asyncio.wait_for(reply, 3.0)))
            await clock.sleep(1)
            reply.set_result(ReadInputRegistersResponse(registers=[1]))
            asking.cancel()
            await asyncio.wait([asking])
            unit.close()
            await clock.sleep(1)
        return asking.cancelled()

    assert run(main)
