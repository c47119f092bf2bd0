"""Puts miners to sleep where only the contactor is fast enough.

Breaks full delivery within 0.25 s (ERCOT RRS-FFR), 0.50 s (RRS-UFR) or 0.7 to 1.3 s (Nordic FFR), check `reach`:
firmware takes about 5 s over a LAN.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.settings import load

KILLED_BY = ("lost-requests", "reach")


def controller(
    inventory: Mapping[str, Any], config: reference.Config = None, *, ready: Callable[[], None] = lambda: None
) -> Coroutine[Any, Any, None]:
    """The reference controller with this defect."""
    settings = load(config)
    slow = replace(settings.paths, allowed=("firmware",))
    return reference.controller(inventory, replace(settings, paths=slow), ready=ready)
