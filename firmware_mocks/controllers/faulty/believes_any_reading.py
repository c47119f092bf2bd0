"""Takes whatever the meter says for the frequency of the grid.

Breaks the demand not to move unasked (check `still`): meters read 0.0 while they measure nothing, which is as deep a
frequency as there is. Needs a meter that does so.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from firmware_mocks.controllers import reference

KILLED_BY = ("dead-frequency", "still")


class BelievesAnyReading(reference.Controller):
    """A reference controller without the check of plausibility."""

    def _believed(self, frequency_hz: float) -> float | None:
        return frequency_hz


def controller(
    inventory: Mapping[str, Any], config: reference.Config = None, *, ready: Callable[[], None] = lambda: None
) -> Coroutine[Any, Any, None]:
    """The reference controller with this defect."""
    return reference.controller(inventory, config, ready=ready, kind=BelievesAnyReading)
