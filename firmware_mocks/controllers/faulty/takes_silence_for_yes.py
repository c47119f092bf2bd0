"""Takes an answer that does not come for an answer that is yes.

Breaks full delivery (GB static FFR, check `reach`): a miner whose API hangs mines on and counts as asleep. Needs such
miners, and a meter that is asked too late to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import Forgiving, controller_of

KILLED_BY = ("unhelped", "reach")


class TakesSilenceForYes(reference.Controller):
    """A reference controller that is content with no answer in time."""

    def _miner_driver(self, entry: Mapping[str, Any]) -> drivers.Miner | None:
        miner = super()._miner_driver(entry)
        return None if miner is None else Forgiving(miner, _is_good_enough)


def _is_good_enough(error: drivers.DeviceError) -> bool:
    return isinstance(error.__cause__, TimeoutError)


controller = controller_of(TakesSilenceForYes)
