"""Believes what devices acknowledge, and never looks at the meter.

Breaks full delivery (check `reach`) where a miner says yes and mines on, as stock firmware of February 2025 did.
Needs such miners.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import NEVER_S, controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("deaf-miners", "reach")


def _changed(settings: Settings) -> Settings:
    return replace(settings, verify=replace(settings.verify, contactor_s=NEVER_S, firmware_s=NEVER_S))


controller = controller_of(change=_changed)
