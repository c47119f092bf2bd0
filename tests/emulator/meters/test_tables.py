"""What a meter's file can say, tried on a meter that nobody makes."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest

from emulator.grid import Grid
from emulator.meters import product as products
from emulator.meters.meter import Meter
from emulator.meters.product import read_product
from emulator.modbus.pdu import ModbusError, Responder
from emulator.modbus.products import ProductError
from emulator.seed import Seed
from emulator.wire import SECOND

SDM630 = (Path(products.__file__).parent / "maps" / "eastron_sdm630.toml").read_text(encoding="utf-8")
HEAD = SDM630[: SDM630.index("# Function 4.")].replace(
    "functions = [0x03, 0x04, 0x10]", "functions = [0x03, 0x04, 0x06, 0x10, 0x2B]"
)
TAIL = ', grade = "estimate", source = "bench" }'
TABLES = """
[identity]
vendor = { value = "Acme"~
product = { value = "Meter 1"~
revision = { value = "2.0"~
object_80 = { value = "batch 7"~

[counters.coarse]
rollover = { value = 1000.0~
resolution = { value = 0.0~

[holding]
type = "u16"
order = "hi-lo"
absent = { u32 = 0x7FFFFFFF, f32 = 0xFFFFFFFF }
rows = [
    { address = 10, quantity = "power_w", type = "s32", scale = 0.1~,
    { address = 12, quantity = "voltage_l1_v", scale = 0.1~,
    { address = 13, quantity = "current_l1_a", type = "u32", scale = 0.001, order = "lo-hi"~,
    { address = 15, quantity = "absent", type = "u32"~,
    { address = 17, quantity = "absent", type = "f32"~,
    { address = 19, quantity = "import_kwh", type = "u64", scale = 0.001, counter = "coarse"~,
    { address = 23, quantity = "import_kvarh", type = "f32"~,
    { address = 25, quantity = "secondary_current_l1_a", type = "f32"~,
    { address = 27, quantity = "clock_year"~,
    { address = 30, quantity = "model", type = "text", length = 4, text = "A1"~,
    { address = 34, quantity = "serial", type = "text", length = 8, text = "{:08d}", role = "serial"~,
    { address = 50, quantity = "ct_ratio", initial = 20, low = 1, high = 9999, role = "ct_primary"~,
    { address = 51, quantity = "pt_ratio", initial = 1, low = 1, high = 99, role = "pt_primary"~,
    { address = 52, quantity = "order", initial = 0, allowed = [0, 1], role = "word_order"~,
    { address = 53, quantity = "firmware", initial = 3, read_only = true~,
]

[input]
same_as = "holding"
"""
ONE_WRITE = 'one_write = { value = true, grade = "S", source = "manual" }\n'


class Point:
    """One megawatt at 240 V, for ever."""

    def power_w(self, at):
        return 1e6

    def energy_j(self, start, stop):
        return 1e6 * (stop - start) / SECOND

    def voltage_v(self, at):
        return 240.0


def product(tmp_path, text: str = TABLES, head: str = HEAD):
    file = tmp_path / "acme.toml"
    plain = head.replace(ONE_WRITE, "").replace(
        'type_code_input = { value = 0x0070, grade = "estimate", source = "bench" }\n', ""
    ).replace('type_code_holding = { value = 0x0000, grade = "S2", source = "trace" }\n', "")  # fmt: skip
    file.write_text(plain + text.replace("~", TAIL), encoding="utf-8")
    return read_product(file)


@pytest.fixture
def meter(tmp_path):
    return Meter(product(tmp_path), Point(), Grid(60.0, 1e6))


def read(meter: Meter, address: int, layout: str, now: int = SECOND):
    data = meter.read_holding_registers(address, struct.calcsize(layout) // 2, now)
    assert data == meter.read_input_registers(address, struct.calcsize(layout) // 2, now)
    return struct.unpack(layout, data)[0]


def write(meter: Meter, address: int, *words: int, now: int = SECOND):
    meter.write_registers(address, struct.pack(f">{len(words)}H", *words), now)


def test_measured_values_and_parameters_stand_in_one_table_that_both_functions_read(meter):
    assert read(meter, 10, ">i") == 10_000_000
    assert read(meter, 12, ">H") == 2400
    milliamperes = round(1e9 / 0.99 / 3 / 240.0)
    assert read(meter, 13, ">H") == milliamperes & 0xFFFF
    assert read(meter, 14, ">H") == milliamperes >> 16
    assert read(meter, 50, ">H") == 20
    assert read(meter, 53, ">H") == 3


def test_what_the_product_does_not_have_shows_the_pattern_of_its_type(meter):
    assert read(meter, 15, ">I") == 0x7FFFFFFF
    assert read(meter, 17, ">I") == 0xFFFFFFFF


def test_each_counter_has_its_own_roll_over_and_step(meter):
    hour = 3600 * SECOND
    assert read(meter, 19, ">Q", hour) == 0  # 1 MWh is where this counter begins again
    assert read(meter, 19, ">Q", hour + 36 * SECOND) == 10_000
    assert read(meter, 23, ">f", hour) == pytest.approx(1000 * math.tan(math.acos(0.99)), abs=1e-3)


def test_texts_and_serial_numbers_stand_in_their_registers(meter, tmp_path):
    assert meter.read_holding_registers(30, 4, 0) == b"A1\0\0\0\0\0\0"
    own = Meter(product(tmp_path), Point(), Grid(60.0, 1e6), seed=Seed(7))
    serial = own.read_holding_registers(34, 8, 0).rstrip(b"\0")
    assert len(serial) == 8
    assert int(serial) > 0


def test_a_wrong_transformer_ratio_scales_what_is_read_from_then_on(meter):
    assert read(meter, 25, ">f") == pytest.approx(1e6 / 0.99 / 3 / 240 / 20, rel=1e-6)
    write(meter, 50, 40, now=10 * SECOND)
    later = 11 * SECOND
    assert read(meter, 10, ">i", later) == 20_000_000
    assert read(meter, 12, ">H", later) == 2400
    assert read(meter, 25, ">f", later) == pytest.approx(1e6 / 0.99 / 3 / 240 / 20, rel=1e-6)
    write(meter, 51, 2, now=20 * SECOND)
    assert read(meter, 12, ">H", 21 * SECOND) == 4800
    assert read(meter, 10, ">i", 21 * SECOND) == 40_000_000
    assert meter.value("import_kwh", 30 * SECOND) == pytest.approx((10 + 2 * 10 + 4 * 10) / 3.6)


def test_the_installers_ratio_is_the_right_one(tmp_path):
    meter = Meter(product(tmp_path), Point(), Grid(60.0, 1e6), settings={"ct_ratio": 100})
    assert read(meter, 50, ">H") == 100
    assert read(meter, 10, ">i") == 10_000_000
    with pytest.raises(ValueError, match="unknown setting 'ct'; there are: serial, ct_ratio"):
        Meter(product(tmp_path), Point(), Grid(60.0, 1e6), settings={"ct": 100})
    with pytest.raises(ValueError, match="setting 'ct_ratio': the meter does not take 0"):
        Meter(product(tmp_path), Point(), Grid(60.0, 1e6), settings={"ct_ratio": 0})


def test_a_register_can_turn_the_words_of_every_number(meter):
    write(meter, 52, 1)
    assert read(meter, 11, ">H") << 16 | read(meter, 10, ">H") == 10_000_000 >> 16 << 16 | 10_000_000 & 0xFFFF
    assert read(meter, 10, ">H") == 10_000_000 & 0xFFFF
    assert meter.read_holding_registers(30, 4, 0) == b"A1\0\0\0\0\0\0"
    write(meter, 52, 0)
    assert read(meter, 10, ">i") == 10_000_000


def test_parameters_are_written_together_or_not_at_all(meter):
    with pytest.raises(ModbusError) as refused:
        write(meter, 50, 30, 100)
    assert refused.value.code == 3
    assert read(meter, 50, ">H") == 20
    write(meter, 50, 30, 2)
    assert (read(meter, 50, ">H"), read(meter, 51, ">H")) == (30, 2)
    refusals = {10: (0, 0), 53: (1,), 30: (1, 1, 1, 1), 52: (0, 1), 9: (0, 0), 60: (0,), 11: (0,)}
    for address, words in refusals.items():
        with pytest.raises(ModbusError) as refused:
            write(meter, address, *words)
        assert refused.value.code == 2


def test_function_6_writes_a_parameter_of_one_register(meter):
    assert Responder(meter).answer(bytes.fromhex("06 0032 0028"), SECOND) == bytes.fromhex("06 0032 0028")
    assert read(meter, 50, ">H") == 40


def test_the_identity_is_the_files(meter):
    reply = Responder(meter).answer(bytes.fromhex("2b 0e 03 00"), 0)
    assert reply[:7] == bytes.fromhex("2b 0e 03 83 00 00 04")
    assert reply[7:] == b"\x00\x04Acme\x01\x07Meter 1\x02\x032.0\x80\x07batch 7"


def test_the_clock_is_the_rigs(tmp_path):
    wall = lambda at: datetime(2031, 5, 4, tzinfo=UTC)  # noqa: E731
    assert read(Meter(product(tmp_path), Point(), Grid(60.0, 1e6), wall=wall), 27, ">H") == 2031


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('same_as = "holding"', 'same_as = "input"', "input.same_as: unknown word 'input'; one of holding"),
        ("object_80", "object_8x", "identity.object_8x: an object number of two hex digits is expected"),
        ("vendor =", "vendors =", "identity.vendors: unknown key; did you mean 'vendor'?"),
        ("u32 = 0x7FFFFFFF", "u33 = 0x7FFFFFFF", "holding.absent.u33: unknown key; did you mean"),
        ("u32 = 0x7FFFFFFF", "u32 = 0x17FFFFFFF", "holding.absent.u32: 6442450943 is outside 0 to 4294967295"),
        ('quantity = "order"', 'quantity = "power_w"', "'power_w' is a quantity or another parameter"),
        ('counter = "coarse"', 'counter = "fine"', "counters.fine: is missing; rows with this counter"),
        ('role = "word_order"', 'role = "words"', "unknown word 'words'; "),
        ('type = "text", length = 4, ', 'type = "text", ', "length: is missing"),
        ("[identity]", "[identities]", "functions: function 0x2B and the table identity belong together"),
        ("scale = 0.1~,\n    { address = 12", 'factor = "x"~,\n    { address = 12', "power_w: 'x' is no row with the"),
        ('type = "u16"\n', 'type = "u16"\nlayouts = ["acme"]\n', "unknown layout 'acme'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_table_is_named(tmp_path, old, new, message):
    assert old in TABLES
    with pytest.raises(ProductError) as refused:
        product(tmp_path, TABLES.replace(old, new, 1))
    assert message in str(refused.value)
