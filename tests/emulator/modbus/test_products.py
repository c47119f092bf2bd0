from __future__ import annotations

from pathlib import Path

import pytest

from emulator.meters import product as meters
from emulator.modbus.products import GRADES, ProductError
from emulator.pdus import product as pdus

METER = Path(meters.__file__).parent / "maps" / "eastron_sdm630.toml"
PDU = Path(pdus.__file__).parent / "maps" / "netio_powerpdu_4ks.toml"


@pytest.mark.parametrize("package", [meters, pdus])
def test_every_product_that_is_listed_loads_and_grades_its_figures(package):
    assert package.list_products()
    for name in package.list_products():
        product = package.load_product(name)
        assert product.id == name
        assert product.facts
        assert all(fact.grade in GRADES and fact.source and fact.value for fact in product.facts)
        for row in (*product.input.rows, *product.holding.rows):
            assert row.grade in GRADES
            assert row.source


@pytest.mark.parametrize(
    ("package", "wrong", "hint"),
    [
        (meters, "eastron_sdm360", "unknown meter 'eastron_sdm360'; did you mean 'eastron_sdm630'?"),
        (pdus, "acme", f"unknown PDU 'acme'; there are: {', '.join(pdus.list_products())}"),
    ],
)
def test_an_unknown_product_is_answered_with_what_there_is(package, wrong, hint):
    with pytest.raises(ProductError, match=r"^unknown") as refused:
        package.load_product(wrong)
    assert str(refused.value) == hint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('make = "Eastron"', 'maker = "Eastron"', "map.toml: make: is missing; did you mean it by 'maker'?"),
        ('make = "Eastron"', "make = 7", "map.toml: make: 7 is not of type str"),
        ('make = "Eastron"', 'make = "E"\nmodell = "x"', "map.toml: modell: unknown key; did you mean 'model'?"),
        ('value = "silent"', 'value = "silence"', "unknown word 'silence'; did you mean 'silent'?"),
        ('value = "10 ms"', 'value = "10 mss"', "map.toml: link.turnaround.value: '10 mss': unknown unit 'mss'"),
        ('value = "10 ms"', 'value = "-10 ms"', "a duration cannot be negative"),
        ('period = { value = "100 ms"', 'period = { value = "0 ms"', "refresh.frequency.period: period and window"),
        ("value = 80", "value = 800", "limits.max_registers.value: 800 is outside 1 to 125"),
        ("value = 0.99", "value = nan", "constants.power_factor.value: nan is not finite"),
        ("value = 0.99", "value = 1.2", "constants.power_factor.value: 1.2 is outside 0.01 to 1.0"),
        ("value = 0.99", "value = true", "constants.power_factor.value: True is not of type int or float"),
        ('"voltage_l1_v"', '"volts_l1_v"', "input.rows[0].quantity: unknown word 'volts_l1_v'; did you mean"),
        ("address = 0x0002, quantity", "address = 0x0001, quantity", "register 1 (voltage_l2_v) overlaps"),
        ('type = "f32"', 'type = "f31"', "unknown word 'f31'; did you mean 'f32'?"),
        ('grade = "S", source = "manual" }', 'grade = "A", source = "manual" }', "unknown word 'A'; one of S, S2"),
        ('grade = "S", source = "manual" }', 'grade = "S", source = "memory" }', "unknown source 'memory'; name it"),
        ("functions = [0x03", 'functions = ["3"', "functions: ['3', 4, 16]: only integers are expected"),
        ("[sources]", "[sources]\nbad = 3", "map.toml: sources: a table of short names and texts is expected"),
        ("make = ", "make == ", "map.toml: not valid TOML"),
    ],
)
def test_a_mistake_in_a_meter_file_is_named_with_file_key_and_remedy(tmp_path, old, new, message):
    text = METER.read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "map.toml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ProductError) as refused:
        meters.read_product(file)
    assert message in str(refused.value)
    assert str(refused.value).startswith("map.toml: ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "metered_outputs = { value = 4",
            "metered_outputs = { value = 5",
            "metered_outputs.value: 5 is outside 0 to 4",
        ),
        ('spread = { value = "5 ms"', 'spread = { value = "25 ms"', "relay.spread: is longer than the latency"),
        ('period = { value = "1 s"', 'period = { value = "0 s"', "refresh.period: period and window"),
        ('each = "metered"', 'each = "meter"', "unknown word 'meter'; did you mean 'metered'?"),
        ('"output_power_w"', '"output_power_kw"', "did you mean 'output_power_w'?"),
    ],
)
def test_a_mistake_in_a_pdu_file_is_named_with_file_key_and_remedy(tmp_path, old, new, message):
    text = PDU.read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "map.toml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ProductError) as refused:
        pdus.read_product(file)
    assert message in str(refused.value)


def test_a_file_that_is_left_as_it_was_loads_from_anywhere(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(METER.read_text(encoding="utf-8"), encoding="utf-8")
    assert meters.read_product(file).id == "mine"


@pytest.mark.parametrize(("word", "acts"), [("act", True), ("ignore", False)])
def test_a_product_may_ignore_broadcasts(tmp_path, word, acts):
    text = METER.read_text(encoding="utf-8")
    file = tmp_path / "map.toml"
    line = f'[link]\nbroadcast = {{ value = "{word}", grade = "S", source = "manual" }}\n'
    file.write_text(text.replace("[link]\n", line, 1), encoding="utf-8")
    assert meters.read_product(file).link.broadcast is acts
    assert meters.load_product("eastron_sdm630").link.broadcast
