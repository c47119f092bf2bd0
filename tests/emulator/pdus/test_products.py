"""Each product as a client meets it: what it says of itself, what its registers read, what switching means on it."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from emulator import catalogue
from emulator.clock import Clock, run
from emulator.contacts import History
from emulator.faults import Fault, FaultPlan
from emulator.faulty_site import outlet_port
from emulator.fleet import Fleet, MinerSpec
from emulator.grid import Grid
from emulator.modbus.pdu import Responder
from emulator.network import Network
from emulator.pdus.pdu import Pdu
from emulator.pdus.product import list_products, load_product
from emulator.seed import Seed
from emulator.site import FeederSpec, OutletSpec, PduSpec, Site, SiteSpec, split
from emulator.wire import MILLISECOND as MS
from emulator.wire import SECOND as S
from emulator.wire import Instant

SWITCHES = ("gude_epc_8041", "gude_epc_8045", "moxa_iologik_e1214", "raritan_px3_5000", "waveshare_relay_8")
ADDRESS = "127.1.251.1"


def built(name: str, *, contactor: bool = True, weld: str = "", wired: bool = True) -> tuple[Pdu, Site]:
    """A PDU over a real site with two S21 at every outlet; `weld` names an outlet whose contact has welded."""
    product = load_product(name)
    miners = [MinerSpec(f"m{i}", catalogue.model("s21"), catalogue.family("luxos")) for i in range(2 * product.outputs)]
    groups = split(range(len(miners)), product.outputs)
    outlets = tuple(OutletSpec(f"p.{n + 1}", group) for n, group in enumerate(groups))
    grid = Grid(50.0, 1e6)
    site = Site(
        SiteSpec("one", (FeederSpec("f", (PduSpec("p", outlets, contactor=contactor),)),)),
        Fleet(miners, Seed(3)), grid, Seed(3),
    )  # fmt: skip
    plan = FaultPlan([Fault(weld, "outlet_welded")] if weld else [], Seed(1))
    ports = [outlet_port(plan, outlet, "p", contactor=contactor) for outlet in site.outlets.values()]
    return Pdu(product, ports, grid, inputs=ports[: product.inputs] if wired else ()), site


def ask(pdu: Pdu, request: str, now: Instant = 0) -> str:
    return Responder(pdu).answer(bytes.fromhex(request), now).hex(" ")


def closed(site: Site, at: Instant) -> list[int]:
    """The numbers of the outlets whose relay is closed."""
    return [n for n, outlet in enumerate(site.outlets.values(), start=1) if outlet.closed(at)]


def talk(pdu: Pdu, act: Callable[[AsyncModbusTcpClient, Clock], Awaitable[None]]) -> None:
    """An unchanged pymodbus client against the PDU, in virtual time."""

    async def main(clock: Clock) -> None:
        network = Network(clock)
        network.attach(ADDRESS, pdu.device())
        await network.open()
        client = AsyncModbusTcpClient(ADDRESS, port=502)
        assert await client.connect()
        try:
            await act(client, clock)
        finally:
            client.close()
            await network.close()

    run(main)


def s32(words: list[int]) -> int:
    return int(struct.unpack(">i", struct.pack(">HH", *words))[0])


def f32(words: list[int]) -> float:
    return float(struct.unpack(">f", struct.pack(">HH", *words))[0])


# ---- all of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_products())
def test_every_figure_of_a_product_has_a_grade_and_a_source(name: str) -> None:
    product = load_product(name)
    assert product.facts
    assert all(fact.source for fact in product.facts)
    rows = (*product.holding.rows, *product.input.rows)
    assert all(row.source for row in rows)
    assert product.coils.told


@pytest.mark.parametrize("name", SWITCHES)
def test_a_client_switches_one_output_and_all_of_them_by_coils(name: str) -> None:
    pdu, site = built(name)
    first, count = pdu.product.coils.first_output, pdu.product.outputs

    async def act(client: AsyncModbusTcpClient, clock: Clock) -> None:
        await client.write_coil(first + 1, False, device_id=1)
        await clock.sleep(S)
        assert (await client.read_coils(first, count=count, device_id=1)).bits[:count] == [n != 1 for n in range(count)]
        await client.write_coils(first, [False] * count, device_id=1)
        await clock.sleep(S)
        assert closed(site, clock.now()) == []
        await client.write_coils(first + 2, [True, True], device_id=1)  # some of them only
        await clock.sleep(S)
        assert closed(site, clock.now()) == [3, 4]
        assert (await client.read_coils(first + count, count=1, device_id=1)).exception_code == 2
        assert (await client.write_coils(first + count - 1, [True, True], device_id=1)).exception_code == 2
        assert closed(site, clock.now()) == [3, 4]

    talk(pdu, act)


@given(st.sampled_from(list_products()), st.binary(min_size=1, max_size=253), st.integers(0, 100 * S))
def test_any_request_is_answered(name: str, request: bytes, now: Instant) -> None:
    pdu, _ = PDUS.setdefault(name, built(name))
    assert Responder(pdu).answer(request, now)


PDUS: dict[str, tuple[Pdu, Site]] = {}


# ---- Gude ----------------------------------------------------------------------------------------------------------


def test_gude_shows_the_examples_of_its_manual_where_they_stand() -> None:
    product = load_product("gude_epc_8045")
    at = {row.address: row.quantity for row in product.input.rows}
    assert at[0x3D6C] == "output_phase_deg:4"
    assert at[0x402] == "power_w"
    assert at[0x3A00 + 11 * 0x120 + 2] == "output_power_w:12"


def test_gude_meters_every_outlet_and_the_mains_connection() -> None:
    pdu, site = built("gude_epc_8045", contactor=False)

    async def act(client: AsyncModbusTcpClient, clock: Clock) -> None:
        assert (await client.read_input_registers(0, count=6, device_id=1)).registers == [12, 12, 0, 1, 1, 0]
        await client.write_coil(4, False, device_id=1)
        await clock.sleep_until(3600 * S)
        powers = []
        for port in range(12):
            block = (await client.read_input_registers(0x3A00 + 0x120 * port, count=46, device_id=1)).registers
            values = [s32(block[2 * n : 2 * n + 2]) for n in range(23)]
            power = values[1]
            powers.append(power)
            assert values[2] == 240
            assert values[4] == 5000
            assert values[5] == (950 if power else 0)
            assert values[3] == pytest.approx(power / 240 / 0.95 * 1000, abs=3)
            assert values[7] == pytest.approx(power / 0.95, abs=1)
            assert values[0] == values[9] == values[13] == pytest.approx(power * 1.0, rel=0.01, abs=1)
            assert values[12] == 3600
            assert values[17:22] == [0, 0, 0, 0, 0]
        assert [n for n, power in enumerate(powers) if not power] == [4]
        assert min(power for power in powers if power) > 6000
        total = s32((await client.read_input_registers(0x402, count=2, device_id=1)).registers)
        assert total == pytest.approx(sum(powers), abs=8)
        assert (await client.read_input_registers(0x100, count=8, device_id=1)).registers == [0x8000] * 8

    talk(pdu, act)
    assert site.feeders["f"].energy_j(0, 3600 * S) / 3600 / 1.015 == pytest.approx(
        pdu.value("energy_wh", 3600 * S), rel=1e-6
    )


def test_gude_without_port_metering_counts_no_metered_ports() -> None:
    pdu, _ = built("gude_epc_8041", contactor=False)
    assert ask(pdu, "04 0000 0002", S) == "04 04 00 0c 00 00"
    assert pdu.value("power_w", 2 * S) > 80_000.0
    assert ask(pdu, "04 3a02 0002", 2 * S) == "04 04 00 00 00 00"


def test_gude_tells_what_it_is_in_three_objects_of_conformity_one() -> None:
    pdu, _ = built("gude_epc_8045")
    reply = bytes.fromhex(ask(pdu, "2b 0e 01 00"))
    assert reply[:7] == bytes((0x2B, 0x0E, 1, 1, 0, 0, 3))
    assert b"GUDE Systems GmbH" in reply


def test_a_welded_contact_shows_in_the_metering_of_its_outlet_and_nowhere_else() -> None:
    pdu, site = built("gude_epc_8045", contactor=False, weld="p.3")
    for coil in (2, 3):
        ask(pdu, f"05 {coil:04x} 0000", S)
    assert ask(pdu, "01 0000 000c", 10 * S) == "01 02 f3 0f"  # both relays read open
    assert [pdu.value(f"output_power_w:{n}", 10 * S) > 6000.0 for n in (3, 4)] == [True, False]
    assert pdu.value("output_energy_wh:3", 100 * S) > pdu.value("output_energy_wh:4", 100 * S)
    assert site.feeders["f"].power_w(10 * S) > 70_000.0


# ---- Raritan -------------------------------------------------------------------------------------------------------


def test_raritan_reads_floats_of_inlet_and_outlets_and_its_own_inrush() -> None:
    pdu, _ = built("raritan_px3_5000", contactor=False)

    async def act(client: AsyncModbusTcpClient, clock: Clock) -> None:
        async def value(address: int) -> float:
            return f32((await client.read_holding_registers(address, count=2, device_id=1)).registers)

        assert (await client.read_holding_registers(0, count=5, device_id=1)).registers == [1, 1, 0, 8, 0]
        await clock.sleep_until(5 * S)
        assert await value(0x3008) == pytest.approx(240.0)
        assert await value(0x3022) == pytest.approx(50.0)
        powers = [await value(0x8012 + 0x40 * n) for n in range(8)]
        assert await value(0x3012) == pytest.approx(sum(powers), rel=1e-6)
        assert await value(0x800E) == 0.0
        await client.write_coil(0x8000, False, device_id=1)
        await clock.sleep(10 * S)
        await client.write_coil(0x8000, True, device_id=1)
        await clock.sleep(10 * S)
        assert await value(0x800E) == pytest.approx(90.0)  # two supplies of 45 A
        assert np.isnan(await value(0x800C))
        mask = await client.mask_write_register(address=0, and_mask=0, or_mask=0, device_id=1)
        assert mask.exception_code == 2

    talk(pdu, act)


def test_raritan_closes_outlets_one_after_another_and_opens_them_at_once() -> None:
    pdu, site = built("raritan_px3_5000")
    ask(pdu, "0f 8000 0008 01 00", S)
    opened = [outlet.relay.last(2 * S) for outlet in site.outlets.values()]
    assert len(set(opened)) == 1
    ask(pdu, "0f 8000 0008 01 ff", 10 * S)
    at = [outlet.relay.last(20 * S) for outlet in site.outlets.values()]
    assert np.diff(at).tolist() == [200 * MS] * 7


# ---- Moxa ----------------------------------------------------------------------------------------------------------


def test_moxa_switches_by_a_mask_and_its_inputs_sense_the_contactors() -> None:
    pdu, site = built("moxa_iologik_e1214")
    assert ask(pdu, "03 0020 0001") == "03 02 00 3f"
    assert ask(pdu, "06 0020 0015", S) == "06 00 20 00 15"
    assert closed(site, 2 * S) == [1, 3, 5]
    assert ask(pdu, "02 0000 0006", 2 * S) == "02 01 15"
    assert ask(pdu, "04 0030 0001", 2 * S) == "04 02 00 15"
    slow = site.outlets["p.2"]
    opens = slow.relay.last(2 * S)
    assert opens is not None
    assert ask(pdu, "02 0001 0001", opens) == "02 01 01"  # the relay has moved, the contactor has not
    assert ask(pdu, "02 0001 0001", opens + slow.open_ns) == "02 01 00"


def test_moxa_tells_a_welded_contactor_from_an_open_one() -> None:
    pdu, site = built("moxa_iologik_e1214", weld="p.2")
    ask(pdu, "06 0020 0000", S)
    assert ask(pdu, "01 0000 0006", 2 * S) == "01 01 00"
    assert ask(pdu, "02 0000 0006", 2 * S) == "02 01 02"
    assert site.outlets["p.2"].load_w(2 * S) > 6000.0


def test_moxa_pulses_as_often_and_as_long_as_is_set() -> None:
    pdu, site = built("moxa_iologik_e1214")
    outlet = site.outlets["p.1"]
    ask(pdu, "05 0000 0000", 0)
    assert ask(pdu, "10 0024 0002 04 0000 0003", S) == "10 00 24 00 02"
    assert ask(pdu, "06 0034 0002", S) == "06 00 34 00 02"
    assert ask(pdu, "03 0024 0002", S) == "03 04 00 00 00 03"
    assert ask(pdu, "03 0034 0001", S) == "03 02 00 02"
    assert ask(pdu, "06 0024 0003", S) == "86 02"  # one word of two
    ask(pdu, "05 0010 ff00", 10 * S)
    assert ask(pdu, "01 0010 0001", 11 * S) == "01 01 01"
    begin = 10 * S + 10 * MS
    assert [at - begin for at, _ in outlet.relay.moves(10 * S)] == [n * 1500 * MS for n in (0, 2, 3, 5, 6, 8)]
    assert ask(pdu, "01 0010 0001", 30 * S) == "01 01 00"
    assert not outlet.closed(30 * S)
    assert ask(pdu, "04 0040 0002", 30 * S) == "04 04 00 00 00 03"  # operations of the relay
    ask(pdu, "05 0010 ff00", 40 * S)
    ask(pdu, "05 0010 0000", 41 * S)
    assert not outlet.closed(60 * S)
    assert len(list(outlet.relay.moves(40 * S))) == 2


def test_moxa_counts_closings_of_an_input_while_it_is_told_to() -> None:
    pdu, _ = built("moxa_iologik_e1214")

    def cycle(at: Instant) -> None:
        ask(pdu, "05 0000 0000", at)
        ask(pdu, "05 0000 ff00", at + S)

    cycle(S)
    ask(pdu, "05 0100 ff00", 10 * S)
    assert ask(pdu, "01 0100 0001", 10 * S) == "01 01 01"
    cycle(11 * S)
    cycle(14 * S)
    assert ask(pdu, "04 0010 0002", 20 * S) == "04 04 00 00 00 02"
    ask(pdu, "05 0100 0000", 20 * S)
    cycle(21 * S)
    assert ask(pdu, "04 0010 0002", 30 * S) == "04 04 00 00 00 02"
    assert ask(pdu, "05 0110 0000", 30 * S) == "85 03"
    assert ask(pdu, "0f 0110 0001 01 00", 30 * S) == "8f 03"
    assert ask(pdu, "05 0110 ff00", 30 * S) == "05 01 10 ff 00"
    assert ask(pdu, "04 0010 0002", 30 * S) == "04 04 00 00 00 00"
    assert ask(pdu, "01 0110 0001", 30 * S) == "01 01 00"
    assert ask(pdu, "05 0030 ff00", 30 * S) == "05 00 30 ff 00"
    assert ask(pdu, "04 0060 0002", 31 * S) == "04 04 00 00 00 00"


def test_an_input_that_nothing_is_wired_to_is_open() -> None:
    pdu, _ = built("moxa_iologik_e1214", wired=False)
    assert ask(pdu, "02 0000 0006") == "02 01 00"
    assert ask(pdu, "04 0010 0002") == "04 04 00 00 00 00"
    waveshare, site = built("waveshare_relay_8")
    with pytest.raises(ValueError, match="0 inputs, 1 are given"):
        Pdu(waveshare.product, list(site.outlets.values()), Grid(50.0, 1.0), inputs=[Always()])


class Always:
    """Something that is always closed."""

    def contacts(self) -> History:
        return History()


# ---- Waveshare -----------------------------------------------------------------------------------------------------


def test_waveshare_toggles_one_relay_and_all_of_them() -> None:
    pdu, site = built("waveshare_relay_8")
    assert ask(pdu, "05 0002 5500", S) == "05 00 02 55 00"
    assert closed(site, 2 * S) == [1, 2, 4, 5, 6, 7, 8]
    assert ask(pdu, "05 00ff 5500", 2 * S) == "05 00 ff 55 00"
    assert closed(site, 3 * S) == [3]
    assert ask(pdu, "05 01ff ff00", 3 * S) == "05 01 ff ff 00"
    assert closed(site, 4 * S) == [1, 2, 4, 5, 6, 7, 8]
    ask(pdu, "05 00ff ff00", 4 * S)
    assert closed(site, 5 * S) == list(range(1, 9))
    ask(pdu, "05 00ff 0000", 5 * S)
    assert closed(site, 6 * S) == []
    assert ask(pdu, "05 0002 1234", 6 * S) == "85 03"
    assert ask(pdu, "01 00ff 0001", 6 * S) == "81 02"
    assert ask(pdu, "0f 00ff 0001 01 01", 6 * S) == "8f 02"


def test_waveshare_flashes_for_the_time_in_the_value() -> None:
    pdu, site = built("waveshare_relay_8")
    outlet = site.outlets["p.1"]
    assert ask(pdu, "05 0400 0007", S) == "05 04 00 00 07"
    at = S + 10 * MS
    assert list(outlet.relay.moves()) == [(at, False), (at + 700 * MS, True)]
    ask(pdu, "05 0000 0000", 5 * S)
    ask(pdu, "05 0200 0001", 10 * S)
    assert list(outlet.relay.moves(6 * S)) == [(10 * S + 10 * MS, True), (10 * S + 110 * MS, False)]


def test_waveshare_keeps_its_settings_in_registers() -> None:
    pdu, _ = built("waveshare_relay_8")
    assert ask(pdu, "03 8000 0001") == "03 02 00 c8"
    assert ask(pdu, "06 4000 0007") == "06 40 00 00 07"
    assert ask(pdu, "03 4000 0001") == "03 02 00 07"
    assert pdu.unit == 7
    assert ask(pdu, "06 4000 0100") == "86 03"
    assert ask(pdu, "06 2000 0005") == "06 20 00 00 05"
    assert ask(pdu, "03 2000 0001") == "03 02 00 05"
    assert ask(pdu, "06 8000 0001") == "86 02"


def test_waveshare_is_silent_for_another_unit() -> None:
    device: Any = built("waveshare_relay_8")[0].device()
    assert device.answer(2, bytes.fromhex("01 0000 0008"), 0) is None
    assert device.answer(1, bytes.fromhex("01 0000 0008"), 0) == bytes.fromhex("01 01 ff")
