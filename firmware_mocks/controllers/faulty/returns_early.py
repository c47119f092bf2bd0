"""Gives load back as soon as the frequency has recovered, although the service asks for a recall.

Breaks ERCOT RRS-UFR: stay off until recalled, even when the frequency recovers (check `stay_off`). Needs a frequency
that recovers before the recall message.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("under-frequency", "stay_off")


def _changed(settings: Settings) -> Settings:
    return replace(settings, back=replace(settings.back, on="frequency", hold_off_s=0.0))


controller = controller_of(change=_changed)
