"""Watches the frequency only; what the operator dispatches is not heard.

Breaks ERCOT ECRS: the instructed reduction is there within 10 min (check `reach`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.settings import load

KILLED_BY = ("dispatch", "reach")


def controller(
    inventory: Mapping[str, Any], config: reference.Config = None, *, ready: Callable[[], None] = lambda: None
) -> Coroutine[Any, Any, None]:
    """The reference controller with this defect."""
    settings = load(config)
    deaf = replace(settings.dispatch, follow=False)
    return reference.controller(inventory, replace(settings, dispatch=deaf), ready=ready)
