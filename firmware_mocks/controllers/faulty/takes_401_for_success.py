"""Looks at the status of HTTP and takes 401 for success.

Breaks full delivery (GB static FFR, check `reach`): a miner whose password was changed mines on and counts as asleep.
Needs such miners, and a meter that is asked too late to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import Forgiving, controller_of

KILLED_BY = ("unhelped", "reach")


class Takes401ForSuccess(reference.Controller):
    """A reference controller that is content with "unauthorized"."""

    def _miner_driver(self, entry: Mapping[str, Any]) -> drivers.Miner | None:
        miner = super()._miner_driver(entry)
        return None if miner is None else Forgiving(miner, _is_good_enough)


def _is_good_enough(error: drivers.DeviceError) -> bool:
    return isinstance(error, drivers.HttpStatusError) and error.status == HTTPStatus.UNAUTHORIZED


controller = controller_of(Takes401ForSuccess)
