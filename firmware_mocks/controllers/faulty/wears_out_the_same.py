"""Takes the machines that came back last for the next call.

Breaks the bound on cycles of the mains (check `mains_cycles`): some machines are cut at every call, others never.
Needs more calls than there are cycles a day.
"""

from __future__ import annotations

from typing import Any

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.decision import Roster
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("three-calls", "mains_cycles")


class Stack(Roster[Any]):
    """A roster in which what came back is the first to go again."""

    def hold(self, reduction_w: float) -> tuple[list[Any], list[Any], float]:
        """As the roster; then what came back stands in front."""
        shed, back, missing_w = super().hold(reduction_w)
        for unit in back:
            self._free.remove(unit)
            self._free.appendleft(unit)
        return shed, back, missing_w


class WearsOutTheSame(reference.Controller):
    """A reference controller with such a roster."""

    roster = Stack


controller = controller_of(WearsOutTheSame)
