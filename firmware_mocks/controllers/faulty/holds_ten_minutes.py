"""Takes the ten minutes it has for delivery as the time for which to deliver.

Breaks ERCOT ECRS: sustain for an hour or until recalled (check `hold`). Needs a dispatch that lasts longer than the
ten minutes; in a shorter one it is the reference.
"""

from __future__ import annotations

import asyncio

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("dispatch", "hold")


_PATIENCE_S = 610.0


class HoldsTenMinutes(reference.Controller):
    """A reference controller that forgets what it asked of firmware some time after it first did."""

    _begun = _over = False

    def _hold(self) -> None:
        if self._asked_w["firmware"] > 0.0 and not self._begun:
            self._begun = True
            asyncio.get_running_loop().call_later(_PATIENCE_S, self._let_go)
        if self._over:
            self._asked_w["firmware"] = 0.0
        super()._hold()

    def _let_go(self) -> None:
        self._over = True
        self._hold()


controller = controller_of(HoldsTenMinutes)
