"""Trips 0.01 Hz below the trigger that was agreed.

Breaks full delivery in time from the trigger (ERCOT RRS-UFR: 59.70 Hz, check `reach`). Needs a frequency that stops
between the two.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("brink", "reach")


def _changed(settings: Settings) -> Settings:
    frequency = replace(settings.frequency, trip_hz=settings.frequency.trip_hz - 0.01)
    return replace(settings, frequency=frequency)


controller = controller_of(change=_changed)
