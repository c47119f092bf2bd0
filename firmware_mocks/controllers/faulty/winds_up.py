"""Adds what is missing to its correction at every reading, while miners are still on their way down.

Breaks the upper bound of delivery (ERCOT ECRS: 150 %, check `over_delivery`): integrator wind-up. Needs an actuator
that takes seconds.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("dispatch", "over_delivery")


def _changed(settings: Settings) -> Settings:
    return replace(settings, verify=replace(settings.verify, firmware_s=0.25))


controller = controller_of(change=_changed)
