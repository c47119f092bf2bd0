"""Reads the meter every 15 s.

Breaks the scan of telemetry, 10 s at most (check `meter_read`), and with it every delivery that is due in seconds.
Needs a run of some length.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("under-frequency", "meter_read")


def _changed(settings: Settings) -> Settings:
    return replace(settings, poll=replace(settings.poll, meter_s=15.0))


controller = controller_of(change=_changed)
