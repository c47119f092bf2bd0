"""What a rig file sets a protection relay to, checked against what the product can be set to.

Owns the checks and their texts; where a relay stands is `bench/layout.py`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.protection.relay import ElementSetting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.rig_file import ElementTable, RelayTable
    from emulator.protection.product import RelayProduct


def settings_of(table: RelayTable) -> tuple[ElementSetting, ...]:
    """The settings of its elements in order."""
    return tuple(ElementSetting(element.pickup, element.delay) for _, element in _elements("", table))


def problems_of(key: str, table: RelayTable, product: RelayProduct) -> Iterator[str]:
    """Everything the relay cannot be set to, each with key, value and remedy; `key` names the table."""
    elements = list(_elements(key, table))
    if len(elements) > product.elements:
        yield f"{key}.further: {product.model} has {product.elements} elements, not {len(elements)}; remove some"
    for where, element in elements:
        steps = element.pickup / product.level_step_hz
        if not product.level_low_hz <= element.pickup <= product.level_high_hz or abs(steps - round(steps)) > 1e-6:
            span = f"{product.level_low_hz:g} to {product.level_high_hz:g} Hz in steps of {product.level_step_hz:g} Hz"
            yield f"{where}.pickup: {product.model} cannot be set to {element.pickup:g} Hz; it takes {span}"
        if element.delay > product.delay_high_ns or element.delay % product.delay_step_ns:
            span = f"0 to {product.delay_high_ns / 1e9:g} s in steps of {product.delay_step_ns / 1e9:g} s"
            yield f"{where}.delay: {product.model} cannot be set to {element.delay / 1e9:g} s; it takes {span}"


def _elements(key: str, table: RelayTable) -> Iterator[tuple[str, ElementTable | RelayTable]]:
    yield key, table
    for number, element in enumerate(table.further):
        yield f"{key}.further[{number}]", element
