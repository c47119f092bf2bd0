"""Sheds as it should and then stays off for good.

Breaks the demand to be ready again: static FCR-D R6, 15 min after the frequency is back; return within a time in site
policies. Needs a recording that lasts longer than that.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.settings import load

KILLED_BY = ("slow-return", "R6")
_NEVER_S = 1e9


def controller(
    inventory: Mapping[str, Any], config: reference.Config = None, *, ready: Callable[[], None] = lambda: None
) -> Coroutine[Any, Any, None]:
    """The reference controller with this defect."""
    settings = load(config)
    stays = replace(settings.back, min_shed_s=_NEVER_S)
    return reference.controller(inventory, replace(settings, back=stays), ready=ready)
