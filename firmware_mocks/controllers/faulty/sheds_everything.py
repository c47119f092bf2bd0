"""Takes the whole site off, whatever was sold.

Breaks the upper bound of delivery: 110 % for ERCOT RRS-FFR, 150 % for RRS-UFR and ECRS, 135 % for Nordic FFR (check
`over_delivery`), 120 % for static FCR-D (R5a). Needs a site that draws well over what it has sold.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.settings import load

KILLED_BY = ("under-frequency", "over_delivery")


def controller(
    inventory: Mapping[str, Any], config: reference.Config = None, *, ready: Callable[[], None] = lambda: None
) -> Coroutine[Any, Any, None]:
    """The reference controller with this defect."""
    settings = load(config)
    sold = replace(settings.commitment, target_share=100.0)
    dispatch = replace(settings.dispatch, margin_share=1.0)
    return reference.controller(inventory, replace(settings, commitment=sold, dispatch=dispatch), ready=ready)
