"""Complaints about one vendor's firmware on that vendor's own face, with pyasic unchanged in virtual time.

The numbers are those of docs/reference/field-complaints.md; a face that this build does not ship is skipped.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from emulator.catalogue import Phase
from firmware_mocks import miners
from tests.firmware_mocks.miners.yard import Yard, fault, on, pyasic, read

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
WM, WM3, BOS = ("whatsminer", "m50s"), ("whatsminer-v3", "m60s"), ("braiins", "s19j_pro")
VNISH, AVALON, BITAXE = ("vnish", "s19"), ("avalon", "a1566"), ("bitaxe", "bitaxe_gamma")


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def face(unit: tuple[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.skipif(unit[0] not in miners.SHIPPED, reason=f"the face {unit[0]} does not ship")


@face(BOS)
def test_17_a_stopped_braiins_miner_whose_socket_is_away_is_not_known_by_its_model() -> None:
    async def what(yard: Yard) -> tuple[str, str]:
        before = str(await yard.miner())
        await yard.wait_s(10)
        return before, str(await yard.miner())

    before, after = on(what, fault("refuse", start_s=5, ports="4028"), unit=BOS)
    assert "S19j Pro (BOS+)" in before
    assert "S19j Pro" not in after


@face(BOS)
def test_18_a_limit_is_set_and_then_the_connection_is_lost() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        await yard.wait_s(10 - yard.now_s)
        assert await miner.set_power_limit(2500)
        await yard.wait_s(20 - yard.now_s)
        assert await yard.miner() is None
        await yard.wait_s(40)
        assert (await yard.data()).wattage_limit == 2500

    on(what, fault("refuse", 15, 45), unit=BOS)


@face(WM3)
def test_21_fields_that_the_new_api_lost_are_unknown() -> None:
    sound, _ = on(read, unit=WM3)
    data, _ = on(read, fault("misread", how="remove", keys="power-realtime elapsed", ports="4433"), unit=WM3)
    assert sound.wattage > 3000
    assert data.wattage is None
    assert data.uptime is None


@face(WM)
@pytest.mark.parametrize("kind", ["hang_up", "no_answer"])
def test_22_23_a_write_of_whatsminer_without_a_reply_is_done(kind: str) -> None:
    async def what(yard: Yard) -> Any:
        miner = await yard.miner()
        stopping = asyncio.create_task(miner.stop_mining())
        await yard.wait_s(60)
        assert yard.watts() < 500
        (said,) = await asyncio.gather(stopping, return_exceptions=True)
        return said

    assert on(what, fault(kind, requests="enc"), unit=WM) is not True


@face(WM)
def test_25_a_whatsminer_that_is_off_for_two_hours_shows_its_last_rate() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        before = await miner.get_data()
        await yard.wait_s(10 - yard.now_s)
        await miner.stop_mining()
        await yard.wait_s(7200)
        after = await miner.get_data()
        assert float(after.hashrate) == float(before.hashrate) > 100
        assert yard.watts() < 500

    on(what, fault("misread", 10, how="freeze", keys="*HS*"), unit=WM)


@face(VNISH)
def test_28_a_preset_of_vnish_is_taken_and_changes_nothing() -> None:
    async def what(yard: Yard) -> None:
        before_w = yard.watts()
        await (await yard.miner()).set_power_limit(2500)
        await yard.wait_s(600)
        assert yard.unit.phase(yard.clock.now()) is Phase.HASHING
        assert yard.watts() == pytest.approx(before_w, rel=0.02)

    on(what, fault("acknowledge_only", requests="POST/api/v1/settings"), unit=VNISH)


@face(VNISH)
def test_29_an_unknown_model_of_vnish_has_no_boards() -> None:
    pages = "stats version devdetails /api/v1/info"
    wrong = fault("misread", how="put", keys="Type miner model", value="Antminer S99", requests=pages)
    data, _ = on(read, wrong, unit=VNISH)
    assert data.hashboards == []


@face(AVALON)
def test_33_the_short_average_of_avalon_is_far_below_the_truth() -> None:
    sound, _ = on(read, unit=AVALON)
    data, _ = on(read, fault("misread", how="scale", keys="MHS* GHS* MGHS*", factor=0.3), unit=AVALON)
    assert float(data.hashrate) == pytest.approx(0.3 * float(sound.hashrate), rel=0.05)


@face(AVALON)
@pytest.mark.parametrize(("how", "whole"), [("leading_comma", True), ("nan", True), ("bare_nan", False)])
def test_34_replies_of_avalon_are_repaired_or_lost(how: str, whole: bool) -> None:
    data, _ = on(read, fault("malformed", how=how, requests="*+* summary estats stats devs"), unit=AVALON)
    assert (float(data.hashrate or 0) > 100) is whole


@face(BITAXE)
def test_35_the_rate_of_a_bitaxe_stands_still_and_no_share_comes() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        before = await miner.web.system_info()
        await yard.wait_s(600)
        after = await miner.web.system_info()
        assert (after["hashRate"], after["sharesAccepted"]) == (before["hashRate"], before["sharesAccepted"])
        assert after["uptimeSeconds"] > before["uptimeSeconds"] + 500

    on(what, fault("misread", 1, how="freeze", keys="hashRate* shares*"), unit=BITAXE)


@face(BITAXE)
def test_36_a_bitaxe_shows_nothing_at_five_watts() -> None:
    rates, watts = fault("misread", keys="hashRate*"), fault("misread", how="put", keys="power", value="5.0")
    data, _ = on(read, rates, watts, unit=BITAXE)
    assert (float(data.hashrate), data.wattage) == (0, 5)


@face(BITAXE)
def test_38_a_page_in_the_place_of_json_is_no_bitaxe() -> None:
    async def what(yard: Yard) -> Any:
        return await pyasic.get_miner(yard.address)

    assert "Gamma" not in str(on(what, fault("other_body", requests="/api/*"), unit=BITAXE))
