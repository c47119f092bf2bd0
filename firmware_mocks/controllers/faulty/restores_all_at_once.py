"""Gives all load back in one stage.

Breaks the limit on the return ramp (check `ramp`; static FCR-D R7 and R7_step: 2.5 %/s averaged over 10 s, no step over
20 %). Needs about 20 outlets, so that stages can be told from a step.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.settings import load

KILLED_BY = ("slow-return", "R7")


def controller(
    inventory: Mapping[str, Any], config: reference.Config = None, *, ready: Callable[[], None] = lambda: None
) -> Coroutine[Any, Any, None]:
    """The reference controller with this defect."""
    settings = load(config)
    at_once = replace(settings.back, stage_share=10.0)  # more than can be off
    return reference.controller(inventory, replace(settings, back=at_once), ready=ready)
