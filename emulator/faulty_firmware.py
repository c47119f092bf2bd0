"""Requests that are answered and forgotten: the firmware runs as ever, and then nothing of it has happened.

Owns the taking back. It knows no firmware: whatever state a device keeps in its attributes is put back as it was, and
its hardware, if it has a `unit`, gets no command meanwhile.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from emulator.wire import Device

_SHARED = ("unit", "host")
"""Attributes that are not the firmware's own: the hardware under it and the board's name and address."""


@contextmanager
def taken_back(device: Device, lines: Iterable[object] = ()) -> Iterator[None]:
    """Whatever happens to `device` inside leaves it as it was; its open conversations, `lines`, go on all the same."""
    attributes: dict[str, Any] = {name: getattr(device, name) for name in _names(device) if hasattr(device, name)}
    memo: dict[int, Any] = {id(device): device, **{id(line): line for line in lines}}
    memo |= {id(attributes[name]): attributes[name] for name in _SHARED if name in attributes}
    before = {name: copy.deepcopy(attribute, memo) for name, attribute in attributes.items()}
    if "unit" in attributes:
        device.unit = _Deaf(attributes["unit"])  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name in _names(device):
            if name in before:
                setattr(device, name, before[name])
            elif hasattr(device, name):
                delattr(device, name)


def _names(device: Device) -> set[str]:
    """All attributes an instance may have, in slots or not."""
    slots = (getattr(kind, "__slots__", ()) for kind in type(device).__mro__)
    named = {name for row in slots for name in ((row,) if isinstance(row, str) else row)}
    return (named | set(getattr(device, "__dict__", ()))) - {"__dict__", "__weakref__"}


class _Deaf:
    """A unit whose readings are the true ones and whose scripts do not start."""

    def __init__(self, unit: Any) -> None:
        self._unit = unit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._unit, name)

    def run(self, *_command: object, **_settings: object) -> None:
        """Nothing."""
