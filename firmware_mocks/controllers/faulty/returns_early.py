"""Gives load back as soon as the frequency has recovered, although the service asks for a recall.

Breaks ERCOT RRS-UFR: stay off until recalled, even when the frequency recovers (check `stay_off`). Needs a frequency
that recovers before the recall message.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.settings import load

KILLED_BY = ("under-frequency", "stay_off")


def controller(
    inventory: Mapping[str, Any], config: reference.Config = None, *, ready: Callable[[], None] = lambda: None
) -> Coroutine[Any, Any, None]:
    """The reference controller with this defect."""
    settings = load(config)
    early = replace(settings.back, on="frequency", hold_off_s=0.0)
    return reference.controller(inventory, replace(settings, back=early), ready=ready)
