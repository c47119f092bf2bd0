"""Reads the meter every 5 s.

Breaks full delivery within the rule's time from the threshold: ERCOT RRS-FFR 0.25 s, RRS-UFR 0.50 s, Nordic FFR 0.7 to
1.3 s (check `reach`). Needs events that do not fall on its own grid of polls.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.settings import load

KILLED_BY = ("under-frequency", "reach")


def controller(
    inventory: Mapping[str, Any], config: reference.Config = None, *, ready: Callable[[], None] = lambda: None
) -> Coroutine[Any, Any, None]:
    """The reference controller with this defect."""
    settings = load(config)
    slow = replace(settings.poll, meter_s=5.0)
    return reference.controller(inventory, replace(settings, poll=slow), ready=ready)
