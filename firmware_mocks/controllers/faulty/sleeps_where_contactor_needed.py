"""Puts miners to sleep where only the contactor is fast enough.

Breaks full delivery within 0.25 s (ERCOT RRS-FFR), 0.50 s (RRS-UFR) or 0.7 to 1.3 s (Nordic FFR), check `reach`:
firmware takes about 5 s over a LAN.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("lost-requests", "reach")


def _changed(settings: Settings) -> Settings:
    return replace(settings, paths=replace(settings.paths, allowed=("firmware",)))


controller = controller_of(change=_changed)
