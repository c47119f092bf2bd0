"""Reads the meter every 5 s.

Breaks full delivery within the rule's time from the threshold: ERCOT RRS-FFR 0.25 s, RRS-UFR 0.50 s, Nordic FFR 0.7
to 1.3 s (check `reach`). Needs events that do not fall on its own grid of polls.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("under-frequency", "reach")


def _changed(settings: Settings) -> Settings:
    return replace(settings, poll=replace(settings.poll, meter_s=5.0))


controller = controller_of(change=_changed)
