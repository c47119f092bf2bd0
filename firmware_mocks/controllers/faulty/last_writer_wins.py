"""Goes by whoever spoke last, the frequency or the operator, and not by the stricter of the two.

Breaks the demand to stay off until recalled (ERCOT RRS-UFR, check `stay_off`): a small dispatch in the middle of a
deployment brings load back. Needs two that overlap.
"""

from __future__ import annotations

import asyncio

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.decision import Want
from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Way

KILLED_BY = ("under-frequency", "stay_off")


class LastWriterWins(reference.Controller):
    """A reference controller in which the later instruction replaces the earlier one."""

    _before: tuple[float, float | None] = (0.0, None)
    _last = "frequency"

    def _by_way(self, want: Want) -> dict[Way, float]:
        setpoint_w = self._limits.setpoint_w(asyncio.get_running_loop().time())
        if want.frequency_w != self._before[0]:
            self._last = "frequency"
        elif setpoint_w != self._before[1]:
            self._last = "dispatch"
        self._before = (want.frequency_w, setpoint_w)
        if self._last == "frequency" or setpoint_w is None:
            return super()._by_way(want)
        return super()._by_way(Want(0.0, max(0.0, self._nominal_w - setpoint_w)))


controller = controller_of(LastWriterWins)
