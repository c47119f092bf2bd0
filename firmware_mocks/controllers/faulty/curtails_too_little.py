"""Aims at 70 % of what was sold and never looks at the meter.

Breaks every demand for an amount: static FCR-D R1 and R2 (86 % after 7.5 s), 95 % in the ERCOT services, 100 % in
Nordic FFR. Reacts in time, so a bench that only measures reaction lets it through.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import NEVER_S, controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("slow-return", "R2")


def _changed(settings: Settings) -> Settings:
    blind = replace(settings.verify, contactor_s=NEVER_S, firmware_s=NEVER_S)
    return replace(settings, commitment=replace(settings.commitment, target_share=0.7), verify=blind)


controller = controller_of(change=_changed)
