"""What each product shows of one known state, worked out by hand from its maker's scaling, and its manners."""

from __future__ import annotations

import dataclasses
import math
import struct

import pytest

from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import list_products, load_product
from emulator.modbus.pdu import Responder
from emulator.modbus.registers import WordOrder
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import SECOND

NOW = 1000 * SECOND


class Point:
    """36 kW at 230 V for ever: with a power factor of 0.9 that is 40 kVA, 17.4356 kvar, 57.971 A a line of three.

    After 1000 s, when everything is asked, 10 kWh have been counted.
    """

    def __init__(self, power_w: float = 36e3) -> None:
        self.watts = power_w

    def power_w(self, at):
        return self.watts

    def energy_j(self, start, stop):
        return self.watts * (stop - start) / SECOND

    def voltage_v(self, at):
        return 230.0


def make_meter(name: str, power_w: float = 36e3, **options) -> Meter:
    grid = Grid(50.0, 1e6)
    grid.play({"frequency": Signal.constant(49.97)}, 0)
    product = load_product(name)
    refresh = {"energy": dataclasses.replace(product.refresh["energy"], period_ns=SECOND)}
    return Meter(product, Point(power_w), grid, power_factor=0.9, refresh=refresh, **options)


def ask(meter: Meter, request: str | bytes, now: int = NOW) -> bytes:
    return Responder(meter).answer(bytes.fromhex(request) if isinstance(request, str) else request, now)


def read(meter: Meter, function: int, address: int, count: int) -> bytes:
    reply = ask(meter, struct.pack(">BHH", function, address, count))
    assert reply[0] == function, f"exception {reply[1]}"
    return reply[2:]


A, VAR = 40e3 / 3 / 230, 36e3 * math.tan(math.acos(0.9))
LO_HI = "low word first"

