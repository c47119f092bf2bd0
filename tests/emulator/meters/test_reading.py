"""What a client makes of every product's registers is what the meter shows, in as few requests as its map allows."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import list_products, load_product
from emulator.meters.reading import FREQUENCY, POWER, MeterReading, Request
from emulator.meters.settings import Setting
from emulator.modbus.pdu import Responder
from emulator.timeline import Signal
from emulator.wire import SECOND

NOW = 5 * SECOND


class Point:
    """36 kW at 230 V."""

    def power_w(self, at):
        return 36e3

    def energy_j(self, start, stop):
        return 36e-6 * (stop - start)

    def voltage_v(self, at):
        return 230.0


def meter(name: str, **options) -> Meter:
    grid = Grid(60.0, 1e6)
    grid.play({"frequency": Signal.constant(59.87)}, 0)
    return Meter(load_product(name), Point(), grid, gain=1.0, **options)


def read(reading: MeterReading, device: Meter) -> dict[str, float]:
    replies = []
    for request in reading.requests:
        answer = Responder(device).answer(struct.pack(">BHH", request.function, request.address, request.count), NOW)
        assert answer[0] == request.function, f"{request}: exception {answer[-1]}"
        replies.append(struct.unpack(f">{request.count}H", answer[2:]))
    return reading.values(replies)


@pytest.mark.parametrize("name", list_products())
def test_power_and_frequency_of_every_product_are_read_as_they_are(name: str) -> None:
    product = load_product(name)
    reading = MeterReading(product)
    found = read(reading, meter(name))
    assert found[POWER] == pytest.approx(36e3, abs=max(1.0, reading.power_quantum_w), rel=2e-3)
    if FREQUENCY in found:
        assert found[FREQUENCY] == pytest.approx(59.87, abs=0.06)
    assert sum(request.count for request in reading.requests) <= 80
    assert all(request.count <= product.max_registers for request in reading.requests)
    assert reading.power_refresh.period_ns > 0


def test_one_request_is_enough_where_the_map_lets_power_and_frequency_be_read_together() -> None:
    assert MeterReading(load_product("eastron_sdm630")).requests == (Request(4, 0x34, 20),)


@pytest.mark.parametrize("base", [40000, 0, 50000])
def test_scale_factors_and_the_base_of_sunspec_are_followed(base: int) -> None:
    reading = MeterReading(load_product("sunspec_203"), base=base)
    small, large = meter("sunspec_203", base=base, rated_w=50e3), meter("sunspec_203", base=base, rated_w=50e6)
    assert read(reading, small)[POWER] == pytest.approx(36e3, abs=10.0)
    assert read(reading, large)[POWER] == pytest.approx(36e3, abs=10_000.0)


def test_turned_words_are_turned_back() -> None:
    product = load_product("eastron_sdm630")
    turned = Setting("turned", initial=1.0, role="word_order")
    product = replace(product, settings={**product.settings, "turned": turned})
    device = Meter(product, Point(), Grid(60.0, 1e6), gain=1.0)
    assert read(MeterReading(product), device)[POWER] == pytest.approx(36e3, rel=2e-3)


def test_the_row_that_is_renewed_most_often_is_read() -> None:
    reading = MeterReading(load_product("accuenergy_acuvim_ii"))
    assert reading.power_refresh.period_ns == 20_000_000
