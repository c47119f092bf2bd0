"""Aims at 70 % of what was sold and never looks at the meter.

Breaks every demand for an amount: static FCR-D R1 and R2 (86 % after 7.5 s), 95 % in the ERCOT services, 100 % in
Nordic FFR. Reacts in time, so a bench that only measures reaction lets it through.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.settings import load

KILLED_BY = ("slow-return", "R2")
_NEVER_S = 1e9


def controller(
    inventory: Mapping[str, Any], config: reference.Config = None, *, ready: Callable[[], None] = lambda: None
) -> Coroutine[Any, Any, None]:
    """The reference controller with this defect."""
    settings = load(config)
    little = replace(settings.commitment, target_share=0.7)
    blind = replace(settings.verify, contactor_s=_NEVER_S, firmware_s=_NEVER_S)
    return reference.controller(inventory, replace(settings, commitment=little, verify=blind), ready=ready)