KNOWN = [
    ("eastron_sdm630", 4, 0x0000, ">f", 230.0),
    ("eastron_sdm630", 4, 0x0006, ">f", A),
    ("eastron_sdm630", 4, 0x0046, ">f", 49.97),
    ("eastron_sdm120", 4, 0x000C, ">f", 36e3),
    ("eastron_sdm120", 4, 0x0006, ">f", 3 * A),
    ("eastron_sdm120", 4, 0x0048, ">f", 10.0),
    ("eastron_sdm120", 4, 0x0046, ">f", 49.97),
    ("schneider_iem3155", 3, 3053, ">f", 12.0),  # kW
    ("schneider_iem3155", 3, 3059, ">f", 36.0),
    ("schneider_iem3155", 3, 3067, ">f", VAR / 1e3),
    ("schneider_iem3155", 3, 3109, ">f", 49.97),
    ("schneider_iem3155", 3, 3203, ">q", 10_000),  # Wh
    ("schneider_iem3155", 3, 3517, ">q", 3_333),
    ("schneider_iem3155", 3, 45099, ">f", 10_000.0),
    ("schneider_iem3155", 3, 3207, ">q", 0),
    ("schneider_pm5340", 3, 2999, ">f", A),
    ("schneider_pm5340", 3, 3059, ">f", 36.0),
    ("schneider_pm5340", 3, 3075, ">f", 40.0),
    ("schneider_pm5340", 3, 3083, ">f", 0.9),
    ("schneider_pm5340", 3, 3109, ">f", 49.97),
    ("schneider_pm5340", 3, 2699, ">f", 10.0),  # kWh
    ("schneider_pm5340", 3, 2029, ">H", 1000),
    ("schneider_pm5340", 3, 1836, ">H", 2026),
    ("schneider_pm5340", 3, 1844, ">H", 26),
    ("schneider_pm5340", 3, 1845, ">H", 1 << 8 | 5 << 5 | 1),  # 1 January 2026 is a Thursday; Sunday is 1
    ("schneider_pm5340", 3, 1846, ">H", 0 << 8 | 16),
    ("schneider_pm5340", 3, 1847, ">H", 40_000),  # 1000 s: 00:16:40.000
    ("abb_b23", 3, 0x5B00, ">I", 2300),
    ("abb_b23", 3, 0x5B0C, ">I", 5797),
    ("abb_b23", 3, 0x5B14, ">i", 3_600_000),
    ("abb_b23", 3, 0x5B2C, ">H", 4997),
    ("abb_b23", 3, 0x5B3A, ">h", 900),
    ("abb_b23", 3, 0x5000, ">Q", 1000),
    ("abb_b23", 3, 0x5460, ">Q", 333),
    ("abb_b23", 3, 0x5B31, ">H", 0x7FFF),  # not available
    ("abb_b24", 3, 0x5B14, ">i", 3_600_000),
    ("abb_b24", 3, 0x8C04, ">I", 1000),
    ("gavazzi_em24", 3, 0x0000, LO_HI + "i", 2300),
    ("gavazzi_em24", 3, 0x000C, LO_HI + "i", 57_971),
    ("gavazzi_em24", 4, 0x0028, LO_HI + "i", 360_000),
    ("gavazzi_em24", 4, 0x0037, ">H", 500),
    ("gavazzi_em24", 4, 0x0035, ">h", 900),
    ("gavazzi_em24", 4, 0x003E, LO_HI + "i", 100),
    ("gavazzi_em24", 3, 0x112C, LO_HI + "I", 2000),
    ("gavazzi_em24_e1", 3, 0x0028, LO_HI + "i", 360_000),
    ("gavazzi_em24_e1", 3, 0x0033, ">H", 500),
    ("gavazzi_em24_e1", 3, 0x0034, LO_HI + "i", 100),
    ("gavazzi_em340", 4, 0x0012, LO_HI + "i", 120_000),
    ("gavazzi_em340", 4, 0x0031, ">h", 900),
    ("gavazzi_em340", 4, 0x0040, LO_HI + "i", 33),
    ("janitza_umg96rm", 3, 19000, ">f", 230.0),
    ("janitza_umg96rm", 4, 19006, ">f", 230.0 * math.sqrt(3)),
    ("janitza_umg96rm", 3, 19026, ">f", 36e3),
    ("janitza_umg96rm", 3, 19050, ">f", 49.97),
    ("janitza_umg96rm", 3, 19068, ">f", 10_000.0),
    ("janitza_umg96rm", 3, 10, ">f", 1000.0),
    ("siemens_pac3200", 3, 1, ">f", 230.0),
    ("siemens_pac3200", 4, 55, ">f", 49.97),
    ("siemens_pac3200", 4, 65, ">f", 36e3),
    ("siemens_pac3200", 3, 801, ">d", 10_000.0),
    ("siemens_pac3200", 3, 50011, ">I", 1000),
    ("accuenergy_acuvim_ii", 3, 0x4000, ">f", 49.97),
    ("accuenergy_acuvim_ii", 3, 0x4022, ">f", 36e3),
    ("accuenergy_acuvim_ii", 3, 0x3022, ">f", 36e3),
    ("accuenergy_acuvim_ii", 3, 0x341A, ">f", 36e3),
    ("accuenergy_acuvim_ii", 3, 0x4048, ">I", 100),
    ("accuenergy_acuvim_ii", 3, 0x405A, ">H", 200),
    ("accuenergy_acuvim_ii", 3, 0x1005, ">I", 4000),
    ("shelly_pro_3em", 4, 1013, LO_HI + "f", 36e3),
    ("shelly_pro_3em", 4, 1020, LO_HI + "f", 230.0),
    ("shelly_pro_3em", 4, 1042, LO_HI + "f", A),
    ("shelly_pro_3em", 4, 1162, LO_HI + "f", 10_000.0),
    ("sunspec_203", 3, 40070, ">H", 203),
    ("sunspec_203", 3, 40071, ">H", 105),
    ("sunspec_203", 3, 40085, ">h", -1),  # V_SF
    ("sunspec_203", 3, 40078, ">h", 2300),
    ("sunspec_203", 3, 40086, ">h", 4997),
    ("sunspec_203", 3, 40092, ">h", 2),  # W_SF: twice 1 MW fits 32767 only in hundreds
    ("sunspec_203", 3, 40088, ">h", 360),
    ("sunspec_203", 3, 40103, ">h", 9000),  # percent, PF_SF -2
    ("sunspec_203", 3, 40116, ">I", 10_000),
    ("sunspec_203", 3, 40177, ">H", 0xFFFF),
    ("sunspec_201", 3, 40074, ">h", -32768),  # no phase B
    ("sunspec_213", 3, 40070, ">H", 213),
    ("sunspec_213", 3, 40096, ">f", 49.97),
    ("sunspec_213", 3, 40098, ">f", 36e3),
    ("sunspec_213", 3, 40138, ">f", 10_000.0),
    ("sunspec_213", 3, 40196, ">H", 0xFFFF),
]


