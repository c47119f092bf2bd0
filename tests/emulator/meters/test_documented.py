"""The table of docs/reference/meters.md says what the maps say."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.meters.product import MeterProduct, list_products, load_product
from emulator.modbus.products import GRADES
from emulator.modbus.registers import TEXT

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "meters.md"


def line(product: MeterProduct) -> str:
    grades = {fact.name: fact.grade for fact in product.facts}
    rows = {row.address: row for table in (product.input, product.holding) for row in table.rows}.values()
    (order,) = {row.order.value for row in rows if row.registers > 1 and row.type != TEXT}
    counts = [row.grade for row in rows]
    pace = [
        f"{each / 1e6:g} ms ({grade})" if each < 1e9 else f"{each / 1e9:g} s ({grade})"
        for each, grade in (
            (product.refresh[group].period_ns, grades[f"refresh.{group}.period"]) for group in ("power", "frequency")
        )
    ]
    cells = (
        f"`{product.id}`",
        f"{product.make} {product.model}",
        ", ".join(f"{code:02X}" for code in sorted(product.functions)),
        order,
        *pace,
        f"{product.accuracy.power_limit * 100:g} % ({grades['accuracy.power_limit']})",
        f"{product.holding.hole.value} ({grades['limits.hole']})",
        str(product.max_registers),
        " ".join(f"{grade} {counts.count(grade)}" for grade in GRADES if grade in counts),
    )
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("name", list_products())
def test_the_page_of_meters_has_the_row_of_every_product(name):
    assert line(load_product(name)) in PAGE.read_text(encoding="utf-8")
