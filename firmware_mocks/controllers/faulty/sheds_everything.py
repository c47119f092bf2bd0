"""Takes the whole site off, whatever was sold.

Breaks the upper bound of delivery: 110 % for ERCOT RRS-FFR, 150 % for RRS-UFR and ECRS, 135 % for Nordic FFR (check
`over_delivery`), 120 % for static FCR-D (R5a). Needs a site that draws well over what it has sold.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("under-frequency", "over_delivery")


def _changed(settings: Settings) -> Settings:
    dispatch = replace(settings.dispatch, margin_share=1.0)
    return replace(settings, commitment=replace(settings.commitment, target_share=100.0), dispatch=dispatch)


controller = controller_of(change=_changed)