@pytest.mark.parametrize(("name", "function", "address", "layout", "value"), KNOWN)
def test_a_known_state_reads_as_the_makers_scaling_says(name, function, address, layout, value):
    low_first = layout.startswith(LO_HI)
    layout = ">" + layout[-1]
    data = read(make_meter(name), function, address, struct.calcsize(layout) // 2)
    if low_first:
        data = b"".join(data[i : i + 2] for i in reversed(range(0, len(data), 2)))
    (found,) = struct.unpack(layout, data)
    assert found == pytest.approx(value, rel=2e-7 if layout[-1] in "fd" else 0)


def test_every_product_has_known_readings():
    models = {"sunspec_202", "sunspec_204", "sunspec_211", "sunspec_212", "sunspec_214"}  # read by the scan
    assert {name for name, *_ in KNOWN} | models == set(list_products())


@pytest.mark.parametrize(
    ("name", "request_hex", "reply_hex", "why"),
    [
        ("eastron_sdm120", "03 4a38 0002", "03 04 00000000", "an unused register reads 0"),
        ("eastron_sdm120", "04 0000 0051", "84 03", "81 registers are one too many"),
        ("schneider_iem3155", "03 0bbd 0002", "03 04 ffffffff", "nothing between the currents: not available"),
        ("schneider_iem3155", "04 0bb7 0002", "84 01", "function 4 is not in the manual"),
        ("schneider_iem3155", "10 07ec 0001 02 0005", "90 02", "parameters go through the command interface"),
        ("schneider_pm5340", "03 0bc3 0002", "03 04 ffffffff", "no neutral voltage: not available"),
        ("abb_b23", "03 8960 0002", "03 04 42323320", "the model that clients look for"),
        ("abb_b24", "03 8960 0002", "03 04 42323420", "the model that clients look for"),
        ("abb_b23", "03 1000 0001", "83 02", "no such register"),
        ("abb_b23", "06 8c05 0064", "86 01", "a meter without transformers has nothing to write"),
        ("gavazzi_em24", "03 0000 000c", "83 03", "12 registers are one too many"),
        ("gavazzi_em24", "03 000b 0001", "03 02 0048", "read alone: the identification code"),
        ("gavazzi_em24", "03 000a 0002", "03 04 0f90 0000", "read with its neighbour: V L3-L1"),
        ("gavazzi_em24_e1", "03 000b 0001", "03 02 0670", "1648: EM24DINAV23XE1X"),
        ("gavazzi_em24_e1", "06 a000 0007", "06 a000 0007", "application H"),
        ("gavazzi_em24_e1", "06 a000 0009", "86 03", "no such application"),
        ("gavazzi_em340", "04 0000 0033", "84 03", "51 registers are one too many"),
        ("gavazzi_em340", "04 1100 0001", "84 02", "no such register"),
        ("gavazzi_em340", "08 0000 a537", "08 0000 a537", "function 8 returns what is sent"),
        ("gavazzi_em340", "08 0001 0000", "88 01", "and does nothing else"),
        ("gavazzi_em24_e1", "08 0000 a537", "88 01", "nothing is known of it on Ethernet"),
        ("janitza_umg96rm", "17 4a38 0002 0022 0001 02 0000", "17 04 43660000", "function 23 writes and reads"),
        ("janitza_umg96rm", "03 2000 0001", "83 02", "no such register"),
        ("siemens_pac3200", "03 0002 0001", "83 02", "a read that begins inside a value"),
        ("siemens_pac3200", "03 0001 0003", "83 02", "a read that ends inside a value"),
        ("siemens_pac3200", "03 fa01 0001", "83 02", "identification is read as a block"),
        ("siemens_pac3200", "10 c35b 0002 04 00000064", "10 c35b 0002", "primary current 100 A"),
        ("siemens_pac3200", "10 c35d 0002 04 00000002", "90 03", "there are only 1 A and 5 A"),
        ("accuenergy_acuvim_ii", "04 4000 0002", "84 01", "function 3 only"),
        ("accuenergy_acuvim_ii", "03 2000 0001", "83 02", "no such register"),
        ("shelly_pro_3em", "03 03f5 0002", "83 01", "input registers only"),
        ("shelly_pro_3em", "04 07f8 0001", "84 02", "no single-phase profile: how clients find out"),
        ("sunspec_213", "03 0000 0003", "83 02", "nothing at a base that is not its own"),
        ("sunspec_213", "03 9c40 0003", "03 06 5375 6e53 0001", "SunS and the common model"),
        ("sunspec_213", "06 9c44 0001", "86 01", "nothing to write"),
    ],
)
def test_each_product_has_the_manners_its_sources_say(name, request_hex, reply_hex, why):
    assert ask(make_meter(name), request_hex) == bytes.fromhex(reply_hex), why


def test_the_identification_block_of_the_pac3200_is_read_whole():
    block = read(make_meter("siemens_pac3200", seed=Seed(1)), 4, 64001, 27)
    assert block[:2] == b"\x00\x2a"
    assert block[2:22].rstrip(b"\0") == b"7KM2112-0BA00-3AA0"
    assert block[40:44] == b"V\x02\x03\x00"


@pytest.mark.parametrize("name", ["schneider_iem3155", "schneider_pm5340"])
def test_the_makers_that_identify_themselves_do(name):
    reply = ask(make_meter(name), "2b 0e 01 00")
    assert reply[:4] == bytes.fromhex("2b 0e 01 81")
    assert b"Schneider Electric" in reply


def test_the_shelly_sends_its_model_with_the_bytes_of_each_register_turned():
    data = read(make_meter("shelly_pro_3em"), 4, 6, 10)
    assert b"".join(data[i : i + 2][::-1] for i in range(0, 20, 2)).rstrip(b"\0") == b"SPEM-003CEBEU"


def test_a_ratio_of_two_registers_is_written_word_by_word_on_the_em24():
    meter = make_meter("gavazzi_em24")
    assert ask(meter, "06 112c 0fa0") == bytes.fromhex("06 112c 0fa0")  # 400.0 instead of 200.0
    later = NOW + SECOND
    assert ask(meter, "04 0028 0002", later) == bytes.fromhex("04 04 fc80 000a")  # 720 000 tenths of a watt
    assert ask(meter, "06 112c 0005") == b"\x86\x03"


@pytest.mark.parametrize(
    ("name", "address", "words", "power_at", "layout", "watts"),
    [
        ("abb_b24", 0x8C04, ">I", 0x5B14, ">i", 0.01),
        ("janitza_umg96rm", 10, ">f", 19026, ">f", 1.0),
        ("siemens_pac3200", 50011, ">I", 65, ">f", 1.0),
        ("accuenergy_acuvim_ii", 0x1008, ">H", 0x4022, ">f", 1.0),
    ],
)
def test_a_transformer_that_is_set_wrong_scales_power_and_energy(name, address, words, power_at, layout, watts):
    meter = make_meter(name)
    data = struct.pack(words, 500)
    request = struct.pack(">BHHB", 0x10, address, len(data) // 2, len(data)) + data
    assert ask(meter, request)[0] == 0x10
    reply = ask(meter, struct.pack(">BHH", 3, power_at, 2), NOW + SECOND)
    assert struct.unpack(layout, reply[2:])[0] * watts == pytest.approx(18e3)
    assert meter.value("current_l1_a", NOW + SECOND) == pytest.approx(A / 2)
    assert meter.value("import_kwh", NOW + 1000 * SECOND) == pytest.approx(10.0 + 5.0)


@pytest.mark.parametrize(
    ("name", "address", "layout", "power_w", "expected"),
    [
        ("gavazzi_em24", 0x28, "<i", 1e9, 0x7FFFFFFF),
        ("abb_b23", 0x5B14, ">i", 1e9, 0x7FFFFFFF),
        ("sunspec_203", 40088, ">h", 1e9, 0x7FFF),
    ],
)
def test_more_than_a_register_holds_stands_at_its_end(name, address, layout, power_w, expected):
    data = read(make_meter(name, power_w), 3, address, struct.calcsize(layout) // 2)
    if layout[0] == "<":
        data = data[2:] + data[:2]
    assert struct.unpack(">" + layout[1], data)[0] == expected


def test_scale_factors_follow_the_rated_power_and_stay():
    small, large = (make_meter("sunspec_203", rated_w=watts) for watts in (10e3, 400e6))
    for meter, exponent in ((small, 0), (large, 5)):
        assert struct.unpack(">h", read(meter, 3, 40092, 1)) == (exponent,)
        (shown,) = struct.unpack(">h", read(meter, 3, 40088, 1))
        assert shown == min(round(36e3 / 10**exponent), 32767)


def test_the_accumulators_of_the_integer_models_roll_over_at_two_to_the_32():
    meter = make_meter("sunspec_203", 3.6e9)
    wh = round(3.6e9 * 5000 / 3600)
    reply = ask(meter, struct.pack(">BHH", 3, 40116, 2), 5000 * SECOND)
    assert struct.unpack(">I", reply[2:])[0] == pytest.approx(wh % 2**32, abs=1)


@pytest.mark.parametrize("name", list_products())
def test_every_span_of_every_product_is_answered_or_refused(name):
    meter, product = make_meter(name), load_product(name)
    base = product.bases[0]
    rows = [row for table in (product.input, product.holding) for row in table.rows]
    for row in rows:
        for function in {3, 4} & product.functions:
            for count in (1, row.registers, 60):
                reply = ask(meter, struct.pack(">BHH", function, row.address + base, count))
                assert reply[0] == function | 0x80 or len(reply) == 2 + 2 * count


def test_the_word_orders_are_the_makers():
    orders = {}
    for name in list_products():
        product = load_product(name)
        numbers = [row for table in (product.input, product.holding) for row in table.rows if row.registers > 1]
        orders[name] = {row.order for row in numbers if row.type != "text"}
    low = {name for name, found in orders.items() if found == {WordOrder.LOW_FIRST}}
    assert low == {"gavazzi_em24", "gavazzi_em24_e1", "gavazzi_em340", "shelly_pro_3em"}
    assert all(len(found) == 1 for found in orders.values())


def test_a_base_that_the_product_does_not_have_is_refused():
    with pytest.raises(ValueError, match="base 100: the map of sunspec_213 begins at 40000, 0, 50000"):
        make_meter("sunspec_213", base=100)
    with pytest.raises(ValueError, match="base 40000: the map of abb_b23 begins at 0"):
        make_meter("abb_b23", base=40000)
